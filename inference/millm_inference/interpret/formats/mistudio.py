"""miStudio's community export: SAELens names, with its own habits.

The hook in cfg.json always says resid_post; the folder (`layer_5_mlp`) tells the truth. `apply_b_dec_to_input` always
says false, though later trainings subtracted b_dec. The b_pre of top-k and the centres of transcoders are lost.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from torch import Tensor

from millm_inference.interpret.formats import saelens
from millm_inference.interpret.formats.files import read_json, refuse
from millm_inference.interpret.formats.parsed import Parsed

HOOKS = {"residual": "hook_resid_post", "mlp": "hook_mlp_out", "attention": "hook_attn_out"}
FOLDER = re.compile(r"layer_(\d+)_(residual|mlp|attention)")
IRRELEVANT = {"extra_metadata", "hook_point_layer", "dtype", "l1_coefficient", "expansion_factor", "training_id"}


def is_community(directory: Path) -> bool:
    config = read_json(directory / "cfg.json")
    # SAELens had hook_point with hook_point_layer, then hook_name with hook_layer; only this mixes them.
    mixed = {"hook_name", "hook_point_layer"} <= set(config) and "hook_layer" not in config
    return "extra_metadata" in config or mixed or FOLDER.fullmatch(directory.resolve().name) is not None


def hook_of(kind: str, layer: int) -> str:
    return f"blocks.{layer}.{HOOKS[kind]}"


def read(directory: Path) -> Parsed:
    config = read_json(directory / "cfg.json")
    extra = config.get("extra_metadata") or {}
    tensors = _oriented(saelens.weights(directory), config)
    lost = "b_dec" not in tensors
    parsed = saelens.from_config(saelens.flatten(config), tensors, legacy=True)
    parsed.format = "mistudio"
    parsed.model = extra.get("hf_model_name") or parsed.model
    parsed.unknown_keys = [key for key in parsed.unknown_keys if key not in IRRELEVANT]
    _place(parsed, config, directory)
    if parsed.architecture == "topk":
        parsed.k = _k(extra, parsed)
        parsed.apply_b_dec_to_input = not lost
        if lost:
            parsed.warnings.append("The export lost b_pre, which this SAE subtracts: its activations are approximate.")
    elif parsed.architecture in ("standard", "jumprelu"):
        _b_dec_era(parsed, config, extra)
    elif lost:
        parsed.warnings.append("The export lost this transcoder's biases: its activations are approximate.")
    parsed.encodes_exactly = not (lost and parsed.architecture not in ("standard", "jumprelu"))
    return parsed


def _place(parsed: Parsed, config: dict[str, Any], directory: Path) -> None:
    layer = config.get("hook_point_layer", parsed.layer)
    if folder := FOLDER.fullmatch(directory.resolve().name):
        layer = int(folder[1])
        parsed.hook = hook_of(folder[2], layer)
    else:
        parsed.warnings.append("The hook in cfg.json is unreliable here, and the folder's name does not say it.")
    parsed.layer = layer if isinstance(layer, int) else parsed.layer


def _k(extra: dict[str, Any], parsed: Parsed) -> int | None:
    """A number since February 2026, a percentage of the features before."""
    if (k := extra.get("top_k")) is not None:
        return int(k)
    if (percent := extra.get("top_k_sparsity")) is not None:
        return max(1, int(float(percent) / 100 * parsed.tensors["W_enc"].shape[1]))
    return parsed.k


def _b_dec_era(parsed: Parsed, config: dict[str, Any], extra: dict[str, Any]) -> None:
    parsed.apply_b_dec_to_input = bool(config.get("apply_b_dec_to_input", False)) or "top_k" in extra
    what = "subtracted from" if parsed.apply_b_dec_to_input else "not subtracted from"
    parsed.warnings.append(
        f"Whether b_dec is subtracted cannot be told for certain; it is {what} the input"
        " (override apply_b_dec_to_input; the right setting reconstructs better)."
    )


def _oriented(tensors: dict[str, Tensor], config: dict[str, Any]) -> dict[str, Tensor]:
    """Some of its exports hold native, transposed weights under canonical names; the declared sizes tell."""
    sizes = config.get("d_in"), config.get("d_sae")
    if "W_enc" not in tensors or None in sizes:
        return tensors
    if sizes[0] == sizes[1]:
        refuse("As many features as inputs: whether the weights are transposed cannot be told.")
    if tuple(tensors["W_enc"].shape) != sizes[::-1]:
        return tensors
    return {name: t.T if name in ("W_enc", "W_dec") else t for name, t in tensors.items()}
