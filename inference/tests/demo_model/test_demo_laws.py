"""The laws on the real demo model and SAE, through the sidecar's door: what it says equals transformers, and a naive
reference that recomputes everything with plain hooks."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest
import torch

from millm_inference import contract as c
from millm_inference.engine.interpreter import PromptTokens
from tests.demo_model.conftest import MODEL_ID
from tests.interpret.naive import naive_generate

pytestmark = pytest.mark.demo

QUESTIONS = [
    "What is the capital of France?",
    "Write one sentence about the sea.",
    "Name three colours.",
    "Who wrote Hamlet?",
    "Give me a short recipe for pancakes, step by step.",
    "What is 12 times 12?",
    "Hi!",
    "Explain photosynthesis to a child in two sentences, please, and keep it simple.",
]


def ask(base, question, *, tokens=16, steering=None, activations=None, **sampling):
    """→ (token ids, activation entries)."""
    body = {
        "request_id": question,
        "model_id": MODEL_ID,
        "prompt": {"type": "chat", "messages": [{"role": "user", "content": question}]},
        "sampling": {"temperature": 0, "max_tokens": tokens, **sampling},
        "steering": steering,
        "activations": activations,
    }
    ids, entries = [], []
    with httpx.stream("POST", f"{base}/generate", json=body, timeout=300) as answer:
        assert answer.status_code == 200, answer.read()
        for line in answer.iter_lines():
            if line.startswith("data: "):
                event = c.GenerateEvent.model_validate(json.loads(line[6:])).root
                assert not isinstance(event, c.ErrorEvent), event
                entries += getattr(event, "activations", [])
                if isinstance(event, c.DeltaEvent | c.FinishEvent):
                    ids += event.token_ids
    return ids, entries


def together(calls):
    with ThreadPoolExecutor(len(calls)) as pool:
        return [f.result() for f in [pool.submit(call) for call in calls]]


def prompt_ids(tokenizer, question):
    text = tokenizer.apply_chat_template(
        [{"role": "user", "content": question}], add_generation_prompt=True, tokenize=False
    )
    return tokenizer(text, add_special_tokens=False)["input_ids"]


@pytest.fixture(scope="module")
def expected(reference):
    """Greedy `generate` of transformers for every question."""
    model, tokenizer = reference
    answers = []
    for question in QUESTIONS:
        ids = torch.tensor([prompt_ids(tokenizer, question)])
        with torch.inference_mode():
            out = model.generate(ids, attention_mask=torch.ones_like(ids), max_new_tokens=16, do_sample=False)
        answers.append(out[0, ids.shape[1] :].tolist())
    return answers


def test_greedy_equals_generate_alone(server, expected):
    assert [ask(server, q)[0] for q in QUESTIONS[:3]] == expected[:3]


def test_greedy_equals_generate_with_seven_others_in_flight(server, expected):
    assert [ids for ids, _ in together([lambda q=q: ask(server, q) for q in QUESTIONS])] == expected


def feature(index, op="add", **numbers):
    return {"sae_id": "demo", "index": index, "op": op, **numbers}


def spec(*features):
    return {"fingerprint": "test", "features": list(features)}


@pytest.fixture(scope="module")
def firing(server):
    """Three features that fire on the first question's prompt, strongest first, by how often they do."""
    _, entries = ask(server, QUESTIONS[0], activations={"sae_id": "demo", "top_k": 16, "prompt": True})
    counts: dict[int, int] = {}
    for entry in entries[4:]:
        for value in entry.features:
            counts[value.index] = counts.get(value.index, 0) + 1
    return sorted(counts, key=lambda i: -counts[i])[:3]


@pytest.fixture(scope="module")
def specs(firing):
    a, b, d = firing
    return [
        spec(feature(a, strength=40.0)),
        spec(feature(a, "clamp", value=30.0), feature(b, strength=-20.0)),
        spec(feature(a, "clamp_range", min=1.0, max=4.0)),
        spec(feature(a, "multiply", value=3.0), feature(d, "ablate")),
        spec(feature(b, "ablate_direction"), feature(a, "orthogonal", strength=2.0)),
        spec(feature(d, "norm_add", strength=0.3)),
        spec(feature(d, strength=60.0, when={"index": a, "above": 0.5})),
        spec(
            feature(b, strength=50.0, scope={"roles": ["user"]}),
            feature(d, strength=30.0, scope={"phase": "generated", "positions": None}),
        ),
    ]


def test_steering_equals_the_naive_reference_alone_and_among_eight_different_requests(
    server, reference, demo_sae, specs
):
    model, tokenizer = reference
    alone = [ask(server, q, tokens=10, steering=s)[0] for q, s in zip(QUESTIONS, specs, strict=True)]
    mixed = together(
        [lambda q=q, s=s: ask(server, q, tokens=10, steering=s)[0] for q, s in zip(QUESTIONS, specs, strict=True)]
    )
    assert mixed == alone
    for question, steering, got in zip(QUESTIONS, specs, alone, strict=True):
        prompt = with_roles(tokenizer, question)
        want, _ = naive_generate(
            model, prompt, {"demo": demo_sae}, c.SteeringSpec.model_validate(steering), None, 10, frozenset({2})
        )
        assert got == want, (question, steering)


def with_roles(tokenizer, question):
    """The prompt with the user's words marked, found here by character offsets of the one message."""
    text = tokenizer.apply_chat_template(
        [{"role": "user", "content": question}], add_generation_prompt=True, tokenize=False
    )
    begin = text.index(question)
    encoded = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
    roles = tuple(
        "user" if start < begin + len(question) and end > begin else None for start, end in encoded["offset_mapping"]
    )
    return PromptTokens(tuple(encoded["input_ids"]), roles, frozenset(tokenizer.all_special_ids))


def test_activations_equal_the_naive_reference_for_every_token_of_the_answer(server, reference, demo_sae, firing):
    model, tokenizer = reference
    wanted = {"sae_id": "demo", "top_k": 5, "features": firing, "prompt": True}
    ids, entries = ask(server, QUESTIONS[1], tokens=8, activations=wanted)
    _, readings = naive_generate(
        model,
        with_roles(tokenizer, QUESTIONS[1]),
        {"demo": demo_sae},
        None,
        c.ActivationsRequest.model_validate(wanted),
        8,
        frozenset({2}),
    )
    assert [e.position for e in entries] == [r.position for r in readings]
    assert [e.token_id for e in entries][-len(ids) :] == ids
    for entry, reading in zip(entries, readings, strict=True):
        values = {f.index: f.value for f in entry.features}
        for index, value in zip(reading.indices, reading.values, strict=True):
            assert values.get(index, 0.0) == pytest.approx(value, abs=2e-2, rel=2e-3)


def test_strength_zero_is_bit_identical_to_plain(server):
    plain = ask(server, QUESTIONS[0], logprobs=5)
    zero = ask(server, QUESTIONS[0], logprobs=5, steering=spec(feature(3, strength=0.0)))
    assert plain == zero
