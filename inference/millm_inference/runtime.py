"""What is loaded now: one model at a time and what is attached to it. Loads, unloads, and says what changes."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable
from functools import partial
from typing import Literal

import psutil
import structlog
import torch

from millm_inference.contract import (
    ActivationsEvent,
    AttachedSae,
    Counters,
    DownloadState,
    FeatureValue,
    LoadedModel,
    LoadEvent,
    LoadModelRequest,
    MemoryState,
    MetricsEvent,
    MonitorFrame,
    MonitorState,
    MonitorWatch,
    QueueState,
    RuntimeState,
    SaeOverrides,
    SnapshotEvent,
    StateEvent,
)
from millm_inference.engine.interpreter import Reading
from millm_inference.engine.postprocess import Counters as EngineCounters
from millm_inference.engine.sequence import Sequence
from millm_inference.engine.token_bytes import TokenBytes
from millm_inference.errors import SidecarError
from millm_inference.events import Feed, FrameBuffer
from millm_inference.gpu import read_gpu
from millm_inference.interpret.formats import files_bytes, load_sae
from millm_inference.loader import pick_device
from millm_inference.memory import free_bytes, outcome_of, require_room
from millm_inference.metrics import Passes, RuntimeCollector
from millm_inference.resident import Resident, Surroundings, bring_up
from millm_inference.settings import Settings
from millm_inference.watchdog import WatchedLock

log = structlog.get_logger()
LoadStage = Literal["unloading", "reading", "verifying", "ready", "failed"]


class Runtime:
    """Blocking calls; routes run them off the event loop. Loading and attaching are serialised by one lock."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.instance_id = uuid.uuid4().hex
        self.started = time.monotonic()
        self.device = pick_device(settings)
        self.work = WatchedLock()
        self._resident: Resident | None = None
        self._loading: str | None = None
        self._called_off: float | None = None
        self.draining = False
        self.loop_seen: float | None = None
        """When (monotonic seconds) the event loop last had a turn; None: it does not run."""
        self.feed = Feed(self._snapshot)
        self.frames = FrameBuffer()
        self.monitor = MonitorState(watches=[])
        self.downloads: Callable[[], list[DownloadState]] = list
        self.counters = EngineCounters()
        self.passes = Passes()
        self.passes.registry.register(RuntimeCollector(self))
        self._surroundings = Surroundings(settings, self.passes, self.counters, self._on_watched)

    # ---- model ------------------------------------------------------------------------------------------------------
    @property
    def resident(self) -> Resident | None:
        return self._resident

    def require(self, model_id: str) -> Resident:
        """The loaded model, if it is the one asked for. Raises MODEL_NOT_LOADED."""
        resident = self._resident
        if resident is None or resident.info.model_id != model_id:
            loading = " It is being loaded." if self._loading == model_id else ""
            raise SidecarError("MODEL_NOT_LOADED", f"The model {model_id!r} is not loaded.{loading}", param="model")
        return resident

    def load(self, request: LoadModelRequest) -> LoadedModel:
        with self.work:
            if self._resident is not None and self._same(self._resident.info, request):
                return self._resident.info
            self._called_off = None
            self._loading = request.model_id
            self._say_load(request.model_id, "unloading" if self._resident else "reading")
            try:
                self._unload()
                self._resident = bring_up(
                    request,
                    self._surroundings,
                    go_on=partial(self._give_up_if_called_off, request.model_id),
                    say_verifying=partial(self._say_load, request.model_id, "verifying"),
                )
                self._say_load(request.model_id, "ready")
                return self._resident.info
            except SidecarError as error:
                self._say_load(request.model_id, "failed", error.message)
                raise
            finally:
                self._loading = None
                self._say_state()

    def unload(self) -> None:
        """Also ends a load that is under way, after the tensor that it is reading."""
        if self._loading is not None:
            self._called_off = time.monotonic()
        with self.work:
            self._unload()
            self._say_state()

    def _same(self, info: LoadedModel, request: LoadModelRequest) -> bool:
        return (info.model_id, info.path, info.quantization) == (request.model_id, request.path, request.quantization)

    def _give_up_if_called_off(self, model_id: str) -> None:
        if self._called_off is not None:
            raise SidecarError("CONFLICT", f"Loading {model_id!r} was cancelled.", param="model_id")

    def _unload(self) -> None:
        if self._resident is None:
            return
        self._resident.engine.close()
        log.info("model:unloaded", model_id=self._resident.info.model_id)
        self._resident = None
        self.monitor = MonitorState(watches=[])
        if self.device.type == "cuda":
            torch.cuda.empty_cache()

    # ---- SAEs -------------------------------------------------------------------------------------------------------
    def attach(self, sae_id: str, path: str, overrides: SaeOverrides | None) -> AttachedSae:
        with self.work:
            if self._resident is None:
                raise SidecarError("MODEL_NOT_LOADED", "Load a model before attaching an SAE to it.")
            attached = self._attach(self._resident, sae_id, path, overrides)
            self._say_state()
            return attached

    def _attach(self, resident: Resident, sae_id: str, path: str, overrides: SaeOverrides | None) -> AttachedSae:
        free = free_bytes(self.device, self.settings.memory_limit_mb)
        stays = "The model stays loaded, without it; detach another SAE or free memory."
        require_room(f"The SAE {sae_id!r}", files_bytes(path), free, self.device, stays)
        try:
            return resident.session.attach(sae_id, load_sae(path, overrides), path)
        except (MemoryError, RuntimeError) as error:
            if outcome_of(error) != "out_of_memory":
                raise
            raise SidecarError("INSUFFICIENT_MEMORY", f"The SAE {sae_id!r} does not fit. {stays}") from error

    def detach(self, sae_id: str) -> None:
        with self.work:
            if self._resident is None:
                raise SidecarError("SAE_NOT_ATTACHED", f"The SAE {sae_id!r} is not attached.", param="sae_id")
            self._resident.session.detach(sae_id)
            self._watch([w for w in self.monitor.watches if w.sae_id != sae_id])
            self._say_state()

    # ---- watching ---------------------------------------------------------------------------------------------------
    def set_monitor(self, wanted: MonitorState) -> MonitorState:
        """Replace what is watched. Raises SAE_NOT_ATTACHED, INVALID_FEATURE_INDEX, and then changes nothing."""
        with self.work:
            if self._resident is None and wanted.watches:
                raise SidecarError("MODEL_NOT_LOADED", "Load a model before watching its features.")
            self._watch(wanted.watches)
            return self.monitor

    def _watch(self, watches: list[MonitorWatch]) -> None:
        if self._resident is not None:
            session = self._resident.session
            self._resident.engine.call(lambda: session.watch(watches)).result()
        self.monitor = MonitorState(watches=watches)

    def _on_watched(self, token_bytes: TokenBytes, sequence: Sequence, reading: Reading) -> None:
        token = sequence.tokens[reading.position]
        self.frames.push(
            MonitorFrame(
                request_id=sequence.request.id,
                choice=sequence.index,
                position=reading.position,
                token_id=token,
                token=token_bytes.text(token),
                prompt=reading.position < sequence.prompt_length,
                sae_id=reading.sae_id,
                features=[FeatureValue(index=i, value=v) for i, v in zip(reading.indices, reading.values, strict=True)],
            )
        )

    def engine_busy_since(self) -> float | None:
        """Monotonic seconds; None: nothing is loaded, or it is idle."""
        resident = self._resident
        return resident.engine.busy_since if resident else None

    def called_off_since(self) -> float | None:
        """Monotonic seconds; None: no load is still going on that was called off."""
        return self._called_off if self._loading is not None else None

    # ---- state ------------------------------------------------------------------------------------------------------
    def state(self) -> RuntimeState:
        resident = self._resident
        return RuntimeState(
            instance_id=self.instance_id,
            model=resident.info if resident else None,
            loading_model_id=self._loading,
            saes=list(resident.session.attached()) if resident else [],
            queue=self._queue(resident),
            memory=self._memory(resident),
            counters=self._counters(),
        )

    def _queue(self, resident: Resident | None) -> QueueState:
        if resident is None:
            slots = self.settings.slots
            return QueueState(
                running=0, waiting=0, slots_total=slots, slots_free=slots, max_waiting=self.settings.max_waiting
            )
        scheduler = resident.engine.scheduler
        return QueueState(
            running=len({s.request.id for s in scheduler.running}),
            waiting=scheduler.waiting_requests,
            slots_total=len(scheduler.slots),
            slots_free=scheduler.free,
            max_waiting=scheduler.max_waiting,
            tokens_per_second=round(self.counters.tokens_per_second(), 2),
            kv_usage=round(min(1.0, sum(s.computed for s in scheduler.running) / scheduler.budget), 4),
        )

    def _memory(self, resident: Resident | None) -> MemoryState:
        if self.device.type == "cuda":
            free, total = torch.cuda.mem_get_info()
            used = total - free
        else:
            used, total = psutil.Process().memory_info().rss, psutil.virtual_memory().total
        return MemoryState(
            device=str(self.device),
            used_bytes=used,
            total_bytes=total,
            model_bytes=resident.info.memory_bytes if resident else 0,
            sae_bytes=resident.session.memory_bytes if resident else 0,
            kv_bytes=resident.engine.runner.cache.memory_bytes if resident else 0,
        )

    def _counters(self) -> Counters:
        c = self.counters
        return Counters(
            prompt_tokens=c.prompt_tokens,
            generated_tokens=c.generated_tokens,
            requests=c.requests,
            aborted=c.aborted,
            cached_prompt_tokens=c.cached_prompt_tokens,
        )

    # ---- what is said about it --------------------------------------------------------------------------------------
    def _say_load(self, model_id: str, stage: LoadStage, message: str | None = None) -> None:
        self.feed.publish(lambda seq: LoadEvent(type="load", seq=seq, model_id=model_id, stage=stage, message=message))

    def _say_state(self) -> None:
        self.feed.publish(lambda seq: StateEvent(type="state", seq=seq, state=self.state()))

    def _snapshot(self, seq: int) -> SnapshotEvent:
        return SnapshotEvent(
            type="snapshot", seq=seq, state=self.state(), downloads=self.downloads(), monitor=self.monitor
        )

    def say_metrics(self) -> None:
        """One MetricsEvent; called every two seconds while somebody listens."""
        resident = self._resident
        gpu = read_gpu(self.device)
        self.feed.publish(
            lambda seq: MetricsEvent(
                type="metrics",
                seq=seq,
                queue=self._queue(resident),
                memory=self._memory(resident),
                counters=self._counters(),
                cpu_percent=psutil.cpu_percent(),
                gpu_percent=gpu.percent,
                gpu_temperature_c=gpu.temperature_c,
            )
        )

    def say_frames(self) -> None:
        """What was watched since the last call, in one event."""
        frames = self.frames.take()
        if frames:
            self.feed.publish(lambda seq: ActivationsEvent(type="activations", seq=seq, frames=frames, dropped=0))

    def begin_drain(self) -> None:
        """Refuse new requests and end the feed; what runs goes on. May be called from a signal handler."""
        self.draining = True
        if self._resident is not None:
            self._resident.engine.refuse()
        self.feed.close()

    def shutdown(self) -> None:
        """Finish what runs within the grace period, then stop."""
        self.begin_drain()
        if self._resident is not None:
            self._resident.engine.drain(self.settings.shutdown_grace_s)
        self.unload()
