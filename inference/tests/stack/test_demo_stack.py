"""What the README promises, through the public door with the official client."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
from concurrent.futures import ThreadPoolExecutor

import httpx
import openai
import pytest

from tests.stack.conftest import MODEL, REPOSITORY

pytestmark = pytest.mark.demo
QUESTION = [{"role": "user", "content": "What is the capital of France?"}]


def answer(client, messages=QUESTION, tokens=24, **options):
    done = client.chat.completions.create(model=MODEL, messages=messages, temperature=0, max_tokens=tokens, **options)
    return done.choices[0].message.content


def test_a_plain_a_streamed_and_a_whole_answer_agree(client):
    whole = answer(client)
    stream = client.chat.completions.create(
        model="smollm2-135m-instruct",
        messages=QUESTION,
        temperature=0,
        max_tokens=24,
        stream=True,
        stream_options={"include_usage": True},
    )
    chunks = list(stream)
    assert "Paris" in whole
    assert "".join(c.choices[0].delta.content or "" for c in chunks if c.choices) == whole
    assert chunks[-1].usage.completion_tokens > 0


def test_a_steered_answer_differs_says_so_and_leaves_its_neighbours_alone(client, examples):
    example = examples[0]
    messages = [{"role": "user", "content": example["prompt"]}]
    steering = {"features": [{"index": example["index"], "strength": example["strength"]}]}
    with ThreadPoolExecutor(3) as pool:
        plain, steered, neighbour = [
            f.result()
            for f in (
                pool.submit(answer, client, messages, 40),
                pool.submit(answer, client, messages, 40, extra_body={"steering": steering}),
                pool.submit(answer, client, messages, 40),
            )
        ]
    assert plain == neighbour
    assert steered != plain
    raw = client.chat.completions.with_raw_response.create(
        model=MODEL, messages=messages, max_tokens=2, extra_body={"steering": steering}
    )
    fingerprint = raw.headers["x-millm-steering"]
    assert fingerprint != "none"
    assert raw.parse().usage.model_extra["millm"]["steering"] == fingerprint


def test_the_sae_states_the_quality_that_was_measured(stack):
    measured = json.loads((REPOSITORY / "inference/demo/sae/quality.json").read_text())
    quality = httpx.get(f"{stack.base}/api/saes/demo").json()["data"]["quality"]
    for name in ("l0", "explained_variance", "loss_recovered"):
        assert quality[name] == measured["all"][name]
    assert quality["dead_features"] == measured["dead_features"]


def test_every_recorded_example_says_what_its_record_says(client, examples):
    assert len(examples) >= 5
    for example in examples:
        messages = [{"role": "user", "content": example["prompt"]}]
        steering = {"features": [{"index": example["index"], "strength": example["strength"]}]}
        default, steered = (
            answer(client, messages, 24),
            answer(client, messages, 24, extra_body={"steering": steering}),
        )
        assert example["default"].strip().startswith(default.strip()[:60])
        assert example["steered"].strip().startswith(steered.strip()[:60])


def test_activations_come_in_the_stream_for_every_token_with_labels(client, examples):
    index = examples[0]["index"]
    wanted = {"activations": {"top_k": 4, "features": [index]}}
    whole = client.chat.completions.create(
        model=MODEL, messages=QUESTION, temperature=0, max_tokens=12, extra_body=wanted
    )
    stream = client.chat.completions.create(
        model=MODEL, messages=QUESTION, temperature=0, max_tokens=12, stream=True, extra_body=wanted
    )
    streamed = [
        entry
        for chunk in stream
        for choice in chunk.choices
        for entry in (choice.model_extra or {}).get("millm", {}).get("activations", [])
    ]
    entries = whole.choices[0].model_extra["millm"]["activations"]
    assert_same_entries(streamed, entries)
    text = "".join(entry["token"] for entry in entries)
    assert text == whole.choices[0].message.content
    assert all(index in [f["index"] for f in entry["features"]] for entry in entries)
    assert any(f["label"] for entry in entries for f in entry["features"])


def assert_same_entries(streamed, entries):
    """The second request reuses the first one's prefix, so values agree up to float32 rounding."""
    assert [(e["position"], e["token_id"], e["token"]) for e in streamed] == [
        (e["position"], e["token_id"], e["token"]) for e in entries
    ]
    for one, other in zip(streamed, entries, strict=True):
        values = {f["index"]: f["value"] for f in other["features"]}
        assert {f["index"]: f["value"] for f in one["features"]} == pytest.approx(values, abs=1e-2)


def test_errors_are_the_clients_own_classes_and_say_what_to_do(client):
    with pytest.raises(openai.BadRequestError) as refused:
        answer(client, extra_body={"steering": {"features": [{"index": 999999, "strength": 1}]}})
    assert refused.value.code == "invalid_feature_index"
    with pytest.raises(openai.NotFoundError) as missing:
        answer(client, extra_body={"profile": "nobody"})
    assert missing.value.code == "profile_not_found"


def test_both_programs_come_back_after_kill_9_and_answer_as_before(stack, client, examples):
    steering = {"features": [{"index": examples[0]["index"], "strength": examples[0]["strength"]}]}
    active = {"features": steering["features"], "enabled": True}
    assert httpx.put(f"{stack.base}/api/steering", json=active).status_code == 200
    plain = answer(client, extra_body={"steering": {"enabled": False}})
    steered = answer(client)
    try:
        for mark in ("millm_inference", "gateway/src/server.ts"):
            victim = stack.program(mark)
            victim.send_signal(signal.SIGKILL)
            stack.wait_restarted(mark, victim.pid)
            stack.wait_ready()
            assert answer(client, extra_body={"steering": {"enabled": False}}) == plain
            assert answer(client) == steered, "the active configuration survives"
    finally:
        assert httpx.delete(f"{stack.base}/api/steering").status_code == 200
    assert answer(client) == plain


def test_a_sidecar_killed_while_it_streams_ends_the_stream_with_an_error_and_the_next_request_works(stack, client):
    stream = client.chat.completions.create(model=MODEL, messages=QUESTION, max_tokens=2000, temperature=1, stream=True)
    next(iter(stream))
    victim = stack.program("millm_inference")
    victim.send_signal(signal.SIGKILL)
    with pytest.raises(openai.APIError):
        for _ in stream:
            pass
    stack.wait_restarted("millm_inference", victim.pid)
    stack.wait_ready()
    assert "Paris" in answer(client)


def test_the_dashboards_critical_path_in_chromium(stack, tmp_path):
    """The pages against the real stack: from nothing loaded to a profile that comes back and steers as before."""
    names = ("chromium", "chromium-browser", "google-chrome")
    browser = os.environ.get("CHROMIUM_PATH") or next(filter(None, map(shutil.which, names)), None)
    if browser is None or not (REPOSITORY / "web" / "build").is_dir():
        pytest.skip("there is no Chromium, or no built dashboard, on this machine")
    command = ["npx", "playwright", "test", "critical-path", "--reporter=line", f"--output={tmp_path}"]
    environment = {**os.environ, "MILLM_E2E_URL": stack.base, "CHROMIUM_PATH": browser}
    done = subprocess.run(command, cwd=REPOSITORY / "web", env=environment, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-1000:]
    assert "2 passed" in done.stdout
