"""Reading tensors and JSON from disk, nothing executable: pickles are refused or opened with weights only."""

from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from millm_inference.errors import SidecarError


def refuse(message: str, **details: Any) -> NoReturn:
    raise SidecarError("SAE_INCOMPATIBLE", message, **details)


def read_json(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        refuse(f"{path.name} cannot be read as JSON: {error}")
    if not isinstance(value, dict):
        refuse(f"{path.name} holds no JSON object.")
    return value


def require_file(path: Path) -> None:
    """Opening a pipe waits for a writer, and a device may never end."""
    if not path.is_file():
        refuse(f"{path.name} is no file.")


def read_tensors(path: Path) -> dict[str, Tensor]:
    require_file(path)
    match path.suffix:
        case ".safetensors":
            return _read_safetensors(path)
        case ".npz":
            return _read_npz(path)
        case ".pt" | ".pth" | ".bin":
            return _read_torch(path)
        case suffix:
            refuse(f"{path.name}: {suffix or 'a file without suffix'} is no format of tensors we open.")


def safetensors_metadata(path: Path) -> dict[str, str]:
    require_file(path)
    try:
        with safe_open(path, framework="pt") as file:
            return dict(file.metadata() or {})
    except (OSError, SafetensorError) as error:
        refuse(f"{path.name} is no readable safetensors file: {error}")


def tensor_names(path: Path) -> list[str]:
    require_file(path)
    try:
        with safe_open(path, framework="pt") as file:
            return list(file.keys())
    except (OSError, SafetensorError) as error:
        refuse(f"{path.name} is no readable safetensors file: {error}")


def _read_safetensors(path: Path) -> dict[str, Tensor]:
    try:
        with safe_open(path, framework="pt") as file:
            return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - no mapping
    except (OSError, SafetensorError) as error:
        refuse(f"{path.name} is no readable safetensors file: {error}")


def _read_npz(path: Path) -> dict[str, Tensor]:
    try:
        with np.load(path, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
    except (OSError, ValueError) as error:
        refuse(f"{path.name} cannot be read as an npz archive of plain arrays: {error}")
    return {name: torch.from_numpy(np.ascontiguousarray(a)) for name, a in arrays.items() if a.dtype.kind in "fiub"}


def _read_torch(path: Path) -> dict[str, Tensor]:
    try:
        value = torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, EOFError, pickle.UnpicklingError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        refuse(f"{path.name} holds more than tensors, or is damaged; files that run code are never opened: {reason}")
    if isinstance(value, dict) and isinstance(value.get("state_dict"), dict):
        value = value["state_dict"]
    if not isinstance(value, dict):
        refuse(f"{path.name} holds no dictionary of tensors.")
    numbers = (Tensor, int, float)
    return {str(name): torch.as_tensor(v) for name, v in value.items() if isinstance(v, numbers)}
