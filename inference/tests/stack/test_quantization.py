"""GGUF files of other precisions through the public door: what they answer, and how they are said to be loaded."""

from __future__ import annotations

import importlib.util
import time

import httpx
import pytest

from bench.requantize import requantize
from tests.support.hostile import GGUF

pytestmark = pytest.mark.demo
HAS_BITSANDBYTES = importlib.util.find_spec("bitsandbytes") is not None


@pytest.fixture(scope="module")
def api(stack):
    with httpx.Client(base_url=stack.base, timeout=120) as client:
        yield client


@pytest.fixture(scope="module")
def eight_bits(tmp_path_factory):
    return requantize(GGUF, tmp_path_factory.mktemp("gguf") / "eight-bits.gguf", "Q8_0")


def load(api, **wanted):
    """→ the model, loaded or refused."""
    imported = api.post("/api/models/import", json=wanted)
    assert imported.status_code == 201, imported.text
    place = f"/api/models/{imported.json()['data']['id']}"
    assert api.post(f"{place}/load").status_code == 202
    end = time.monotonic() + 120
    while (model := api.get(place).json()["data"])["status"] not in ("loaded", "error"):
        assert time.monotonic() < end
        time.sleep(0.1)
    return model


def test_a_q8_0_file_answers_and_says_that_it_is_float32_in_memory(api, eight_bits):
    model = load(api, path=str(eight_bits), name="eight-bits")
    assert (model["status"], model["quantization"], model["dtype"]) == ("loaded", None, "float32")
    assert model["size_bytes"] == eight_bits.stat().st_size
    assert model["memory_bytes"] == pytest.approx(4 * model["parameters"], rel=0.01)
    body = {"model": "eight-bits", "messages": [{"role": "user", "content": "What is the capital of France?"}]}
    answer = api.post("/v1/chat/completions", json={**body, "temperature": 0, "max_tokens": 24})
    assert "Paris" in answer.json()["choices"][0]["message"]["content"]


def test_a_gguf_file_asked_for_in_q8_is_loaded_so_or_refused_and_never_under_that_name_in_float32(api, tmp_path):
    file = tmp_path / "seen-for-the-first-time.gguf"
    file.write_bytes(GGUF.read_bytes())
    model = load(api, path=str(file), name="q8", quantization="Q8")
    if HAS_BITSANDBYTES:
        assert (model["status"], model["quantization"]) == ("loaded", "Q8")
        assert model["memory_bytes"] < 2.5 * model["parameters"]
    else:
        assert model["status"] == "error"
        assert "bitsandbytes" in model["error"]
