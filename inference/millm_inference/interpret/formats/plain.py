"""A bare file of tensors, `*.safetensors` or `*.npz`, with no config beside it: the names must say it all."""

from __future__ import annotations

from pathlib import Path

from millm_inference.interpret.formats.files import read_tensors, refuse
from millm_inference.interpret.formats.parsed import Parsed, layer_in
from millm_inference.interpret.formats.saelens import TENSORS


def read(file: Path) -> Parsed:
    tensors = read_tensors(file)
    if "log_threshold" in tensors:
        tensors["threshold"] = tensors.pop("log_threshold").float().exp()
    if not {"W_enc", "W_dec"} <= set(tensors):
        refuse(f"{file.name} has no config beside it and no W_enc and W_dec inside; it holds {sorted(tensors)[:8]}.")
    architecture = "gated" if "b_gate" in tensors else "jumprelu" if "threshold" in tensors else "standard"
    layer = layer_in(file)
    if (bias := tensors.get("b_enc")) is not None and tensors["W_enc"].shape[1] != len(bias) == len(tensors["W_enc"]):
        tensors["W_enc"] = tensors["W_enc"].T
    hook = None if layer is None else f"blocks.{layer}.hook_resid_post"
    hook_out: str | None = None
    if "transcoder" in str(file.resolve()).lower() and architecture != "gated" and layer is not None:
        architecture = "jumprelu_transcoder" if architecture == "jumprelu" else "transcoder"
        hook, hook_out = f"blocks.{layer}.mlp.hook_in", f"blocks.{layer}.hook_mlp_out"
    return Parsed(
        format="plain",
        architecture=architecture,
        tensors={name: tensors[name] for name in TENSORS if name in tensors},
        apply_b_dec_to_input=False,
        hook=hook,
        hook_out=hook_out,
        layer=layer,
        warnings=[
            f"No config: read as {architecture}, b_dec not subtracted from the input, inputs not normalised; override"
            " what differs.",
            *(["The hook is a guess from the file's path."] if hook else []),
        ],
        unknown_keys=sorted(set(tensors) - set(TENSORS)),
    )
