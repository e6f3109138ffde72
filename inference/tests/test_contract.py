"""Golden messages: parsed into the right class and re-emitted unchanged; every operation has its route."""

import json
from pathlib import Path

import pytest
import yaml

from millm_inference import contract as c
from millm_inference.app import create_app
from millm_inference.settings import Settings

PROTO = Path(__file__).parents[2] / "proto"
CLASSES = {
    "generate-event": c.GenerateEvent,
    "generate-request": c.GenerateRequest,
    "error-body": c.ErrorBody,
    "feed-event": c.FeedEvent,
}
EVENTS = {
    "snapshot": c.SnapshotEvent,
    "state": c.StateEvent,
    "download": c.DownloadEvent,
    "load": c.LoadEvent,
    "metrics": c.MetricsEvent,
    "activations": c.ActivationsEvent,
    "accepted": c.AcceptedEvent,
    "prompt": c.PromptEvent,
    "delta": c.DeltaEvent,
    "finish": c.FinishEvent,
    "done": c.DoneEvent,
    "error": c.ErrorEvent,
}


@pytest.mark.parametrize("path", sorted((PROTO / "fixtures").glob("*.json")), ids=lambda p: p.stem)
def test_a_golden_message_survives_unchanged(path):
    kind, _, member = path.stem.partition(".")
    document = json.loads(path.read_text())
    message = CLASSES[kind].model_validate(document)
    assert json.loads(message.model_dump_json()) == document
    if member:
        assert type(message.root) is EVENTS[member]


def test_a_field_nobody_declared_is_an_error():
    with pytest.raises(ValueError, match="extra"):
        c.GenerateEvent.model_validate({"type": "delta", "index": 0, "text": "", "surprise": 1})


def test_every_operation_has_a_route_and_every_route_an_operation(tmp_path):
    contract = yaml.safe_load((PROTO / "inference.yaml").read_text())
    declared = {
        (path, method, operation["operationId"])
        for path, methods in contract["paths"].items()
        for method, operation in methods.items()
    }
    served = {
        (path, method, operation["operationId"])
        for path, methods in create_app(Settings(data_dir=tmp_path)).openapi()["paths"].items()
        for method, operation in methods.items()
    }
    assert served == declared
