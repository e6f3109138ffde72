"""Run-time normalisation of SAE inputs: in, out, and the per-token factor from SAE units back to model space."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, get_args

import torch
from torch import Tensor

Normalization = Literal["none", "constant_norm_rescale", "anthropic_rescale", "layer_norm", "expected_average_only_in"]
NORMALIZATIONS: tuple[str, ...] = get_args(Normalization)

NORM_FLOOR = 1e-6
LAYER_NORM_EPS = 1e-5


@dataclass(frozen=True, slots=True)
class NormState:
    """What `decode` needs from `encode`: `scale [..., 1]` (None: 1) and `mean [..., 1]` (None: 0), per token."""

    scale: Tensor | None = None
    mean: Tensor | None = None


def normalize(x: Tensor, mode: Normalization, scaling_factor: float | None) -> tuple[Tensor, NormState]:
    match mode:
        case "none":
            return x, NormState()
        case "expected_average_only_in":
            assert scaling_factor is not None
            return x * scaling_factor, NormState(scale=torch.full_like(x[..., :1], 1 / scaling_factor))
        case "constant_norm_rescale":
            scale = x.norm(dim=-1, keepdim=True).clamp_min(NORM_FLOOR) / math.sqrt(x.shape[-1])
            return x / scale, NormState(scale=scale)
        case "anthropic_rescale":
            square = x.square().sum(dim=-1, keepdim=True).clamp_min(NORM_FLOOR)
            scale = (square / x.shape[-1]).sqrt()
            return x / scale, NormState(scale=scale)
        case "layer_norm":
            mean = x.mean(dim=-1, keepdim=True)
            # Unbiased, and without the epsilon on the way out: SAELens's asymmetry, kept.
            std = x.std(dim=-1, keepdim=True)
            return (x - mean) / (std + LAYER_NORM_EPS), NormState(scale=std, mean=mean)


def denormalize(y: Tensor, state: NormState) -> Tensor:
    if state.scale is not None:
        y = y * state.scale
    return y if state.mean is None else y + state.mean
