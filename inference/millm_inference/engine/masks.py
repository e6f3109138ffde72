"""4-D attention masks for rows at different positions, in the form the model's attention wants them.

A mask says which keys `0…span-1` each query may see: `key <= position` (full), and `key > position - window` (sliding).
"""

from __future__ import annotations

import inspect
from dataclasses import dataclass

import torch
from transformers import PreTrainedModel
from transformers.cache_utils import get_layer_types_and_kwargs

from millm_inference.errors import SidecarError

FULL, SLIDING = "full_attention", "sliding_attention"


@dataclass(frozen=True, slots=True)
class MaskPlan:
    """Which masks a model takes: one tensor, or a dict by layer type; boolean for SDPA, additive for eager
    attention."""

    kinds: tuple[str, ...]
    as_dict: bool
    window: int | None
    additive: bool
    dtype: torch.dtype

    def build(self, positions: torch.Tensor, span: int) -> torch.Tensor | dict[str, torch.Tensor]:
        """`positions [rows, T]` → mask(s) `[rows, 1, T, span]`."""
        keys = torch.arange(span, device=positions.device)
        queries = positions[:, None, :, None]
        full = keys <= queries
        masks = {}
        for kind in self.kinds:
            mask = full
            if kind == SLIDING:
                assert self.window is not None
                mask = full & (keys > queries - self.window)
            if self.additive:
                floor = torch.finfo(self.dtype).min
                mask = torch.zeros(mask.shape, dtype=self.dtype, device=mask.device).masked_fill(~mask, floor)
            masks[kind] = mask
        return masks if self.as_dict else masks[self.kinds[0]]


def plan_masks(model: PreTrainedModel) -> MaskPlan:
    """Read the model's layer types; raises MODEL_INCOMPATIBLE for attention the slot cache cannot serve exactly."""
    config = model.config.get_text_config()
    types, options = get_layer_types_and_kwargs(config)
    unknown = sorted(set(types) - {FULL, SLIDING})
    if unknown:
        raise SidecarError(
            "MODEL_INCOMPATIBLE",
            f"This model has {', '.join(unknown)} layers; the engine serves full and sliding-window attention only.",
        )
    base = getattr(model, model.base_model_prefix, model)
    as_dict = "isinstance(causal_mask_mapping := attention_mask, dict)" in inspect.getsource(type(base).forward)
    kinds = tuple(sorted(set(types)))
    if len(kinds) > 1 and not as_dict:
        raise SidecarError(
            "MODEL_INCOMPATIBLE", "This model mixes full and sliding-window layers in a way the engine cannot mask."
        )
    if as_dict and FULL not in kinds:
        kinds = (FULL, *kinds)
    windows = {o["sliding_window"] for o in options if o.get("sliding_window")}
    return MaskPlan(
        kinds=kinds,
        as_dict=as_dict,
        window=windows.pop() if windows else None,
        additive=config._attn_implementation == "eager",
        dtype=model.dtype,
    )
