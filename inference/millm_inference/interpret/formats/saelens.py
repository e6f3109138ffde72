"""SAELens directories: `cfg.json` beside `sae_weights.safetensors`, before and since version 6."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from millm_inference.interpret.formats.files import read_json, read_tensors, refuse
from millm_inference.interpret.formats.parsed import Parsed, layer_of, unknown

TENSORS = ("W_enc", "W_dec", "b_enc", "b_dec", "threshold", "b_gate", "b_mag", "r_mag", "W_skip")
RENAMED = {
    "hook_point": "hook_name",
    "hook_point_head_index": "hook_head_index",
    "hook_point_layer": "hook_layer",
    "activation_fn_str": "activation_fn",
}
USED = {
    "architecture", "d_in", "d_sae", "d_out", "apply_b_dec_to_input", "normalize_activations", "reshape_activations",
    "k", "rescale_acts_by_decoder_norm", "metadata", "activation_fn", "activation_fn_kwargs", "sae_lens_version",
    "model_name", "hook_name", "hook_name_out", "hook_layer", "hook_head_index", "hf_hook_name", "hf_hook_name_out",
    "neuronpedia_id", "norm_scaling_factor",
}  # fmt: skip
# Of training or of the program that wrote the file; nothing an encoder or a decoder depends on.
IRRELEVANT = {
    "dtype", "device", "prepend_bos", "context_size", "dataset_path", "dataset_trust_remote_code", "model_class_name",
    "model_from_pretrained_kwargs", "sae_lens_training_version", "finetuning_scaling_factor", "seqpos_slice",
    "exclude_special_tokens", "training_tokens", "training_architecture", "training_architecture_details",
    "sae_lens_release", "neuronpedia_layer", "num_dead_features",
}  # fmt: skip


def flatten(config: dict[str, Any]) -> dict[str, Any]:
    """One level, version-6 names, `metadata` merged in; values as they stand."""
    flat = {RENAMED.get(key, key): value for key, value in config.items() if key != "metadata"}
    metadata = config.get("metadata")
    return {**metadata, **flat} if isinstance(metadata, dict) else flat


def is_version_6(config: dict[str, Any]) -> bool:
    version = str(flatten(config).get("sae_lens_version") or "")
    return isinstance(config.get("metadata"), dict) or (version[:1].isdigit() and int(version.split(".")[0]) >= 6)


def read(directory: Path) -> Parsed:
    config = read_json(directory / "cfg.json")
    return from_config(flatten(config), weights(directory), legacy=not is_version_6(config))


def weights(directory: Path) -> dict[str, Tensor]:
    for name in ("sae_weights.safetensors", "sae.safetensors"):
        if (directory / name).is_file():
            return read_tensors(directory / name)
    refuse("cfg.json is here, but sae_weights.safetensors is not.")


def from_config(flat: dict[str, Any], tensors: dict[str, Tensor], *, legacy: bool) -> Parsed:
    if flat.get("hook_head_index") is not None:
        refuse("This SAE reads a single attention head (hook_head_index), which is not served.")
    if flat.get("reshape_activations") not in (None, "none", "hook_z"):
        refuse(f"reshape_activations {flat['reshape_activations']!r} is unknown.")
    tensors = without_scaling_factor(tensors)
    architecture = architecture_of(flat, tensors, legacy=legacy)
    transcodes = architecture.endswith("transcoder")
    hook = flat.get("hf_hook_name") or flat.get("hook_name")
    layer = flat.get("hook_layer")
    unused = sorted(set(tensors) - set(TENSORS))
    return Parsed(
        format="saelens",
        architecture=architecture,
        tensors={name: tensors[name] for name in TENSORS if name in tensors},
        apply_b_dec_to_input=bool(flat.get("apply_b_dec_to_input", not transcodes)),
        normalization=normalization_of(flat.get("normalize_activations")),
        norm_scaling_factor=flat.get("norm_scaling_factor"),
        k=k_of(flat),
        rescale_acts_by_decoder_norm=bool(flat.get("rescale_acts_by_decoder_norm", False)),
        hook=hook,
        hook_out=flat.get("hf_hook_name_out") or flat.get("hook_name_out"),
        layer=layer if isinstance(layer, int) else layer_of(hook),
        model=flat.get("model_name"),
        neuronpedia_id=flat.get("neuronpedia_id"),
        warnings=[f"The file's tensor {name} is not used." for name in unused],
        unknown_keys=unknown(flat, USED | IRRELEVANT),
    )


def normalization_of(value: Any) -> str:
    match value:
        case None | False:
            return "none"
        case True:
            return "expected_average_only_in"
        case _:
            return str(value)


def k_of(flat: dict[str, Any]) -> int | None:
    kwargs = flat.get("activation_fn_kwargs")
    k = flat.get("k", kwargs.get("k") if isinstance(kwargs, dict) else None)
    return int(k) if isinstance(k, (int, float)) else None


def architecture_of(flat: dict[str, Any], tensors: dict[str, Tensor], *, legacy: bool) -> str:
    architecture = str(flat.get("architecture", "standard"))
    activation = str(flat.get("activation_fn", "relu"))
    if legacy and activation in ("topk", "jumprelu") and architecture == "standard":
        architecture = activation
    elif legacy and activation not in ("relu", "topk", "jumprelu"):
        refuse(f"The activation function {activation!r} is unknown; known are relu, topk and jumprelu.")
    if architecture in ("batchtopk", "matryoshka_batchtopk"):
        if "threshold" not in tensors:
            refuse(f"A {architecture} SAE needs the threshold it was saved with; the file has none.")
        return "jumprelu"
    return architecture


def without_scaling_factor(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    factor = tensors.get("scaling_factor")
    if factor is not None and not torch.allclose(factor, torch.ones_like(factor)):
        refuse("The file holds a finetuned scaling_factor that is not 1, which is not served.")
    return {name: tensor for name, tensor in tensors.items() if name != "scaling_factor"}
