"""From a request's steering and activations to a plan, or to the one sentence that says why not."""

from __future__ import annotations

from collections import Counter
from typing import NoReturn

import torch
from torch import Tensor

from millm_inference.contract import ActivationsRequest, FeatureSteering, SteeringSpec
from millm_inference.engine.interpreter import PromptTokens
from millm_inference.errors import SidecarError
from millm_inference.interpret.attachment import Attachment
from millm_inference.interpret.conditions import resolve_condition
from millm_inference.interpret.lookup import Attached, check_index, find
from millm_inference.interpret.operations import DIRECTION_OPS, Coefficients, coefficients
from millm_inference.interpret.places import Place
from millm_inference.interpret.plan import CompiledPlan, Condition, DirectionOp, FeatureOp, Gate, Scope, Watch
from millm_inference.interpret.salt import salt_of
from millm_inference.interpret.scopes import resolve_scope

ALWAYS = Gate()


def compile_plan(
    steering: SteeringSpec | None,
    activations: ActivationsRequest | None,
    prompt: PromptTokens,
    attached: Attached,
    device: torch.device,
) -> CompiledPlan | None:
    """None when nothing is asked, or nothing that is asked would change anything."""
    features = steering.features if steering else []
    builder = _Builder(prompt, attached, device)
    acting = [feature for i, feature in enumerate(features) if builder.add(feature, f"steering.features[{i}]")]
    _refuse_conflicts(features)
    watch = _watch(activations, attached) if activations else None
    if not acting and not watch:
        return None
    remembers = any(condition.mode != "token" for condition in builder.conditions)
    return CompiledPlan(
        salt=salt_of(acting, attached, prompt),
        needs_prompt=remembers or (watch is not None and watch.prompt),
        prompt_length=len(prompt.ids),
        special_ids=torch.tensor(sorted(prompt.special_ids), dtype=torch.long, device=device),
        adds=builder.adds,
        ops=tuple(builder.ops),
        directions=tuple(builder.directions),
        conditions=tuple(builder.conditions),
        scopes=tuple(builder.scopes),
        watch=watch,
    )


class _Builder:
    """Sorts each op to where it costs least: a sum made once, a row of a table, or the ordered list of projections."""

    def __init__(self, prompt: PromptTokens, attached: Attached, device: torch.device) -> None:
        self.prompt, self.attached, self.device = prompt, attached, device
        self.adds: dict[Place, Tensor] = {}
        self.ops: list[FeatureOp] = []
        self.directions: list[DirectionOp] = []
        self.conditions: list[Condition] = []
        self.scopes: list[Scope] = []
        self._scope_numbers: dict[str, int | None] = {}

    def add(self, feature: FeatureSteering, param: str) -> bool:
        """False where the op, though valid, changes nothing."""
        source = find(self.attached, feature.sae_id, f"{param}.sae_id")
        check_index(source, feature.index, f"{param}.index")
        numbers = coefficients(feature, param)
        _refuse_impossible(source, feature, param)
        gate = self._gate(source, feature, param)
        if numbers.changes_nothing:
            if gate.condition is not None:
                self.conditions.pop()
            return False
        index = torch.tensor([feature.index], device=self.device)
        if feature.op in DIRECTION_OPS:
            self.directions.append(DirectionOp(source, source.sae.unit_rows(index)[0], numbers.gain, gate))
        elif feature.op == "add" and gate == ALWAYS:
            row = numbers.constant * source.sae.W_dec[feature.index]
            self.adds[source.write] = self.adds[source.write] + row if source.write in self.adds else row
        else:
            self.ops.append(_feature_op(source, feature, index, numbers, gate))
        return True

    def _gate(self, source: Attachment, feature: FeatureSteering, param: str) -> Gate:
        condition = None
        if feature.when:
            self.conditions.append(resolve_condition(feature.when, feature, source, self.attached, f"{param}.when"))
            condition = len(self.conditions) - 1
        return Gate(self._scope_number(feature, param), condition)

    def _scope_number(self, feature: FeatureSteering, param: str) -> int | None:
        """Equal scopes share one number, and one mask over the prompt."""
        if feature.scope is None:
            return None
        key = feature.scope.model_dump_json()
        if key not in self._scope_numbers:
            scope = resolve_scope(feature.scope, self.prompt, f"{param}.scope", self.device)
            self._scope_numbers[key] = None if scope is None else len(self.scopes)
            self.scopes += [scope] if scope else []
        return self._scope_numbers[key]


def _feature_op(
    source: Attachment, feature: FeatureSteering, index: Tensor, numbers: Coefficients, gate: Gate
) -> FeatureOp:
    match feature.op:
        case "add":
            row = source.sae.W_dec[index]
        case "norm_add":
            row = source.sae.unit_rows(index)
        case _:
            row = source.sae.activation_rows(index)
    return FeatureOp(
        source=source,
        index=feature.index,
        row=row[0],
        gate=gate,
        reads=numbers.reads,
        factor=numbers.factor,
        low=numbers.low,
        high=numbers.high,
        constant=numbers.constant,
        norm_fraction=numbers.norm_fraction,
    )


def _refuse_impossible(source: Attachment, feature: FeatureSteering, param: str) -> None:
    if feature.op not in source.operations:
        possible = ", ".join(source.operations) or "none, only reading"
        raise SidecarError(
            "SAE_INCOMPATIBLE",
            f"{feature.op!r} is not possible with {source.sae_id!r} ({source.restriction}). Possible: {possible}.",
            param=f"{param}.op",
        )
    needs_direction = feature.op in DIRECTION_OPS or feature.op == "norm_add"
    if needs_direction and not source.sae.decoder_norm[feature.index] > 0:
        _refuse(f"Feature {feature.index} has a decoder row of length zero: it has no direction.", f"{param}.index")


def _refuse_conflicts(features: list[FeatureSteering]) -> None:
    """Two ops on one feature have no order a reader could expect; sums have none to need."""
    kinds: dict[tuple[str, int], Counter[str]] = {}
    for i, feature in enumerate(features):
        ops = kinds.setdefault((feature.sae_id, feature.index), Counter())
        ops[feature.op] += 1
        if ops.total() > 1 and ops.total() != ops["add"]:
            _refuse(
                f"Feature {feature.index} of the SAE {feature.sae_id!r} is given several operations"
                f" ({', '.join(sorted(ops))}); only 'add' may be repeated.",
                f"steering.features[{i}]",
            )


def _watch(request: ActivationsRequest, attached: Attached) -> Watch:
    source = find(attached, request.sae_id, "activations.sae_id")
    features = tuple(dict.fromkeys(feature.root for feature in request.features))
    for position, feature in enumerate(request.features):
        check_index(source, feature.root, f"activations.features[{position}]")
    if not features and not request.top_k:
        _refuse("activations asks for nothing: give top_k, features or both.", "activations.top_k")
    return Watch(source, features, min(request.top_k, source.sae.d_sae), request.prompt, request.stage == "after")


def _refuse(message: str, param: str) -> NoReturn:
    raise SidecarError("VALIDATION_ERROR", message, param=param)
