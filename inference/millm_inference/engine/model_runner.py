"""All that touches the device: forward passes of an unmodified Hugging Face causal LM over the slot cache."""

from __future__ import annotations

from collections.abc import Sequence as Seq

import torch
from transformers import PreTrainedModel

from millm_inference.engine.decode_graphs import DecodeGraphs, StepInputs
from millm_inference.engine.interpreter import BatchShape, ForwardBatch, ForwardTrace, Interpreter, PreparedPass
from millm_inference.engine.kv_cache import SlotCache
from millm_inference.engine.masks import MaskPlan, plan_masks

Passed = tuple[torch.Tensor, ForwardTrace | None]
"""Raw logits, and what the interpreter did."""


class ModelRunner:
    """Runs passes and returns raw logits. `interpreter` puts hooks in place around each pass, or none; `graphs`
    replays decode steps where it has recorded one. What a pass returns holds until the next one."""

    def __init__(
        self, model: PreTrainedModel, interpreter: Interpreter | None, graphs: DecodeGraphs[Passed] | None = None
    ) -> None:
        self.model = model
        self.interpreter = interpreter
        self.graphs = graphs
        self.device: torch.device = model.device
        self.masks: MaskPlan = plan_masks(model)
        self.cache = SlotCache(model.config.get_text_config().num_hidden_layers)

    def prefill(self, slot: int, tokens: Seq[int], start: int, span: int, *, keep: int = 1) -> Passed:
        """Feed `tokens` of one slot from absolute position `start` → logits `[keep, vocab]` of the last `keep`. With
        none to keep, the head is not run."""
        length = len(tokens)
        shape = BatchShape(slot, [list(range(start, start + length))], [[True] * length])
        positions = torch.arange(start, start + length, device=self.device)[None]
        ids = torch.tensor([list(tokens)], device=self.device)
        self.cache.open_run(slot, start, length, span)
        batch = ForwardBatch(slot, ids, positions, torch.ones_like(positions, dtype=torch.bool))
        logits, trace = self._run(batch, span, self._prepare(shape), keep=keep)
        return logits[0], trace

    def spare(self) -> None:
        """Give back what memory can be done without."""
        if self.graphs is not None:
            self.graphs.forget()
        if self.device.type == "cuda":
            torch.cuda.empty_cache()

    def window(self, lo: int, hi: int) -> tuple[int, int]:
        """The slots a decode pass over lo … hi-1 had better cover: the same few ranges again and again where steps are
        recorded, since on a GPU a row more costs less than another recording."""
        if self.graphs is None or self.graphs.refused is not None:
            return lo, hi
        return 0, min(self.cache.slots, 1 << (hi - 1).bit_length())

    def decode(self, lo: int, tokens: Seq[int], positions: Seq[int], valid: Seq[bool], span: int) -> Passed:
        """One token for each of the slots lo, lo+1, … → logits `[rows, vocab]`. Rows that are not valid are ballast."""
        prepared = self._prepare(BatchShape(lo, [[p] for p in positions], [[v] for v in valid]))
        rows = torch.tensor([tokens, positions, valid], dtype=torch.long, device=self.device)
        self.cache.touch(lo, positions)  # not in the step: a replayed one would not say so

        def step(inputs: StepInputs) -> Passed:
            self.cache.open_rows(lo, inputs.positions, span)
            batch = ForwardBatch(lo, inputs.token_ids, inputs.positions, inputs.valid)
            logits, trace = self._run(batch, span, prepared, keep=1)
            return logits[:, -1], trace

        if self.graphs is None:
            return step(StepInputs(rows))
        key = (lo, len(tokens), span, prepared.key if prepared else None)
        (logits, trace), replayed = self.graphs.run(key, self.cache.generation, rows, step)
        if replayed and prepared is not None and trace is not None:
            trace = prepared.replayed(trace)
        return logits, trace

    def _prepare(self, shape: BatchShape) -> PreparedPass | None:
        return self.interpreter.prepare(shape) if self.interpreter is not None else None

    def _run(self, batch: ForwardBatch, span: int, prepared: PreparedPass | None, *, keep: int) -> Passed:
        mask = self.masks.build(batch.positions, span)
        if prepared is None:
            return self._forward(batch, mask, keep), None
        with prepared.hooked(batch) as trace:
            logits = self._forward(batch, mask, keep)
        return logits, trace

    def _forward(self, batch: ForwardBatch, mask: object, keep: int) -> torch.Tensor:
        inputs = {
            "input_ids": batch.token_ids,
            "attention_mask": mask,
            "position_ids": batch.positions,
            "past_key_values": self.cache,
            "use_cache": True,
        }
        with torch.inference_mode():
            if keep:
                logits: torch.Tensor = self.model(**inputs, logits_to_keep=keep).logits
                return logits
            hidden: torch.Tensor = self.model.base_model(**inputs).last_hidden_state
            return hidden.new_empty(hidden.shape[0], 0, self.model.config.get_text_config().vocab_size)
