"""A request's steering and reading as data: validated, resolved, ready to be put into a batch."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from millm_inference.engine.interpreter import PromptTokens
from millm_inference.interpret.attachment import Attachment
from millm_inference.interpret.places import Place

ConditionMode = Literal["token", "latched", "prompt"]


@dataclass(frozen=True, slots=True, eq=False)
class Scope:
    """Which positions: a mask over the prompt, and a rule for what is generated."""

    prompt: Tensor  # [P] bool
    generated: bool
    first: int = 0
    last: float = math.inf
    skips_special: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class Condition:
    source: Attachment
    index: int
    above: float
    below: float
    mode: ConditionMode


@dataclass(frozen=True, slots=True)
class Gate:
    """When an op acts: numbers into the plan's scopes and conditions; None is always."""

    scope: int | None = None
    condition: int | None = None


@dataclass(frozen=True, slots=True, eq=False)
class FeatureOp:
    """Adds `coefficient · row`, where the coefficient is
    `scale · (clip(factor · f, low, high) − f) + constant + norm_fraction · ‖h‖`.
    """

    source: Attachment
    index: int
    row: Tensor  # [d_out]
    gate: Gate
    reads: bool = False
    factor: float = 1.0
    low: float = -math.inf
    high: float = math.inf
    constant: float = 0.0
    norm_fraction: float = 0.0


@dataclass(frozen=True, slots=True, eq=False)
class DirectionOp:
    """Adds `gain · (h·u) u` to what the sums left."""

    source: Attachment
    unit: Tensor  # [d_out]
    gain: float
    gate: Gate


@dataclass(frozen=True, slots=True, eq=False)
class Watch:
    source: Attachment
    features: tuple[int, ...]
    top_k: int
    prompt: bool
    after: bool
    monitor: bool = False  # asked for by whoever watches the server, not by the request


@dataclass(frozen=True, slots=True, eq=False)
class CompiledPlan:
    salt: str
    needs_prompt: bool
    prompt_length: int
    special_ids: Tensor  # [K]
    adds: dict[Place, Tensor]  # one vector per place: everything additive that asks for no condition and no scope
    ops: tuple[FeatureOp, ...]
    directions: tuple[DirectionOp, ...]  # in the order of the request
    conditions: tuple[Condition, ...]
    scopes: tuple[Scope, ...]
    watch: Watch | None

    @property
    def reads(self) -> bool:
        return self.watch is not None

    @property
    def steers(self) -> bool:
        return bool(self.adds or self.ops or self.directions)


def plain_plan(prompt: PromptTokens, device: torch.device) -> CompiledPlan:
    """The plan of a request that asks for nothing; it is only looked at while somebody watches the server."""
    nothing = torch.zeros(0, dtype=torch.long, device=device)
    return CompiledPlan("", False, len(prompt.ids), nothing, {}, (), (), (), (), None)
