"""Llama Scope: `hyperparams.json` beside `checkpoints/final.safetensors`, and the R1 distillations' `config.json`."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import torch

from millm_inference.interpret.formats.files import read_json, read_tensors, refuse
from millm_inference.interpret.formats.parsed import Parsed, layer_in, layer_of, rename, unknown

NAMES = {
    "encoder.weight": "W_enc.T",
    "encoder.bias": "b_enc",
    "decoder.weight": "W_dec.T",
    "decoder.bias": "b_dec",
    "log_jumprelu_threshold": "log_threshold",
    "activation_function.log_jumprelu_threshold": "log_threshold",
}
USED = {
    "d_model", "d_sae", "expansion_factor", "jump_relu_threshold", "dataset_average_activation_norm", "hook_point_in",
    "hook_point_out", "act_fn", "norm_activation", "model_name",
}  # fmt: skip
IRRELEVANT = {
    "apply_decoder_bias_to_pre_encoder", "dtype", "top_k", "use_decoder_bias", "use_glu_encoder", "sae_type", "lr",
    "sparsity_include_decoder_norm", "strict_loading", "k", "device", "use_batch_norm_mse", "jumprelu_threshold_window",
}  # fmt: skip


def read(directory: Path) -> Parsed:
    name = "hyperparams.json" if (directory / "hyperparams.json").is_file() else "config.json"
    config = read_json(directory / name)
    tensors, unused = rename(read_tensors(_weights(directory)), NAMES)
    if str(config.get("act_fn", "jumprelu")).lower() not in ("jumprelu", "jump_relu"):
        refuse(f"The activation function {config['act_fn']!r} is not served in this format, only jumprelu.")
    scale = _scale(config)
    if "log_threshold" in tensors:
        tensors["threshold"] = tensors.pop("log_threshold").float().exp()
    elif (threshold := config.get("jump_relu_threshold")) is not None:
        if scale is None:
            refuse("The threshold is given for inputs of unknown scale: dataset_average_activation_norm is missing.")
        tensors["threshold"] = torch.tensor(float(threshold) * scale)
    hook, hook_out = config.get("hook_point_in"), config.get("hook_point_out")
    return Parsed(
        format="llama-scope",
        architecture="jumprelu_transcoder" if hook_out and hook_out != hook else "jumprelu",
        tensors=tensors,
        apply_b_dec_to_input=bool(config.get("apply_decoder_bias_to_pre_encoder", False)),
        normalization="expected_average_only_in",
        norm_scaling_factor=scale,
        hook=hook,
        hook_out=hook_out if hook_out != hook else None,
        layer=layer_of(hook) if hook else layer_in(directory),
        model=config.get("model_name"),
        unknown_keys=unused + unknown(config, USED | IRRELEVANT),
    )


def _weights(directory: Path) -> Path:
    candidates = ("checkpoints/final.safetensors", "final.safetensors", "sae_weights.safetensors")
    found = next((directory / name for name in candidates if (directory / name).is_file()), None)
    return found or refuse("The config is here, but checkpoints/final.safetensors is not.")


def _scale(config: dict[str, Any]) -> float | None:
    """The constant its inputs were multiplied by: √d_model over their mean norm."""
    norms = config.get("dataset_average_activation_norm")
    norm = norms.get("in") if isinstance(norms, dict) else norms
    width = config.get("d_model")
    return math.sqrt(width) / norm if norm and width else None
