"""What cannot fit is refused before it is read, in numbers; what is loaded stays."""

from __future__ import annotations

import json
import struct

import psutil

from tests.support.tiny import tiny_model
from tests.test_app import MODEL, model_dir, request, serving  # noqa: F401

MEBIBYTE = 1 << 20


def used_mb():
    return psutil.Process().memory_info().rss // MEBIBYTE


def large_sae(folder, size_mb):
    """A safetensors file that says it is so large, and takes no room on the disk."""
    width = size_mb * MEBIBYTE // 4 // 64
    header = json.dumps({"W_dec": {"dtype": "F32", "shape": [width, 64], "data_offsets": [0, width * 256]}}).encode()
    folder.mkdir()
    with (folder / "sae_weights.safetensors").open("wb") as file:
        file.write(struct.pack("<Q", len(header)) + header)
        file.truncate(8 + len(header) + width * 256)
    return str(folder)


async def test_a_model_that_cannot_fit_is_refused_with_both_numbers(tmp_path, model_dir):  # noqa: F811
    async with serving(tmp_path, memory_limit_mb=1) as client:
        answer = await client.post("/models/load", json={"model_id": MODEL, "path": str(model_dir)})
        assert answer.status_code == 507
        problem = answer.json()
        assert problem["code"] == "INSUFFICIENT_MEMORY"
        assert problem["details"]["free_bytes"] == 0 < problem["details"]["needed_bytes"]
        assert "smaller quantization" in problem["message"]
        assert (await client.get("/state")).json()["model"] is None


async def test_an_sae_that_does_not_fit_leaves_the_model_answering(tmp_path, model_dir):  # noqa: F811
    async with serving(tmp_path, memory_limit_mb=used_mb() + 300) as client:
        loaded = await client.post("/models/load", json={"model_id": MODEL, "path": str(model_dir)})
        assert loaded.status_code == 200, loaded.text
        path = large_sae(tmp_path / "huge", 4000)
        answer = await client.post("/saes/attach", json={"sae_id": "huge", "path": path})
        assert answer.status_code == 507
        assert "The model stays loaded, without it" in answer.json()["message"]
        assert (await client.get("/state")).json()["saes"] == []
        assert '"type":"done"' in (await client.post("/generate", json=request())).text


async def test_a_model_reports_every_weight_however_it_lies_in_memory(tmp_path, model_dir):  # noqa: F811
    async with serving(tmp_path) as client:
        loaded = (await client.post("/models/load", json={"model_id": MODEL, "path": str(model_dir)})).json()
    weights = tiny_model("llama").num_parameters()
    assert loaded["parameters"] == weights
    assert loaded["memory_bytes"] >= 4 * weights
