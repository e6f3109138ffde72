"""Readings: which features fired at which token, gathered on the device and copied to the host once per pass."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from millm_inference.engine.interpreter import BatchShape, Reading
from millm_inference.interpret.attachment import Attachment
from millm_inference.interpret.places import Place
from millm_inference.interpret.plan import Watch
from millm_inference.interpret.steering import pick
from millm_inference.interpret.tables import FeatureReads, Rows, feature_reads, row_index


@dataclass(frozen=True, slots=True, eq=False)
class WatchTable:
    """Rows that watch one SAE at one stage in one way: chosen columns only, or everything (for the strongest)."""

    source: Attachment
    after: bool
    members: tuple[tuple[int, Watch, int], ...]  # batch row, what it watches, its prompt's length
    rows: Tensor | None
    chosen: FeatureReads | None
    top_k: int

    @property
    def place(self) -> Place:
        return self.source.read


@dataclass(frozen=True, eq=False)
class Picks:
    """The tokens of one pass to be read: `pairs` of a member of the table and a column of the batch."""

    pairs: tuple[tuple[int, int], ...]
    device: torch.device

    def __bool__(self) -> bool:
        return bool(self.pairs)

    @cached_property
    def where(self) -> tuple[Tensor, Tensor]:
        """Members and columns, `[N]` each."""
        members, columns = torch.tensor(self.pairs, device=self.device).unbind(1)
        return members, columns


@dataclass(frozen=True, slots=True)
class Observation:
    """Values at `picks`: `chosen [N, F]`, `top_… [N, k]`."""

    table: WatchTable
    picks: Picks
    chosen: Tensor | None
    top_values: Tensor | None = None
    top_indices: Tensor | None = None


def watch_tables(plans: Rows, monitors: Sequence[Watch], width: int, device: torch.device) -> list[WatchTable]:
    """Each row's own watch, and on every row what is watched of the whole server."""
    groups: dict[tuple[int, bool, bool, bool], list[tuple[int, Watch, int]]] = {}
    for row, plan in plans.items():
        for watch in (*([plan.watch] if plan.watch else []), *monitors):
            whole = watch.top_k > 0 or watch.source.sae.selects
            members = groups.setdefault((id(watch.source), watch.after, watch.monitor, whole), [])
            members.append((row, watch, plan.prompt_length))
    return [_watch_table(members, key[-1], width, device) for key, members in groups.items()]


def _watch_table(members: list[tuple[int, Watch, int]], whole: bool, width: int, device: torch.device) -> WatchTable:
    first = members[0][1]
    features = [watch.features for _, watch, _ in members]
    reads = None
    if whole and any(features):
        reads = FeatureReads(_indices(features, device), None)
    elif any(features):
        reads = feature_reads(first.source, features, device)
    return WatchTable(
        source=first.source,
        after=first.after,
        members=tuple(members),
        rows=row_index([row for row, _, _ in members], width, device),
        chosen=reads,
        top_k=max(watch.top_k for _, watch, _ in members),
    )


def _indices(features: Sequence[Sequence[int]], device: torch.device) -> Tensor:
    longest = max(map(len, features))
    return torch.tensor([[*row, *[0] * (longest - len(row))] for row in features], device=device)


def wanted(table: WatchTable, shape: BatchShape, device: torch.device) -> Picks:
    """Which tokens of this pass are to be read: generated ones, and those of the prompt where asked."""
    pairs = (
        (member, t)
        for member, (row, watch, prompt_length) in enumerate(table.members)
        for t, (position, counts) in enumerate(zip(shape.positions[row], shape.valid[row], strict=True))
        if counts and (watch.prompt or position >= prompt_length)
    )
    return Picks(tuple(pairs), device)


def observe(table: WatchTable, picks: Picks, hidden: Tensor) -> Observation:
    """`hidden [rows, T, d_in]` of the batch, before or after steering as the table says."""
    sae = table.source.sae
    x = pick(hidden, table.rows)
    every = x.shape[0] * x.shape[1] == len(picks.pairs)
    if table.chosen is not None and table.chosen.columns is not None:
        prepared, _ = sae.prepare(x)
        values = table.chosen.columns.activate(prepared)
        return Observation(table, picks, values.flatten(0, 1) if every else values[picks.where])
    # Only the tokens asked for: this path computes every feature.
    values, _ = sae.encode(x.flatten(0, 1) if every else x[picks.where])
    chosen = None
    if table.chosen is not None:
        indices = table.chosen.indices
        each = indices[picks.where[0]] if indices.shape[0] > 1 else indices.expand(len(picks.pairs), -1)
        chosen = values.gather(1, each)
    top = values.topk(table.top_k, dim=-1) if table.top_k else None
    return Observation(table, picks, chosen, *(top if top else ()))


def collect(observations: Sequence[Observation], shape: BatchShape) -> list[Reading]:
    """One copy to the host for the whole pass, then readings by slot and position."""
    if not observations:
        return []
    parts = [t for o in observations for t in (o.chosen, o.top_values, o.top_indices) if t is not None]
    # Indices travel as floats beside the values: exact below 2^24 features.
    flat = torch.cat([part.flatten().to(parts[0].dtype) for part in parts]).tolist()
    rest = iter(flat)
    readings = [reading for o in observations for reading in _readings(o, rest, shape)]
    return sorted(readings, key=lambda reading: (reading.slot, reading.position))


def _readings(o: Observation, rest: Iterator[float], shape: BatchShape) -> Iterator[Reading]:
    chosen, values, indices = (_take(t, rest) for t in (o.chosen, o.top_values, o.top_indices))
    for n, (member, t) in enumerate(o.picks.pairs):
        row, watch, _ = o.table.members[member]
        found = dict(zip(watch.features, chosen[n], strict=False)) if chosen else {}
        strongest = zip(indices[n][: watch.top_k], values[n][: watch.top_k], strict=True) if values else ()
        for index, value in strongest:
            if value > 0:
                found.setdefault(int(index), value)
        indices_found, values_found = tuple(found), tuple(found.values())
        slot, position = shape.slot_lo + row, shape.positions[row][t]
        yield Reading(slot, position, watch.source.sae_id, indices_found, values_found, watch.monitor)


def _take(tensor: Tensor | None, rest: Iterator[float]) -> list[list[float]]:
    if tensor is None:
        return []
    rows, width = tensor.shape
    return [[next(rest) for _ in range(width)] for _ in range(rows)]
