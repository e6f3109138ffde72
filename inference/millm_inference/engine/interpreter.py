"""What the engine asks of `interpret/`, and the only thing it knows of it: slots, positions and readings, never an SAE.

`compile` may run on any thread; everything else runs on the engine thread, between or around forward passes.
"""

from __future__ import annotations

from collections.abc import Hashable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Protocol

import torch


@dataclass(frozen=True, slots=True)
class PromptTokens:
    """A prompt as it is fed: `ids [P]`, and per token the chat role it belongs to (None: outside any message).

    `roles` itself is None where the prompt is no chat, or the template's spans cannot be told.
    """

    ids: tuple[int, ...]
    roles: tuple[str | None, ...] | None = None
    special_ids: frozenset[int] = frozenset()


@dataclass(frozen=True, slots=True)
class ForwardBatch:
    """One forward pass over the slots `slot_lo … slot_lo + rows - 1` (row r is slot `slot_lo + r`).

    `token_ids [rows, T]`, `positions [rows, T]` (absolute), `valid [rows, T]` (False: padding, or a row nobody owns:
    it gets no delta and no reading).
    """

    slot_lo: int
    token_ids: torch.Tensor
    positions: torch.Tensor
    valid: torch.Tensor


@dataclass(frozen=True, slots=True)
class BatchShape:
    """What the host knows of a batch before the device is touched: `positions` and `valid` are `[rows][T]`."""

    slot_lo: int
    positions: list[list[int]]
    valid: list[list[bool]]

    @property
    def rows(self) -> int:
        return len(self.positions)

    @property
    def all_valid(self) -> bool:
        return all(all(row) for row in self.valid)


@dataclass(frozen=True, slots=True)
class Reading:
    """Feature values of one slot at one position: parallel `indices` and `values`, in SAE units."""

    slot: int
    position: int
    sae_id: str
    indices: tuple[int, ...]
    values: tuple[float, ...]
    monitor: bool = False  # for whoever watches the server, not for the request


class ForwardTrace(Protocol):
    def readings(self) -> list[Reading]:
        """Readings of the pass just made, by slot then position. One device-to-host copy, made here, after the pass."""
        ...

    @property
    def steered(self) -> dict[int, int]:
        """Slot → number of valid positions at which a steering hook ran for it in this pass."""
        ...


class PreparedPass(Protocol):
    """What one pass will do, decided before the device is touched."""

    @property
    def key(self) -> Hashable:
        """What the hooks' work depends on besides shapes, slots and the batch's tensors. A pass recorded under a key
        does, replayed, what any pass of an equal key would."""
        ...

    def hooked(self, batch: ForwardBatch) -> AbstractContextManager[ForwardTrace]:
        """Hooks in place for exactly the sites that rows of this batch need; gone, whatever happens, on exit."""
        ...

    def replayed(self, recorded: ForwardTrace) -> ForwardTrace:
        """The trace of this pass where `recorded`'s device work was replayed instead of running hooks."""
        ...


class Plan(Protocol):
    """A request's steering and reading, compiled once at submit. Keeps the SAEs it was compiled against alive."""

    @property
    def salt(self) -> str:
        """Names everything that changes the KV cache (SAE contents, hooks, ops, values, scopes); '' when nothing
        does."""
        ...

    @property
    def needs_prompt(self) -> bool:
        """True when every prompt position must be forwarded (prompt readings, conditions with memory)."""
        ...


class Interpreter(Protocol):
    def compile(self, steering: Any, activations: Any, prompt: PromptTokens) -> Plan | None:
        """Validate against what is attached now and compile; None when nothing is asked (the plain model, no hook).

        Raises SidecarError: SAE_NOT_ATTACHED, INVALID_FEATURE_INDEX, VALIDATION_ERROR, SAE_INCOMPATIBLE.
        """
        ...

    def resize(self, slots: int) -> None:
        """The engine's number of slots; called once before any `open`, and again only when no slot is open."""
        ...

    def open(self, slot: int, plan: Plan | None, prompt: PromptTokens) -> None: ...

    def reads(self, slot: int) -> bool:
        """True when the slot's request wants readings, so that the last generated token is fed once more before the
        answer ends."""
        ...

    def watched(self, slot: int) -> bool:
        """True when readings of the slot go to whoever watches the server: the last token is fed once more, but the
        answer does not wait for it."""
        ...

    def fork(self, source: int, target: int) -> None:
        """Give `target` the plan and per-row state of `source` (several choices share one prefill)."""
        ...

    def close(self, slot: int) -> None:
        """Forget the slot; its buffers are zero again. Closing a slot that is not open does nothing."""
        ...

    def prepare(self, shape: BatchShape) -> PreparedPass | None:
        """None when no row of the batch needs a hook: the model runs untouched."""
        ...
