"""Gemma Scope 2: `params.safetensors` with a `config.json` that can be absent."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from millm_inference.interpret.formats.files import read_json, read_tensors, refuse
from millm_inference.interpret.formats.parsed import Parsed, layer_in, layer_of, rename, unknown

NAMES = {
    "w_enc": "W_enc",
    "w_dec": "W_dec",
    "b_enc": "b_enc",
    "b_dec": "b_dec",
    "threshold": "threshold",
    "affine_skip_connection": "W_skip.T",
}
USED = {"architecture", "model_name", "hf_hook_point_in", "hf_hook_point_out", "affine_connection"}
IRRELEVANT = {"width", "l0", "layer", "type", "hook_type", "d_in", "d_sae", "d_out", "dtype", "context_size"}
# The folder's kind → where its SAEs read and write, as modules.
KINDS = {
    "transcoder": ("pre_feedforward_layernorm.output", "post_feedforward_layernorm.output"),
    "resid_post": ("output", None),
    "attn_out": ("self_attn.o_proj.input", None),
    "mlp_out": ("post_feedforward_layernorm.output", None),
}


def read(directory: Path, file: Path) -> Parsed:
    where = str(directory.resolve()).lower()
    if re.search(r"(^|[/_-])clt([/_-]|$)", where) or file.name.startswith("params_layer_"):
        refuse("This is one layer of a cross-layer transcoder: its features write several layers, so no row can steer.")
    config = read_json(directory / "config.json") if (directory / "config.json").is_file() else {}
    tensors, unused = rename(read_tensors(file), NAMES)
    hook, hook_out = _hooks(config, where, layer_in(directory))
    if hook_out == hook:
        hook_out = None
    skip = "W_skip" in tensors
    if config.get("affine_connection") and not skip:
        refuse("config.json promises an affine skip connection; the file has none.")
    return Parsed(
        format="gemma-scope-2",
        architecture=("jumprelu_skip_transcoder" if skip else "jumprelu_transcoder") if hook_out else "jumprelu",
        tensors=tensors,
        apply_b_dec_to_input=False,
        hook=hook,
        hook_out=hook_out,
        layer=layer_in(directory) if hook is None else layer_of(hook),
        model=_model(config),
        warnings=[] if config else ["There is no config.json; the hook is inferred from the folder's name."],
        unknown_keys=unused + unknown(config, USED | IRRELEVANT),
    )


def _hooks(config: dict[str, Any], where: str, layer: int | None) -> tuple[str | None, str | None]:
    if hook := config.get("hf_hook_point_in"):
        return hook, config.get("hf_hook_point_out")
    if layer is None:
        return None, None
    for kind, (inward, outward) in KINDS.items():
        if kind in where:
            block = f"model.layers.{layer}"
            return f"{block}.{inward}", f"{block}.{outward}" if outward else None
    return None, None


def _model(config: dict[str, Any]) -> str | None:
    name = config.get("model_name")
    return str(name).replace("-v3", "-3") if name else None
