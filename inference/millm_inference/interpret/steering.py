"""The mathematics of a steered site: read from the clean hidden state, sum in float32, add once, then project in order.

Where a row asks nothing, exact zeros are added.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from millm_inference.interpret.passes import Pass
from millm_inference.interpret.places import Place
from millm_inference.interpret.tables import ConditionTable, DirectionTable, SourceTable


def pick(x: Tensor, rows: Tensor | None) -> Tensor:
    return x if rows is None else x.index_select(0, rows)


def as_read(place: Place, module: nn.Module, hidden: Tensor) -> Tensor:
    """What an SAE at `place` sees of the hidden state there; mostly the state itself."""
    if place.normalized_by is None:
        return hidden
    x = hidden.to(torch.promote_types(hidden.dtype, torch.float32))
    if isinstance(module, nn.LayerNorm):
        x = x - x.mean(dim=-1, keepdim=True)
    eps = float(getattr(module, "variance_epsilon", None) or getattr(module, "eps", None) or 0.0)
    return x * torch.rsqrt(x.square().mean(dim=-1, keepdim=True) + eps)


def read(current: Pass, table: SourceTable, clean: Tensor) -> None:
    """Feature values of this SAE for the ops and conditions of this pass; conditions are decided on the spot."""
    if table.reads is None:
        return
    sae = table.source.sae
    prepared, state = sae.prepare(pick(clean, table.rows))
    if table.reads.columns is not None:
        values = table.reads.columns.activate(prepared)
    else:
        everything = sae.select(sae.preactivations(prepared))
        indices = table.reads.indices.unsqueeze(1).expand(everything.shape[0], everything.shape[1], -1)
        values = everything.gather(2, indices)
    # One more column, of zeros, for ops that read nothing.
    current.features[table] = F.pad(values, (0, 1)), None if sae.is_transcoder else state.scale
    if table.conditions is not None:
        _decide(current, table, table.conditions, values)


def _decide(current: Pass, table: SourceTable, conditions: ConditionTable, values: Tensor) -> None:
    numbers = conditions.number.unsqueeze(1).expand(-1, values.shape[1], -1)
    columns = conditions.column.unsqueeze(1).expand(-1, values.shape[1], -1)
    value = values.gather(2, columns)
    met = (value > conditions.above.unsqueeze(1)) & (value < conditions.below.unsqueeze(1))
    if current.mask is not None:
        met = met & pick(current.mask, table.rows)
    if conditions.remembers:
        met = _remember(current, table, conditions, met)
    if table.rows is None:
        current.met.scatter_(2, numbers, met)
    else:
        current.met.index_copy_(0, table.rows, pick(current.met, table.rows).scatter(2, numbers, met))


def _remember(current: Pass, table: SourceTable, conditions: ConditionTable, met: Tensor) -> Tensor:
    positions = pick(current.batch.positions, table.rows).unsqueeze(-1)
    lengths = pick(current.prompt_length, table.rows).view(-1, 1, 1)
    rows = pick(current.memory, table.rows)
    before = rows.gather(1, conditions.number)
    latched, of_prompt = conditions.latched.unsqueeze(1), conditions.of_prompt.unsqueeze(1)
    hits = met & (latched | (of_prompt & (positions < lengths)))
    after = before | hits.any(dim=1)
    so_far = before.unsqueeze(1) | (hits.cumsum(dim=1) > 0)
    rows = rows.scatter(1, conditions.number, after)
    if table.rows is None:
        current.memory.copy_(rows)
    else:
        current.memory.index_copy_(0, table.rows, rows)
    from_prompt = after.unsqueeze(1) & (positions >= lengths)
    return torch.where(latched, so_far, torch.where(of_prompt, from_prompt, met))


def contribution(current: Pass, table: SourceTable, clean: Tensor) -> Tensor:
    """What this SAE's ops add, `[rows of the table, T, d_out]`."""
    ops = table.ops
    assert ops is not None
    coefficient = ops.constant.expand(-1, clean.shape[1], -1)
    if ops.column is not None:
        features, scale = current.features[table]
        f = features.gather(2, ops.column.unsqueeze(1).expand(-1, features.shape[1], -1))
        change = torch.clamp(f * ops.factor, ops.low, ops.high) - f
        coefficient = coefficient + (change if scale is None else change * scale)
    if ops.norm_fraction is not None:
        norm = pick(clean, table.rows).to(coefficient.dtype).norm(dim=-1, keepdim=True)
        coefficient = coefficient + ops.norm_fraction * norm
    gate = current.gate(table.rows, ops.gates)
    if gate is not None:
        coefficient = torch.where(gate, coefficient, 0.0)
    return torch.bmm(coefficient, ops.rows)


def project(current: Pass, table: DirectionTable, hidden: Tensor) -> Tensor:
    """Direction ops in list order, in float32; rows without one come back untouched."""
    out = pick(hidden, table.rows).to(table.units.dtype)
    gate = current.gate(table.rows, table.gates)
    for k in range(table.units.shape[1]):
        unit = table.units[:, k].unsqueeze(1)
        gain = table.gains[:, k].view(-1, 1, 1)
        if gate is not None:
            gain = torch.where(gate[..., min(k, gate.shape[2] - 1)].unsqueeze(-1), gain, 0.0)
        out = out + gain * (out * unit).sum(dim=-1, keepdim=True) * unit
    out = out.to(hidden.dtype)
    return out if table.rows is None else hidden.index_copy(0, table.rows, out)
