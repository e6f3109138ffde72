"""A decode step with and without steering or watching, one next to the other on the same slots."""

from __future__ import annotations

import random
from collections.abc import Callable

from bench.fixture import Bench, prompt
from bench.measure import Row, interleaved, median_ratio, timed
from millm_inference.contract import ActivationsRequest, Feature, FeatureSteering, SteeringSpec
from millm_inference.engine.interpreter import Plan
from millm_inference.engine.model_runner import ModelRunner

LENGTH = 64
PlanFor = Callable[[int], Plan | None]


def measure(bench: Bench, rounds: int = 24) -> list[Row]:
    rows = []
    for batch in (1, 8):
        for count in (1, 16, 128):
            rows.append(_row(bench, batch, f"{count} features added", _adds(count, configs=1), "≤ 1 %", rounds))
    for configs in (8, 32):
        rows.append(_row(bench, configs, f"{configs} different configurations", _adds(16, configs), "≤ 1 %", rounds))
    rows.append(_row(bench, 8, "8 features clamped", _ops("clamp", 8), "", rounds))
    for batch in (1, 8):
        rows.append(_row(bench, batch, "128 features watched", _watch(range(128), 0), "≤ 3 %", rounds))
        rows.append(_row(bench, batch, "top-8 of all watched", _watch((), 8), "≤ 10 %", rounds))
    return rows


def _row(bench: Bench, batch: int, what: str, plan_for: PlanFor, bar: str, rounds: int) -> Row:
    session = bench.session()
    session.resize(batch)
    runner = ModelRunner(bench.model, session)
    runner.cache.resize(batch, LENGTH + 64)
    ids = prompt(LENGTH, 1)
    for slot in range(batch):
        runner.prefill(slot, ids.ids, 0, runner.cache.capacity)
    compiled = [_compile(session, plan_for(slot), ids) for slot in range(batch)]

    def step() -> None:
        _, trace = runner.decode(0, [5] * batch, [LENGTH] * batch, [True] * batch, LENGTH + 64)
        if trace is not None:
            trace.readings()

    def variant(active: bool) -> float:
        for slot in range(batch):
            session.close(slot)
            if active:
                session.open(slot, compiled[slot], ids)
        step()  # what opening a slot costs is not a step's cost
        return sum(sorted(timed(step) for _ in range(5))[:3])

    plain, asked = interleaved([lambda: variant(False), lambda: variant(True)], rounds)
    ratio = median_ratio(plain, asked)
    return Row(f"{what}, batch {batch}", f"{(ratio - 1) * 100:+.1f} %", bar)


def _compile(session, request, ids):  # type: ignore[no-untyped-def]
    steering, activations = request
    return session.compile(steering, activations, ids)


def _adds(count: int, configs: int) -> PlanFor:
    def plan_for(slot: int):  # type: ignore[no-untyped-def]
        chosen = random.Random(slot % configs).sample(range(4096), count)
        features = [FeatureSteering(sae_id="demo", index=i, op="add", strength=0.5) for i in chosen]
        return SteeringSpec(fingerprint=str(slot), features=features), None

    return plan_for


def _ops(op: str, count: int) -> PlanFor:
    def plan_for(slot: int):  # type: ignore[no-untyped-def]
        features = [FeatureSteering(sae_id="demo", index=i + slot, op=op, value=1.0) for i in range(count)]  # type: ignore[arg-type]
        return SteeringSpec(fingerprint=str(slot), features=features), None

    return plan_for


def _watch(features, top_k: int) -> PlanFor:  # type: ignore[no-untyped-def]
    def plan_for(_: int):  # type: ignore[no-untyped-def]
        chosen = [Feature(i) for i in features]
        return None, ActivationsRequest(sae_id="demo", top_k=top_k, features=chosen)

    return plan_for
