"""The process itself: SIGTERM lets running streams finish, ends feeds, and leaves nothing behind."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import threading

import httpx
import pytest

from millm_inference.memory import MEBIBYTE
from tests.support.process import sidecar
from tests.test_app import MODEL, model_dir, request  # noqa: F401


@pytest.fixture(params=["inherited"])
def process(tmp_path, model_dir, request):  # noqa: F811
    output = open(request.param, "w") if request.param.startswith("/") else None  # noqa: SIM115 - the child's
    with sidecar(tmp_path, output) as (child, base):
        answer = httpx.post(f"{base}/models/load", json={"model_id": MODEL, "path": str(model_dir)}, timeout=60)
        assert answer.status_code == 200
        yield child, base


def test_sigterm_finishes_the_stream_refuses_new_work_and_exits(process):
    child, base = process
    body = request(sampling={"temperature": 0, "max_tokens": 400, "ignore_eos": True})
    lines: list[str] = []
    started = threading.Event()

    def read():
        with httpx.stream("POST", f"{base}/generate", json=body, timeout=60) as answer:
            for line in answer.iter_lines():
                lines.append(line)
                started.set()

    def follow():
        with httpx.stream("GET", f"{base}/feed", timeout=60) as answer:
            for _ in answer.iter_lines():
                pass

    readers = [threading.Thread(target=read), threading.Thread(target=follow)]
    for reader in readers:
        reader.start()
    assert started.wait(30)
    child.send_signal(signal.SIGTERM)
    assert child.wait(timeout=25) in (0, -signal.SIGTERM)  # uvicorn ends by the signal it was sent
    for reader in readers:
        reader.join(timeout=5)
        assert not reader.is_alive()
    assert '"type":"done"' in [line for line in lines if line][-1]


@pytest.mark.parametrize("process", ["/dev/full"], indirect=True)
def test_a_full_disk_under_the_log_costs_lines_of_the_log_alone(process):
    child, base = process
    for _ in range(3):
        answer = httpx.post(f"{base}/generate", json=request(), timeout=60)
        assert '"type":"done"' in answer.text
    assert httpx.post(f"{base}/generate", json={"broken": True}, timeout=60).status_code == 400
    child.send_signal(signal.SIGTERM)
    assert child.wait(timeout=25) in (0, -signal.SIGTERM)


def test_prompts_of_lengths_not_seen_before_take_no_memory_for_good(tmp_path, model_dir):  # noqa: F811
    with sidecar(tmp_path, stdout=subprocess.DEVNULL) as (_, base), httpx.Client(base_url=base, timeout=60) as client:
        client.post("/models/load", json={"model_id": MODEL, "path": str(model_dir)}).raise_for_status()

        def beside_keys_and_values(lengths):
            for length in lengths:
                prompt = {"type": "tokens", "token_ids": random.Random(length).choices(range(3, 258), k=length)}
                body = request(prompt=prompt, sampling={"temperature": 0, "max_tokens": 1})
                assert '"type":"done"' in client.post("/generate", json=body).text
            memory = client.get("/state").json()["memory"]
            return (memory["used_bytes"] - memory["kv_bytes"]) / MEBIBYTE

        warm = beside_keys_and_values([*range(1, 65), 500])
        assert beside_keys_and_values(range(65, 400)) - warm < 24


def test_a_wrong_setting_is_one_sentence_and_no_traceback():
    environment = {**os.environ, "MILLM_INFERENCE_PROT": "1"}
    done = subprocess.run([sys.executable, "-m", "millm_inference"], env=environment, capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr.startswith("Unknown setting MILLM_INFERENCE_PROT")
    assert "Traceback" not in done.stderr
