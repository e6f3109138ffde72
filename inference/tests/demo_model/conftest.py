"""The demo model as transformers itself loads it, and the sidecar serving the same file; both once per run."""

from __future__ import annotations

import asyncio
import importlib.util
import threading
from pathlib import Path

import httpx
import pytest
import torch
import uvicorn
from transformers import AutoModelForCausalLM, AutoTokenizer

from millm_inference.app import create_app
from millm_inference.interpret.formats import load_sae
from millm_inference.settings import Settings

DEMO = Path(__file__).parents[2] / "demo"
MODEL_ID = "smollm2"


@pytest.fixture(scope="session")
def gguf() -> Path:
    spec = importlib.util.spec_from_file_location("fetch_model", DEMO / "fetch_model.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    path = Path(module.fetch())
    return path if path.suffix == ".gguf" else path / module.FILE_NAME


@pytest.fixture(scope="session")
def reference(gguf):
    """(model, tokenizer) straight from transformers, float32."""
    model = AutoModelForCausalLM.from_pretrained(gguf.parent, gguf_file=gguf.name, dtype=torch.float32).eval()
    return model, AutoTokenizer.from_pretrained(gguf.parent, gguf_file=gguf.name)


@pytest.fixture(scope="session")
def demo_sae():
    return load_sae(str(DEMO / "sae"), None)


@pytest.fixture(scope="session")
def server(gguf, tmp_path_factory):
    """Base URL of a sidecar with the demo model loaded and the demo SAE attached."""
    settings = Settings(data_dir=tmp_path_factory.mktemp("data"), kv_memory_mb=512, shutdown_grace_s=1)
    running = uvicorn.Server(uvicorn.Config(create_app(settings), port=0, log_level="critical"))
    thread = threading.Thread(target=lambda: asyncio.run(running.serve()), daemon=True)
    thread.start()
    while not running.started:
        assert thread.is_alive()
        threading.Event().wait(0.05)
    base = f"http://127.0.0.1:{running.servers[0].sockets[0].getsockname()[1]}"
    load = httpx.post(f"{base}/models/load", json={"model_id": MODEL_ID, "path": str(gguf)}, timeout=300)
    assert load.status_code == 200, load.text
    attach = httpx.post(f"{base}/saes/attach", json={"sae_id": "demo", "path": str(DEMO / "sae")}, timeout=60)
    assert attach.status_code == 200, attach.text
    yield base
    running.should_exit = True
    thread.join(timeout=30)
