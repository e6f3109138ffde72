"""The sidecar over real HTTP: a tiny model on disk, loaded, generating, cancelled, unloaded."""

from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager

import httpx
import pytest
import uvicorn

from millm_inference import contract as c
from millm_inference.app import create_app
from millm_inference.settings import Settings
from tests.support.running import greedy
from tests.support.tiny import byte_tokenizer, tiny_model

MODEL = "tiny"


@pytest.fixture(scope="session")
def model_dir(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tiny-llama")
    tiny_model("llama").save_pretrained(folder)
    byte_tokenizer().save_pretrained(folder)
    return folder


@asynccontextmanager
async def serving(tmp_path, **options):
    settings = Settings(data_dir=tmp_path, shutdown_grace_s=2, kv_memory_mb=64, **options)
    server = uvicorn.Server(uvicorn.Config(create_app(settings), port=0, log_level="critical"))
    task = asyncio.create_task(server.serve())
    while not server.started:
        await asyncio.sleep(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=60) as client:
        yield client
    server.should_exit = True
    await task


@pytest.fixture
async def client(tmp_path, model_dir):
    async with serving(tmp_path) as client:
        answer = await client.post("/models/load", json={"model_id": MODEL, "path": str(model_dir)})
        assert answer.status_code == 200, answer.text
        yield client


def request(**changes):
    return {
        "request_id": "r1",
        "model_id": MODEL,
        "prompt": {"type": "text", "text": "Hello"},
        "sampling": {"temperature": 0, "max_tokens": 8, "ignore_eos": True},
        **changes,
    }


async def events(client, body):
    found = []
    async with client.stream("POST", "/generate", json=body) as answer:
        assert answer.status_code == 200, await answer.aread()
        async for line in answer.aiter_lines():
            if line.startswith("data: "):
                found.append(c.GenerateEvent.model_validate(json.loads(line[6:])).root)
    return found


async def test_a_stream_begins_accepted_ends_done_and_says_what_the_model_says(client):
    found = await events(client, request())
    assert [type(found[0]), type(found[-1])] == [c.AcceptedEvent, c.DoneEvent]
    ids = [i for e in found if isinstance(e, c.DeltaEvent | c.FinishEvent) for i in e.token_ids]
    prompt = [b + 3 for b in ()] or byte_tokenizer()("Hello")["input_ids"]
    assert ids == greedy(tiny_model(), prompt, 8)
    assert found[-1].prompt_tokens == 5
    assert found[-1].completion_tokens == 8


async def test_forty_requests_at_once_all_end_and_every_slot_is_free_again(client):
    bodies = [request(prompt={"type": "text", "text": "x" * (i + 1)}, request_id="same") for i in range(40)]
    for found in await asyncio.gather(*(events(client, body) for body in bodies)):
        assert isinstance(found[-1], c.DoneEvent)
    state = c.RuntimeState.model_validate((await client.get("/state")).json())
    assert state.queue.slots_free == state.queue.slots_total
    assert state.counters.requests == 40


async def test_a_client_that_leaves_frees_its_slot(client):
    body = request(sampling={"temperature": 0, "max_tokens": 400, "ignore_eos": True})
    async with client.stream("POST", "/generate", json=body) as answer:
        async for _ in answer.aiter_lines():
            break
    for _ in range(200):
        queue = (await client.get("/state")).json()["queue"]
        if queue["slots_free"] == queue["slots_total"]:
            break
        await asyncio.sleep(0.01)
    assert queue["slots_free"] == queue["slots_total"]
    assert (await client.get("/state")).json()["counters"]["aborted"] == 1


@pytest.mark.parametrize(
    ("changes", "code", "param"),
    [
        ({"model_id": "other"}, "MODEL_NOT_LOADED", "model"),
        ({"sampling": {"max_tokens": 600}}, "CONTEXT_LENGTH_EXCEEDED", "prompt"),
        ({"sampling": {"logit_bias": {"999": 1}}}, "VALIDATION_ERROR", "logit_bias"),
        ({"prompt": {"type": "text", "text": ""}}, "VALIDATION_ERROR", "prompt"),
        ({"surprise": 1}, "VALIDATION_ERROR", "surprise"),
        (
            {"steering": {"fingerprint": "f", "features": [{"sae_id": "x", "index": 0, "op": "add", "strength": 1}]}},
            "SAE_NOT_ATTACHED",
            "steering.features[0].sae_id",
        ),
    ],
)
async def test_a_bad_request_is_a_json_error_before_any_event(client, changes, code, param):
    answer = await client.post("/generate", json=request(**changes))
    assert answer.headers["content-type"] == "application/json"
    body = c.ErrorBody.model_validate(answer.json())
    assert (body.code, body.param) == (code, param)


async def test_json_schema_output_is_json_of_that_schema(client):
    schema = {
        "type": "object",
        "properties": {"n": {"type": "integer", "minimum": 0, "maximum": 9}, "w": {"enum": ["a", "b"]}},
        "required": ["n", "w"],
        "additionalProperties": False,
    }
    body = request(
        grammar={"kind": "json_schema", "value": json.dumps(schema)},
        sampling={"temperature": 1, "seed": 1, "max_tokens": 60},
    )
    found = await events(client, body)
    text = "".join(e.text for e in found if isinstance(e, c.DeltaEvent | c.FinishEvent))
    assert set(json.loads(text)) == {"n", "w"}
    assert next(e.finish_reason for e in found if isinstance(e, c.FinishEvent)) == "stop"


async def test_a_schema_that_cannot_be_enforced_is_refused(client):
    answer = await client.post("/generate", json=request(grammar={"kind": "json_schema", "value": '{"type": "strin"}'}))
    assert answer.json()["code"] in ("UNSUPPORTED_VALUE", "VALIDATION_ERROR")


async def test_embeddings_are_the_same_alone_and_together(client):
    texts = [{"text": "a"}, {"text": "a much longer text than the other"}, {"token_ids": [5, 6, 7]}]
    together = (await client.post("/embeddings", json={"model_id": MODEL, "inputs": texts})).json()["vectors"]
    for text, vector in zip(texts, together, strict=True):
        alone = (await client.post("/embeddings", json={"model_id": MODEL, "inputs": [text]})).json()["vectors"][0]
        assert alone == pytest.approx(vector, abs=1e-5)
        assert sum(x * x for x in vector) == pytest.approx(1, abs=1e-5)


async def test_tokens_round_trip(client):
    prompt = {"type": "text", "text": "Grüße 🙂"}
    ids = (await client.post("/tokenize", json={"model_id": MODEL, "prompt": prompt})).json()["token_ids"]
    assert (await client.post("/detokenize", json={"model_id": MODEL, "token_ids": ids})).json()["text"] == "Grüße 🙂"


async def test_load_is_idempotent_and_unload_leaves_nothing(client, model_dir):
    again = await client.post("/models/load", json={"model_id": MODEL, "path": str(model_dir)})
    assert again.json()["dtype"] == "float32"
    state = (await client.post("/models/unload")).json()
    assert state["model"] is None
    assert (await client.post("/generate", json=request())).json()["code"] == "MODEL_NOT_LOADED"


async def test_what_is_no_model_is_refused_with_the_reason(client, tmp_path):
    answer = await client.post("/models/load", json={"model_id": "x", "path": str(tmp_path)})
    assert answer.status_code == 404
    assert "no config.json" in answer.json()["message"]
    (tmp_path / "broken.gguf").write_bytes(b"GGUFnonsense")
    answer = await client.post("/models/load", json={"model_id": "x", "path": str(tmp_path / "broken.gguf")})
    assert answer.json()["code"] == "MODEL_INCOMPATIBLE"


async def test_a_model_the_engine_cannot_serve_exactly_is_refused_at_load(client, tmp_path):
    from transformers import BloomConfig, BloomForCausalLM

    BloomForCausalLM(BloomConfig(vocab_size=320, hidden_size=32, n_layer=2, n_head=4)).save_pretrained(
        tmp_path / "bloom"
    )
    byte_tokenizer().save_pretrained(tmp_path / "bloom")
    answer = await client.post("/models/load", json={"model_id": "bloom", "path": str(tmp_path / "bloom")})
    assert answer.json()["code"] == "MODEL_INCOMPATIBLE"
