"""LangChain's and LiteLLM's OpenAI adapters: a stream, a tool call, embeddings, an error they recognise."""

from __future__ import annotations

import json

import litellm
import pytest
from langchain_core.messages import HumanMessage
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI, OpenAIEmbeddings

QUESTION = "What is the capital of France?"
TEXTS = ["The cat sat on the mat.", "Interest rates rose again."]
WEATHER = {
    "type": "function",
    "function": {
        "name": "weather",
        "description": "The weather in a city.",
        "parameters": {"type": "object", "properties": {"metric": {"type": "boolean"}}, "required": ["metric"]},
    },
}


@tool
def weather(metric: bool) -> str:
    """The weather here."""
    return f"20 degrees, metric: {metric}"


@pytest.fixture
def langchain(base, model):
    return ChatOpenAI(
        base_url=f"{base}/v1",
        api_key="unused",
        model=model,
        temperature=0,
        max_tokens=60,
        max_retries=0,
        stream_usage=True,
    )


@pytest.fixture
def lite(base, model):
    return {
        "model": f"openai/{model}",
        "api_base": f"{base}/v1",
        "api_key": "unused",
        "temperature": 0,
        "max_retries": 0,
    }


def test_langchain_streams_what_it_gets_whole(langchain):
    chunks = list(langchain.stream(QUESTION))
    whole = langchain.invoke(QUESTION)
    assert len([c for c in chunks if c.content]) > 1
    assert "".join(c.content for c in chunks) == whole.content
    assert "Paris" in whole.content
    added = chunks[0]
    for chunk in chunks[1:]:
        added = added + chunk
    assert added.usage_metadata["total_tokens"] == whole.usage_metadata["total_tokens"]


@pytest.mark.parametrize("choice", ["weather", "required"])
def test_langchain_calls_a_tool(langchain, choice):
    bound = langchain.bind_tools([weather], tool_choice=choice, parallel_tool_calls=False)
    (call,) = bound.invoke("Is it warm?").tool_calls
    assert call["name"] == "weather"
    assert weather.invoke(call["args"]).startswith("20 degrees")
    streamed = None
    for chunk in bound.stream("Is it warm?"):
        streamed = chunk if streamed is None else streamed + chunk
    assert [(c["name"], c["args"]) for c in streamed.tool_calls] == [("weather", call["args"])]


def test_langchain_continues_after_a_tools_answer(langchain):
    bound = langchain.bind_tools([weather], tool_choice="weather")
    asked = bound.invoke("Is it warm?")
    answer = langchain.bind_tools([weather]).invoke(
        [HumanMessage("Is it warm?"), asked, weather.invoke(asked.tool_calls[0])]
    )
    assert answer.content or answer.tool_calls


def test_langchain_parses_what_a_schema_forces(langchain):
    schema = {"title": "verdict", "type": "object", "properties": {"good": {"type": "boolean"}}, "required": ["good"]}
    verdict = langchain.with_structured_output(schema, method="json_schema").invoke("Is water wet?")
    assert isinstance(verdict["good"], bool)


def test_langchain_embeds_texts_and_tokens(base, model, weights):
    options = {"base_url": f"{base}/v1", "api_key": "unused", "model": model, "max_retries": 0}
    vectors = OpenAIEmbeddings(check_embedding_ctx_length=False, **options).embed_documents(TEXTS)
    assert len(vectors) == 2
    assert len(vectors[0]) == 576
    # Its other way: cut into pieces of tokens with the model's tokenizer first.
    cut = OpenAIEmbeddings(tiktoken_enabled=False, tiktoken_model_name=str(weights), **options)
    assert cut.embed_query(TEXTS[0]) == pytest.approx(vectors[0], abs=1e-3)


def test_litellm_streams_what_it_gets_whole(lite):
    messages = [{"role": "user", "content": QUESTION}]
    whole = litellm.completion(messages=messages, max_tokens=30, **lite)
    options = {"stream": True, "stream_options": {"include_usage": True}}
    chunks = list(litellm.completion(messages=messages, max_tokens=30, **options, **lite))
    text = "".join(c.choices[0].delta.content or "" for c in chunks if c.choices)
    assert text == whole.choices[0].message.content
    assert "Paris" in text
    assert [c.choices[0].finish_reason for c in chunks if c.choices and c.choices[0].finish_reason] == ["stop"]
    assert chunks[-1].usage.total_tokens == whole.usage.total_tokens


def test_litellm_calls_a_tool(lite):
    ask = {
        "messages": [{"role": "user", "content": "Is it warm?"}],
        "tools": [WEATHER],
        "tool_choice": {"type": "function", "function": {"name": "weather"}},
        "max_tokens": 60,
        **lite,
    }
    (call,) = litellm.completion(**ask).choices[0].message.tool_calls
    assert call.function.name == "weather"
    assert isinstance(json.loads(call.function.arguments)["metric"], bool)
    rebuilt = litellm.stream_chunk_builder(list(litellm.completion(stream=True, **ask)))
    (streamed,) = rebuilt.choices[0].message.tool_calls
    assert (streamed.function.name, streamed.function.arguments) == (call.function.name, call.function.arguments)


def test_litellm_embeds(lite):
    answer = litellm.embedding(input=TEXTS, **{k: v for k, v in lite.items() if k != "temperature"})
    assert [item["index"] for item in answer.data] == [0, 1]
    assert {len(item["embedding"]) for item in answer.data} == {576}


def test_litellm_recognises_a_context_overflow_and_an_unknown_model(lite):
    messages = [{"role": "user", "content": QUESTION}]
    with pytest.raises(litellm.ContextWindowExceededError):
        litellm.completion(messages=messages, max_tokens=90_000, **lite)
    with pytest.raises(litellm.NotFoundError):
        litellm.completion(messages=messages, **{**lite, "model": "openai/nobody/nothing"})
