"""Single `.pt` and `.pth` files, opened as weights only; who published them shows in the tensors' names.

Attention SAEs of GPT-2 (`NAME.pt` beside `NAME_cfg.json`), Goodfire, DeepSeek R1 and Qwen Scope.
"""

from __future__ import annotations

import re
from pathlib import Path

from millm_inference.interpret.formats.files import read_json, read_tensors, refuse
from millm_inference.interpret.formats.parsed import Parsed, layer_in, layer_of, rename

GOODFIRE = {
    "encoder_linear.weight": "W_enc.T",
    "encoder_linear.bias": "b_enc",
    "decoder_linear.weight": "W_dec.T",
    "decoder_linear.bias": "b_dec",
}
LINEAR = {name.replace("_linear", ""): target for name, target in GOODFIRE.items()}
TRANSPOSED = {"W_enc": "W_enc.T", "W_dec": "W_dec.T", "b_enc": "b_enc", "b_dec": "b_dec"}


def read(file: Path) -> Parsed:
    tensors = read_tensors(file)
    config_file = file.with_name(f"{file.stem}_cfg.json")
    config = read_json(config_file) if config_file.is_file() else {}
    where = str(file.resolve())
    architecture, k = "standard", None
    if config.get("act_name"):
        names = {name: name for name in TRANSPOSED}
    elif "encoder_linear.weight" in tensors:
        names = GOODFIRE
    elif "encoder.weight" in tensors and "decoder.bias" in tensors:
        names = LINEAR
    elif found := re.search(r"L0_(\d+)", where):
        architecture, k, names = "topk", int(found[1]), TRANSPOSED
    else:
        refuse(f"{file.name} is none of the layouts known for single files; it holds {sorted(tensors)[:8]}.")
    canonical, unused = rename(tensors, names)
    layer = layer_in(file)
    hook = config.get("act_name") or (f"blocks.{layer}.hook_resid_post" if layer is not None else None)
    return Parsed(
        format="plain",
        architecture=architecture,
        tensors=canonical,
        apply_b_dec_to_input=bool(config.get("act_name")),
        k=k,
        hook=hook,
        layer=layer_of(hook),
        warnings=[] if config else ["No config: the hook is a guess from the layer in the file's name."],
        unknown_keys=unused,
    )
