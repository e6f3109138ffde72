"""Sampling against the formulas written out, and its distribution against the probabilities it should have."""

import random

import pytest
import torch

from millm_inference.engine import sampler
from millm_inference.engine.sampler import SampleRow, sample
from millm_inference.engine.sampling import SamplingParams


def row(*, output=(), prompt=(), seed=0, banned=(), allowed=None, **params):
    return SampleRow(
        SamplingParams(max_tokens=1, **params), random.Random(seed), list(output), list(prompt), banned, allowed
    )


def draw_many(logits, n=4000, **params):
    """Frequencies over the vocabulary of `n` draws, each with its own stream."""
    rows = [row(seed=i, **params) for i in range(n)]
    tokens = [s.token_id for s in sample(logits.expand(n, -1), rows)]
    return torch.bincount(torch.tensor(tokens), minlength=logits.shape[-1]) / n


LOGITS = torch.tensor([2.0, 1.0, 0.5, 0.0, -1.0, -3.0])


@pytest.mark.parametrize(
    ("params", "expected"),
    [
        ({}, LOGITS.softmax(-1)),
        ({"temperature": 0.5}, (LOGITS / 0.5).softmax(-1)),
        ({"top_k": 2}, torch.tensor([0.7311, 0.2689, 0, 0, 0, 0])),
        ({"top_p": 0.5}, torch.tensor([1.0, 0, 0, 0, 0, 0])),
        ({"top_p": 0.8}, torch.tensor([0.6285, 0.2312, 0.1402, 0, 0, 0])),
        ({"min_p": 0.3}, torch.tensor([0.7311, 0.2689, 0, 0, 0, 0])),
        ({"top_k": 3, "top_p": 0.7}, torch.tensor([0.7311, 0.2689, 0, 0, 0, 0])),
    ],
)
def test_drawn_frequencies_are_the_probabilities(params, expected):
    assert torch.allclose(draw_many(LOGITS, **{"temperature": 1.0, **params}), expected, atol=0.03)


def test_top_p_over_a_large_vocabulary_agrees_with_sorting_everything(monkeypatch):
    torch.manual_seed(0)
    logits = torch.randn(16, 5000) * 2
    rows = lambda: [row(seed=i, temperature=1.0, top_p=0.1 + 0.05 * i) for i in range(16)]  # noqa: E731
    fast = [s.token_id for s in sample(logits, rows())]
    monkeypatch.setattr(sampler, "CANDIDATES", 5000)
    assert [s.token_id for s in sample(logits, rows())] == fast


def test_a_row_draws_the_same_alone_and_among_rows_with_other_settings():
    torch.manual_seed(1)
    logits = torch.randn(6, 3000)
    settings = [
        {"temperature": 1.0},
        {"temperature": 0.7, "top_p": 0.9},
        {"temperature": 0.0},
        {"temperature": 1.5, "top_k": 40},
        {"temperature": 1.0, "min_p": 0.1},
        {"temperature": 1.0, "top_p": 0.999},
    ]
    together = sample(logits, [row(seed=i, **s) for i, s in enumerate(settings)])
    alone = [sample(logits[i : i + 1], [row(seed=i, **s)])[0] for i, s in enumerate(settings)]
    assert together == alone


def test_penalties_are_openais_and_ctrls():
    logits = torch.tensor([[1.0, 0.9, -0.5, 0.0]])
    adjusted = sampler._adjust(
        logits, [row(output=[0, 0, 2], prompt=[1], frequency_penalty=0.5, presence_penalty=0.25)]
    )
    assert torch.allclose(adjusted, torch.tensor([[1.0 - 1.0 - 0.25, 0.9, -0.5 - 0.5 - 0.25, 0.0]]))
    repeated = sampler._adjust(logits, [row(output=[2], prompt=[1], repetition_penalty=2.0)])
    assert torch.allclose(repeated, torch.tensor([[1.0, 0.45, -1.0, 0.0]]))


def test_bias_bans_and_masks_bind_greedy_rows_too():
    logits = torch.tensor([[3.0, 2.0, 1.0, 0.0]] * 4)
    rows = [
        row(temperature=0.0, logit_bias={0: -100}),
        row(temperature=0.0, logit_bias={3: 10.0}),
        row(temperature=0.0, banned=[0, 1]),
        row(temperature=0.0, allowed=torch.tensor([False, False, False, True])),
    ]
    assert [s.token_id for s in sample(logits, rows)] == [1, 3, 2, 3]


def test_logprobs_are_of_the_raw_logits_and_identical_where_they_coincide():
    torch.manual_seed(2)
    logits = torch.randn(1, 100) * 4
    result = sample(logits, [row(temperature=0.0, logit_bias={7: 100.0}, logprobs=5)])[0]
    raw = logits[0].log_softmax(-1)
    assert result.token_id == 7
    assert result.logprob == float(raw[7])
    assert [v for _, v in result.top] == sorted((float(v) for v in raw), reverse=True)[:5]
    plain = sample(logits, [row(temperature=0.0, logprobs=3)])[0]
    assert dict(plain.top)[plain.token_id] == plain.logprob


def test_a_draw_never_lands_on_an_impossible_token():
    logits = torch.full((1, 50), float("-inf"))
    logits[0, 17] = 0.0
    for value in (0.0, 0.5, 0.9999999999999999):
        fixed = row(temperature=1.0)
        fixed.stream = type("Fixed", (), {"random": lambda self, v=value: v})()
        assert sample(logits, [fixed])[0].token_id == 17
