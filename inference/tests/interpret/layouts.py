"""The oracle's file layouts written to disk as the programs they come from would leave them."""

import json
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file

INTEGERS = {"k", "group_sizes"}


def _tensors(layout: dict) -> dict[str, torch.Tensor]:
    return {
        name: torch.tensor(values, dtype=torch.int64 if name in INTEGERS else torch.float32)
        for name, values in layout["tensors"].items()
    }


def write_layout(layout: dict, root: Path) -> Path:
    name, config, tensors = layout["name"], layout["config"], _tensors(layout)
    folder, weights, config_name = _where(name, root)
    (folder / weights).parent.mkdir(parents=True, exist_ok=True)
    if weights.endswith(".pt"):
        torch.save(tensors, folder / weights)
    elif weights.endswith(".npz"):
        np.savez(folder / weights, **{key: value.numpy() for key, value in tensors.items()})
    else:
        metadata = {**config["metadata"], "step": "1000"} if name.startswith("mistudio-native") else None
        save_file(tensors, folder / weights, metadata=metadata)
    if config_name:
        (folder / config_name).write_text(json.dumps(config))
    return folder


def _where(name: str, root: Path) -> tuple[Path, str, str | None]:
    if name.startswith("dictionary_learning"):
        return root / "resid_post_layer_1" / "trainer_0", "ae.pt", "config.json"
    if name.startswith("sparsify"):
        return root / "layers.1", "sae.safetensors", "cfg.json"
    if name.startswith("mistudio-community"):
        return root / "layer_1_residual", "sae_weights.safetensors", "cfg.json"
    if name.startswith("mistudio-native"):
        return root / "checkpoint_1000" / "layer_1", "checkpoint.safetensors", "config.json"
    if name == "gemma-scope-npz":
        return root / "gemma-scope-2b-pt-res" / "layer_1" / "width_16k" / "average_l0_71", "params.npz", None
    if name.startswith("gemma-scope-2"):
        return root / "transcoder" / "layer_1_width_16k_l0_small_affine", "params.safetensors", "config.json"
    assert name == "llama-scope"
    return root / "Llama3_1-8B-Base-L1R-8x", "checkpoints/final.safetensors", "hyperparams.json"
