"""Files, paths and bodies that are made to hurt, through the public door of the real stack. Each is refused by name, no
process ends, and what was loaded answers as before."""

from __future__ import annotations

import json
import socket
import time
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from tests.stack.conftest import MODEL
from tests.support import hostile

pytestmark = pytest.mark.demo
PROGRAMS = ("millm_inference", "gateway/src/server.ts")


@pytest.fixture(scope="module")
def api(stack):
    with httpx.Client(base_url=stack.base, timeout=120) as client:
        yield client


@pytest.fixture(scope="module", autouse=True)
def everything_goes_on_as_before(stack, api):
    pids, before = [stack.program(mark).pid for mark in PROGRAMS], answer(api)
    yield
    assert answer(api) == before
    assert [stack.program(mark).pid for mark in PROGRAMS] == pids


def answer(api):
    steering = {"features": [{"index": 7, "strength": 4}]}
    body = {"model": MODEL, "prompt": "The sea is", "temperature": 0, "max_tokens": 8, "steering": steering}
    done = api.post("/v1/completions", json=body)
    assert done.status_code == 200, done.text
    return done.json()["choices"][0]["text"]


def refused(response):
    assert response.status_code in (404, 409, 422), response.text
    return response.json()["error"]


NO_MODEL = [hostile.no_gguf, hostile.half_gguf, hostile.no_config, hostile.deep_config, hostile.password_file]


@pytest.mark.parametrize("make", NO_MODEL, ids=lambda make: make.__name__)
def test_what_describes_no_model_is_not_imported(api, tmp_path, make):
    error = refused(api.post("/api/models/import", json={"path": str(make(tmp_path))}))
    assert error["code"] in ("MODEL_INCOMPATIBLE", "MODEL_NOT_FOUND")
    assert "root:" not in json.dumps(error)


NO_WEIGHTS = [hostile.cut, hostile.lying_header, hostile.pickled_model]


@pytest.mark.parametrize("make", NO_WEIGHTS, ids=lambda make: make.__name__)
def test_a_model_whose_weights_are_damaged_says_so_when_it_is_loaded_and_the_one_before_it_loads_again(
    api, tmp_path, make
):
    imported = api.post("/api/models/import", json={"path": str(make(tmp_path)), "name": f"broken-{make.__name__}"})
    assert imported.status_code == 201, imported.text
    place = f"/api/models/{imported.json()['data']['id']}"
    assert api.post(f"{place}/load").status_code == 202
    end = time.monotonic() + 60
    while (model := api.get(place).json()["data"])["status"] != "error":
        assert model["status"] != "loaded"
        assert time.monotonic() < end
        time.sleep(0.1)
    assert "could not be loaded" in model["error"]
    assert not hostile.mark_of(tmp_path).exists()
    asked = api.post("/v1/completions", json={"model": f"broken-{make.__name__}", "prompt": "x", "max_tokens": 1})
    assert (asked.status_code, asked.json()["error"]["code"]) == (409, "model_incompatible")
    files = sorted(tmp_path.iterdir())
    assert api.delete(place).json()["data"]["freed_bytes"] == 0
    assert sorted(tmp_path.iterdir()) == files, "what was only imported is not ours to delete"


SAES = [hostile.cut_sae, hostile.npz_of_objects, hostile.no_npz, hostile.pickled_sae, hostile.deep_config,
        hostile.password_file]  # fmt: skip


@pytest.mark.parametrize("make", SAES, ids=lambda make: make.__name__)
def test_what_is_no_sae_is_not_imported(api, tmp_path, make):
    error = refused(api.post("/api/saes/import", json={"path": str(make(tmp_path)), "id": "broken"}))
    assert error["code"] in ("SAE_INCOMPATIBLE", "SAE_NOT_FOUND")
    assert "root:" not in json.dumps(error)
    assert not hostile.mark_of(tmp_path).exists()


def test_an_sae_that_is_damaged_later_is_not_attached_and_those_beside_it_stay(api, tmp_path):
    answer(api)
    assert api.post("/api/saes/import", json={"path": str(hostile.sae(tmp_path)), "id": "later"}).status_code == 201
    hostile.cut_sae(tmp_path)
    asked = api.post("/api/saes/later/attach")
    assert refused(asked)["code"] == "SAE_INCOMPATIBLE"
    answer(api)
    assert api.delete("/api/saes/later").status_code == 200


CLIMBS = ["..", "%2e%2e", "..%2f..", "..%5c..", "%00", "....//"]
PLACES = ["/{0}/{0}/etc/passwd", "/api/models/{0}", "/api/saes/{0}/labels/export", "/v1/models/{0}/{0}/etc/passwd"]


@pytest.mark.parametrize("climb", CLIMBS)
def test_a_path_that_climbs_reaches_nothing(stack, climb):
    url = httpx.URL(stack.base)
    for place in PLACES:
        with socket.create_connection((url.host, url.port), timeout=10) as raw:  # httpx would resolve the dots
            raw.sendall(f"GET {place.format(climb)} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
            said = b"".join(iter(lambda raw=raw: raw.recv(65536), b""))
        assert b"root:" not in said
        assert int(said.split()[1]) in (200, 400, 403, 404, 422)


@pytest.mark.parametrize("name", ["..", ".", "a/b", "a b"])
def test_a_name_that_is_a_path_is_refused(api, tmp_path, name):
    wanted = {"path": str(hostile.sae(tmp_path)), "id": name}
    assert refused(api.post("/api/saes/import", json=wanted))["code"] == "VALIDATION_ERROR"
    for repository in (f"{name}/{name}", f"a/../{name}", "/etc/passwd"):
        assert refused(api.post("/api/models", json={"repo_id": repository}))["code"] == "VALIDATION_ERROR"


class Streaming:
    """Somebody else's answer, meanwhile."""

    def __init__(self, stack):
        self._chunks = stack.client.completions.create(
            model=MODEL, prompt="The sea is", max_tokens=4000, stream=True, extra_body={"ignore_eos": True}
        )

    def gap(self):
        """Seconds to the next token."""
        begun = time.monotonic()
        next(iter(self._chunks))
        return time.monotonic() - begun

    def __enter__(self):
        self.gap()
        return self

    def __exit__(self, *_):
        self._chunks.close()


def nested(levels):
    schema = {"type": "string"}
    for _ in range(levels):
        schema = {"type": "object", "properties": {"a": schema}, "required": ["a"], "additionalProperties": False}
    return schema


def asking(**fields):
    return json.dumps({"model": MODEL, "messages": [{"role": "user", "content": "Hi"}], "max_tokens": 4, **fields})


def format_of(schema):
    return {"type": "json_schema", "json_schema": {"name": "x", "schema": schema, "strict": True}}


BODIES = {
    "deep": lambda: "[" * 500_000 + "]" * 500_000,
    "wide": lambda: json.dumps({f"k{n}": 0 for n in range(200_000)}),
    "a long number": lambda: asking(seed=0).replace('"seed": 0', f'"seed": {"9" * 1_000_000}'),
    "too long": lambda: json.dumps("x" * 34_000_000),
    "a long message": lambda: asking(messages=[{"role": "user", "content": "sea " * 2_000_000}]),
    "a deep schema": lambda: asking(response_format=format_of(nested(300))),
    "a wide schema": lambda: asking(response_format=format_of({"enum": [f"word {n}" for n in range(100_000)]})),
    "many stops": lambda: asking(stop=["x"] * 100_000),
    "many biases": lambda: asking(logit_bias={str(n): 1 for n in range(100_000)}),
}


@pytest.mark.parametrize("name", BODIES)
def test_a_body_that_is_made_to_hurt_costs_its_sender_an_answer_and_nobody_else_time(stack, api, name):
    headers = {"content-type": "application/json"}
    gaps = []
    with ThreadPoolExecutor(1) as pool, Streaming(stack) as stream:
        asked = pool.submit(api.post, "/v1/chat/completions", content=BODIES[name](), headers=headers)
        while not asked.done():
            gaps.append(stream.gap())
        gaps.append(stream.gap())
    assert asked.result().status_code in (400, 413), asked.result().text[:300]
    assert max(gaps) < 3
