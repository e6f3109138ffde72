"""The sidecar's own door: downloaded, loaded, deleted; killed and continued; in the feed; on a real full disk."""

import asyncio
import io
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from pathlib import Path

import httpx
import numpy as np
import pytest
from safetensors.numpy import save

from millm_inference import contract as c
from millm_inference import resident as resident_module
from millm_inference.app import create_app
from millm_inference.settings import Settings
from tests.hub.conftest import MEGABYTE, ask
from tests.hub.fake_hub import COMMIT
from tests.support.tiny import byte_tokenizer, tiny_model

WEIGHTS = "model.safetensors"
INFERENCE = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def tiny_files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tiny-llama")
    tiny_model("llama").save_pretrained(folder)
    byte_tokenizer().save_pretrained(folder)
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.fixture
async def client(hub, tmp_path):
    app = create_app(Settings(data_dir=tmp_path, hf_endpoint=hub.endpoint, kv_memory_mb=64, shutdown_grace_s=1))
    transport = httpx.ASGITransport(app)
    async with app.router.lifespan_context(app), httpx.AsyncClient(transport=transport, base_url="http://s") as client:
        client.app = app
        yield client


async def ended(client, download_id):
    for _ in range(600):
        states = {s["download_id"]: s for s in (await client.get("/downloads")).json()}
        if states[download_id]["state"] in ("done", "failed", "cancelled"):
            return c.DownloadState.model_validate(states[download_id])
        await asyncio.sleep(0.02)
    raise AssertionError(states[download_id])


def body(*args, **more):
    return ask(*args, **more).model_dump()


async def test_a_downloaded_model_loads_says_something_and_is_deleted_once_unloaded(client, hub, tiny_files):
    hub.add("org/tiny", {**tiny_files, "pytorch_model.bin": b"x" * 20_000})
    assert (await client.post("/downloads", json=body(repo_id="org/tiny"))).json()["state"] == "queued"
    done = await ended(client, "d1")
    assert done.state == "done", done.error
    loaded = await client.post("/models/load", json={"model_id": "tiny", "path": done.local_path})
    assert (loaded.status_code, loaded.json()["architecture"]) == (200, "LlamaForCausalLM")
    request = {"request_id": "r", "model_id": "tiny", "prompt": {"type": "text", "text": "Hello"}}
    answer = await client.post("/generate", json={**request, "sampling": {"max_tokens": 4, "ignore_eos": True}})
    assert '"type":"done"' in answer.text
    refused = await client.post("/files/delete", json={"path": done.local_path})
    assert (refused.status_code, refused.json()["code"]) == (409, "CONFLICT")
    await client.post("/models/unload")
    freed = await client.post("/files/delete", json={"path": done.local_path})
    assert freed.json() == {"freed_bytes": done.bytes_total}


async def test_unloading_ends_a_load_that_is_under_way(client, hub, tiny_files, tmp_path, monkeypatch):
    folder = tmp_path / "tiny"
    folder.mkdir()
    for name, data in tiny_files.items():
        (folder / name).write_bytes(data)
    read, runtime = resident_module.load_model, client.app.state.runtime
    is_read = threading.Event()

    def slowly(*args, **options):
        loaded = read(*args, **options)
        is_read.set()
        end = time.monotonic() + 30
        while runtime.called_off_since() is None:
            assert time.monotonic() < end
            time.sleep(0.01)
        return loaded

    monkeypatch.setattr(resident_module, "load_model", slowly)
    ask = {"model_id": "tiny", "path": str(folder)}
    loading = asyncio.create_task(client.post("/models/load", json=ask))
    await asyncio.to_thread(is_read.wait, 30)
    assert (await client.get("/state")).json()["loading_model_id"] == "tiny"
    state = (await client.post("/models/unload")).json()
    assert (state["model"], state["loading_model_id"]) == (None, None)
    refused = await loading
    assert (refused.status_code, refused.json()["code"]) == (409, "CONFLICT")
    monkeypatch.undo()
    assert (await client.post("/models/load", json=ask)).status_code == 200


def _tensors(d_in, n):
    names = {"W_enc": (d_in, n), "W_dec": (n, d_in), "b_enc": (n,), "b_dec": (d_in,), "threshold": (n,)}
    return {name: np.random.default_rng(0).random(shape, dtype=np.float32) for name, shape in names.items()}


def _npz(tensors):
    sink = io.BytesIO()
    np.savez(sink, **tensors)
    return sink.getvalue()


async def test_what_the_preview_says_of_an_sae_is_what_its_reader_finds(client, hub):
    tensors = _tensors(64, 1024)
    sparsify = {
        "encoder.weight": tensors["W_enc"].T.copy(),
        "encoder.bias": tensors["b_enc"],
        "W_dec": tensors["W_dec"],
        "b_dec": tensors["b_dec"],
    }
    saelens = {
        "architecture": "jumprelu",
        "d_in": 64,
        "d_sae": 1024,
        "metadata": {"hook_name": "blocks.7.hook_mlp_out"},
    }
    repo_id = "google/gemma-scope-2b-pt-res"
    hub.add(
        repo_id,
        {
            "layer_5/width_1k/average_l0_20/params.npz": _npz(tensors),
            "saelens/cfg.json": json.dumps(saelens).encode(),
            "saelens/sae_weights.safetensors": save(tensors),
            "layers.3/cfg.json": json.dumps({"d_in": 64, "num_latents": 1024, "k": 4}).encode(),
            "layers.3/sae.safetensors": save(sparsify),
            "layer_2.npz": _npz(tensors),
        },
    )
    seen = (await client.post("/hub/preview", json={"repo_id": repo_id, "kind": "sae"})).json()["saes"]
    assert len(seen) == 4
    for number, sae in enumerate(seen):
        await client.post("/downloads", json=body(f"s{number}", repo_id, "sae", path=sae["path"]))
        done = await ended(client, f"s{number}")
        assert done.state == "done", done.error
        found = (await client.post("/saes/inspect", json={"path": done.local_path})).json()
        told = {name: value for name, value in sae.items() if value is not None and name != "path"}
        assert {name: found[name] for name in told} | {"size_bytes": sae["size_bytes"]} == told


async def test_a_preview_and_its_errors_come_through_the_door(client, hub, tiny_files):
    hub.add("org/tiny", tiny_files)
    seen = c.RepositoryPreview.model_validate(
        (await client.post("/hub/preview", json={"repo_id": "org/tiny", "kind": "model"})).json()
    )
    assert (seen.revision, seen.architecture, seen.context_length) == (COMMIT, "LlamaForCausalLM", 512)
    assert len(seen.memory) == 5
    for repo_id, status, code in (("org/none", 404, "MODEL_NOT_FOUND"), ("../..", 400, "VALIDATION_ERROR")):
        answer = await client.post("/hub/preview", json={"repo_id": repo_id, "kind": "model"})
        assert (answer.status_code, answer.json()["code"]) == (status, code)
    for path in ("/etc/passwd", "../../etc"):
        assert (await client.post("/files/delete", json={"path": path})).json()["code"] == "VALIDATION_ERROR"


async def test_the_feed_tells_every_state_of_a_download(client, hub, model_files):
    hub.add("org/model", model_files)
    runtime = client.app.state.runtime
    events = runtime.feed.subscribe()
    assert (await anext(events)).downloads == []
    await client.post("/downloads", json=body())
    told = []
    async for event in events:
        if event.type == "download":
            told.append(event.download)
            if event.download.state == "done":
                break
    await events.aclose()
    assert [s.state for s in told][:2] == ["queued", "running"]
    again = runtime.feed.subscribe()
    assert (await anext(again)).downloads == [told[-1]]
    await again.aclose()


@contextmanager
def sidecar(hub, data_dir):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith(("HF_", "MILLM_", "MODEL_"))},
        "HF_ENDPOINT": hub.endpoint,
        "MILLM_DATA_DIR": str(data_dir),
        "MILLM_INFERENCE_PORT": str(port),
        "MILLM_INFERENCE_DEVICE": "cpu",
        "OMP_NUM_THREADS": "1",
    }
    process = subprocess.Popen([sys.executable, "-m", "millm_inference"], cwd=INFERENCE, env=environment)
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=10) as client:
            for _ in range(1200):
                try:
                    client.get("/health")
                    break
                except httpx.TransportError:
                    assert process.poll() is None
                    time.sleep(0.1)
            yield process, client
    finally:
        process.kill()
        process.wait()


def wait_for(client, accepts):
    for _ in range(600):
        state = client.get("/downloads").json()[0]
        if accepts(state):
            return state
        time.sleep(0.02)
    raise AssertionError(state)


def test_what_a_killed_sidecar_had_is_continued_by_the_next_process(
    hub, tmp_path, open_downloads, watcher, model_files
):
    """A whole sidecar dies; the next process is this one, since a second start would only cost seconds."""
    hub.add("org/model", model_files)
    hub.faults.seconds_per_piece[WEIGHTS] = 0.02
    small = sum(len(model_files[name]) for name in ("config.json", "tokenizer.json"))
    with sidecar(hub, tmp_path) as (process, client):
        client.post("/downloads", json=body())
        seen = wait_for(client, lambda s: s["bytes_done"] > MEGABYTE)
        process.send_signal(signal.SIGKILL)
        process.wait()
    hub.faults.seconds_per_piece.clear()
    time.sleep(0.1)
    served = hub.served[WEIGHTS]
    assert served < len(model_files[WEIGHTS])
    downloads = open_downloads()
    assert downloads.states() == []
    assert downloads.start(ask()).seq > seen["seq"]
    done = watcher.ended("d1")
    assert done.state == "done", done.error
    assert (Path(done.local_path) / WEIGHTS).read_bytes() == model_files[WEIGHTS]
    offset = int(hub.ranges(WEIGHTS)[-1].removeprefix("bytes=").removesuffix("-"))
    assert seen["bytes_done"] - small <= offset <= served
    assert hub.served[WEIGHTS] - served == len(model_files[WEIGHTS]) - offset


@pytest.fixture
def small_disk(tmp_path):
    """Two megabytes, where this user may mount them."""
    place = tmp_path / "disk"
    place.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", place], capture_output=True).returncode:
        pytest.skip("mounting needs root")
    yield place
    subprocess.run(["umount", "-l", place], check=True)


def test_a_disk_that_fills_up_meanwhile_says_how_much_is_missing(
    hub, open_downloads, watcher, model_files, small_disk, roots
):
    hub.add("org/model", model_files)
    roots["model"] = small_disk / "models"
    open_downloads(free_bytes=lambda _: 1 << 40).start(ask("d1"))
    failed = watcher.ended("d1")
    assert (failed.error.code, failed.bytes_done) == ("DOWNLOAD_FAILED", pytest.approx(2 * MEGABYTE, rel=0.1))
    assert "full" in failed.error.message
    open_downloads().start(ask("d2"))
    failed = watcher.ended("d2")
    assert "The disk is too full by 2" in failed.error.message
    assert failed.error.details["needed_bytes"] == failed.bytes_total - failed.bytes_done
