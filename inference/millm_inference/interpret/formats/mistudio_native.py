"""miStudio's training checkpoints: tensors under `model.`, transposed; the header names the class."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from torch import Tensor

from millm_inference.interpret.formats.files import read_json, read_tensors, refuse, safetensors_metadata, tensor_names
from millm_inference.interpret.formats.mistudio import HOOKS, hook_of
from millm_inference.interpret.formats.parsed import Parsed, layer_in

CLASSES = {"SparseAutoencoder": "standard", "JumpReLUSAE": "jumprelu", "TopKSAE": "topk"}
CONFIGS = ("config.json", "training_config.json", "cfg.json")


def is_native(file: Path) -> bool:
    return file.suffix == ".safetensors" and any(name.startswith("model.") for name in tensor_names(file))


def read(file: Path) -> Parsed:
    metadata = safetensors_metadata(file)
    config = _config(file.parent)
    everything = read_tensors(file)
    tensors = {name.removeprefix("model."): t for name, t in everything.items() if name.startswith("model.")}
    if not tensors:
        refuse(f"{file.name} holds no tensors of a model.")
    architecture = CLASSES.get(metadata.get("architecture", ""))
    if architecture is None:
        refuse(f"The class {metadata.get('architecture')!r} is unknown; known are {', '.join(CLASSES)}.")
    warnings: list[str] = []
    canonical, subtracts = _canonical(architecture, tensors, warnings)
    layer, hook = _place(metadata, file)
    normalization = config.get("normalize_activations", metadata.get("normalize_activations"))
    if normalization is None:
        normalization = "none"
        warnings.append("The checkpoint does not say how inputs were normalised; none is assumed.")
    return Parsed(
        format="mistudio-native",
        architecture=architecture,
        tensors=canonical,
        apply_b_dec_to_input=subtracts,
        normalization=str(normalization),
        k=_k(config, metadata, canonical),
        hook=hook,
        layer=layer,
        model=config.get("model_name") or metadata.get("model_name"),
        warnings=warnings,
    )


def _canonical(architecture: str, tensors: dict[str, Tensor], warnings: list[str]) -> tuple[dict[str, Tensor], bool]:
    """Canonical tensors, and whether training subtracted b_dec from the input."""
    if architecture == "jumprelu":
        warnings.append("Later checkpoints of this class subtract b_dec and do not say so; override if this is one.")
        return {
            "W_enc": tensors["W_enc"].T,
            "W_dec": tensors["W_dec"].T,
            "b_enc": tensors["b_enc"],
            "b_dec": tensors["b_dec"],
            "threshold": tensors["activation.log_threshold"].float().exp(),
        }, False
    encoder = tensors["encoder.weight"]
    # Tied weights: the decoder is the encoder.
    decoder = tensors["decoder.weight"].T if "decoder.weight" in tensors else encoder
    canonical = {"W_enc": encoder.T, "W_dec": decoder, "b_enc": tensors["encoder.bias"]}
    if architecture == "topk":
        return {**canonical, "b_dec": tensors["b_pre"]}, True
    if "decoder.bias" in tensors:
        # Until February 2026: two biases on the way out, none on the way in.
        return {**canonical, "b_dec": tensors["decoder.bias"] + tensors.get("decoder_bias", 0)}, False
    return {**canonical, "b_dec": tensors["decoder_bias"]}, True


def _place(metadata: dict[str, str], file: Path) -> tuple[int | None, str | None]:
    layer = layer_in(file.parent)
    if str(metadata.get("layer_idx", "")).isdigit():
        layer = int(metadata["layer_idx"])
    kind = metadata.get("hook_type", "")
    if kind not in HOOKS:
        found = re.search("|".join(HOOKS), file.parent.name)
        kind = found[0] if found else ""
    return layer, hook_of(kind, layer) if kind and layer is not None else None


def _config(directory: Path) -> dict[str, Any]:
    found = next((directory / name for name in CONFIGS if (directory / name).is_file()), None)
    return read_json(found) if found else {}


def _k(config: dict[str, Any], metadata: dict[str, str], tensors: dict[str, Tensor]) -> int | None:
    n = tensors["W_enc"].shape[1]
    for source in (config, metadata):
        if (k := source.get("top_k", source.get("k"))) is not None:
            return int(k)
        if (percent := source.get("top_k_sparsity")) is not None:
            return max(1, int(float(percent) / 100 * n))
    return None
