"""The session as an engine would drive it, in a few lines: rows of one length, chunked prefill, a cache, greedy."""

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field

import torch
from transformers import DynamicCache

from millm_inference.contract import ActivationsRequest, SteeringSpec
from millm_inference.engine.interpreter import BatchShape, ForwardBatch, ForwardTrace, PromptTokens, Reading
from millm_inference.interpret.sae import Sae
from millm_inference.interpret.session import InterpretSession

SPECIAL = frozenset({3})


@dataclass
class Row:
    prompt: PromptTokens
    steering: SteeringSpec | None = None
    activations: ActivationsRequest | None = None
    tokens: list[int] = field(default_factory=list)
    readings: list[Reading] = field(default_factory=list)
    steered: int = 0
    logits: list[torch.Tensor] = field(default_factory=list)  # of every position fed, in order


def prompt_of(seed: int = 0, length: int = 9) -> PromptTokens:
    """Random tokens in three messages, each beginning with a special token nobody owns."""
    generator = torch.Generator().manual_seed(seed)
    ids = torch.randint(4, 300, (length,), generator=generator).tolist()
    roles: list[str | None] = []
    for position in range(length):
        start, role = ((0, "system"), (3, "user"), (6, "assistant"))[min(position // 3, 2)]
        roles.append(None if position == start else role)
        if position == start:
            ids[position] = next(iter(SPECIAL))
    return PromptTokens(tuple(ids), tuple(roles), SPECIAL)


def session_with(model, saes: dict[str, Sae], slots: int = 8) -> InterpretSession:
    session = InterpretSession(model)
    session.resize(slots)
    for name, sae in saes.items():
        session.attach(name, sae)
    return session


def serve(model, session: InterpretSession, rows: list[Row], max_tokens: int = 6, chunk: int = 4, slot_lo: int = 0):
    """Fills each row's tokens and readings; the last token is fed once more, as the engine does for readings."""
    length = len(rows[0].prompt.ids)
    for slot, row in enumerate(rows, slot_lo):
        plan = session.compile(row.steering, row.activations, row.prompt)
        if plan is not None:
            session.open(slot, plan, row.prompt)
    cache = DynamicCache(config=model.config)
    fed = torch.tensor([row.prompt.ids for row in rows])
    for start in range(0, length, chunk):
        logits = step(model, session, rows, fed[:, start : start + chunk], start, cache, slot_lo)
    for position in range(length, length + max_tokens):
        following = logits[:, -1].argmax(-1)
        for row, token in zip(rows, following.tolist(), strict=True):
            row.tokens.append(token)
        logits = step(model, session, rows, following[:, None], position, cache, slot_lo)
    for slot in range(slot_lo, slot_lo + len(rows)):
        session.close(slot)
    return rows


def hooked(session: InterpretSession, batch: ForwardBatch) -> AbstractContextManager[ForwardTrace | None]:
    prepared = session.prepare(BatchShape(batch.slot_lo, batch.positions.tolist(), batch.valid.tolist()))
    return nullcontext() if prepared is None else prepared.hooked(batch)


def step(model, session, rows: list[Row], ids: torch.Tensor, start: int, cache, slot_lo: int = 0) -> torch.Tensor:
    positions = torch.arange(start, start + ids.shape[1]).expand(ids.shape)
    batch = ForwardBatch(slot_lo, ids, positions, torch.ones_like(ids, dtype=torch.bool))
    with torch.inference_mode(), hooked(session, batch) as trace:
        logits = model(input_ids=ids, position_ids=positions, past_key_values=cache, use_cache=True).logits
    for row, its in zip(rows, logits, strict=True):
        row.logits.append(its)
    if trace is not None:
        for reading in trace.readings():
            rows[reading.slot - slot_lo].readings.append(reading)
        for slot, count in trace.steered.items():
            rows[slot - slot_lo].steered += count
    return logits


def hook_count(model) -> int:
    return sum(len(m._forward_hooks) + len(m._forward_pre_hooks) for m in model.modules())
