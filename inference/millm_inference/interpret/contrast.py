"""Which features tell two sets of texts apart, judged by each text's mean activation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from millm_inference.interpret.hooks import installed
from millm_inference.interpret.places import resolve
from millm_inference.interpret.sae import Sae
from millm_inference.interpret.steering import as_read

MAX_EFFECT = 100.0
"""Cohen's d where the texts of both sets do not vary at all, and so any difference is infinitely many deviations."""
TOKENS_AT_ONCE = 64


@dataclass(frozen=True, slots=True)
class Contrast:
    index: int
    mean_a: float
    mean_b: float
    effect_size: float
    auroc: float


@torch.inference_mode()
def mean_activations(model: Any, sae: Sae, ids: Sequence[int], skip: frozenset[int] = frozenset()) -> Tensor:
    """Mean over the tokens of one text (those in `skip` left out) of every feature, `[n]`; a plain forward pass."""
    assert sae.hook is not None
    place = resolve(model, sae.hook)
    module = model.get_submodule(place.module)
    kept = [position for position, token in enumerate(ids) if token not in skip] or list(range(len(ids)))
    hidden: list[Tensor] = []

    def capture(value: Tensor) -> None:
        hidden.append(as_read(place, module, value.reshape(-1, value.shape[-1]))[kept])

    with installed([(module, place.side, capture)]):
        model(input_ids=torch.tensor([list(ids)], device=model.device), use_cache=False)
    total = torch.zeros(sae.d_sae, dtype=sae.W_enc.dtype, device=sae.W_enc.device)
    for start in range(0, len(kept), TOKENS_AT_ONCE):
        total += sae.encode(hidden[0][start : start + TOKENS_AT_ONCE])[0].sum(dim=0)
    return total / len(kept)


def contrast(a: Sequence[Tensor], b: Sequence[Tensor], limit: int = 20) -> list[Contrast]:
    """`a` and `b` are sets of texts, each text's mean activations `[n]`. The clearest separation first:
    by AUROC's distance from one half, then by effect size. Features silent in both sets are left out.
    """
    left, right = torch.stack(list(a)).double().cpu(), torch.stack(list(b)).double().cpu()
    mean_a, mean_b = left.mean(dim=0), right.mean(dim=0)
    effects, areas = effect_sizes(left, right), auroc(left, right)
    separation = (areas - 0.5).abs()
    heard = ((left != 0).any(dim=0) | (right != 0).any(dim=0)).nonzero().squeeze(1)
    by_effect = heard[effects[heard].abs().argsort(descending=True, stable=True)]
    ranked = by_effect[separation[by_effect].argsort(descending=True, stable=True)][:limit]
    return [
        Contrast(i, float(mean_a[i]), float(mean_b[i]), float(effects[i]), float(areas[i])) for i in ranked.tolist()
    ]


def effect_sizes(a: Tensor, b: Tensor) -> Tensor:
    """Cohen's d with the pooled standard deviation, at most `MAX_EFFECT` in size."""
    degrees = max(len(a) + len(b) - 2, 1)
    squares = (a - a.mean(dim=0)).square().sum(dim=0) + (b - b.mean(dim=0)).square().sum(dim=0)
    difference = a.mean(dim=0) - b.mean(dim=0)
    effect = difference / (squares / degrees).sqrt()
    return torch.nan_to_num(effect, nan=0.0, posinf=MAX_EFFECT, neginf=-MAX_EFFECT).clamp(-MAX_EFFECT, MAX_EFFECT)


def auroc(a: Tensor, b: Tensor) -> Tensor:
    """P(a > b) + P(a = b) / 2 over all pairs, per feature, from the ranks of a's values among b's."""
    values, among = a.T.contiguous(), b.T.contiguous().sort(dim=1).values
    below = torch.searchsorted(among, values, right=False)
    not_above = torch.searchsorted(among, values, right=True)
    return (below + not_above).double().mean(dim=1) / (2 * len(b))
