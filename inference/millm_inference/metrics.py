"""What Prometheus is told of the engine: passes, queue, memory. Requests are counted by the gateway, which knows their
names.

Names begin with `millm:engine_`, so that they never meet the gateway's in one dashboard by accident.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, GCCollector, Histogram, PlatformCollector, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from transformers import PreTrainedModel

from millm_inference.engine.decode_graphs import DecodeGraphs
from millm_inference.engine.interpreter import Interpreter
from millm_inference.engine.model_runner import ModelRunner, Passed

if TYPE_CHECKING:
    from millm_inference.runtime import Runtime

SECONDS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.03, 0.05, 0.075, 0.1, 0.15, 0.25, 0.5, 1, 2.5, 5, 10)
COUNTS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048)


class Passes:
    """Histograms of forward passes; one per process, whatever is loaded."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        for collector in (ProcessCollector, PlatformCollector, GCCollector):
            collector(registry=self.registry)
        self.seconds = Histogram(
            "millm:engine_step_time_seconds",
            "Time of one forward pass; on a GPU, until its kernels are queued.",
            ["kind"],
            buckets=SECONDS,
            registry=self.registry,
        )
        self.tokens = Histogram(
            "millm:engine_step_tokens",
            "Tokens of one forward pass: a piece of one prompt, or one for each row that decodes.",
            ["kind"],
            buckets=COUNTS,
            registry=self.registry,
        )

    def observe(self, kind: str, begun: float, tokens: int) -> None:
        self.seconds.labels(kind).observe(time.perf_counter() - begun)
        self.tokens.labels(kind).observe(tokens)


class MeasuredRunner(ModelRunner):
    """The same passes, measured."""

    def __init__(
        self,
        model: PreTrainedModel,
        interpreter: Interpreter | None,
        passes: Passes,
        graphs: DecodeGraphs[Passed] | None = None,
    ) -> None:
        super().__init__(model, interpreter, graphs)
        self.passes = passes

    def prefill(self, slot: int, tokens: Sequence[int], start: int, span: int, *, keep: int = 1) -> Passed:
        begun = time.perf_counter()
        result = super().prefill(slot, tokens, start, span, keep=keep)
        self.passes.observe("prefill", begun, len(tokens))
        return result

    def decode(
        self, lo: int, tokens: Sequence[int], positions: Sequence[int], valid: Sequence[bool], span: int
    ) -> Passed:
        begun = time.perf_counter()
        result = super().decode(lo, tokens, positions, valid, span)
        self.passes.observe("decode", begun, sum(valid))
        return result


class RuntimeCollector(Collector):
    """The state of a runtime, read when somebody asks."""

    def __init__(self, runtime: Runtime) -> None:
        self.runtime = runtime

    def describe(self) -> Iterable[Metric]:
        return []  # nothing can clash: these names are used here alone

    def collect(self) -> Iterator[Metric]:
        state = self.runtime.state()
        queue, memory, counters = state.queue, state.memory, state.counters
        gauges = {
            "millm:engine_running": ("Requests being computed now.", queue.running),
            "millm:engine_waiting": ("Requests waiting for a slot now.", queue.waiting),
            "millm:engine_slots": ("Slots.", queue.slots_total),
            "millm:engine_slots_free": ("Slots that nobody uses now.", queue.slots_free),
            "millm:engine_kv_usage": ("Share of the memory for keys and values in use, 0 to 1.", queue.kv_usage),
            "millm:engine_saes": ("SAEs that are attached.", len(state.saes)),
            "millm:engine_model_loaded": ("1 while a model is loaded.", int(state.model is not None)),
            "millm:engine_memory_used_bytes": ("Memory in use on the device.", memory.used_bytes),
            "millm:engine_memory_total_bytes": ("Memory of the device.", memory.total_bytes),
            "millm:engine_model_memory_bytes": ("Memory of the loaded model.", memory.model_bytes),
            "millm:engine_sae_memory_bytes": ("Memory of the attached SAEs.", memory.sae_bytes),
            "millm:engine_kv_memory_bytes": ("Memory that keys and values take now.", memory.kv_bytes),
        }
        for name, (text, value) in gauges.items():
            yield GaugeMetricFamily(name, text, value=float(value))
        totals = {
            "millm:engine_requests": ("Requests that finished.", counters.requests),
            "millm:engine_aborted": ("Requests that were cancelled.", counters.aborted),
            "millm:engine_prompt_tokens": ("Prompt tokens.", counters.prompt_tokens),
            "millm:engine_cached_prompt_tokens": (
                "Prompt tokens from the prefix cache.",
                counters.cached_prompt_tokens,
            ),
            "millm:engine_generated_tokens": ("Generated tokens.", counters.generated_tokens),
        }
        for name, (text, value) in totals.items():
            yield CounterMetricFamily(name, text, value=float(value))
