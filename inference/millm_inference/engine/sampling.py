"""What a request asks of sampling: plain values, checked by whoever builds them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

import torch

GREEDY_BELOW = 1e-5


class GrammarState(Protocol):
    """Constrained decoding of one choice. Stateful: `accept` every sampled token."""

    def mask(self) -> torch.Tensor:
        """`[vocab]` bool on the CPU: True where the next token is allowed."""
        ...

    def accept(self, token_id: int) -> None: ...

    @property
    def finished(self) -> bool:
        """The text is complete and can only end."""
        ...


class GrammarFactory(Protocol):
    def start(self) -> GrammarState: ...


@dataclass(frozen=True, slots=True)
class SamplingParams:
    """`logprobs`: None = none, 0 = of the sampled token, N = and the N most likely. `top_k` 0 = off."""

    max_tokens: int
    temperature: float = 1.0
    top_p: float = 1.0
    top_k: int = 0
    min_p: float = 0.0
    frequency_penalty: float = 0.0
    presence_penalty: float = 0.0
    repetition_penalty: float = 1.0
    logit_bias: Mapping[int, float] = field(default_factory=dict)
    seed: int | None = None
    min_tokens: int = 0
    stop: tuple[str, ...] = ()
    stop_token_ids: frozenset[int] = frozenset()
    include_stop: bool = False
    ignore_eos: bool = False
    skip_special_tokens: bool = True
    logprobs: int | None = None
    grammar: GrammarFactory | None = None

    @property
    def greedy(self) -> bool:
        return self.temperature < GREEDY_BELOW

    @property
    def penalised(self) -> bool:
        return self.frequency_penalty != 0 or self.presence_penalty != 0 or self.repetition_penalty != 1
