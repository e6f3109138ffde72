"""Session and reference side by side: the same greedy text, the same readings."""

import pytest
import torch

from millm_inference.contract import ActivationsRequest, Feature, FeatureSteering
from tests.interpret.naive import naive_forward, naive_generate
from tests.interpret.probe import spec_of
from tests.interpret.serving import Row, serve, session_with

WATCH = ActivationsRequest(sae_id="sae", top_k=4, features=[Feature(7), Feature(1)], prompt=True)


def feature(op: str, index: int, number: float | None = None, sae_id: str = "sae", **more) -> FeatureSteering:
    name = {"clamp": "value", "multiply": "value"}.get(op, "strength")
    numbers = {} if number is None else {name: number}
    return FeatureSteering(sae_id=sae_id, index=index, op=op, **numbers, **more)


def every_operation(sae_id: str = "sae") -> list[FeatureSteering]:
    return [
        feature("add", 1, 2.0, sae_id),
        feature("clamp", 2, 1.5, sae_id),
        FeatureSteering(sae_id=sae_id, index=3, op="clamp_range", min=0.2, max=0.6),
        feature("multiply", 4, 3.0, sae_id),
        feature("ablate", 5, sae_id=sae_id),
        feature("ablate_direction", 6, sae_id=sae_id),
        feature("orthogonal", 7, 2.5, sae_id),
        feature("norm_add", 8, 0.2, sae_id),
    ]


def row_of(prompt, features, activations=WATCH) -> Row:
    return Row(prompt, spec_of(*features), activations)


def assert_agrees(model, saes, rows: list[Row], max_tokens: int = 5, atol: float = 2e-4) -> list[Row]:
    session = session_with(model, saes)
    serve(model, session, rows, max_tokens)
    for row in rows:
        tokens, readings = naive_generate(model, row.prompt, saes, row.steering, row.activations, max_tokens)
        assert row.tokens == tokens
        assert_same_readings(row.readings, readings, atol)
        logits, _ = naive_forward(model, [*row.prompt.ids, *tokens], row.prompt, saes, row.steering)
        torch.testing.assert_close(torch.cat(row.logits), logits, atol=atol * 5, rtol=1e-3)
    return rows


def assert_same_readings(ours, theirs, atol: float = 2e-4) -> None:
    assert [(r.position, r.sae_id) for r in ours] == [(r.position, r.sae_id) for r in theirs]
    for a, b in zip(ours, theirs, strict=True):
        assert list(a.values) == pytest.approx(list(b.values), abs=atol, rel=1e-3), a.position
        firm = {i for i, v in zip(b.indices, b.values, strict=True) if v > 10 * atol}
        assert set(a.indices) >= firm or set(a.indices) == set(b.indices)
