"""What a model must show before it is served: that the engine's passes are its passes, and so are replayed ones."""

from __future__ import annotations

import structlog
import torch
from transformers import DynamicCache, PreTrainedModel

from millm_inference.engine.decode_graphs import DecodeGraphs, Recorder
from millm_inference.engine.model_runner import ModelRunner, Passed
from millm_inference.errors import SidecarError

log = structlog.get_logger()

EXACT_TOLERANCE = {torch.float32: 1e-3, torch.float16: 0.1, torch.bfloat16: 0.5}
"""Largest difference of a logit between the slot cache and the model's own cache that counts as rounding."""

QUANTIZED_ERROR = 0.2
"""Relative error of the logits of a quantised model between batch shapes that counts as rounding."""


def verify_model(model: PreTrainedModel, length: int = 24) -> None:
    """Refuse a model that the slot cache does not serve exactly: two rows at different positions, chunked, against the
    model's own cache. Raises MODEL_INCOMPATIBLE."""
    runner = ModelRunner(model, None)
    window = runner.masks.window
    if window is not None and window <= 64:
        length = max(length, window + 8)
    ids = _some_ids(model, length)
    with torch.inference_mode():
        expected = model(
            input_ids=torch.tensor([ids], device=runner.device),
            past_key_values=DynamicCache(config=model.config),
            use_cache=True,
        ).logits[0]
    try:
        got = _two_rows(runner, ids)
    except (TypeError, ValueError, RuntimeError, IndexError, AttributeError) as error:
        raise SidecarError(
            "MODEL_INCOMPATIBLE", f"The engine cannot run this model's attention: {error}".split("\n")[0]
        ) from error
    want = torch.stack([expected[3], expected[-2], expected[4], expected[-1]]).float()
    if getattr(model, "is_quantized", False):
        # kernels differ by batch and length; what is checked is that it is the same model, not its rounding
        relative = ((got - want).norm() / want.norm()).item()
        if not relative <= QUANTIZED_ERROR:
            raise SidecarError(
                "MODEL_INCOMPATIBLE",
                f"Quantised like this, the model's answers depend on its batch (relative error {relative:.2g}):"
                " not served. Load it in another precision.",
            )
        return
    difference = (got - want).abs().max().item()
    if not difference <= _rounding(model, want):
        raise SidecarError(
            "MODEL_INCOMPATIBLE",
            f"The engine does not reproduce this model exactly (a logit differs by {difference:.3g}): not served.",
        )


def verified_graphs(model: PreTrainedModel, recorder: Recorder) -> DecodeGraphs[Passed] | None:
    """Recorded decode steps for `model`; None where they cannot be had, or a replay does not give what the step
    gives."""
    ids = _some_ids(model, 24)
    trial: DecodeGraphs[Passed] = DecodeGraphs(recorder, record_after=0)
    want = _two_rows(ModelRunner(model, None), ids)
    got = _two_rows(ModelRunner(model, None, trial), ids)
    if trial.refused is not None:
        return None
    difference = (got - want).abs().max().item()
    if not difference <= _rounding(model, want):
        log.warning("engine:graphs-off", reason=f"a replayed step differs by {difference:.3g} in a logit")
        return None
    return DecodeGraphs(recorder)


def _two_rows(runner: ModelRunner, ids: list[int]) -> torch.Tensor:
    """Two decode steps of two rows, one at the beginning of `ids` and one at their end → logits `[4, vocab]`: after
    the tokens 3, -2, 4 and -1."""
    length = len(ids)
    runner.cache.resize(2, -(-(length + 8) // 64) * 64)
    span = runner.cache.capacity
    runner.prefill(1, ids[:5], 0, span)
    runner.prefill(1, ids[5:-2], 5, span)
    runner.prefill(0, ids[:3], 0, span)
    first = runner.decode(0, [ids[3], ids[-2]], [3, length - 2], [True, True], span)[0].float().clone()
    second = runner.decode(0, [ids[4], ids[-1]], [4, length - 1], [True, True], span)[0].float()
    return torch.cat([first, second])


def _some_ids(model: PreTrainedModel, length: int) -> list[int]:
    vocab = model.config.get_text_config().vocab_size
    ids: list[int] = torch.randint(0, vocab, (length,), generator=torch.Generator().manual_seed(0)).tolist()
    return ids


def _rounding(model: PreTrainedModel, logits: torch.Tensor) -> float:
    return EXACT_TOLERANCE.get(model.dtype, 0.5) * max(1.0, logits.abs().max().item() / 20)
