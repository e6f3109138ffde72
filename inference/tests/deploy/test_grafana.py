"""The Grafana file against the model generated from Grafana's schemas: read and written again, nothing is lost."""

from __future__ import annotations

import json

import pytest
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.cog.plugins import register_default_plugins
from grafana_foundation_sdk.models.dashboard import Dashboard

from tests.deploy.dockerfile import REPOSITORY


@pytest.fixture
def dashboard():
    register_default_plugins()
    return json.loads((REPOSITORY / "docs" / "deploy" / "grafana" / "millm.json").read_text())


def lost(before, after, place=""):
    """Where `after` lacks or changes what is in `before`; what it adds are the schema's defaults."""
    if isinstance(before, dict) and isinstance(after, dict):
        for name, value in before.items():
            if name in after:
                yield from lost(value, after[name], f"{place}.{name}")
            else:
                yield f"{place}.{name}"
    elif isinstance(before, list) and isinstance(after, list) and len(before) == len(after):
        for number, (one, other) in enumerate(zip(before, after, strict=True)):
            yield from lost(one, other, f"{place}[{number}]")
    elif before != after:
        yield place


def rewritten(dashboard):
    return json.loads(JSONEncoder().encode(Dashboard.from_json(dashboard)))


def test_grafanas_schema_knows_every_field_of_it(dashboard):
    assert list(lost(dashboard, rewritten(dashboard))) == []


def test_a_field_that_grafana_does_not_know_is_seen_wherever_it_is(dashboard):
    panel = next(panel for panel in dashboard["panels"] if panel["type"] == "timeseries")
    panel["titel"] = "x"
    panel["options"]["legend"]["dispalyMode"] = "list"
    panel["fieldConfig"]["defaults"]["units"] = "s"
    panel["targets"][0]["legend"] = "x"
    found = [place.rsplit(".", 1)[1] for place in lost(dashboard, rewritten(dashboard))]
    assert sorted(found) == ["dispalyMode", "legend", "titel", "units"]
