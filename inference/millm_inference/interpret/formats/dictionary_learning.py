"""dictionary_learning: `ae.pt` (opened as weights only) beside `config.json`; the class decides the layout."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from torch import Tensor

from millm_inference.interpret.formats.files import read_json, read_tensors, refuse
from millm_inference.interpret.formats.parsed import Parsed, rename, unknown

LINEAR = {"encoder.weight": "W_enc.T", "encoder.bias": "b_enc", "decoder.weight": "W_dec.T", "b_dec": "b_dec"}
PLAIN = {name: name for name in ("W_enc", "W_dec", "b_enc", "b_dec", "threshold")}
GATED = {"decoder_bias": "b_dec", "gate_bias": "b_gate", "mag_bias": "b_mag", "r_mag": "r_mag"}
# class → architecture, tensors, is b_dec subtracted from the input
CLASSES: dict[str, tuple[str, dict[str, str], bool]] = {
    "AutoEncoder": ("standard", {**LINEAR, "bias": "b_dec"}, True),
    "AutoEncoderNew": ("standard", {**LINEAR, "decoder.bias": "b_dec"}, False),
    "GatedAutoEncoder": ("gated", {"encoder.weight": "W_enc.T", "decoder.weight": "W_dec.T", **GATED}, True),
    "AutoEncoderTopK": ("topk", LINEAR, True),
    "BatchTopKSAE": ("jumprelu", {**LINEAR, "threshold": "threshold"}, True),
    "MatryoshkaBatchTopKSAE": ("jumprelu", PLAIN, True),
    "JumpReluAutoEncoder": ("jumprelu", PLAIN, False),
}
USED = {"dict_class", "activation_dim", "dict_size", "k", "layer", "lm_name", "submodule_name"}
IRRELEVANT = {
    "trainer_class", "lr", "steps", "seed", "device", "wandb_name", "warmup_steps", "decay_start", "l1_penalty",
    "sparsity_penalty", "auxk_alpha", "sparsity_warmup_steps", "target_l0", "bandwidth", "group_fractions",
    "group_weights", "group_sizes", "threshold_beta", "threshold_start_step", "top_k_aux", "resample_steps",
    "k_anneal_steps",
}  # fmt: skip


def read(directory: Path, file: Path) -> Parsed:
    config = read_json(directory / "config.json") if (directory / "config.json").is_file() else {}
    trainer = config.get("trainer", {})
    tensors = read_tensors(file)
    name = str(trainer.get("dict_class") or _guess(tensors))
    if name not in CLASSES:
        refuse(f"The dictionary class {name!r} is unknown; known are {', '.join(CLASSES)}.")
    architecture, names, subtracts = CLASSES[name]
    k = tensors.pop("k", None)
    tensors.pop("group_sizes", None)
    threshold = tensors.get("threshold")
    if architecture == "jumprelu" and threshold is not None and threshold.numel() == 1 and float(threshold) < 0:
        refuse("The file's threshold is unset (−1), so which features fire cannot be told.")
    canonical, unused = rename(tensors, names)
    hook, layer = _hook(trainer)
    return Parsed(
        format="dictionary-learning",
        architecture=architecture,
        tensors=canonical,
        apply_b_dec_to_input=subtracts,
        k=trainer.get("k") if k is None else int(k),
        hook=hook,
        layer=layer,
        model=trainer.get("lm_name"),
        warnings=["Published copies may have their decoder norm folded in."] if name == "AutoEncoder" else [],
        unknown_keys=[key for key in unused if key != "threshold"] + unknown(trainer, USED | IRRELEVANT, "trainer."),
    )


def _guess(tensors: dict[str, Tensor]) -> str:
    """Without a config: only what the tensors' names make certain."""
    if "gate_bias" in tensors:
        return "GatedAutoEncoder"
    if "bias" in tensors and "encoder.weight" in tensors:
        return "AutoEncoder"
    return "of a file without config.json"


def _hook(trainer: dict[str, Any]) -> tuple[str | None, int | None]:
    layer = trainer.get("layer")
    submodule = str(trainer.get("submodule_name") or "")
    if found := re.search(r"(\d+)", submodule):
        layer = int(found[1]) if layer is None else layer
    if not isinstance(layer, int):
        return None, None
    if submodule.startswith(("attn", "attention")):
        return f"blocks.{layer}.hook_attn_out", layer
    if submodule.startswith("mlp"):
        return f"blocks.{layer}.hook_mlp_out", layer
    return f"blocks.{layer}.hook_resid_post", layer
