"""EleutherAI sparsify: `sae.safetensors` and `cfg.json` in a folder named after the Hugging Face module it hooks."""

from __future__ import annotations

from pathlib import Path

from millm_inference.interpret.formats.files import read_json, read_tensors
from millm_inference.interpret.formats.parsed import Parsed, layer_in, rename, unknown

NAMES = {
    "encoder.weight": "W_enc.T",
    "encoder.bias": "b_enc",
    "W_dec": "W_dec",
    "b_dec": "b_dec",
    "W_skip": "W_skip",
}
USED = {"d_in", "num_latents", "expansion_factor", "k", "activation", "transcode", "skip_connection"}
IRRELEVANT = {"normalize_decoder", "multi_topk", "signed"}


def read(directory: Path) -> Parsed:
    config = read_json(directory / "cfg.json")
    tensors, unused = rename(read_tensors(directory / "sae.safetensors"), NAMES)
    module = directory.resolve().name
    hooked = module if module.split(".")[0] in ("layers", "h", "embed_tokens", "model", "transformer") else None
    transcodes = bool(config.get("transcode"))
    return Parsed(
        format="sparsify",
        architecture=str(config.get("activation", "topk")),
        tensors=tensors,
        # normalize_decoder says nothing about the input, whatever other loaders make of it.
        apply_b_dec_to_input=not transcodes,
        k=config.get("k"),
        hook=f"{hooked}.{'input' if transcodes else 'output'}" if hooked else None,
        hook_out=f"{hooked}.output" if hooked and transcodes else None,
        layer=layer_in(directory),
        warnings=[] if hooked else ["The folder is not named after a module, so the hook is unknown."],
        unknown_keys=unused + unknown(config, USED | IRRELEVANT),
    )
