"""Sampling, vectorised over rows: logits in, one token per row out. Each row's randomness is its own stream.

Order (as in transformers' logits processors): bias, penalties, grammar and minimum-length masks, temperature, top-k,
top-p, min-p. Log-probabilities are of the raw logits, before all of it.
"""

from __future__ import annotations

import random
from collections.abc import Sequence as Seq
from dataclasses import dataclass

import torch

from millm_inference.engine.sampling import SamplingParams

CANDIDATES = 1024
"""top-p and min-p look at this many most likely tokens first, and at the whole vocabulary only where that is too
few."""


@dataclass(slots=True)
class SampleRow:
    """One row's settings and state: its random stream, the tokens that penalties look at, and what may not come
    next."""

    params: SamplingParams
    stream: random.Random
    output_ids: Seq[int]
    prompt_ids: Seq[int]
    banned: Seq[int] = ()
    allowed: torch.Tensor | None = None  # [vocab] bool, a grammar's mask


@dataclass(frozen=True, slots=True)
class Sampled:
    token_id: int
    logprob: float | None = None
    top: tuple[tuple[int, float], ...] = ()


def sample(logits: torch.Tensor, rows: Seq[SampleRow]) -> list[Sampled]:
    """`logits [rows, vocab]` (raw, any float dtype) → one `Sampled` per row."""
    raw = logits.float()
    wanted = [i for i, row in enumerate(rows) if row.params.logprobs is not None]
    scores = torch.log_softmax(raw[wanted], dim=-1) if wanted else None
    tokens = _choose(_adjust(raw, rows), rows)
    results = [Sampled(token) for token in tokens]
    if scores is not None:
        for place, i in enumerate(wanted):
            results[i] = with_logprobs(scores[place], tokens[i], rows[i].params.logprobs or 0)
    return results


def with_logprobs(scores: torch.Tensor, token_id: int, count: int) -> Sampled:
    """`scores [vocab]` log-probabilities → the token's own and the `count` highest, bit-identical where they
    coincide."""
    top: tuple[tuple[int, float], ...] = ()
    if count:
        values, indices = scores.topk(min(count, scores.shape[-1]))
        top = tuple(zip(indices.tolist(), values.tolist(), strict=True))
    return Sampled(token_id, float(scores[token_id]), top)


def _adjust(raw: torch.Tensor, rows: Seq[SampleRow]) -> torch.Tensor:
    changed = [
        i
        for i, row in enumerate(rows)
        if row.params.penalised or row.params.logit_bias or row.banned or row.allowed is not None
    ]
    if not changed:
        return raw
    logits = raw.clone()
    for i in changed:
        _adjust_row(logits[i], rows[i])
    return logits


def _adjust_row(logits: torch.Tensor, row: SampleRow) -> None:
    """In place. Penalties: OpenAI's frequency and presence over the output; Keskar et al. 2019 (CTRL) over
    everything."""
    p, device = row.params, logits.device
    if p.logit_bias:
        ids = torch.tensor(list(p.logit_bias), device=device)
        bias = torch.tensor([float("-inf") if b <= -100 else b for b in p.logit_bias.values()], device=device)
        logits[ids] += bias
    if p.repetition_penalty != 1:
        seen = torch.tensor(sorted({*row.prompt_ids, *row.output_ids}), device=device, dtype=torch.long)
        values = logits[seen]
        logits[seen] = torch.where(values < 0, values * p.repetition_penalty, values / p.repetition_penalty)
    if row.output_ids and (p.frequency_penalty or p.presence_penalty):
        ids, counts = torch.unique(torch.tensor(row.output_ids, device=device), return_counts=True)
        logits[ids] -= p.frequency_penalty * counts + p.presence_penalty
    if row.banned:
        logits[list(row.banned)] = float("-inf")
    if row.allowed is not None:
        allowed = row.allowed.to(device)
        size = allowed.shape[0]
        logits[:size].masked_fill_(~allowed, float("-inf"))
        logits[size:] = float("-inf")


def _choose(logits: torch.Tensor, rows: Seq[SampleRow]) -> list[int]:
    tokens: list[int] = logits.argmax(dim=-1).tolist()
    drawn = [i for i, row in enumerate(rows) if not row.params.greedy]
    if drawn:
        picked = logits[drawn] if len(drawn) < len(rows) else logits
        for i, token in zip(drawn, _draw(picked, [rows[i] for i in drawn]), strict=True):
            tokens[i] = token
    return tokens


def _draw(logits: torch.Tensor, rows: Seq[SampleRow]) -> list[int]:
    """Inverse-CDF sampling with one uniform number per row, so a row's token depends on its own logits and stream
    only."""
    device, vocab = logits.device, logits.shape[-1]
    scaled = logits / torch.tensor([[row.params.temperature] for row in rows], device=device)
    uniform = torch.tensor([[row.stream.random()] for row in rows], device=device, dtype=torch.float64)
    plain = [not (r.params.top_k or r.params.top_p < 1 or r.params.min_p > 0) for r in rows]
    if all(plain):
        return _invert(scaled.softmax(-1), uniform)
    # Narrowed rows are sorted; plain rows keep their vocabulary order, whatever their neighbours ask for.
    tokens = [0] * len(rows)
    open_rows = [i for i, p in enumerate(plain) if p]
    if open_rows:
        for i, token in zip(open_rows, _invert(scaled[open_rows].softmax(-1), uniform[open_rows]), strict=True):
            tokens[i] = token
    narrow = [i for i, p in enumerate(plain) if not p]
    few = [i for i in narrow if _fits(scaled[i], rows[i].params)]
    for group, size in ((few, min(CANDIDATES, vocab)), ([i for i in narrow if i not in set(few)], vocab)):
        if group:
            drawn = _draw_sorted(scaled[group], [rows[i].params for i in group], uniform[group], size)
            for i, token in zip(group, drawn, strict=True):
                tokens[i] = token
    return tokens


def _fits(scaled: torch.Tensor, params: SamplingParams) -> bool:
    """Do the most likely CANDIDATES tokens hold everything that top-k and top-p would keep?"""
    if scaled.shape[-1] <= CANDIDATES or 0 < params.top_k <= CANDIDATES:
        return True
    if params.top_k:
        return False
    best = scaled.topk(CANDIDATES).values
    if params.min_p > 0 and bool((best[-1] - best[0]).exp() < params.min_p):
        return True
    return bool((best.logsumexp(-1) - scaled.logsumexp(-1)).exp() >= params.top_p)


def _draw_sorted(scaled: torch.Tensor, params: Seq[SamplingParams], uniform: torch.Tensor, size: int) -> list[int]:
    device, vocab = scaled.device, scaled.shape[-1]
    values, indices = scaled.topk(size, dim=-1)
    rank = torch.arange(size, device=device)
    top_k = torch.tensor([[p.top_k if p.top_k else vocab] for p in params], device=device)
    top_p = torch.tensor([[p.top_p] for p in params], device=device, dtype=torch.float64)
    min_p = torch.tensor([[p.min_p] for p in params], device=device, dtype=torch.float64)
    kept = rank < top_k
    # top-p counts shares of what top-k left, of everything where it is off
    everything = torch.where(
        top_k < vocab,
        values.masked_fill(~kept, float("-inf")).logsumexp(-1, keepdim=True),
        scaled.logsumexp(-1, keepdim=True),
    )
    probs = (values - everything).double().exp()
    kept &= (probs.cumsum(-1) - probs) < top_p
    kept &= probs >= min_p * probs[:, :1]
    kept[:, 0] = True
    place = _invert(probs.masked_fill(~kept, 0), uniform)
    return [int(indices[i, j]) for i, j in enumerate(place)]


def _invert(weights: torch.Tensor, uniform: torch.Tensor) -> list[int]:
    """`weights [rows, n]` (not normalised), `uniform [rows, 1]` in [0, 1) → index per row with that share below it."""
    cumulative = weights.double().cumsum(-1)
    target = uniform * cumulative[:, -1:]
    found = torch.searchsorted(cumulative, target, right=True)
    last = (weights > 0).long().cumsum(-1).argmax(-1, keepdim=True)  # the last token with any weight
    return torch.minimum(found, last).squeeze(-1).tolist()  # type: ignore[no-any-return]
