"""The sidecar's metrics, read with the official parser, and its logs."""

from __future__ import annotations

import io
import json
import logging

import pytest
import structlog
from prometheus_client.parser import text_string_to_metric_families

from millm_inference import logs
from millm_inference.request_log import trace_of
from tests.test_app import client, model_dir, request  # noqa: F401


async def samples(client) -> dict[str, float]:  # noqa: F811
    answer = await client.get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    families = text_string_to_metric_families(answer.text)
    return {
        s.name + "".join(f" {k}={v}" for k, v in sorted(s.labels.items()) if k != "le"): s.value
        for family in families
        for s in family.samples
    }


async def test_metrics_parse_and_move_under_load(client):  # noqa: F811
    before = await samples(client)
    assert before["millm:engine_model_loaded"] == 1
    assert before["millm:engine_slots_free"] == before["millm:engine_slots"] > 0
    assert before["millm:engine_generated_tokens_total"] == 0
    assert (await client.post("/generate", json=request())).status_code == 200
    after = await samples(client)
    assert after["millm:engine_generated_tokens_total"] == 8
    assert after["millm:engine_step_time_seconds_count kind=prefill"] >= 1
    assert after["millm:engine_step_time_seconds_count kind=decode"] == 7
    assert after["millm:engine_step_tokens_sum kind=decode"] == 7
    assert after["millm:engine_step_time_seconds_sum kind=decode"] > 0
    assert after["millm:engine_slots_free"] == after["millm:engine_slots"]
    assert after["process_resident_memory_bytes"] > 0


@pytest.fixture
def lines():
    stream = io.StringIO()
    logs.configure("info", "json", stream)
    yield lambda: [json.loads(line) for line in stream.getvalue().splitlines()]
    structlog.reset_defaults()
    logging.basicConfig(force=True)


async def test_every_line_of_a_request_has_its_ids_and_none_its_text(client, lines):  # noqa: F811
    trace = "0af7651916cd43dd8448eb211c80319c"
    headers = {"x-request-id": "r-7", "traceparent": f"00-{trace}-b7ad6b7169203331-01"}
    body = request(prompt={"type": "text", "text": "the password is swordfish"})
    await client.post("/generate", json=body, headers=headers)
    await client.post("/generate", json={"prompt": "swordfish"}, headers=headers)
    written = lines()
    mine = [line for line in written if line.get("request_id") == "r-7"]
    assert [(line["event"], line["status"], line["trace_id"]) for line in mine] == [
        ("request", 200, trace),
        ("request", 400, trace),
    ]
    assert "swordfish" not in json.dumps(written)


def test_lines_of_libraries_are_json_too(lines):
    logging.getLogger("some.library").warning("a %s", "warning")
    try:
        raise ValueError("broken")
    except ValueError:
        logging.getLogger("another.library").exception("failed")
    first, second = lines()
    assert (first["event"], first["level"], first["logger"]) == ("a warning", "warning", "some.library")
    assert "ValueError: broken" in second["exception"]


def test_a_traceparent_that_is_none_is_left_out():
    assert trace_of(b"") is None
    assert trace_of(b"00-short-b7ad6b7169203331-01") is None
