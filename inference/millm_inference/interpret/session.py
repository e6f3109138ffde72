"""What the engine calls: attached SAEs, the plans of its slots, and hooks in place for exactly one forward pass.

`attach`, `detach` and `compile` may run on any thread; the rest on the engine's. A running plan keeps its own SAEs.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import nn

from millm_inference.contract import AttachedSae, MonitorWatch
from millm_inference.engine.interpreter import BatchShape, Plan, PromptTokens
from millm_inference.errors import SidecarError
from millm_inference.interpret.attachment import Attachment, fit
from millm_inference.interpret.buffers import SiteBuffer
from millm_inference.interpret.compile import compile_plan
from millm_inference.interpret.content import content_hash
from millm_inference.interpret.lookup import check_index, find
from millm_inference.interpret.monitor import wanted
from millm_inference.interpret.places import Place
from millm_inference.interpret.plan import CompiledPlan, Watch, plain_plan
from millm_inference.interpret.sae import Sae
from millm_inference.interpret.sited_pass import SitedPass
from millm_inference.interpret.sites import BatchSites, build_sites

CACHED_BATCHES = 8


class InterpretSession:
    """The engine's `Interpreter` over one loaded model."""

    def __init__(self, model: nn.Module) -> None:
        parameter = next(model.parameters())
        self._model = model
        self._dtype = parameter.dtype
        # Sums and encoders are float32 whatever the model is; float64 only for a model that is float64 itself.
        exact = torch.float64 if parameter.dtype == torch.float64 else torch.float32
        self._like = torch.empty(0, dtype=exact, device=parameter.device)
        self._lock = threading.Lock()
        self._attached: dict[str, Attachment] = {}
        self._plans: dict[int, CompiledPlan] = {}
        self._buffers: dict[Place, SiteBuffer] = {}
        self._batches: dict[tuple[int, int], BatchSites] = {}
        self._monitors: tuple[Watch, ...] = ()
        self.resize(0)

    # Attaching: any thread

    def attach(self, sae_id: str, sae: Sae, path: str | None = None) -> AttachedSae:
        """Check that `sae` fits the model, move it beside the model, and make it available to new requests."""
        named = replace(
            sae, path=sae.path if path is None else path, content_hash=sae.content_hash or content_hash(sae)
        )
        moved = named.to(self._like.device, self._like.dtype).for_batches()
        fitted = fit(self._model, sae_id, moved)
        with self._lock:
            if sae_id in self._attached:
                raise SidecarError("CONFLICT", f"The SAE {sae_id!r} is attached already.", sae_id=sae_id)
            self._attached = {**self._attached, sae_id: fitted}
        return _describe(fitted)

    def detach(self, sae_id: str) -> None:
        """New requests do not find it any more; those running keep it, and nobody watches it over the server."""
        with self._lock:
            find(self._attached, sae_id, "sae_id")
            self._attached = {name: a for name, a in self._attached.items() if name != sae_id}
            self._monitors = tuple(watch for watch in self._monitors if watch.source.sae_id != sae_id)

    def attached(self) -> list[AttachedSae]:
        return [_describe(attachment) for attachment in self._attached.values()]

    def sae(self, sae_id: str) -> Sae:
        return find(self._attached, sae_id, "sae_id").sae

    @property
    def memory_bytes(self) -> int:
        return sum(attachment.sae.memory_bytes for attachment in self._attached.values())

    def compile(self, steering: Any, activations: Any, prompt: PromptTokens) -> CompiledPlan | None:
        """Takes the contract's `SteeringSpec` and `ActivationsRequest`, either of them None."""
        return compile_plan(steering, activations, prompt, self._attached, self._like.device)

    # Slots: the engine's thread

    def watch(self, watches: Sequence[MonitorWatch]) -> None:
        """Read this in every row from the next pass on, besides what requests ask for; an empty list ends it."""
        monitors = []
        for number, watch in enumerate(watches):
            source = find(self._attached, watch.sae_id, f"watches[{number}].sae_id")
            features = tuple(feature.root for feature in watch.features)
            for feature in features:
                check_index(source, feature, f"watches[{number}].features")
            top_k = min(watch.top_k, source.sae.d_sae)
            if top_k or features:
                monitors.append(Watch(source, features, top_k, True, False, monitor=True))
        self._monitors = tuple(monitors)
        self._batches.clear()

    def reads(self, slot: int) -> bool:
        plan = self._plans.get(slot)
        return plan is not None and plan.reads

    def watched(self, slot: int) -> bool:
        return slot in self._plans and bool(self._monitors)

    def resize(self, slots: int) -> None:
        assert not self._plans, "no slot may be open"
        self._slots = slots
        self._buffers.clear()
        self._batches.clear()
        self._memory = torch.zeros(slots, 0, dtype=torch.bool, device=self._like.device)

    def open(self, slot: int, plan: Plan | None, prompt: PromptTokens) -> None:
        plan = plain_plan(prompt, self._like.device) if plan is None else plan
        assert isinstance(plan, CompiledPlan)
        assert plan.prompt_length == len(prompt.ids), "a plan belongs to the prompt it was compiled for"
        self.close(slot)
        self._batches.clear()
        self._plans[slot] = plan
        with torch.inference_mode(False), torch.no_grad():
            for place, vector in plan.adds.items():
                if place not in self._buffers:
                    self._buffers[place] = SiteBuffer(self._slots, vector, self._dtype)
                self._buffers[place].put(slot, vector)
            self._remember_nothing(slot, len(plan.conditions))

    def fork(self, source: int, target: int) -> None:
        self.close(target)
        if (plan := self._plans.get(source)) is None:
            return
        self._batches.clear()
        self._plans[target] = plan
        with torch.inference_mode(False), torch.no_grad():
            for place, vector in plan.adds.items():
                self._buffers[place].put(target, vector)
            self._memory[target] = self._memory[source]

    def close(self, slot: int) -> None:
        if (plan := self._plans.pop(slot, None)) is None:
            return
        self._batches.clear()
        with torch.inference_mode(False), torch.no_grad():
            for place in plan.adds:
                self._buffers[place].clear(slot)

    def prepare(self, shape: BatchShape) -> SitedPass | None:
        sites = self._sites(shape.slot_lo, shape.rows)
        if sites is None:
            return None
        picks = {table: wanted(table, shape, self._like.device) for table in sites.watches}
        needed = [site for site in sites.sites if site.steers or any(picks[table] for table in site.watches)]
        memory = self._memory[shape.slot_lo : shape.slot_lo + shape.rows]
        return SitedPass(shape, sites, needed, picks, memory) if needed else None

    def _sites(self, slot_lo: int, rows: int) -> BatchSites | None:
        monitors = self._monitors
        plans = {
            slot - slot_lo: plan
            for slot, plan in sorted(self._plans.items())
            if slot_lo <= slot < slot_lo + rows and (plan.steers or plan.reads or monitors)
        }
        if not plans:
            return None
        cached = self._batches.get((slot_lo, rows))
        # A detach on another thread takes monitors away without touching the cache.
        if cached is None or cached.monitors is not monitors:
            if len(self._batches) >= CACHED_BATCHES:
                self._batches.pop(next(iter(self._batches)))
            with torch.inference_mode(False), torch.no_grad():
                cached = build_sites(self._model, plans, monitors, slot_lo, rows, self._buffers, self._like)
            self._batches[slot_lo, rows] = cached
        return cached

    def _remember_nothing(self, slot: int, conditions: int) -> None:
        missing = conditions + 2 - self._memory.shape[1]
        if missing > 0:
            self._memory = torch.nn.functional.pad(self._memory, (0, missing))
        self._memory[slot] = False


def _describe(attachment: Attachment) -> AttachedSae:
    sae = attachment.sae
    return AttachedSae(
        sae_id=attachment.sae_id,
        path=sae.path,
        format=sae.format,
        architecture=sae.architecture,
        d_in=sae.d_in,
        d_sae=sae.d_sae,
        hook=attachment.hook,
        hook_out=attachment.hook_out,
        layer=attachment.layer,
        model=sae.model,
        memory_bytes=sae.memory_bytes,
        content_hash=sae.content_hash,
        operations=list(attachment.operations),
        warnings=list(attachment.warnings),
        quality=sae.quality,
        strengths=list(sae.strengths),
    )
