"""All that touches the device: forward passes of an unmodified Hugging Face causal LM over the slot cache."""

from __future__ import annotations

from collections.abc import Sequence as Seq

import torch
from transformers import DynamicCache, PreTrainedModel

from millm_inference.engine.interpreter import ForwardBatch, ForwardTrace, Interpreter
from millm_inference.engine.kv_cache import SlotCache
from millm_inference.engine.masks import MaskPlan, plan_masks
from millm_inference.errors import SidecarError

EXACT_TOLERANCE = {torch.float32: 1e-3, torch.float16: 0.1, torch.bfloat16: 0.5}
"""Largest difference of a logit between the slot cache and the model's own cache that counts as rounding."""

QUANTIZED_ERROR = 0.2
"""Relative error of the logits of a quantised model between batch shapes that counts as rounding."""


class ModelRunner:
    """Runs passes and returns raw logits. `interpreter` puts hooks in place around each pass, or none."""

    def __init__(self, model: PreTrainedModel, interpreter: Interpreter | None) -> None:
        self.model = model
        self.interpreter = interpreter
        self.device: torch.device = model.device
        self.masks: MaskPlan = plan_masks(model)
        self.cache = SlotCache(model.config.get_text_config().num_hidden_layers)

    def prefill(
        self, slot: int, tokens: Seq[int], start: int, span: int, *, all_logits: bool = False
    ) -> tuple[torch.Tensor, ForwardTrace | None]:
        """Feed `tokens` of one slot from absolute position `start` → logits `[T, vocab]`, or `[1, vocab]` of the
        last."""
        length = len(tokens)
        positions = torch.arange(start, start + length, device=self.device)[None]
        ids = torch.tensor([list(tokens)], device=self.device)
        self.cache.open_run(slot, start, length, span)
        batch = ForwardBatch(slot, ids, positions, torch.ones_like(positions, dtype=torch.bool))
        logits, trace = self._run(batch, span, keep=0 if all_logits else 1)
        return logits[0], trace

    def decode(
        self, lo: int, tokens: Seq[int], positions: Seq[int], valid: Seq[bool], span: int
    ) -> tuple[torch.Tensor, ForwardTrace | None]:
        """One token for each of the slots lo, lo+1, … → logits `[rows, vocab]`. Rows that are not valid are ballast."""
        ids = torch.tensor(tokens, device=self.device)[:, None]
        at = torch.tensor(positions, device=self.device)[:, None]
        self.cache.open_rows(lo, at, span)
        batch = ForwardBatch(lo, ids, at, torch.tensor(valid, device=self.device)[:, None])
        logits, trace = self._run(batch, span, keep=1)
        return logits[:, -1], trace

    def _run(self, batch: ForwardBatch, span: int, *, keep: int) -> tuple[torch.Tensor, ForwardTrace | None]:
        mask = self.masks.build(batch.positions, span)
        if self.interpreter is None:
            return self._forward(batch, mask, keep), None
        with self.interpreter.forward(batch) as trace:
            logits = self._forward(batch, mask, keep)
        return logits, trace

    def _forward(self, batch: ForwardBatch, mask: object, keep: int) -> torch.Tensor:
        with torch.inference_mode():
            output = self.model(
                input_ids=batch.token_ids,
                attention_mask=mask,
                position_ids=batch.positions,
                past_key_values=self.cache,
                use_cache=True,
                logits_to_keep=keep,
            )
        logits: torch.Tensor = output.logits
        return logits

    def verify(self, length: int = 24) -> None:
        """Refuse a model that the slot cache does not serve exactly: two rows at different positions, chunked, against
        the model's own cache. Raises MODEL_INCOMPATIBLE."""
        vocab = self.model.config.get_text_config().vocab_size
        generator = torch.Generator().manual_seed(0)
        window = self.masks.window
        if window is not None and window <= 64:
            length = max(length, window + 8)
        ids = torch.randint(0, vocab, (length,), generator=generator).tolist()
        with torch.inference_mode():
            expected = self.model(
                input_ids=torch.tensor([ids], device=self.device),
                past_key_values=DynamicCache(config=self.model.config),
                use_cache=True,
            ).logits[0]
        try:
            self.cache.resize(2, -(-(length + 8) // 64) * 64)
            span = self.cache.capacity
            self.prefill(1, ids[:5], 0, span)
            self.prefill(1, ids[5:-2], 5, span)
            self.prefill(0, ids[:3], 0, span)
            first, _ = self.decode(0, [ids[3], ids[-2]], [3, length - 2], [True, True], span)
            second, _ = self.decode(0, [ids[4], ids[-1]], [4, length - 1], [True, True], span)
        except (TypeError, ValueError, RuntimeError, IndexError, AttributeError) as error:
            raise SidecarError(
                "MODEL_INCOMPATIBLE", f"The engine cannot run this model's attention: {error}".split("\n")[0]
            ) from error
        got = torch.stack([first[0], first[1], second[0], second[1]]).float()
        want = torch.stack([expected[3], expected[-2], expected[4], expected[-1]]).float()
        if getattr(self.model, "is_quantized", False):
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
        scale = max(1.0, want.abs().max().item() / 20)
        if not difference <= EXACT_TOLERANCE.get(self.model.dtype, 0.5) * scale:
            raise SidecarError(
                "MODEL_INCOMPATIBLE",
                f"The engine does not reproduce this model exactly (a logit differs by {difference:.3g}): not served.",
            )
