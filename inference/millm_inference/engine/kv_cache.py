"""Slot KV cache: a `transformers` Cache whose layers hold `[slots, kv_heads, capacity, head_dim]`.

A forward pass covers a contiguous range of slots; every row writes its keys and values at its own positions and reads a
view of the same buffer, so decoding copies no KV. Knows nothing of sequences: callers say which rows and positions.
"""

from __future__ import annotations

import math
import mmap
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from transformers.cache_utils import Cache, CacheLayerMixin

PRIVATE = {"flags": mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS} if hasattr(mmap, "MAP_ANONYMOUS") else {}


@dataclass(slots=True)
class CacheWindow:
    """Where the current forward pass reads and writes. `rows` index slots lo…hi-1, `span` bounds the keys attended
    to."""

    lo: int = 0
    hi: int = 0
    span: int = 0
    start: int = 0  # used when one row writes consecutive positions
    length: int = 0
    row_index: torch.Tensor | None = None  # [rows, 1] for scattered writes (decode), else None
    positions: torch.Tensor | None = None  # [rows, T]


class SlotLayer(CacheLayerMixin):  # type: ignore[misc]
    """One layer's keys and values. `update` returns views `[rows, kv_heads, span, head_dim]`."""

    is_sliding = False

    def __init__(self, window: CacheWindow) -> None:
        super().__init__()
        self.window = window
        self.slots = 0
        self.capacity = 0

    def lazy_initialization(self, key_states: torch.Tensor, value_states: torch.Tensor) -> None:
        def empty(like: torch.Tensor) -> torch.Tensor:
            return untouched((self.slots, like.shape[1], self.capacity, like.shape[3]), like)

        self.keys, self.values = empty(key_states), empty(value_states)
        self.is_initialized = True

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, *_: object, **__: object
    ) -> tuple[torch.Tensor, torch.Tensor]:
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        w = self.window
        if w.row_index is None:
            self.keys[w.lo, :, w.start : w.start + w.length] = key_states[0]
            self.values[w.lo, :, w.start : w.start + w.length] = value_states[0]
        else:
            keys, values = self.keys[w.lo : w.hi], self.values[w.lo : w.hi]
            # index_put over (row, position): [rows, T, kv_heads, head_dim]
            keys.transpose(1, 2)[w.row_index, w.positions] = key_states.transpose(1, 2)
            values.transpose(1, 2)[w.row_index, w.positions] = value_states.transpose(1, 2)
        return self.keys[w.lo : w.hi, :, : w.span], self.values[w.lo : w.hi, :, : w.span]

    def resize(self, slots: int, capacity: int, held: Sequence[int]) -> None:
        if self.is_initialized:
            for name in ("keys", "values"):
                old: torch.Tensor = getattr(self, name)
                new = untouched((slots, old.shape[1], capacity, old.shape[3]), old)
                # of the tensor itself: memory may have run out between the two
                for row, length in enumerate(held[: min(slots, old.shape[0])]):
                    keep = min(length, capacity, old.shape[2])
                    new[row, :, :keep] = old[row, :, :keep]
                setattr(self, name, new)
        self.slots, self.capacity = slots, capacity

    def copy(self, source: int, target: int, length: int) -> None:
        self.keys[target, :, :length] = self.keys[source, :, :length]
        self.values[target, :, :length] = self.values[source, :, :length]

    # What transformers' mask helpers would ask; the engine hands them finished 4-D masks, so only shapes matter.
    def get_seq_length(self) -> int:
        return self.window.start

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
        return self.window.span, 0

    def get_max_length(self) -> int:
        return -1


def untouched(shape: tuple[int, ...], like: torch.Tensor) -> torch.Tensor:
    """Zeros of `like`'s dtype and device. On a CPU they are pages of the system's own, which take memory and time when
    they are first written to, and go back to it whole."""
    count = math.prod(shape)
    if like.device.type != "cpu" or count == 0:
        return torch.zeros(shape, dtype=like.dtype, device=like.device)
    pages = mmap.mmap(-1, count * like.element_size(), **PRIVATE)
    return torch.frombuffer(pages, dtype=like.dtype, count=count).view(shape)


class SlotCache(Cache):  # type: ignore[misc]
    def __init__(self, layers: int) -> None:
        self.window = CacheWindow()
        super().__init__(layers=[SlotLayer(self.window) for _ in range(layers)])
        self.slots = 0
        self.capacity = 0
        self.generation = 0  # another number, other memory
        self._written: list[int] = []  # of each row, the positions that a pass or a copy has written to

    def resize(self, slots: int, capacity: int, held: Sequence[int] = ()) -> None:
        """Room for `slots` rows of `capacity` positions. Of row r the first `held[r]` positions stay, as far as they
        fit; nothing else is copied or even touched, so that growing stalls nobody for long."""
        if (slots, capacity) == (self.slots, self.capacity):
            return
        self.slots = self.capacity = 0  # until all have it: memory may run out half-way
        self.generation += 1
        for layer in self.layers:
            layer.resize(slots, capacity, held)
        self.slots, self.capacity = slots, capacity
        self._written = [min(length, capacity) for length in (*held, *[0] * slots)][:slots]

    def copy(self, source: int, target: int, length: int) -> None:
        """Copy the first `length` positions of one slot to another."""
        self.touch(target, [length - 1])
        for layer in self.layers:
            layer.copy(source, target, length)

    def touch(self, lo: int, positions: Sequence[int]) -> None:
        """The rows lo, lo+1, … are about to be written, each up to its position."""
        for row, position in enumerate(positions, lo):
            self._written[row] = max(self._written[row], position + 1)

    def open_run(self, slot: int, start: int, length: int, span: int) -> None:
        """The next pass writes `length` consecutive positions of one slot."""
        self.touch(slot, [start + length - 1])
        w = self.window
        w.lo, w.hi, w.span, w.start, w.length = slot, slot + 1, span, start, length
        w.row_index = w.positions = None

    def open_rows(self, lo: int, positions: torch.Tensor, span: int) -> None:
        """The next pass writes one position per row: `positions [rows, T]` for slots lo…lo+rows-1."""
        w = self.window
        rows = positions.shape[0]
        w.lo, w.hi, w.span, w.start, w.length = lo, lo + rows, span, 0, positions.shape[1]
        w.row_index = torch.arange(rows, device=positions.device)[:, None]
        w.positions = positions

    @property
    def reserved_bytes(self) -> int:
        """Of the whole rectangle, also half-way through a resize; 0 before the first pass."""
        return sum(tensor.nbytes for tensor in self._tensors())

    @property
    def memory_bytes(self) -> int:
        """What is in memory: on a CPU, only what was written to."""
        if any(tensor.device.type != "cpu" for tensor in self._tensors()):
            return self.reserved_bytes
        positions = sum(self._written)
        return sum(positions * tensor.shape[1] * tensor.shape[3] * tensor.element_size() for tensor in self._tensors())

    def _tensors(self) -> list[torch.Tensor]:
        return [tensor for layer in self.layers if layer.is_initialized for tensor in (layer.keys, layer.values)]
