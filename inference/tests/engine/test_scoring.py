"""Log-probabilities of prompt and answer against a teacher-forced forward pass of the same model."""

import pytest
import torch

from millm_inference.engine.sequence import Done, PromptScored
from tests.support.running import engine_for, random_prompt, submit
from tests.support.tiny import tiny_model


def teacher_forced(model, ids):
    with torch.inference_mode():
        scores = model(torch.tensor([ids])).logits[0].float().log_softmax(-1)
    return [float(scores[i, ids[i + 1]]) for i in range(len(ids) - 1)], scores


@pytest.mark.parametrize("length", [1, 2, 15, 16, 17, 100])
def test_prompt_logprobs_equal_teacher_forcing_across_chunks(length):
    model = tiny_model()
    prompt = random_prompt(length, length)
    with engine_for(model, idle_chunk=16) as engine:
        got = submit(engine, prompt, max_tokens=1, prompt_logprobs=2, report_prompt=True, logprobs=1, wait=True)
    scored = got.of(PromptScored)[0].logprobs
    expected, _ = teacher_forced(model, prompt)
    assert scored[0] is None
    assert [s[0] for s in scored[1:]] == pytest.approx(expected, abs=1e-4)
    assert all(len(s[1]) == 2 for s in scored[1:])


def test_scoring_alone_generates_nothing():
    model = tiny_model()
    prompt = random_prompt(20, 4)
    with engine_for(model) as engine:
        got = submit(engine, prompt, max_tokens=0, prompt_logprobs=0, report_prompt=True, wait=True)
    assert got.tokens() == []
    assert got.reason() == "length"
    assert got.of(Done)[0].completion_tokens == 0
    assert len(got.of(PromptScored)[0].logprobs) == 20


def test_a_prefix_in_the_cache_does_not_shorten_the_scores():
    model = tiny_model()
    prompt = random_prompt(60, 8)
    with engine_for(model) as engine:
        submit(engine, prompt, max_tokens=2, wait=True)
        got = submit(engine, prompt, max_tokens=1, prompt_logprobs=0, report_prompt=True, wait=True)
    assert got.of(Done)[0].cached_tokens == 0
    assert [s[0] for s in got.of(PromptScored)[0].logprobs[1:]] == pytest.approx(
        teacher_forced(model, prompt)[0], abs=1e-4
    )


def test_answer_logprobs_equal_teacher_forcing():
    model = tiny_model()
    prompt = random_prompt(10, 6)
    with engine_for(model) as engine:
        got = submit(engine, prompt, max_tokens=12, logprobs=3, wait=True)
    records = [t for e in got.seen if hasattr(e, "tokens") for t in e.tokens]
    expected, _ = teacher_forced(model, prompt + got.tokens())
    assert [r.logprob for r in records] == pytest.approx(expected[len(prompt) - 1 :], abs=1e-4)
    assert all(r.top[0] == (r.token_id, r.logprob) for r in records)


def test_the_head_runs_once_a_sampled_token_however_many_chunks_the_prompt_takes():
    model = tiny_model()
    runs = []
    watching = model.get_output_embeddings().register_forward_hook(lambda *_: runs.append(1))
    try:
        with engine_for(model, idle_chunk=16) as engine:
            got = submit(engine, random_prompt(100, 3), max_tokens=4, wait=True)
    finally:
        watching.remove()
    assert len(got.tokens()) == len(runs) == 4
