"""The plans of one batch, laid side by side as padded tensors: `[rows, ops]` instead of lists of objects.

Built when the batch changes hands, read at every step. A row without an entry has coefficients of exact zero.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from millm_inference.interpret.attachment import Attachment
from millm_inference.interpret.columns import Columns
from millm_inference.interpret.places import Place
from millm_inference.interpret.plan import CompiledPlan, Condition, DirectionOp, FeatureOp, Gate

Rows = dict[int, CompiledPlan]


@dataclass(frozen=True, slots=True, eq=False)
class Gates:
    """Per op, which scope and which condition it waits for; the last column of each is 'always'."""

    scope: Tensor | None
    condition: Tensor | None


@dataclass(frozen=True, slots=True, eq=False)
class FeatureReads:
    """The features `indices [B, F]` that rows need of one SAE; `columns` is None where all pre-activations decide."""

    indices: Tensor
    columns: Columns | None


@dataclass(frozen=True, slots=True, eq=False)
class ConditionTable:
    column: Tensor  # [rows, K] into the features read
    number: Tensor  # [rows, K] the condition's number in its plan; padding points past them all
    above: Tensor
    below: Tensor
    latched: Tensor
    of_prompt: Tensor
    remembers: bool


@dataclass(frozen=True, slots=True, eq=False)
class OpTable:
    column: Tensor | None  # [rows, O] into the features read; past the end: reads nothing
    factor: Tensor
    low: Tensor
    high: Tensor
    constant: Tensor
    norm_fraction: Tensor | None
    rows: Tensor  # [rows, O, d_out]
    gates: Gates


@dataclass(frozen=True, slots=True, eq=False)
class SourceTable:
    """Everything the batch does with one SAE; `rows` are the batch's rows concerned (None: all of them)."""

    source: Attachment
    rows: Tensor | None
    reads: FeatureReads | None
    conditions: ConditionTable | None
    ops: OpTable | None


@dataclass(frozen=True, slots=True, eq=False)
class DirectionTable:
    """The k-th column holds the k-th projection of each row, in the order of its request."""

    rows: Tensor | None
    units: Tensor  # [rows, K, d]
    gains: Tensor  # [rows, K]
    gates: Gates


def source_table(source: Attachment, plans: Rows, width: int, like: Tensor, always: tuple[int, int]) -> SourceTable:
    """`width` is the batch's number of rows, `always` the columns of the scope and the condition that always hold."""
    ops = {r: [op for op in plan.ops if op.source is source] for r, plan in plans.items()}
    conditions = {r: [(n, c) for n, c in enumerate(p.conditions) if c.source is source] for r, p in plans.items()}
    concerned = [r for r in plans if ops[r] or conditions[r]]
    wanted = [sorted({op.index for op in ops[r] if op.reads} | {c.index for _, c in conditions[r]}) for r in concerned]
    most = max(map(len, wanted))
    return SourceTable(
        source=source,
        rows=row_index(concerned, width, like.device),
        reads=feature_reads(source, wanted, like.device) if most else None,
        conditions=_condition_table([conditions[r] for r in concerned], wanted, like, always[1] + 1),
        ops=_op_table([ops[r] for r in concerned], wanted, most, like, always) if any(ops.values()) else None,
    )


def direction_table(
    place: Place, plans: Rows, width: int, like: Tensor, always: tuple[int, int]
) -> DirectionTable | None:
    asked = {r: [op for op in plan.directions if op.source.write == place] for r, plan in plans.items()}
    concerned = [r for r in plans if asked[r]]
    if not concerned:
        return None
    lists: list[list[DirectionOp]] = [asked[r] for r in concerned]
    return DirectionTable(
        rows=row_index(concerned, width, like.device),
        units=_stack([[op.unit for op in ops] for ops in lists]),
        gains=matrix([[op.gain for op in ops] for ops in lists], 0.0, like),
        gates=_gates([[op.gate for op in ops] for ops in lists], like, always),
    )


def feature_reads(source: Attachment, wanted: Sequence[Sequence[int]], device: torch.device) -> FeatureReads:
    """One shared set where all rows ask the same; otherwise sets padded with feature 0, which nobody then looks at."""
    sets = [wanted[0]] if all(tuple(w) == tuple(wanted[0]) for w in wanted) else wanted
    indices = matrix(sets, 0, torch.empty(0, dtype=torch.long, device=device))
    whole = source.sae.architecture == "topk"
    return FeatureReads(indices, None if whole else source.sae.columns(indices))


def row_index(rows: list[int], width: int, device: torch.device) -> Tensor | None:
    return None if rows == list(range(width)) else torch.tensor(rows, device=device)


def matrix(lists: Sequence[Sequence[Any]], fill: Any, like: Tensor) -> Tensor:
    longest = max(map(len, lists))
    return torch.tensor([[*row, *[fill] * (longest - len(row))] for row in lists], dtype=like.dtype, device=like.device)


def _condition_table(
    lists: list[list[tuple[int, Condition]]], wanted: list[list[int]], like: Tensor, spare: int
) -> ConditionTable | None:
    if not any(lists):
        return None
    index, flag = like.new_empty(0, dtype=torch.long), like.new_empty(0, dtype=torch.bool)
    modes = [[c.mode for _, c in row] for row in lists]
    return ConditionTable(
        column=matrix([[w.index(c.index) for _, c in row] for row, w in zip(lists, wanted, strict=True)], 0, index),
        number=matrix([[n for n, _ in row] for row in lists], spare, index),
        above=matrix([[c.above for _, c in row] for row in lists], 0.0, like),
        below=matrix([[c.below for _, c in row] for row in lists], 0.0, like),
        latched=matrix([[mode == "latched" for mode in row] for row in modes], False, flag),
        of_prompt=matrix([[mode == "prompt" for mode in row] for row in modes], False, flag),
        remembers=any(mode != "token" for row in modes for mode in row),
    )


def _op_table(
    lists: list[list[FeatureOp]], wanted: list[list[int]], spare: int, like: Tensor, always: tuple[int, int]
) -> OpTable:
    def column(name: str, fill: float) -> Tensor:
        return matrix([[getattr(op, name) for op in ops] for ops in lists], fill, like).unsqueeze(1)

    reading = any(op.reads for ops in lists for op in ops)
    columns = [[w.index(op.index) if op.reads else spare for op in ops] for ops, w in zip(lists, wanted, strict=True)]
    scales_with_norm = any(op.norm_fraction for ops in lists for op in ops)
    return OpTable(
        column=matrix(columns, spare, like.new_empty(0, dtype=torch.long)) if reading else None,
        factor=column("factor", 1.0),
        low=column("low", -torch.inf),
        high=column("high", torch.inf),
        constant=column("constant", 0.0),
        norm_fraction=column("norm_fraction", 0.0) if scales_with_norm else None,
        rows=_stack([[op.row for op in ops] for ops in lists]),
        gates=_gates([[op.gate for op in ops] for ops in lists], like, always),
    )


def _gates(lists: list[list[Gate]], like: Tensor, always: tuple[int, int]) -> Gates:
    index = like.new_empty(0, dtype=torch.long)

    def column(name: str, open_column: int) -> Tensor | None:
        numbers = [[getattr(gate, name) for gate in gates] for gates in lists]
        if all(number is None for row in numbers for number in row):
            return None
        return matrix([[open_column if n is None else n for n in row] for row in numbers], open_column, index)

    return Gates(column("scope", always[0]), column("condition", always[1]))


def _stack(lists: list[list[Tensor]]) -> Tensor:
    longest = max(map(len, lists))
    zero = torch.zeros_like(next(vector for row in lists for vector in row))
    return torch.stack([torch.stack([*row, *[zero] * (longest - len(row))]) for row in lists])
