"""The additive steering of every slot at one place: one vector per slot, summed once, read at each step."""

from __future__ import annotations

import torch
from torch import Tensor


class SiteBuffer:
    """`total [slots, d]` in float32 and its copy in the model's dtype; a slot nobody steers here holds zeros."""

    def __init__(self, slots: int, like: Tensor, dtype: torch.dtype) -> None:
        self._total = like.new_zeros(slots, like.shape[-1])
        self._cast = self._total if dtype == like.dtype else self._total.to(dtype)

    def put(self, slot: int, vector: Tensor) -> None:
        self._total[slot] = vector
        self._cast[slot] = vector.to(self._cast.dtype)

    def clear(self, slot: int) -> None:
        self._total[slot] = 0
        self._cast[slot] = 0

    def rows(self, first: int, count: int) -> tuple[Tensor, Tensor]:
        """Views `[count, 1, d]`: what is put later is seen by whoever holds them."""
        rows = slice(first, first + count)
        return self._total[rows].unsqueeze(1), self._cast[rows].unsqueeze(1)
