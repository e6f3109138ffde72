"""Gemma Scope: `layer_L/width_W/average_l0_N/params.npz`, no config; everything else is in the folder names."""

from __future__ import annotations

import math
import re
from pathlib import Path

from millm_inference.interpret.formats.files import read_tensors
from millm_inference.interpret.formats.parsed import Parsed, layer_in
from millm_inference.interpret.formats.saelens import TENSORS, without_scaling_factor

HOOKS = {"res": "hook_resid_post", "mlp": "hook_mlp_out", "att": "attn.hook_z"}


def read(file: Path) -> Parsed:
    tensors = {f"W_{name[2:]}" if name.startswith("w_") else name: t for name, t in read_tensors(file).items()}
    tensors = without_scaling_factor(tensors)
    folders = [part.lower() for part in file.parent.resolve().parts]
    layer = layer_in(file.parent)
    hook, hook_out = _hooks(folders, layer)
    if hook == "hook_embed":
        # Trained on embeddings before Gemma multiplies them by √d, which transformers does inside the embedding.
        root = math.sqrt(tensors["W_enc"].shape[0])
        tensors["W_enc"], tensors["W_dec"] = tensors["W_enc"].float() / root, tensors["W_dec"].float() * root
    return Parsed(
        format="gemma-scope",
        architecture="jumprelu_transcoder" if hook_out else "jumprelu",
        tensors={name: tensors[name] for name in TENSORS if name in tensors},
        apply_b_dec_to_input=False,
        hook=hook,
        hook_out=hook_out,
        layer=0 if hook == "hook_embed" else layer,
        model=_model(folders),
        warnings=[] if hook else ["The folder names do not say which hook this SAE belongs to."],
        unknown_keys=sorted(set(tensors) - set(TENSORS)),
    )


def _hooks(folders: list[str], layer: int | None) -> tuple[str | None, str | None]:
    if "embedding" in folders:
        return "hook_embed", None
    kinds = (re.search(r"(?:^|-)(res|mlp|att|transcoders?)(?:$|[-@])", folder) for folder in reversed(folders))
    kind = next((found[1] for found in kinds if found), None)
    if kind is None or layer is None:
        return None, None
    if kind.startswith("transcoder"):
        return f"blocks.{layer}.ln2.hook_normalized", f"blocks.{layer}.hook_mlp_out"
    return f"blocks.{layer}.{HOOKS[kind]}", None


def _model(folders: list[str]) -> str | None:
    found = re.search(r"gemma-scope-(\d+b)-(pt|it)", "/".join(folders))
    return f"google/gemma-2-{found[1]}{'-it' if found[2] == 'it' else ''}" if found else None
