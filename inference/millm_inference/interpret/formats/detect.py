"""Which reader opens a path, by the names and first keys of its files. The order matters: the surest mark first."""

from __future__ import annotations

from pathlib import Path

from millm_inference.interpret.formats import (
    dictionary_learning,
    gemma_scope,
    gemma_scope_2,
    llama_scope,
    mistudio,
    mistudio_native,
    plain,
    saelens,
    sparsify,
    torch_files,
)
from millm_inference.interpret.formats.files import read_json, refuse
from millm_inference.interpret.formats.parsed import Parsed

TORCH = (".pt", ".pth")


def read(path: Path) -> Parsed:
    directory = path if path.is_dir() else path.parent
    file = None if path.is_dir() else path
    for reader in (_by_known_file, _by_config, _by_lone_file):
        if parsed := reader(directory, file):
            return parsed
    names = sorted(entry.name for entry in directory.iterdir())[:8]
    refuse(
        f"Nothing at {path.name} looks like an SAE; it holds {', '.join(names) or 'nothing'}."
        " Expected are cfg.json with sae_weights.safetensors, params.npz, params.safetensors, hyperparams.json,"
        " sae.safetensors, ae.pt, checkpoint.safetensors, or one file of W_enc, W_dec, b_enc and b_dec."
    )


def _by_known_file(directory: Path, file: Path | None) -> Parsed | None:
    if npz := _file(directory, file, "params.npz"):
        return gemma_scope.read(npz)
    if params := _params(directory, file):
        return gemma_scope_2.read(directory, params)
    if directory.name == "checkpoints" and (directory.parent / "hyperparams.json").is_file():
        directory = directory.parent
    if (directory / "hyperparams.json").is_file():
        return llama_scope.read(directory)
    if pt := _file(directory, file, "ae.pt"):
        return dictionary_learning.read(directory, pt)
    if checkpoint := _file(directory, file, "checkpoint.safetensors"):
        return mistudio_native.read(checkpoint)
    return None


def _by_config(directory: Path, file: Path | None) -> Parsed | None:
    if (directory / "cfg.json").is_file():
        config = read_json(directory / "cfg.json")
        if (directory / "sae.safetensors").is_file() and not {"hook_name", "hook_point", "metadata"} & set(config):
            return sparsify.read(directory)
        return mistudio.read(directory) if mistudio.is_community(directory) else saelens.read(directory)
    weights = directory / "sae_weights.safetensors"
    if weights.is_file() and (directory / "config.json").is_file():
        config = read_json(directory / "config.json")
        if "d_model" in config and "expansion_factor" in config:
            return llama_scope.read(directory)
    return None


def _by_lone_file(directory: Path, file: Path | None) -> Parsed | None:
    files = [file] if file else [f for f in sorted(directory.iterdir()) if f.suffix in (".safetensors", ".npz", *TORCH)]
    files = [f for f in files if f.name != "sparsity.safetensors"]
    if len(files) > 1:
        refuse(f"There are several files of tensors here ({', '.join(f.name for f in files[:5])}); name one of them.")
    if not files:
        return None
    if files[0].suffix in TORCH:
        return torch_files.read(files[0])
    return mistudio_native.read(files[0]) if mistudio_native.is_native(files[0]) else plain.read(files[0])


def _file(directory: Path, file: Path | None, name: str) -> Path | None:
    if file is not None:
        return file if file.name == name else None
    return directory / name if (directory / name).is_file() else None


def _params(directory: Path, file: Path | None) -> Path | None:
    if file is not None and file.name.startswith("params") and file.suffix == ".safetensors":
        return file
    if (directory / "params.safetensors").is_file():
        return directory / "params.safetensors"
    return next(iter(sorted(directory.glob("params_layer_*.safetensors"))), None)
