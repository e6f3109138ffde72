"""Model and SAE files that are damaged, cut short or made to hurt. Each maker writes into an empty folder and returns
what to import."""

from __future__ import annotations

import json
import pickle
import struct
from pathlib import Path

import numpy as np

from tests.interpret.folders import V6, standard, write_folder
from tests.support.tiny import byte_tokenizer, tiny_model

GGUF = next((Path(__file__).parents[3] / ".cache" / "models").glob("*/*.gguf"), Path())


class Touch:
    """A pickle that, opened as one, leaves a mark."""

    def __init__(self, mark: Path) -> None:
        self._mark = mark

    def __reduce__(self) -> tuple[object, ...]:
        return (Path.touch, (self._mark,))


def mark_of(folder: Path) -> Path:
    return folder / "code-was-run"


def tiny_folder(folder: Path) -> Path:
    """A good model."""
    tiny_model("llama").save_pretrained(folder)
    byte_tokenizer().save_pretrained(folder)
    return folder


def cut(folder: Path) -> Path:
    file = tiny_folder(folder) / "model.safetensors"
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    return folder


def lying_header(folder: Path) -> Path:
    file = tiny_folder(folder) / "model.safetensors"
    file.write_bytes(struct.pack("<Q", 2**62) + file.read_bytes()[8:])
    return folder


def pickled_model(folder: Path) -> Path:
    tiny_folder(folder)
    (folder / "model.safetensors").unlink()
    (folder / "pytorch_model.bin").write_bytes(pickle.dumps({"model.norm.weight": Touch(mark_of(folder))}))
    return folder


def no_gguf(folder: Path) -> Path:
    (folder / "x.gguf").write_bytes(b"GGUF" + struct.pack("<IQQ", 3, 2**60, 2**60))
    return folder / "x.gguf"


def half_gguf(folder: Path) -> Path:
    with GGUF.open("rb") as whole, (folder / "half.gguf").open("wb") as half:
        half.write(whole.read(GGUF.stat().st_size // 2))
    return folder / "half.gguf"


def no_config(folder: Path) -> Path:
    (folder / "config.json").write_text('{"model_type": "llama", ')
    return folder


def deep_config(folder: Path) -> Path:
    (folder / "config.json").write_text('{"a":' * 100_000 + "1" + "}" * 100_000)
    return folder


def sae(folder: Path) -> Path:
    return write_folder(folder, V6, standard())


def cut_sae(folder: Path) -> Path:
    file = sae(folder) / "sae_weights.safetensors"
    file.write_bytes(file.read_bytes()[:-40])
    return folder


def npz_of_objects(folder: Path) -> Path:
    objects = np.empty(1, dtype=object)
    objects[0] = Touch(mark_of(folder))
    np.savez(folder / "params.npz", W_enc=objects)
    return folder


def no_npz(folder: Path) -> Path:
    (folder / "params.npz").write_bytes(b"PK\x03\x04" + bytes(200))
    return folder


def pickled_sae(folder: Path) -> Path:
    (folder / "ae.pt").write_bytes(pickle.dumps({"encoder.weight": Touch(mark_of(folder))}))
    (folder / "config.json").write_text(json.dumps({"trainer": {"dict_class": "AutoEncoder"}}))
    return folder


def password_file(_: Path) -> Path:
    return Path("/etc/passwd")
