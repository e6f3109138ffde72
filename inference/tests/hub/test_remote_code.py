"""Code that lies beside a model's weights runs only when the caller says so."""

from __future__ import annotations

import json

import httpx
import pytest

from tests.support.process import sidecar
from tests.support.tiny import byte_tokenizer, tiny_model

CONFIGURATION = """
from pathlib import Path
from transformers import LlamaConfig
Path({marker!r}).write_text("this ran")
class OddConfig(LlamaConfig):
    model_type = "odd"
"""
MODELING = """
from transformers import LlamaForCausalLM
from .configuration_odd import OddConfig
class OddForCausalLM(LlamaForCausalLM):
    config_class = OddConfig
"""


@pytest.fixture
def odd_model(tmp_path):
    """A folder that no class of transformers reads: its own code would write a file."""
    folder, marker = tmp_path / "odd", tmp_path / "this-ran"
    tiny_model("llama").save_pretrained(folder)
    byte_tokenizer().save_pretrained(folder)
    config = json.loads((folder / "config.json").read_text())
    auto_map = {"AutoConfig": "configuration_odd.OddConfig", "AutoModelForCausalLM": "modeling_odd.OddForCausalLM"}
    config |= {"model_type": "odd", "architectures": ["OddForCausalLM"], "auto_map": auto_map}
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "configuration_odd.py").write_text(CONFIGURATION.format(marker=str(marker)))
    (folder / "modeling_odd.py").write_text(MODELING)
    return folder, marker


def test_a_models_own_code_runs_only_with_consent(odd_model, tmp_path):
    folder, marker = odd_model
    with sidecar(tmp_path) as (_, base):

        def post(path, **body):
            return httpx.post(f"{base}{path}", json={"path": str(folder), **body}, timeout=60)

        for refused in (post("/models/inspect"), post("/models/load", model_id="odd")):
            assert refused.json()["code"] == "MODEL_INCOMPATIBLE"
            assert "trust_remote_code" in refused.json()["message"]
        assert not marker.exists()
        consent = {"trust_remote_code": True}
        assert post("/models/inspect", **consent).json()["architecture"] == "OddForCausalLM"
        assert post("/models/load", model_id="odd", **consent).status_code == 200
        assert marker.read_text() == "this ran"
        assert list((tmp_path / "modules").rglob("modeling_odd.py")), "copied elsewhere than into the data directory"
        request = {"request_id": "r", "model_id": "odd", "prompt": {"type": "text", "text": "Hello"}}
        sampling = {"max_tokens": 4, "ignore_eos": True}
        answer = httpx.post(f"{base}/generate", json={**request, "sampling": sampling}, timeout=60)
        assert '"type":"done"' in answer.text
