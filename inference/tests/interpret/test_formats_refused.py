"""Files that cannot be served exactly are refused, with the reason; files that run code are never opened."""

import os
import pickle

import pytest
import torch
from safetensors.torch import save_file

from millm_inference.errors import SidecarError
from millm_inference.interpret.formats import load_sae
from tests.interpret.folders import V6, standard, write_folder

DAMAGED = {
    "cfg.json": "JSON",
    "params.npz": "npz",
    "ae.pt": "damaged",
    "checkpoint.safetensors": "safetensors",
    "x.safetensors": "safetensors",
}


@pytest.mark.parametrize("name", DAMAGED)
def test_damaged_files_are_named(tmp_path, name):
    (tmp_path / name).write_bytes(b"not what it says")
    with pytest.raises(SidecarError, match=DAMAGED[name]) as refused:
        load_sae(tmp_path)
    assert refused.value.code == "SAE_INCOMPATIBLE"


BROKEN = {
    "a NaN": ({}, {"b_enc": torch.full((6,), torch.nan)}, "finite"),
    "a bias of the wrong length": ({}, {"b_enc": torch.zeros(5)}, "shape"),
    "no threshold for jumprelu": ({"architecture": "jumprelu"}, {}, "threshold"),
    "an unknown architecture": ({"architecture": "mixture"}, {}, "unknown"),
    "temporal": ({"architecture": "temporal"}, {}, "whole context"),
    "matching pursuit": ({"architecture": "matching_pursuit"}, {}, "iterating"),
    "an unknown normalisation": ({"normalize_activations": "constant_scalar_rescale"}, {}, "constant_scalar_rescale"),
    "a single head": ({"metadata": {"hook_name": "blocks.0.attn.hook_q", "hook_head_index": 3}}, {}, "head"),
    "top-k without k": ({"architecture": "topk"}, {}, "k"),
    "a finetuned scale": ({}, {"scaling_factor": torch.full((6,), 1.5)}, "scaling_factor"),
    "batch top-k without threshold": ({"architecture": "batchtopk"}, {}, "threshold"),
    "three dimensions": ({}, {"W_dec": torch.zeros(6, 2, 4)}, "several layers"),
}


@pytest.mark.parametrize("what", BROKEN)
def test_what_cannot_be_served_exactly_is_refused_with_the_reason(what, tmp_path):
    config, tensors, reason = BROKEN[what]
    folder = write_folder(tmp_path / "sae", {**V6, **config}, {**standard(), **tensors})
    with pytest.raises(SidecarError, match=reason) as refused:
        load_sae(folder)
    assert refused.value.code == "SAE_INCOMPATIBLE"


def test_missing_and_empty_paths_are_named(tmp_path):
    with pytest.raises(SidecarError) as refused:
        load_sae(tmp_path / "nowhere")
    assert refused.value.code == "SAE_NOT_FOUND"
    with pytest.raises(SidecarError, match="Expected are"):
        load_sae(tmp_path)


@pytest.mark.parametrize("name", ["params.npz", "x.safetensors", "ae.pt", "params_layer_3.safetensors", "cfg.json"])
def test_a_pipe_is_refused_instead_of_waited_for(tmp_path, name):
    os.mkfifo(tmp_path / name)
    for path in (tmp_path, tmp_path / name):
        with pytest.raises(SidecarError) as refused:
            load_sae(path)
        assert refused.value.code == "SAE_INCOMPATIBLE"


class _Code:
    def __reduce__(self):
        return (print, ("run",))


def test_files_that_run_code_are_never_opened(tmp_path, capsys):
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "ae.pt").write_bytes(pickle.dumps({"encoder.weight": _Code()}))
    with pytest.raises(SidecarError, match="run code"):
        load_sae(tmp_path)
    assert "run" not in capsys.readouterr().out


def test_cross_layer_transcoders_are_refused(tmp_path):
    folder = tmp_path / "clt" / "width_16k"
    folder.mkdir(parents=True)
    save_file(standard(), folder / "params_layer_3.safetensors")
    with pytest.raises(SidecarError, match="several layers"):
        load_sae(folder)
