"""A sidecar that hangs ends itself and says where; one that is merely slow, idle or asleep does not. Real processes."""

from __future__ import annotations

import contextlib
import json
import signal
import subprocess
import threading
import time

import httpx
import pytest

from tests.support.moody import Moody
from tests.support.process import sidecar
from tests.test_app import MODEL, request

HANG_S = 3.0
LOAD_S = 8.0
HANG = {"MILLM_INFERENCE_HANG_TIMEOUT_S": str(HANG_S)}


@pytest.fixture
def moody(tmp_path):
    folder = tmp_path / "moody"
    folder.mkdir()
    return Moody(folder)


class Running:
    def __init__(self, child, base, stdout, stderr, moody):
        self.child, self.base, self.moody = child, base, moody
        self._stdout, self._stderr = stdout, stderr
        answer = self.load()
        assert answer.status_code == 200, answer.text

    def load(self):
        ask = {"model_id": MODEL, "path": str(self.moody.folder), "trust_remote_code": True}
        return httpx.post(f"{self.base}/models/load", json=ask, timeout=60)

    def hang_loading(self):
        """Its one model is unloaded, and a load of it begun that never ends."""
        self.unload()
        self.moody.next("hang while loading")
        asking = lose(self.load)
        until(lambda: httpx.get(f"{self.base}/state").json()["loading_model_id"] == MODEL and self.moody.is_served)
        return asking

    def unload(self):
        return httpx.post(f"{self.base}/models/unload", timeout=60)

    def generate(self):
        return httpx.post(f"{self.base}/generate", json=request(), timeout=60)

    def answers(self):
        return '"type":"done"' in self.generate().text

    def lines(self):
        return [json.loads(line) for line in self._stdout.read_text().splitlines()]

    def error_output(self):
        return self._stderr.read_text()


@pytest.fixture
def running(tmp_path, moody):
    out, err = tmp_path / "out", tmp_path / "err"
    with out.open("wb") as stdout, err.open("wb") as stderr:
        settings = {"HF_HOME": str(tmp_path / "hf"), "LOG_FORMAT": "json", "MILLM_LOAD_TIMEOUT_S": str(LOAD_S)}
        with sidecar(tmp_path / "data", stdout, stderr, **settings, **HANG) as (child, base):
            yield Running(child, base, out, err, moody)


def ask_and_lose(running):
    return lose(running.generate)


def lose(ask):
    """A request whose answer never comes; the connection breaks when the process ends."""

    def asking():
        with pytest.raises(httpx.TransportError):
            ask()

    thread = threading.Thread(target=asking)
    thread.start()
    return thread


def until(condition, timeout_s=20):
    end = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.05)


def test_a_step_that_never_ends_ends_the_process_with_a_code_of_its_own_and_every_threads_stack(running):
    assert running.answers()
    running.moody.next("hang")
    asking, begun = ask_and_lose(running), time.monotonic()
    assert running.child.wait(timeout=60) == 71
    assert time.monotonic() - begun > HANG_S
    asking.join(10)
    said = running.lines()[-1]
    assert (said["event"], said["level"], said["what"]) == ("sidecar:hung", "critical", "engine")
    assert said["seconds"] >= HANG_S
    assert "Thread engine:" in said["stack"]
    assert "time.sleep(3600)" in said["stack"]


def test_a_load_that_never_ends_ends_the_process_when_no_load_may_take_longer(running):
    begun = time.monotonic()
    asking = running.hang_loading()
    assert httpx.get(f"{running.base}/health").status_code == 200
    assert running.child.wait(timeout=60) == 71
    assert time.monotonic() - begun > LOAD_S
    asking.join(10)
    said = running.lines()[-1]
    assert (said["event"], said["what"]) == ("sidecar:hung", "load")
    assert "time.sleep(3600)" in said["stack"]


def test_a_load_that_does_not_end_when_it_is_called_off_ends_the_process_soon(running):
    asking, begun = running.hang_loading(), time.monotonic()
    cancelling = lose(running.unload)
    assert running.child.wait(timeout=60) == 71
    assert time.monotonic() - begun < LOAD_S
    for thread in (asking, cancelling):
        thread.join(10)
    assert running.lines()[-1]["what"] == "cancelled load"


def test_code_that_never_gives_the_interpreter_back_ends_the_process_too(running):
    running.moody.next("hold the interpreter")
    asking = ask_and_lose(running)
    assert running.child.wait(timeout=60) == 1, "faulthandler's own exit code"
    asking.join(10)
    assert "moody.py" in running.error_output()
    assert "in obey" in running.error_output()


def test_an_event_loop_that_waits_for_a_log_nobody_reads_ends_the_process_though_it_cannot_say_so(tmp_path):
    with sidecar(tmp_path, subprocess.PIPE, **HANG) as (child, base):
        with contextlib.suppress(httpx.TransportError), httpx.Client(base_url=base, timeout=2) as client:
            while True:
                client.post("/generate", json={"broken": True})
        assert child.wait(timeout=60) == 71


def test_a_slow_step_an_idle_engine_and_a_process_that_was_stopped_are_left_alone(running):
    running.moody.next("slow")
    assert running.answers()
    time.sleep(2 * HANG_S)
    assert running.answers()
    running.child.send_signal(signal.SIGSTOP)
    time.sleep(1)
    running.child.send_signal(signal.SIGCONT)
    assert running.answers()
    assert running.child.poll() is None


def test_a_lost_device_tells_the_request_and_ends_the_process(running):
    assert running.answers()
    running.moody.next("lose the device")
    assert '"code":"INTERNAL_ERROR"' in running.generate().text
    assert running.child.wait(timeout=30) == 70
    assert "sidecar:device-lost" in [line["event"] for line in running.lines()]


def test_a_device_that_is_lost_outside_of_a_step_ends_the_process_too(running):
    running.moody.next("lose the device")
    inputs = {"model_id": MODEL, "inputs": [{"text": "Hello"}], "pooling": "mean", "normalize": False}
    assert httpx.post(f"{running.base}/embeddings", json=inputs, timeout=60).status_code == 500
    assert running.child.wait(timeout=30) == 70


def test_a_device_that_is_lost_while_a_model_is_verified_ends_the_process_instead_of_blaming_the_model(running):
    running.unload()
    running.moody.next("lose the device")
    assert running.load().status_code == 500
    assert running.child.wait(timeout=30) == 70
