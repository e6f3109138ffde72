"""docs/operate.md, command by command, on the real stack; then what its page says of machines that fail, while a real
model generates."""

from __future__ import annotations

import contextlib
import json
import os
import re
import selectors
import shutil
import signal
import socket
import subprocess
import time
from urllib.parse import quote

import httpx
import openai
import psutil
import pytest

from tests.hub.fake_hub import FakeHub
from tests.interpret.folders import V6, standard, write_folder
from tests.stack.by_hand import TRIED, read, started_by_hand, until
from tests.stack.conftest import MODEL
from tests.support.servers import postgres as started_postgres
from tests.support.servers import redis as started_redis

pytestmark = pytest.mark.demo
DAY = 86_400


@pytest.fixture(scope="module")
def hub():
    hub = FakeHub()
    yield hub
    hub.close()


@pytest.fixture(scope="module")
def postgres():
    with started_postgres() as server:
        yield server


@pytest.fixture(scope="module")
def redis():
    with started_redis() as server:
        yield server


@pytest.fixture(scope="module")
def small_disk(tmp_path_factory):
    """Six megabytes for SAEs, where this user may mount them."""
    place = tmp_path_factory.mktemp("disk")
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=6m", "tmpfs", place], capture_output=True)
    yield None if mounted.returncode else place
    if mounted.returncode == 0:
        subprocess.run(["umount", "-l", place], check=True)


@pytest.fixture(scope="module")
def stack(tmp_path_factory, postgres, redis, hub, small_disk):
    settings = {
        **({"SAE_CACHE_DIR": str(small_disk)} if small_disk else {}),
        "HF_ENDPOINT": hub.endpoint,
        "MILLM_REQUEST_TIMEOUT_S": "4",
        "MILLM_STREAM_IDLE_TIMEOUT_S": "6",
        "MILLM_INFERENCE_HEARTBEAT_S": "1",
        "MILLM_SHUTDOWN_GRACE_S": "2",
        "MILLM_INFERENCE_SHUTDOWN_GRACE_S": "2",
        "MILLM_RATE_LIMIT_PER_MINUTE": "5000",
    }
    with started_by_hand(tmp_path_factory.mktemp("by-hand"), postgres, redis, **settings) as running:
        yield running


@pytest.fixture(autouse=True)
def nothing_is_left(stack):
    """Whatever was done to them, both programs are the ones that were started, and no request is left in them."""
    before = stack.pids()
    plain = stack.answer()
    yield
    if stack.launcher.poll() is None:
        assert stack.pids() == before
        assert stack.answer() == plain
        until(lambda: stack.api.get("/api/system").json()["data"]["queue"]["running"] == 0)


def test_every_command_of_the_page_does_what_it_says(stack):
    assert len(TRIED) == 3
    said = [stack.play(block) for block in TRIED]
    assert '"status":"revoked"' in said[0]
    assert "millm:request_success_total" in said[1]
    assert "millm:engine_" in said[1]
    keys = ["psql", "-tA", "-d", "millm_restored", "-c", "select count(*) from api_keys where name = 'notebook'"]
    assert stack.play(" ".join(f'"{word}"' for word in keys)).strip() == "1"


def test_a_database_that_dies_stops_nobody_from_generating_and_is_used_again(stack, postgres):
    made = stack.api.post("/api/keys", json={"name": "app", "scopes": ["inference"]}).json()["data"]
    app = stack.client.with_options(api_key=made["secret"])
    ask = {"model": MODEL, "prompt": "The sea is", "max_tokens": 2}
    app.completions.create(**ask)
    stream = stack.stream()
    postgres.kill()
    time.sleep(1.2)  # what is kept for a second is old now
    read(stream, 3)
    app.completions.create(**ask)
    refused = stack.api.post("/api/keys", json={"name": "x", "scopes": ["inference"]})
    assert (refused.status_code, refused.json()["error"]["code"]) == (503, "DATABASE_UNAVAILABLE")
    assert stack.api.get("/api/health").status_code == 200
    postgres.start()
    until(lambda: stack.api.get("/api/profiles").status_code == 200)
    assert stack.api.delete(f"/api/keys/{made['id']}").json()["data"]["status"] == "revoked"
    with pytest.raises(openai.AuthenticationError):
        app.completions.create(**ask)
    read(stream, 3)
    stream.close()


def test_redis_dying_disturbs_no_request_and_it_is_used_again(stack, redis):
    steering = {"features": [{"index": 7, "strength": 0.5}], "enabled": False}
    stream = stack.stream()
    redis.kill()
    read(stream, 3)
    stack.answer()
    assert stack.api.put("/api/steering", json=steering).status_code == 200
    redis.start()
    listing = f"redis-cli -h 127.0.0.1 -p {redis.port} client list"
    until(lambda: stack.play(listing).count("\n") > 1)
    read(stream, 3)
    stream.close()
    stack.answer()
    assert stack.api.delete("/api/steering").status_code == 200


def test_a_thousand_clients_that_dawdle_leave_a_stream_alone_and_are_sent_away(stack):
    stream = stack.stream()
    url = httpx.URL(stack.base)
    head = f"Host: x\r\nAuthorization: Bearer {stack.key}\r\nContent-Type: application/json\r\n"
    said = [""] * 980 + ["GET /v1/models HTTP/1.1\r\nHost: x\r\nX-A: "] * 10
    said += [f"POST /v1/completions HTTP/1.1\r\n{head}Content-Length: 999\r\n\r\n{{"] * 10
    with selectors.DefaultSelector() as waiting:
        for text in said:
            dawdler = socket.create_connection((url.host, url.port))
            dawdler.sendall(text.encode())
            dawdler.setblocking(False)
            waiting.register(dawdler, selectors.EVENT_READ)
        read(stream, 3)
        begun = time.monotonic()
        stack.answer(tokens=1)
        assert time.monotonic() - begun < 5
        assert psutil.Process(stack.pids()[1]).num_fds() > 1000
        end = time.monotonic() + 20
        while waiting.get_map():
            assert time.monotonic() < end, f"{len(waiting.get_map())} are still there"
            for key, _ in waiting.select(timeout=0.5):
                if not received(key.fileobj):
                    waiting.unregister(key.fileobj)
                    key.fileobj.close()
    read(stream, 3)
    stream.close()


def received(peer) -> bytes:
    try:
        return peer.recv(4096)
    except ConnectionError:
        return b""


def test_a_sidecar_that_is_frozen_fails_its_stream_stalls_nothing_else_and_is_used_again(stack):
    stream = stack.stream()
    sidecar = psutil.Process(stack.pids()[0])
    sidecar.suspend()
    try:
        with pytest.raises(openai.APIError) as failed:
            read(stream, 2000)
        assert failed.value.code == "deadline_exceeded"
        until(lambda: stack.api.get("/api/health/ready").status_code == 503)
        begun = time.monotonic()
        assert stack.api.get("/api/profiles").status_code == 200
        assert time.monotonic() - begun < 2
    finally:
        sidecar.resume()
    stack.wait_ready()


def test_a_disk_that_fills_up_while_downloading_is_said_and_the_download_goes_on_when_there_is_room(
    stack, hub, small_disk, tmp_path
):
    if small_disk is None:
        pytest.skip("mounting needs root")
    sae = write_folder(tmp_path, {**V6, "d_in": 64, "d_sae": 8192}, standard(64, 8192))
    weights = "sae_weights.safetensors"
    hub.add("org/sae", {file.name: file.read_bytes() for file in sae.iterdir()})
    hub.faults.seconds_per_piece[weights] = 0.01
    wanted = {"repo_id": "org/sae"}
    asked = stack.api.post("/api/saes", json=wanted)
    assert asked.status_code == 202, asked.text
    place = f"/api/saes/{quote(asked.json()['data']['id'], safe='')}"

    def look():
        return stack.api.get(place).json()["data"]

    until(lambda: look()["progress"] > 10)
    filler = small_disk / "filler"
    with contextlib.suppress(OSError), filler.open("wb", buffering=0) as file:
        while True:
            file.write(bytes(4096))
    until(lambda: look()["status"] == "error")
    assert re.search(r"The disk is (too )?full.* are still to be fetched", look()["error"])
    stack.answer()
    filler.unlink()
    hub.faults.seconds_per_piece.clear()
    assert stack.api.post("/api/saes", json=wanted).status_code == 202
    until(lambda: look()["status"] == "ready")
    assert hub.ranges(weights)[-1] not in (None, "bytes=0-"), "it went on where it was"
    assert stack.api.delete(place).json()["data"]["freed_bytes"] > 4_000_000


@pytest.mark.skipif(not shutil.which("cc"), reason="there is no C compiler to make a clock with")
@pytest.mark.parametrize("jump", [-DAY, DAY])
def test_a_wall_clock_that_jumps_ends_no_stream_and_locks_nobody_out(stack, jump):
    stream = stack.stream()
    stack.clock.write_text(str(jump))
    try:
        read(stream, 3)
        jumped = stack.client.completions.with_raw_response.create(model=MODEL, prompt="The sea", max_tokens=1)
        assert abs(jumped.parse().created - time.time() - jump) < 600, "the clock did not jump"
        assert int(jumped.headers["x-ratelimit-remaining-requests"]) > 0
        key = stack.api.post("/api/keys", json={"name": f"jump {jump}", "scopes": ["inference"]}).json()["data"]
        stack.client.with_options(api_key=key["secret"]).models.list()
        assert stack.api.get("/api/health/ready").status_code == 200
    finally:
        stack.clock.write_text("0")
    read(stream, 3)
    stream.close()


def test_a_stream_that_does_not_end_is_told_why_at_sigterm_and_no_process_is_left(stack):
    stream = stack.stream()
    short = stack.client.completions.create(model=MODEL, prompt="The sea", max_tokens=4, stream=True)
    family = [psutil.Process(pid) for pid in stack.pids()]
    family += [child for one in family for child in one.children(recursive=True)]
    begun = time.monotonic()
    for one in family[1::-1]:
        os.kill(one.pid, signal.SIGTERM)
    assert [chunk.choices[0].finish_reason for chunk in short if chunk.choices][-1] == "length"
    with pytest.raises(openai.APIError) as ended:
        read(stream, 2000)
    assert ended.value.code == "shutting_down"
    gone, left = psutil.wait_procs(family, timeout=15)
    assert left == []
    assert time.monotonic() - begun < 12
    assert stack.launcher.wait(timeout=5) == 0, json.dumps([one.pid for one in gone])
