"""The rules of the OpenAI API, through the official Python client against the real stack."""

from __future__ import annotations

import base64
import json
import struct
import time

import httpx
import openai
import pytest
import torch
from pydantic import BaseModel
from transformers import AutoModelForCausalLM, AutoTokenizer

from tests.stack.conftest import MODEL

pytestmark = pytest.mark.demo
QUESTION = [{"role": "user", "content": "What is the capital of France?"}]
WEATHER = {
    "type": "function",
    "function": {
        "name": "weather",
        "parameters": {"type": "object", "properties": {"metric": {"type": "boolean"}}, "required": ["metric"]},
    },
}
GREEDY = {"model": MODEL, "temperature": 0}


def chat(client, **options):
    return client.chat.completions.create(**{**GREEDY, "messages": QUESTION, "max_tokens": 12, **options})


def complete(client, prompt, **options):
    return client.completions.create(**{**GREEDY, "prompt": prompt, "max_tokens": 8, **options})


@pytest.fixture(scope="session")
def reference(stack):
    """(model, tokenizer): the weights the stack serves, as transformers loads them."""
    folder = next(stack.data_dir.glob("models/converted/*/"))
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    return model, AutoTokenizer.from_pretrained(folder)


def teacher_forced(model, ids):
    with torch.no_grad():
        logits = model(torch.tensor([ids])).logits[0]
    scores = torch.log_softmax(logits.float(), -1)
    return [scores[i, token].item() for i, token in enumerate(ids[1:])]


def test_models_are_listed_and_found_by_an_id_with_a_slash(stack, client):
    assert [m.id for m in client.models.list()] == [MODEL]
    assert client.models.retrieve(MODEL).id == MODEL
    assert httpx.get(f"{stack.base}/v1/models/{MODEL}").json()["id"] == MODEL
    with pytest.raises(openai.NotFoundError) as missing:
        client.models.retrieve("org/nothing")
    assert missing.value.code == "model_not_found"


def test_usage_comes_last_in_a_stream_and_equals_the_whole_answers(client):
    whole = chat(client)
    chunks = list(chat(client, stream=True, stream_options={"include_usage": True}))
    assert chunks[0].choices[0].delta.role == "assistant"
    text = "".join(c.choices[0].delta.content or "" for c in chunks if c.choices)
    assert text == whole.choices[0].message.content
    assert chunks[-1].choices == []
    assert chunks[-1].usage.total_tokens == whole.usage.total_tokens
    assert all(c.usage is None for c in chunks[:-1])
    assert [c.choices[0].finish_reason for c in chunks[:-1] if c.choices[0].finish_reason] == [
        whole.choices[0].finish_reason
    ]


def test_several_choices_start_with_the_first_and_a_seed_repeats_them(client):
    options = {"n": 2, "temperature": 1, "seed": 7}
    one, two = chat(client, **options), chat(client, **options)
    assert [c.index for c in one.choices] == [0, 1]
    assert [c.message.content for c in one.choices] == [c.message.content for c in two.choices]
    assert next(iter(chat(client, stream=True, **options))).choices[0].index == 0


def test_a_stop_string_cuts_the_text_just_before_it(client):
    plain = chat(client).choices[0].message.content
    stopped = chat(client, stop=["Paris"])
    assert stopped.choices[0].message.content == plain.split("Paris")[0]
    assert stopped.choices[0].finish_reason == "stop"
    streamed = chat(client, stop=["Paris"], stream=True)
    assert "".join(c.choices[0].delta.content or "" for c in streamed) == plain.split("Paris")[0]


def test_chat_logprobs_spell_the_content_and_put_the_greedy_token_on_top(client):
    choice = chat(client, logprobs=True, top_logprobs=3).choices[0]
    entries = choice.logprobs.content
    assert b"".join(bytes(e.bytes) for e in entries).decode() == choice.message.content
    for entry in entries:
        assert len(entry.top_logprobs) == 3
        assert (entry.token, entry.logprob) == (entry.top_logprobs[0].token, entry.top_logprobs[0].logprob)


def test_echoed_logprobs_equal_teacher_forcing(client, reference):
    model, tokenizer = reference
    ids = tokenizer("The sea is deep and the sky is blue.")["input_ids"]
    choice = complete(client, [ids], max_tokens=1, echo=True, logprobs=1).choices[0]
    scores = choice.logprobs
    assert len(scores.tokens) == len(scores.token_logprobs) == len(scores.text_offset) == len(ids) + 1
    assert scores.token_logprobs[0] is None
    assert scores.top_logprobs[0] is None
    assert scores.token_logprobs[1:-1] == pytest.approx(teacher_forced(model, ids), abs=1e-3)
    assert scores.token_logprobs[-1] == max(scores.top_logprobs[-1].values())


def test_token_ids_are_fed_as_they_are_and_a_batch_equals_its_parts(client, reference):
    _, tokenizer = reference
    prompts = [tokenizer(text)["input_ids"] for text in ("Once upon a time", "The sky is")]
    batch = complete(client, prompts)
    assert batch.usage.prompt_tokens == sum(map(len, prompts))
    alone = [complete(client, p).choices[0].text for p in prompts]
    assert [c.text for c in sorted(batch.choices, key=lambda c: c.index)] == alone


def test_no_tokens_scores_the_prompt_only(client):
    done = complete(client, "The sky is blue", max_tokens=0, echo=True, logprobs=0)
    assert done.choices[0].text == "The sky is blue"
    assert (done.choices[0].finish_reason, done.usage.completion_tokens) == ("length", 0)
    assert len(done.choices[0].logprobs.tokens) == done.usage.prompt_tokens


def test_embeddings_are_the_same_as_floats_in_base64_alone_and_in_a_batch(client):
    texts = ["The cat sat on the mat.", "Interest rates rose again."]
    batch = client.embeddings.create(model=MODEL, input=texts, encoding_format="float")
    assert [e.index for e in batch.data] == [0, 1]
    alone = client.embeddings.create(model=MODEL, input=texts[0], encoding_format="float").data[0].embedding
    assert batch.data[0].embedding == pytest.approx(alone, abs=1e-3)
    encoded = client.embeddings.with_raw_response.create(model=MODEL, input=texts[0], encoding_format="base64")
    packed = base64.b64decode(json.loads(encoded.text)["data"][0]["embedding"])
    assert struct.unpack(f"<{len(alone)}f", packed) == pytest.approx(alone, abs=1e-3)
    assert sum(x * x for x in alone) == pytest.approx(1, abs=1e-3)


class Verdict(BaseModel):
    good: bool


def test_a_schema_is_kept_and_parsed(client):
    done = client.chat.completions.parse(**GREEDY, messages=QUESTION, max_tokens=40, response_format=Verdict)
    assert isinstance(done.choices[0].message.parsed, Verdict)


@pytest.mark.parametrize("choice", ["required", {"type": "function", "function": {"name": "weather"}}])
def test_a_demanded_tool_is_called_whole_and_streamed(client, choice):
    options = {"tools": [WEATHER], "tool_choice": choice, "max_tokens": 60}
    done = chat(client, **options).choices[0]
    assert done.finish_reason == "tool_calls"
    (call,) = done.message.tool_calls
    assert call.function.name == "weather"
    assert isinstance(json.loads(call.function.arguments)["metric"], bool)
    deltas = [d for c in chat(client, stream=True, **options) if c.choices for d in c.choices[0].delta.tool_calls or []]
    assert [d.function.name for d in deltas if d.function.name] == ["weather"]
    assert len([d.id for d in deltas if d.id]) == 1
    assert {d.index for d in deltas} == {0}
    assert "".join(d.function.arguments or "" for d in deltas) == call.function.arguments


def test_responses_come_whole_and_through_the_stream_helper(client):
    options = {**GREEDY, "input": "What is the capital of France?"}
    whole = client.responses.create(**options, max_output_tokens=100)
    with client.responses.stream(**options, max_output_tokens=100) as stream:
        text = "".join(e.delta for e in stream if e.type == "response.output_text.delta")
        final = stream.get_final_response()
    assert text == final.output_text == whole.output_text
    assert final.usage.output_tokens == whole.usage.output_tokens
    with pytest.raises(openai.BadRequestError) as refused:
        client.responses.create(**options, previous_response_id="resp_1")
    assert refused.value.code == "unsupported_parameter"


@pytest.mark.parametrize(
    ("options", "code", "param"),
    [
        ({"temperature": 3}, "invalid_value", "temperature"),
        ({"max_tokens": "5"}, "invalid_type", "max_tokens"),
        ({"messages": []}, None, "messages"),
        ({"top_logprobs": 2}, None, "top_logprobs"),
        ({"max_tokens": 9000}, "context_length_exceeded", "messages"),
    ],
)
def test_bad_requests_are_400_with_the_field_named(client, options, code, param):
    with pytest.raises(openai.BadRequestError) as refused:
        chat(client, **options)
    assert refused.value.param == param
    assert code in (None, refused.value.code)
    if code == "context_length_exceeded":
        assert "This model's maximum context length is 8192 tokens." in refused.value.message
    assert refused.value.request_id


def test_an_unknown_model_is_404_and_request_ids_are_echoed(client):
    with pytest.raises(openai.NotFoundError) as missing:
        chat(client, model="nobody/nothing")
    assert (missing.value.code, missing.value.param) == ("model_not_found", "model")
    assert chat(client, extra_headers={"x-request-id": "mine-1"})._request_id == "mine-1"


def test_closing_a_stream_frees_its_slot(stack, client):
    def wait_running(count):  # the gateway hears of the queue at intervals
        end = time.monotonic() + 10
        while (running := httpx.get(f"{stack.base}/api/system").json()["data"]["queue"]["running"]) != count:
            assert time.monotonic() < end, f"{running} requests run, not {count}"
            time.sleep(0.05)

    stream = chat(client, max_tokens=4000, stream=True, extra_body={"ignore_eos": True})
    next(iter(stream))
    wait_running(1)
    stream.close()
    wait_running(0)
