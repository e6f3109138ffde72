"""Run requests through a real engine and collect what comes out."""

from __future__ import annotations

import queue
import random
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from transformers import PreTrainedModel

from millm_inference.engine.engine import Engine, EngineLimits
from millm_inference.engine.interpreter import Interpreter, Plan, PromptTokens
from millm_inference.engine.model_runner import ModelRunner
from millm_inference.engine.sampling import SamplingParams
from millm_inference.engine.sequence import (
    Delta,
    Done,
    Event,
    Failed,
    Finish,
    PromptScored,
    Request,
    Sequence,
    choice_stream,
)
from millm_inference.engine.text_output import TextOutput
from millm_inference.engine.token_bytes import TokenBytes
from tests.support.tiny import byte_tokenizer

TOKEN_BYTES = TokenBytes(byte_tokenizer())


@dataclass
class Collected:
    """Everything one request said."""

    request: Request
    events: queue.Queue[Event]
    seen: list[Event] = field(default_factory=list)

    def wait(self, timeout: float = 60) -> Collected:
        while not (self.seen and isinstance(self.seen[-1], Done | Failed)):
            self.seen.append(self.events.get(timeout=timeout))
        return self

    def next(self, timeout: float = 60) -> Event:
        event = self.events.get(timeout=timeout)
        self.seen.append(event)
        return event

    def of(self, kind: type) -> list[Any]:
        return [e for e in self.seen if isinstance(e, kind)]

    def tokens(self, index: int = 0) -> list[int]:
        return [t.token_id for e in self.seen if isinstance(e, Delta | Finish) and e.index == index for t in e.tokens]

    def text(self, index: int = 0) -> str:
        return "".join(e.text for e in self.seen if isinstance(e, Delta | Finish) and e.index == index)

    def reason(self, index: int = 0) -> str:
        return next(e.reason for e in self.of(Finish) if e.index == index)

    def readings(self, index: int = 0) -> list[Any]:
        prompt = [r for e in self.of(PromptScored) for r in e.readings] if index == 0 else []
        return prompt + [r for e in self.seen if isinstance(e, Delta | Finish) and e.index == index for r in e.readings]


@contextmanager
def engine_for(
    model: PreTrainedModel, interpreter: Interpreter | None = None, eos: frozenset[int] = frozenset(), **limits: Any
) -> Iterator[Engine]:
    options = {"slots": 8, "kv_positions": 8192, "context_length": 512, "prefill_chunk": 16, "idle_chunk": 64, **limits}
    engine = Engine(ModelRunner(model, interpreter), interpreter, TOKEN_BYTES, EngineLimits(**options), eos)
    try:
        yield engine
    finally:
        engine.close()


def submit(
    engine: Engine, ids: list[int], *, plan: Plan | None = None, n: int = 1, wait: bool = False, **options: Any
) -> Collected:
    sampling = {k: options.pop(k) for k in list(options) if k in SamplingParams.__dataclass_fields__}
    params = SamplingParams(**{"temperature": 0.0, "max_tokens": 8, **sampling})
    events: queue.Queue[Event] = queue.Queue()
    request = Request(
        id=f"r{random.random()}",
        prompt=PromptTokens(tuple(ids)),
        sampling=params,
        outbox=events.put,
        plan=plan,
        n=n,
        **options,
    )
    request.sequences = [
        Sequence(
            request=request,
            index=i,
            output=TextOutput(TOKEN_BYTES, stop=params.stop, include_stop=params.include_stop),
            tokens=list(ids),
            stream=choice_stream(params.seed, i),
            grammar=params.grammar.start() if params.grammar else None,
        )
        for i in range(n)
    ]
    engine.submit(request).result(timeout=30)
    collected = Collected(request, events)
    return collected.wait() if wait else collected


def greedy(model: PreTrainedModel, ids: list[int], tokens: int) -> list[int]:
    """The reference: transformers' own generate, greedy, alone."""
    with torch.inference_mode():
        out = model.generate(
            torch.tensor([ids]),
            attention_mask=torch.ones(1, len(ids), dtype=torch.long),
            max_new_tokens=tokens,
            min_new_tokens=tokens,
            do_sample=False,
            eos_token_id=None,
            pad_token_id=0,
        )
    return out[0, len(ids) :].tolist()


def random_prompt(length: int, seed: int) -> list[int]:
    return random.Random(seed).choices(range(3, 259), k=length)
