"""One requested operation: its numbers checked, its formula as coefficients."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NoReturn

from millm_inference.contract import FeatureSteering
from millm_inference.errors import SidecarError

MAX_STRENGTH = 300.0
STRENGTH_OPS = frozenset({"add", "norm_add", "orthogonal"})
VALUE_OPS = frozenset({"clamp", "multiply"})
RANGE_OPS = frozenset({"clamp_range"})
DIRECTION_OPS = frozenset({"ablate_direction", "orthogonal"})
KNOWN = STRENGTH_OPS | VALUE_OPS | RANGE_OPS | DIRECTION_OPS | {"ablate"}


@dataclass(frozen=True, slots=True)
class Coefficients:
    """`scale · (clip(factor · f, low, high) − f) + constant + norm_fraction · ‖h‖`; direction ops use `gain` alone."""

    factor: float = 1.0
    low: float = -math.inf
    high: float = math.inf
    constant: float = 0.0
    norm_fraction: float = 0.0
    gain: float = 0.0

    @property
    def reads(self) -> bool:
        return self.factor != 1 or self.low != -math.inf or self.high != math.inf

    @property
    def changes_nothing(self) -> bool:
        return not (self.reads or self.constant or self.norm_fraction or self.gain)


def coefficients(feature: FeatureSteering, param: str) -> Coefficients:
    """Raises VALIDATION_ERROR where the operation is unknown or its numbers do not fit it."""
    op = feature.op
    if op not in KNOWN:
        _refuse(f"{op!r} is no operation; operations are {', '.join(sorted(KNOWN))}.", f"{param}.op")
    strength = _number(feature, "strength", op in STRENGTH_OPS, param)
    value = _number(feature, "value", op in VALUE_OPS, param)
    low, high = _bounds(feature, param)
    if abs(strength) > MAX_STRENGTH:
        _refuse(f"strength is {strength:g}, but must lie between −300 and 300.", f"{param}.strength")
    match op:
        case "add":
            return Coefficients(constant=strength)
        case "norm_add":
            return Coefficients(norm_fraction=strength)
        case "orthogonal":
            return Coefficients(gain=strength - 1)
        case "ablate_direction":
            return Coefficients(gain=-1.0)
        case "clamp":
            return Coefficients(low=value, high=value)
        case "clamp_range":
            return Coefficients(low=low, high=high)
        case "multiply":
            return Coefficients(factor=value)
        case "ablate":
            return Coefficients(factor=0.0)


def _number(feature: FeatureSteering, name: str, wanted: bool, param: str) -> float:
    number = getattr(feature, name)
    if not wanted:
        if number is not None:
            _refuse(f"{name} means nothing to {feature.op!r}.", f"{param}.{name}")
        return 0.0
    if number is None:
        _refuse(f"{feature.op!r} needs {name}.", f"{param}.{name}")
    return _finite(number, name, param)


def _bounds(feature: FeatureSteering, param: str) -> tuple[float, float]:
    bounds = []
    for name, without in (("min", -math.inf), ("max", math.inf)):
        number = getattr(feature, name)
        if number is not None and feature.op not in RANGE_OPS:
            _refuse(f"{name} means nothing to {feature.op!r}.", f"{param}.{name}")
        bounds.append(without if number is None else _finite(number, name, param))
    low, high = bounds
    if feature.op in RANGE_OPS and low == -math.inf and high == math.inf:
        _refuse("'clamp_range' needs min, max or both.", f"{param}.min")
    if low > high:
        _refuse(f"min is {low:g} and max {high:g}: the range is empty.", f"{param}.min")
    return low, high


def _finite(number: float, name: str, param: str) -> float:
    if not math.isfinite(number):
        _refuse(f"{name} is {number}, but must be a finite number.", f"{param}.{name}")
    return float(number)


def _refuse(message: str, param: str) -> NoReturn:
    raise SidecarError("VALIDATION_ERROR", message, param=param)
