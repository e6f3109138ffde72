"""Files that are damaged, cut short or made to hurt: a named refusal each, and nothing of them is run."""

from __future__ import annotations

import io
import json
import pickle
import random
import struct
import zipfile

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from millm_inference.errors import SidecarError
from millm_inference.interpret.formats import load_sae
from millm_inference.loader import describe_model, load_model
from millm_inference.settings import Settings

REFUSED = {"SAE_INCOMPATIBLE", "SAE_NOT_FOUND", "MODEL_INCOMPATIBLE", "MODEL_NOT_FOUND"}
TENSORS = {
    "W_enc": torch.rand(8, 16),
    "b_enc": torch.rand(16),
    "W_dec": torch.rand(16, 8),
    "b_dec": torch.rand(8),
}


def safetensors_file(folder):
    config = {"architecture": "standard", "d_in": 8, "d_sae": 16, "dtype": "float32", "hook_name": "blocks.0.hook_x"}
    (folder / "cfg.json").write_text(json.dumps(config))
    save_file(TENSORS, folder / "sae_weights.safetensors")
    return folder / "sae_weights.safetensors"


def npz_file(folder):
    np.savez(folder / "params.npz", **{name: t.numpy() for name, t in TENSORS.items()}, threshold=np.zeros(16))
    return folder / "params.npz"


def torch_file(folder):
    names = {"encoder.weight": TENSORS["W_enc"].T.contiguous(), "decoder.weight": TENSORS["W_dec"].T.contiguous()}
    torch.save({**names, "encoder.bias": TENSORS["b_enc"], "bias": TENSORS["b_dec"]}, folder / "ae.pt")
    (folder / "config.json").write_text(json.dumps({"trainer": {"dict_class": "AutoEncoder", "layer": 0}}))
    return folder / "ae.pt"


def gguf_file(folder):
    """A header that is right as far as it goes: version, no tensors, one string."""
    name, value = b"general.architecture", b"llama"
    body = struct.pack("<Q", len(name)) + name + struct.pack("<I", 8) + struct.pack("<Q", len(value)) + value
    (folder / "x.gguf").write_bytes(b"GGUF" + struct.pack("<IQQ", 3, 0, 1) + body)
    return folder / "x.gguf"


def model_refusals(folder):
    """What is said of the header; and of the weights, unless it describes some that are merely not there."""
    path = str(folder / "x.gguf")
    try:
        describe_model(path)
    except SidecarError as error:
        with pytest.raises(SidecarError) as refused:
            load_model(path, Settings(data_dir=folder, device="cpu"))
        return {error.code, refused.value.code}
    return set()


SAES = [safetensors_file, npz_file, torch_file]


def damage(content: bytes, rng: random.Random) -> bytes:
    match rng.randrange(3):
        case 0:
            return content[: rng.randrange(len(content))]
        case 1:
            at = rng.randrange(min(len(content), 600))
            return content[:at] + bytes([rng.randrange(256)]) + content[at + 1 :]
        case _:
            at = rng.randrange(min(len(content) - 8, 200))
            return content[:at] + struct.pack("<Q", rng.choice([0, 2**31, 2**62, 2**64 - 1])) + content[at + 8 :]


@pytest.mark.parametrize("make", SAES, ids=lambda make: make.__name__)
def test_damage_anywhere_in_an_sae_is_a_named_refusal_or_harmless(make, tmp_path):
    file = make(tmp_path)
    content = file.read_bytes()
    rng = random.Random(7)
    refused = 0
    for _ in range(150):
        file.write_bytes(damage(content, rng))
        refused += refusal_of(tmp_path) in REFUSED
    assert refused > 50


def refusal_of(folder):
    """The code of the refusal; None where the damage hit nothing but a number. Anything else raised fails the test."""
    try:
        load_sae(folder)
    except SidecarError as error:
        return error.code
    return None


def test_damage_anywhere_in_a_gguf_file_is_a_named_refusal_or_harmless(tmp_path):
    file = gguf_file(tmp_path)
    content = file.read_bytes()
    rng = random.Random(7)
    refused = 0
    for _ in range(40):
        file.write_bytes(damage(content, rng))
        codes = model_refusals(tmp_path)
        assert codes <= REFUSED
        refused += bool(codes)
    assert refused > 25


def test_an_archive_that_declares_more_than_there_is(tmp_path):
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "<f4", "fortran_order": False, "shape": (2**40, 2**10)})
    with zipfile.ZipFile(tmp_path / "params.npz", "w") as archive:
        archive.writestr("W_enc.npy", header.getvalue())
    with pytest.raises(SidecarError) as refused:
        load_sae(tmp_path)
    assert refused.value.code == "INSUFFICIENT_MEMORY"


class Code:
    def __reduce__(self):
        return (print, ("run",))


@pytest.mark.parametrize("name", ["params.npz", "x.npy", "x.pkl", "x.pt", "x.pth", "x.bin", "x.safetensors", "x.ckpt"])
def test_a_pickle_is_refused_under_any_name(name, tmp_path, capsys):
    payload = pickle.dumps({"W_enc": Code()})
    if name.endswith(".npz"):
        objects = np.empty(1, dtype=object)
        objects[0] = Code()
        np.savez(tmp_path / name, W_enc=objects)
    else:
        (tmp_path / name).write_bytes(payload)
    for path in (tmp_path, tmp_path / name):
        with pytest.raises(SidecarError) as refused:
            load_sae(path)
        assert refused.value.code in REFUSED
    assert "run" not in capsys.readouterr().out


def test_a_model_of_pickles_is_not_loaded(tmp_path, capsys):
    config = {"architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": 8, "num_hidden_layers": 1,
              "num_attention_heads": 1, "intermediate_size": 8, "vocab_size": 16}  # fmt: skip
    (tmp_path / "config.json").write_text(json.dumps(config))
    (tmp_path / "pytorch_model.bin").write_bytes(pickle.dumps({"model.embed_tokens.weight": Code()}))
    with pytest.raises(SidecarError) as refused:
        load_model(str(tmp_path), Settings(data_dir=tmp_path, device="cpu"))
    assert refused.value.code == "MODEL_INCOMPATIBLE"
    assert "run" not in capsys.readouterr().out
