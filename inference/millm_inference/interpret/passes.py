"""The state of one forward pass: who sits where, what was read so far, what may act at which token."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor
from torch.nn import functional as F

from millm_inference.engine.interpreter import ForwardBatch
from millm_inference.interpret.places import Place
from millm_inference.interpret.tables import Gates, Rows, SourceTable, matrix


@dataclass(frozen=True, slots=True, eq=False)
class ScopeTable:
    """Scopes of all rows: `prompt [rows, P + 1, S]` by position, and the rule for what is generated, `[rows, 1, S]`."""

    prompt: Tensor
    generated: Tensor
    first: Tensor
    last: Tensor
    skips_special: Tensor
    special: Tensor | None  # [rows, K] token ids, padded with -1

    def allowed(self, batch: ForwardBatch, prompt_length: Tensor) -> Tensor:
        """`[rows, T, S + 1]`; the last column always holds."""
        positions = batch.positions.unsqueeze(-1)
        at = positions.clamp(0, self.prompt.shape[1] - 1).expand(-1, -1, self.prompt.shape[2])
        generated = self.generated & (positions >= self.first) & (positions < self.last)
        if self.special is not None:
            special = (batch.token_ids.unsqueeze(-1) == self.special.unsqueeze(1)).any(-1, keepdim=True)
            generated = generated & ~(special & self.skips_special)
        of_prompt = positions < prompt_length.view(-1, 1, 1)
        return F.pad(torch.where(of_prompt, self.prompt.gather(1, at), generated), (0, 1), value=True)


def scope_table(plans: Rows, width: int, device: torch.device) -> ScopeTable | None:
    count = max((len(plan.scopes) for plan in plans.values()), default=0)
    if not count:
        return None
    longest = max(plan.prompt_length for plan in plans.values())
    prompt = torch.zeros(width, longest + 1, count, dtype=torch.bool, device=device)
    for row, plan in plans.items():
        for number, scope in enumerate(plan.scopes):
            prompt[row, : plan.prompt_length, number] = scope.prompt
    scopes = [plans[row].scopes if row in plans else () for row in range(width)]
    flag, real = torch.empty(0, dtype=torch.bool, device=device), torch.empty(0, device=device)
    skips = matrix([[s.skips_special for s in row] for row in scopes], False, flag).unsqueeze(1)
    ids = [plans[row].special_ids.tolist() if row in plans else [] for row in range(width)]
    return ScopeTable(
        prompt=prompt,
        generated=matrix([[s.generated for s in row] for row in scopes], False, flag).unsqueeze(1),
        first=matrix([[s.first for s in row] for row in scopes], 0, real).unsqueeze(1),
        last=matrix([[s.last for s in row] for row in scopes], 0, real).unsqueeze(1),
        skips_special=skips,
        special=matrix(ids, -1, real.long()) if bool(skips.any()) else None,
    )


@dataclass(slots=True, eq=False)
class Pass:
    batch: ForwardBatch
    prompt_length: Tensor  # [rows]
    scopes: ScopeTable | None
    condition_count: int
    memory: Tensor  # [rows, conditions + 2] bool, lives as long as the slots
    mask: Tensor | None  # [rows, T, 1]: where a row counts; None where every position does
    features: dict[SourceTable, tuple[Tensor, Tensor | None]] = field(default_factory=dict)
    moved: dict[Place, Tensor] = field(default_factory=dict)
    fired: set[Place] = field(default_factory=set)
    _met: Tensor | None = None
    _allowed: Tensor | None = None

    @property
    def met(self) -> Tensor:
        """`[rows, T, conditions + 2]`: false until read; then one column that always holds and one for padding."""
        if self._met is None:
            shape = (*self.batch.positions.shape, self.condition_count + 2)
            self._met = torch.zeros(shape, dtype=torch.bool, device=self.batch.positions.device)
            self._met[..., self.condition_count] = True
        return self._met

    def gate(self, rows: Tensor | None, gates: Gates) -> Tensor | None:
        """`[rows, T, ops]`: where each op acts; None: everywhere."""
        gate = None if self.mask is None else _pick(self.mask, rows)
        if gates.scope is not None:
            assert self.scopes is not None
            if self._allowed is None:
                self._allowed = self.scopes.allowed(self.batch, self.prompt_length)
            allowed = _columns(_pick(self._allowed, rows), gates.scope)
            gate = allowed if gate is None else gate & allowed
        if gates.condition is not None:
            met = _columns(_pick(self.met, rows), gates.condition)
            gate = met if gate is None else gate & met
        return gate


def _pick(tensor: Tensor, rows: Tensor | None) -> Tensor:
    return tensor if rows is None else tensor.index_select(0, rows)


def _columns(tensor: Tensor, numbers: Tensor) -> Tensor:
    return tensor.gather(2, numbers.unsqueeze(1).expand(-1, tensor.shape[1], -1))
