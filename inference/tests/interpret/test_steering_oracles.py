"""Every steered oracle through the session, and the naive reference held to the same numbers."""

import pytest
import torch

from millm_inference.contract import FeatureSteering, SteeringCondition
from millm_inference.engine.interpreter import PromptTokens
from millm_inference.interpret.sae import Sae
from tests.interpret.naive import naive_forward
from tests.interpret.oracles import case, case_names, close, folded_sae, load_oracles, sae_of
from tests.interpret.probe import Probe, run_probe, spec_of

DTYPES = pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=["float64", "float32"])
SERVED = {"add", "clamp", "clamp_range", "multiply", "ablate"}


def feature(op: dict, **more) -> FeatureSteering:
    value = {"add": "strength", "clamp": "value", "multiply": "value"}.get(op["op"])
    numbers = {value: op["value"]} if value else {k: op[k] for k in ("min", "max") if op.get(k) is not None}
    return FeatureSteering(sae_id="sae", index=op["feature"], op=op["op"], **numbers, **more)


def probe_of(name: str, dtype: torch.dtype) -> Probe:
    out = case(name).get("hidden_out")
    return Probe(torch.tensor(case(name)["input"], dtype=dtype), out and torch.tensor(out, dtype=dtype))


def hooks_of(name: str) -> dict:
    return {"hook": "read.output", **({"hook_out": "write.output"} if "hidden_out" in case(name) else {})}


def expectations(name: str, dtype: torch.dtype):
    """Every list of steered states of a case, raw and folded, with the SAE it belongs to."""
    yield sae_of(case(name), dtype, **hooks_of(name)), case(name).get("steered", [])
    if "folded" in case(name):
        yield folded_sae(case(name), dtype, **hooks_of(name)), case(name)["folded"]["steered"]


@DTYPES
@pytest.mark.parametrize("name", case_names("steered"))
def test_every_steered_state_comes_out_of_the_session(name, dtype):
    for sae, steered in expectations(name, dtype):
        for expected in steered:
            if all(op["op"] in SERVED for op in expected["ops"]):
                hidden = run_probe(probe_of(name, dtype), sae, [feature(op) for op in expected["ops"]])
                close(hidden, expected["hidden"], dtype)
            else:
                _adding_an_activation(name, sae, expected, dtype)


def _adding_an_activation(name: str, sae: Sae, expected: dict, dtype: torch.dtype) -> None:
    """No operation of requests, but its row and its factor are those of the operations that read."""
    x = torch.tensor(case(name)["input"], dtype=dtype)
    _, state = sae.encode(x)
    base = torch.tensor(case(name).get("hidden_out", case(name)["input"]), dtype=dtype)
    scale = 1 if sae.is_transcoder or state.scale is None else state.scale
    for op in expected["ops"]:
        assert op["op"] == "add_activation"
        base = base + scale * op["value"] * sae.activation_rows(torch.tensor([op["feature"]]))
    close(base, expected["hidden"], dtype)


@pytest.mark.parametrize("name", [n for n in case_names("steered") if "norm_scaling_factor" not in case(n)["config"]])
def test_the_naive_reference_gives_the_same_states(name):
    dtype = torch.float64
    sae = sae_of(case(name), dtype, **hooks_of(name))
    for expected in case(name)["steered"]:
        if all(op["op"] in SERVED for op in expected["ops"]):
            ids = list(range(len(case(name)["input"])))
            steering = spec_of(*(feature(op) for op in expected["ops"]))
            probe = probe_of(name, dtype)
            hidden, _ = naive_forward(probe, ids, PromptTokens(tuple(ids)), {"sae": sae}, steering)
            close(hidden, expected["hidden"], dtype)


@DTYPES
@pytest.mark.parametrize("mode", ["token", "latched", "prompt"])
def test_conditions_act_where_the_oracle_says(mode, dtype):
    conditional = case("conditional")["conditional"]
    condition = conditional["condition"]
    when = SteeringCondition(index=condition["feature"], above=condition["greater_than"], mode=mode)
    features = [feature(op, when=when) for op in conditional["ops"]]
    sae = sae_of(case("conditional"), dtype, hook="read.output")
    probe = probe_of("conditional", dtype)
    hidden = run_probe(probe, sae, features, prompt_length=conditional["prompt_len"])
    close(hidden, conditional["modes"][mode]["hidden"], dtype)
    ids = list(range(len(case("conditional")["input"])))
    prompt = PromptTokens(tuple(ids[: conditional["prompt_len"]]))
    naive, _ = naive_forward(probe, ids, prompt, {"sae": sae}, spec_of(*features))
    close(naive, conditional["modes"][mode]["hidden"], dtype)


DIRECTIONS = load_oracles()["direction_ops"]
AS_REQUESTED = {
    "add_vector": lambda v: {"op": "add", "strength": v},
    "orthogonal_decomp": lambda v: {"op": "orthogonal", "strength": v},
    "ablate_direction": lambda v: {"op": "ablate_direction"},
    "norm_scaled_add": lambda v: {"op": "norm_add", "strength": v},
}


def _direction_sae(dtype: torch.dtype) -> Sae:
    """Two features with the oracle's vector as decoder row, so that one can be added and the other projected."""
    rows = torch.tensor([DIRECTIONS["vector"], DIRECTIONS["vector"]], dtype=dtype)
    zeros = torch.zeros(2, dtype=dtype)
    return Sae(
        architecture="standard",
        W_enc=rows.T,
        W_dec=rows,
        b_enc=zeros,
        b_dec=torch.zeros(rows.shape[1], dtype=dtype),
        hook="read.output",
    )


@DTYPES
@pytest.mark.parametrize("number", range(len(DIRECTIONS["cases"])))
def test_direction_operations(number, dtype):
    expected = DIRECTIONS["cases"][number]
    if expected["op"] not in AS_REQUESTED or expected.get("max_fraction"):
        pytest.skip("no operation of requests")
    asked = AS_REQUESTED[expected["op"]](expected.get("value"))
    probe = Probe(torch.tensor(DIRECTIONS["hidden"], dtype=dtype))
    hidden = run_probe(probe, _direction_sae(dtype), [FeatureSteering(sae_id="sae", index=0, **asked)])
    close(hidden, expected["hidden"], dtype)


@DTYPES
@pytest.mark.parametrize("first", ["add", "orthogonal"])
def test_sums_come_before_projections_whatever_the_order_of_the_request(first, dtype):
    expected = DIRECTIONS["order"]["add_then_orthogonal"]
    values = {op["op"]: op["value"] for op in expected["ops"]}
    features = [
        FeatureSteering(sae_id="sae", index=0, op="add", strength=values["add_vector"]),
        FeatureSteering(sae_id="sae", index=1, op="orthogonal", strength=values["orthogonal_decomp"]),
    ]
    probe = Probe(torch.tensor(DIRECTIONS["hidden"], dtype=dtype))
    hidden = run_probe(probe, _direction_sae(dtype), features if first == "add" else features[::-1])
    close(hidden, expected["hidden"], dtype)
