"""A request and its choices as the engine sees them: token ids, where they stand, and where their events go. No
tensors."""

from __future__ import annotations

import itertools
import os
import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum, auto

from millm_inference.engine.interpreter import Plan, PromptTokens, Reading
from millm_inference.engine.sampling import GrammarState, SamplingParams
from millm_inference.engine.text_output import TextOutput, TokenRecord
from millm_inference.errors import SidecarError


class State(Enum):
    WAITING = auto()
    PREFILL = auto()
    DECODE = auto()
    LAST_READ = auto()  # its text is complete; the last token is fed once more because somebody reads its activations
    FINISHED = auto()


@dataclass(frozen=True, slots=True)
class PromptScored:
    """The prompt went through: log-probabilities `[P]` (None for the first token) and readings, where asked for."""

    logprobs: list[tuple[float, tuple[tuple[int, float], ...]] | None]
    readings: list[Reading]


@dataclass(frozen=True, slots=True)
class Delta:
    index: int
    text: str
    tokens: list[TokenRecord]
    readings: list[Reading]


@dataclass(frozen=True, slots=True)
class Finish:
    index: int
    reason: str
    stop_reason: str | int | None
    text: str
    tokens: list[TokenRecord]
    readings: list[Reading]
    completion_tokens: int


@dataclass(frozen=True, slots=True)
class Done:
    prompt_tokens: int
    completion_tokens: int
    cached_tokens: int
    steered_positions: int
    queue_s: float
    prefill_s: float
    decode_s: float


@dataclass(frozen=True, slots=True)
class Failed:
    error: SidecarError


Event = PromptScored | Delta | Finish | Done | Failed
Outbox = Callable[[Event], None]
_arrivals = itertools.count()


@dataclass(eq=False)
class Request:
    """One prompt, one or more choices. `deadline` is on the monotonic clock."""

    id: str
    prompt: PromptTokens
    sampling: SamplingParams
    outbox: Outbox
    plan: Plan | None = None
    n: int = 1
    prompt_logprobs: int | None = None
    report_prompt: bool = False
    deadline: float | None = None
    arrival: int = field(default_factory=lambda: next(_arrivals))
    submitted: float = field(default_factory=time.monotonic)
    started: float | None = None
    prefilled: float | None = None
    cached_tokens: int = 0
    steered_positions: int = 0
    cancelled: bool = False
    sequences: list[Sequence] = field(default_factory=list)

    @property
    def salt(self) -> str:
        return self.plan.salt if self.plan else ""

    @property
    def needs_prompt(self) -> bool:
        """Every prompt position must be forwarded, so nothing of it can come from a prefix."""
        return self.prompt_logprobs is not None or (self.plan is not None and self.plan.needs_prompt)

    @property
    def finished(self) -> bool:
        return all(s.state is State.FINISHED for s in self.sequences)

    @property
    def answered(self) -> bool:
        """Everything was said. One of its choices may still be read, for whoever watches the server."""
        return all(s.told for s in self.sequences)

    def let_go(self) -> None:
        """It ended. A request and its choices refer to each other, so the garbage collector finds them late, and until
        then a plan would keep its SAEs, megabytes each, that were detached long ago."""
        self.plan = None


@dataclass(eq=False)
class Sequence:
    """One choice. `tokens` is prompt + generated; `computed` of them have their keys and values in `slot`."""

    request: Request
    index: int
    output: TextOutput
    tokens: list[int]
    stream: random.Random
    grammar: GrammarState | None = None
    state: State = State.WAITING
    slot: int | None = None
    computed: int = 0
    watched: dict[str, int] = field(default_factory=dict)  # SAE → the highest position handed to watchers of the server
    reported: int = -1  # the highest position whose reading was handed out (a preempted sequence recomputes)
    readings: list[Reading] = field(default_factory=list)
    prompt_readings: list[Reading] = field(default_factory=list)
    prompt_scores: list[tuple[float, tuple[tuple[int, float], ...]] | None] = field(default_factory=lambda: [None])
    finish_reason: str | None = None
    stop_reason: str | int | None = None
    told: bool = False  # its Finish is out

    @property
    def prompt_length(self) -> int:
        return len(self.request.prompt.ids)

    @property
    def generated(self) -> int:
        return len(self.tokens) - self.prompt_length

    @property
    def output_ids(self) -> list[int]:
        return self.tokens[self.prompt_length :]

    @property
    def to_compute(self) -> int:
        """Positions still to forward before the next token can be sampled."""
        return len(self.tokens) - self.computed


def choice_stream(seed: int | None, index: int) -> random.Random:
    """The random stream of one choice: the same seed and index give the same stream, whoever else is served."""
    return random.Random(f"{seed}:{index}" if seed is not None else os.urandom(16))
