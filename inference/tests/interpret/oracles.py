"""The weight-free reference cases, as SAEs."""

import json
from functools import cache
from pathlib import Path

import torch

from millm_inference.interpret.sae import Sae

TOLERANCES = {torch.float64: {"atol": 1e-9, "rtol": 1e-9}, torch.float32: {"atol": 2e-5, "rtol": 1e-5}}


@cache
def load_oracles() -> dict:
    return json.loads((Path(__file__).parent / "sae_oracles.json").read_text())


def case_names(*needs: str) -> list[str]:
    return [case["name"] for case in load_oracles()["cases"] if all(need in case for need in needs)]


def case(name: str) -> dict:
    return next(case for case in load_oracles()["cases"] if case["name"] == name)


def sae_of(case: dict, dtype: torch.dtype, **more) -> Sae:
    config = case["config"]
    return Sae(
        architecture=case["architecture"],
        apply_b_dec_to_input=config["apply_b_dec_to_input"],
        normalization=config["normalize_activations"],
        norm_scaling_factor=config.get("norm_scaling_factor"),
        k=config.get("k"),
        rescale_acts_by_decoder_norm=config.get("rescale_acts_by_decoder_norm", False),
        **{name: torch.tensor(values, dtype=dtype) for name, values in case["tensors"].items()},
        **more,
    )


def folded_sae(case: dict, dtype: torch.dtype, **more) -> Sae:
    """The oracle's own folded tensors, to be served as they stand."""
    config = {**case["config"], "normalize_activations": "none"}
    return sae_of({**case, "config": config, "tensors": case["folded"]["tensors"]}, dtype, **more)


def close(actual: torch.Tensor, expected, dtype: torch.dtype) -> None:
    wanted = torch.tensor(expected, dtype=dtype)
    assert actual.shape == wanted.shape
    torch.testing.assert_close(actual.to(dtype), wanted, **TOLERANCES[dtype])
