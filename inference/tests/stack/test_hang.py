"""A sidecar that hangs, in a step or in a load, or loses its device: the launcher starts another, and the gateway loads
what was loaded."""

from __future__ import annotations

import signal
import time

import httpx
import openai
import psutil
import pytest

from tests.stack.conftest import running_stack
from tests.support.moody import Moody

pytestmark = pytest.mark.demo
HANG_S = 10


@pytest.fixture
def log(tmp_path):
    return tmp_path / "log"


@pytest.fixture
def stack(tmp_path, log):
    settings = {"MILLM_INFERENCE_HANG_TIMEOUT_S": str(HANG_S), "HF_HOME": str(tmp_path / "hf")}
    with log.open("wb") as output, running_stack(tmp_path / "data", output, **settings) as running:
        yield running


def ask(stack):
    done = stack.client.completions.create(model="moody", prompt="Hello", temperature=0, max_tokens=16)
    return done.choices[0].text


def test_the_next_request_succeeds_as_if_nothing_had_been(stack, tmp_path, log):
    folder = tmp_path / "moody"
    folder.mkdir()
    moody = Moody(folder)
    wanted = {"path": str(folder), "name": "moody", "trust_remote_code": True}
    with httpx.Client(base_url=stack.base, timeout=60) as api:
        imported = api.post("/api/models/import", json=wanted)
        assert imported.status_code == 201, imported.text
        loaded = api.post(f"/api/models/{imported.json()['data']['id']}/load")
        assert loaded.status_code == 202, loaded.text
    before = ask(stack)
    for mood, code in (("hang", 71), ("lose the device", 70)):
        sidecar = stack.program("millm_inference").pid
        moody.next(mood)
        with pytest.raises(openai.APIError):
            ask(stack)
        stack.wait_restarted("millm_inference", sidecar)
        stack.wait_ready()
        assert ask(stack) == before
        assert f"stopped with exit code {code}" in log.read_text()
    assert "sidecar:hung" in log.read_text()
    with httpx.Client(base_url=stack.base, timeout=60) as api:
        cancel_a_load_that_hangs(api, imported.json()["data"]["id"], moody)
    stack.wait_ready()
    assert ask(stack) == before
    end_it_while_it_streams(stack)


def end_it_while_it_streams(stack):
    """SIGTERM to the launcher: the running answer ends as it would have, then all programs do."""
    options = {"max_tokens": 400, "stream": True, "extra_body": {"ignore_eos": True}}
    stream = stack.client.completions.create(model="moody", prompt="Hello", **options)
    next(iter(stream))
    family = psutil.Process(stack.launcher.pid).children(recursive=True)
    assert len(family) >= 2
    stack.launcher.send_signal(signal.SIGTERM)
    assert [chunk.choices[0].finish_reason for chunk in stream if chunk.choices][-1] == "length"
    assert stack.launcher.wait(timeout=20) == 0
    assert psutil.wait_procs(family, timeout=1)[1] == []


def cancel_a_load_that_hangs(api, model_id, moody):
    """The sidecar that it hangs in is replaced, so that cancelling it is true."""
    api.post(f"/api/models/{model_id}/unload")
    moody.next("hang while loading")
    api.post(f"/api/models/{model_id}/load")
    while not moody.is_served:
        time.sleep(0.1)
    cancelled = api.post(f"/api/models/{model_id}/cancel")
    assert (cancelled.status_code, cancelled.json()["data"]["status"]) == (200, "ready"), cancelled.text
    assert api.post(f"/api/models/{model_id}/load").status_code == 202
