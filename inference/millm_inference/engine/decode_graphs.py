"""Decode steps recorded once and replayed: on a GPU a small model's step waits for its kernels to be launched more than
for them to run, and a CUDA graph launches them all at once.

A step is recorded per shape and per what the interpreter does in it; a replay reads new tokens, positions and validity
from the same buffers. What cannot be recorded runs as usual. Knows nothing of models, sequences or SAEs.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

import structlog
import torch

from millm_inference.memory import outcome_of

log = structlog.get_logger()
T = TypeVar("T")

RECORD_AFTER = 3
"""Steps of one key that run as usual before one is recorded: recording costs about as much as three of them."""

KEPT = 64
"""Recorded steps kept, the least recently used goes first."""


class Recorder(Protocol):
    def record(self, step: Callable[[], T]) -> tuple[T, Callable[[], None]]:
        """What `step` returned, and a call that does its device work again on the same memory. `step` may run several
        times; its device work must come to the same however often it is done."""
        ...


class CudaRecorder:
    """CUDA graphs, all in one memory pool: steps are never replayed side by side."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.pool = torch.cuda.graph_pool_handle()

    def record(self, step: Callable[[], T]) -> tuple[T, Callable[[], None]]:
        current = torch.cuda.current_stream(self.device)
        side = torch.cuda.Stream(self.device)  # type: ignore[no-untyped-call]
        side.wait_stream(current)
        with torch.cuda.stream(side):
            step()  # what kernels set up at first use must not happen while recording
        current.wait_stream(side)
        graph = torch.cuda.CUDAGraph()
        # other threads (a load, an attach) may use the device meanwhile
        with torch.cuda.graph(graph, pool=self.pool, capture_error_mode="thread_local"):
            result = step()
        return result, graph.replay


@dataclass(frozen=True, slots=True)
class StepInputs:
    """`rows [3, N]` int64 on the device: token ids, positions and validity, written before each replay."""

    rows: torch.Tensor

    @property
    def token_ids(self) -> torch.Tensor:
        return self.rows[0][:, None]

    @property
    def positions(self) -> torch.Tensor:
        return self.rows[1][:, None]

    @property
    def valid(self) -> torch.Tensor:
        return self.rows[2][:, None] > 0


@dataclass(frozen=True, slots=True)
class Recorded(Generic[T]):
    inputs: StepInputs
    result: T
    replay: Callable[[], None]


class DecodeGraphs(Generic[T]):
    """The recorded steps of one model. `step(inputs)` is what the runner does for one pass."""

    def __init__(self, recorder: Recorder, record_after: int = RECORD_AFTER, kept: int = KEPT) -> None:
        self.recorder = recorder
        self.record_after, self.kept = record_after, kept
        self.refused: str | None = None
        self.replays = 0
        self._recorded: OrderedDict[Hashable, Recorded[T]] = OrderedDict()
        self._seen: Counter[Hashable] = Counter()
        self._generation: int | None = None

    def run(
        self, key: Hashable, generation: int, rows: torch.Tensor, step: Callable[[StepInputs], T]
    ) -> tuple[T, bool]:
        """The step's result, and whether it was replayed: then only its device work was done, and what it returned is
        the recorded step's, its tensors written anew. They hold until the next step.

        `generation` names the memory behind the step; another one makes everything recorded void.
        """
        if generation != self._generation:
            self.forget()
            self._generation = generation
        recorded = self._recorded.get(key)
        if recorded is None and self._wants(key):
            recorded = self._record(key, rows, step)
        if recorded is None:
            return step(StepInputs(rows)), False
        self._recorded.move_to_end(key)
        recorded.inputs.rows.copy_(rows)
        recorded.replay()
        self.replays += 1
        return recorded.result, True

    def forget(self) -> None:
        """Drop everything recorded and the memory it holds."""
        self._recorded.clear()
        self._seen.clear()

    def _wants(self, key: Hashable) -> bool:
        if self.refused is not None:
            return False
        if len(self._seen) > 16 * self.kept:  # keys of batches long gone
            self._seen.clear()
        self._seen[key] += 1
        return self._seen[key] > self.record_after

    def _record(self, key: Hashable, rows: torch.Tensor, step: Callable[[StepInputs], T]) -> Recorded[T] | None:
        inputs = StepInputs(rows.clone())
        try:
            result, replay = self.recorder.record(lambda: step(inputs))
        except Exception as error:
            self.forget()
            if outcome_of(error) == "out_of_memory":
                return None  # without what was recorded there may be room for the step itself
            if outcome_of(error) == "device_lost" and "captur" not in str(error):
                raise
            self.refused = str(error).strip().split("\n")[0][:200]
            log.warning("engine:graphs-off", reason=self.refused)
            return None
        while len(self._recorded) >= self.kept:
            self._recorded.popitem(last=False)
        self._recorded[key] = recorded = Recorded(inputs, result, replay)
        return recorded
