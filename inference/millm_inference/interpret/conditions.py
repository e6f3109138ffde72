"""`when` of one feature: which other feature decides, and whether it can be known in time."""

from __future__ import annotations

import math
from typing import NoReturn

from millm_inference.contract import FeatureSteering, SteeringCondition
from millm_inference.errors import SidecarError
from millm_inference.interpret.attachment import Attachment
from millm_inference.interpret.lookup import Attached, check_index, find
from millm_inference.interpret.plan import Condition


def resolve_condition(
    when: SteeringCondition, feature: FeatureSteering, target: Attachment, attached: Attached, param: str
) -> Condition:
    source = find(attached, when.sae_id or feature.sae_id, f"{param}.sae_id")
    check_index(source, when.index, f"{param}.index")
    above, below = (_threshold(when, name, param) for name in ("above", "below"))
    if above is None and below is None:
        _refuse("when needs above, below or both.", f"{param}.above")
    if not source.sae.encodes_exactly:
        _refuse(f"The SAE {source.sae_id!r} cannot be read exactly: {source.restriction}.", f"{param}.sae_id")
    if source.read != target.write and source.read.order >= target.write.order:
        _refuse(
            f"The condition is read at {source.hook}, which the model computes after {target.hook_out or target.hook}"
            " where it should act; a condition must sit at an earlier or the same hook.",
            f"{param}.sae_id",
        )
    low = -math.inf if above is None else above
    high = math.inf if below is None else below
    if low >= high:
        _refuse(f"Nothing is above {low:g} and below {high:g}.", f"{param}.above")
    return Condition(source, when.index, low, high, when.mode)


def _threshold(when: SteeringCondition, name: str, param: str) -> float | None:
    number: float | None = getattr(when, name)
    if number is not None and not math.isfinite(number):
        _refuse(f"{name} is {number}, but must be a finite number.", f"{param}.{name}")
    return number


def _refuse(message: str, param: str) -> NoReturn:
    raise SidecarError("VALIDATION_ERROR", message, param=param)
