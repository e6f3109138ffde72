"""SAEs written to disk as SAELens does, small enough to read."""

import json

import torch
from safetensors.torch import save_file


def write_folder(folder, config, tensors, weights="sae_weights.safetensors"):
    folder.mkdir(parents=True, exist_ok=True)
    save_file({name: t.contiguous() for name, t in tensors.items()}, folder / weights)
    (folder / "cfg.json").write_text(json.dumps(config))
    return folder


def standard(d_in=4, n=6, d_out=None):
    generator = torch.Generator().manual_seed(0)
    d_out = d_out or d_in
    return {
        "W_enc": torch.randn(d_in, n, generator=generator),
        "W_dec": torch.randn(n, d_out, generator=generator),
        "b_enc": torch.randn(n, generator=generator),
        "b_dec": torch.randn(d_out, generator=generator),
    }


V6 = {
    "architecture": "standard",
    "d_in": 4,
    "d_sae": 6,
    "dtype": "float32",
    "apply_b_dec_to_input": True,
    "normalize_activations": "none",
    "metadata": {"model_name": "gpt2", "hook_name": "blocks.3.hook_resid_pre", "sae_lens_version": "6.54.0"},
}
