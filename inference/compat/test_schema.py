"""Schemathesis sends what the gateway's own OpenAPI document allows, and what it forbids: nothing may end as a 5xx.

Before the scripted sidecar, for what matters here is the gateway and there are many requests. Each one is sent as it
was made up and once more aimed at things that exist, for a made-up id ends early, as a 404.
"""

from __future__ import annotations

import os
from urllib.parse import quote

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, settings
from schemathesis.checks import not_a_server_error

BASE = os.environ.get("MILLM_TEST_FAKE_URL")
if not BASE:
    pytest.skip("MILLM_TEST_FAKE_URL is not set", allow_module_level=True)
EXAMPLES = int(os.environ.get("MILLM_TEST_SCHEMA_EXAMPLES", "10"))
SAE = "demo"

document = schemathesis.openapi.from_url(f"{BASE}/api/openapi.json")


def data(method, path, **options):
    answer = httpx.request(method, f"{BASE}{path}", timeout=30, **options)
    answer.raise_for_status()
    return answer.json()["data"]


@pytest.fixture(scope="session")
def real():
    """An id that exists, by the second part of the path, and the model's name."""
    model = data("GET", "/api/models")[0]
    profile = data("POST", "/api/profiles", json={"name": "there", "sae_id": SAE, "features": []})
    return {"models": model["id"], "saes": SAE, "profiles": profile["id"], "name": model["name"]}


def aim(case, real):
    """Whether the case now names something that exists. Nothing is deleted or unloaded: others still need it."""
    parameters, body = case.path_parameters or {}, case.body
    if case.method == "DELETE" or case.path.endswith("/unload"):
        return False
    collection = next((part for part in case.path.split("/") if part in real), None)
    found = False
    if "id" in parameters and collection is not None:
        parameters["id"], found = real[collection], True
        if isinstance(parameters.get("index"), int):
            parameters["index"] = abs(parameters["index"]) % 4096
    if isinstance(body, dict):
        for field, value in (("model", real["name"]), ("sae_id", SAE)):
            if field in body:
                body[field], found = value, True
    return found


@document.parametrize()
@settings(
    max_examples=EXAMPLES,
    deadline=None,
    derandomize=True,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)
def test_nothing_ends_as_a_server_error(case, real):
    case.call_and_validate(checks=[not_a_server_error], timeout=30)
    if aim(case, real):
        case.call_and_validate(checks=[not_a_server_error], timeout=30)


def test_everything_it_made_can_be_deleted():
    for collection in ("profiles", "saes", "models"):
        for item in data("GET", f"/api/{collection}"):
            status = httpx.delete(f"{BASE}/api/{collection}/{quote(item['id'], safe='')}", timeout=30).status_code
            assert status in (200, 204, 409), (collection, item)


def test_the_gateway_is_still_there():
    assert httpx.get(f"{BASE}/api/health/live").status_code == 200
