"""Where the SAEs of a repository are, and what their paths and small files say of them. Knows names, opens nothing.

The marks of each format are those by which `interpret/formats/detect.py` picks a reader.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from millm_inference.errors import SidecarError
from millm_inference.hub.client import RemoteFile
from millm_inference.hub.files import Selection

TENSORS = (".safetensors", ".npz", ".pt", ".pth")
NO_SAE = re.compile(
    r"sparsity\.safetensors|(model|optimizer|consolidated|adapter_model|pytorch_model).*|training_args.*"
)
# Beside the weights, and small: what `interpret/formats/quality.py` and `strengths.py` read.
FIGURES = ("quality.json", "eval_results.json", "sparsity.safetensors", "examples.json")
CROSS_LAYER = re.compile(r"params_layer_\d+\.safetensors")


@dataclass(frozen=True, slots=True)
class FoundSae:
    path: str
    format: str
    files: tuple[RemoteFile, ...]
    config: RemoteFile | None = None

    @property
    def size_bytes(self) -> int:
        return sum(file.size for file in self.files)


def find_saes(files: Iterable[RemoteFile]) -> list[FoundSae]:
    """Every SAE, by its folder; a lone file of tensors by its file. In the order of their paths, numbers as numbers."""
    folders: dict[str, dict[str, RemoteFile]] = {}
    for file in files:
        folder, _, name = file.path.rpartition("/")
        folders.setdefault(folder, {})[name] = file
    found: list[FoundSae] = []
    for folder, names in folders.items():
        if _belongs_above(folder, folders):
            continue
        sae = _in_folder(folder, names, folders.get(f"{folder}/checkpoints".lstrip("/"), {}))
        found.extend([sae] if sae else _lone_files(names))
    return sorted(found, key=lambda sae: _natural(sae.path))


def cross_layer(files: Iterable[RemoteFile]) -> bool:
    return any(CROSS_LAYER.fullmatch(file.path.rpartition("/")[2]) for file in files)


def select_sae(files: Iterable[RemoteFile], path: str) -> Selection:
    """What one SAE needs: the one at `path` (a folder or a file), or the only one. Raises SAE_NOT_FOUND."""
    files = tuple(files)
    found = find_saes(files)
    at = [sae for sae in found if sae.path == path]
    if not at:
        inside = [sae for sae in found if not path or sae.path.startswith(f"{path}/")]
        if not inside:
            raise SidecarError("SAE_NOT_FOUND", _nowhere(path, found), param="path")
        if len(inside) > 1:
            every = tuple(file for sae in inside for file in sae.files)
            return Selection(every, "", choices=tuple(sae.path for sae in inside))
        at = inside
    return Selection(at[0].files, at[0].path)


def _nowhere(path: str, found: list[FoundSae]) -> str:
    if not found:
        return "The repository holds nothing that looks like an SAE."
    first = ", ".join(sae.path or "(root)" for sae in found[:3])
    return f"There is no SAE at {path!r}; the repository holds {len(found)}, the first at {first}."


def _belongs_above(folder: str, folders: Mapping[str, Mapping[str, RemoteFile]]) -> bool:
    above, _, name = folder.rpartition("/")
    return name == "checkpoints" and "hyperparams.json" in folders.get(above, {})


def _in_folder(folder: str, names: Mapping[str, RemoteFile], checkpoints: Mapping[str, RemoteFile]) -> FoundSae | None:
    def sae(format_: str, weights: RemoteFile, *configs: str) -> FoundSae:
        beside = [names[name] for name in configs if name in names]
        figures = [names[name] for name in FIGURES if name in names]
        return FoundSae(folder, format_, (*beside, weights, *figures), beside[0] if beside else None)

    if "params.npz" in names:
        return sae("gemma-scope", names["params.npz"])
    if "params.safetensors" in names:
        return sae("gemma-scope-2", names["params.safetensors"], "config.json")
    if "hyperparams.json" in names:
        inner = checkpoints.get("final.safetensors")
        weights = inner or names.get("final.safetensors") or names.get("sae_weights.safetensors")
        return sae("llama-scope", weights, "hyperparams.json") if weights else None
    if "ae.pt" in names:
        return sae("dictionary-learning", names["ae.pt"], "config.json")
    if "checkpoint.safetensors" in names:
        configs = ("config.json", "training_config.json", "cfg.json")
        return sae("mistudio-native", names["checkpoint.safetensors"], *configs)
    weights = names.get("sae_weights.safetensors")
    if "cfg.json" in names and (weights or "sae.safetensors" in names):
        return sae("saelens" if weights else "sparsify", weights or names["sae.safetensors"], "cfg.json")
    if "config.json" in names and weights:
        return sae("llama-scope", weights, "config.json")
    return None


def _lone_files(names: Mapping[str, RemoteFile]) -> Iterable[FoundSae]:
    for name, file in names.items():
        if name.endswith(TENSORS) and not NO_SAE.fullmatch(name) and not CROSS_LAYER.fullmatch(name):
            config = names.get(f"{name.rpartition('.')[0]}_cfg.json")
            yield FoundSae(file.path, "plain", (file, *([config] if config else [])), config)


def _natural(path: str) -> list[tuple[int, str]]:
    return [(int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"(\d+)", path)]
