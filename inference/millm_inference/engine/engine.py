"""Schedule → run → postprocess, step after step, until closed: on one thread, the only one that touches the model.

Others hand it what they want done; it answers through each request's outbox. `submit`, `cancel` and `call` may be used
from any thread.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from typing import TypeVar

import structlog

from millm_inference.engine.interpreter import ForwardTrace, Interpreter, Reading
from millm_inference.engine.model_runner import ModelRunner
from millm_inference.engine.postprocess import Counters, Postprocess
from millm_inference.engine.scheduler import Admission, Scheduler, bucket
from millm_inference.engine.sequence import Failed, Request, Sequence, State
from millm_inference.engine.step_thread import StepThread
from millm_inference.engine.token_bytes import TokenBytes
from millm_inference.errors import SidecarError
from millm_inference.memory import outcome_of

log = structlog.get_logger()
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class EngineLimits:
    """`prefill_chunk` tokens of prompt per step while others decode, `idle_chunk` when nobody does: see
    `prefill_budget`."""

    slots: int = 16
    kv_positions: int = 65536
    max_waiting: int = 256
    prefill_chunk: int = 64
    idle_chunk: int = 512
    context_length: int = 2048

    def prefill_budget(self, decoding: int, prefilling: int) -> int:
        """Tokens of prompts that the next step may feed. A running stream waits for one chunk; where more prompts
        wait than streams run, each stream waits for its share of them."""
        if not decoding:
            return self.idle_chunk
        return min(self.idle_chunk, max(self.prefill_chunk, self.prefill_chunk * prefilling // decoding))


class Engine:
    def __init__(
        self,
        runner: ModelRunner,
        interpreter: Interpreter | None,
        token_bytes: TokenBytes,
        limits: EngineLimits,
        eos_ids: frozenset[int],
        counters: Counters | None = None,
        on_watched: Callable[[Sequence, Reading], None] = lambda sequence, reading: None,
        on_device_lost: Callable[[], None] = lambda: None,
    ) -> None:
        self.runner, self.interpreter, self.limits = runner, interpreter, limits
        self.token_bytes = token_bytes
        self.on_watched = on_watched
        self.on_device_lost = on_device_lost
        self._prefilling: Sequence | None = None
        self.scheduler = Scheduler(slots=limits.slots, budget=limits.kv_positions, max_waiting=limits.max_waiting)
        self.post = Postprocess(self.scheduler, interpreter, eos_ids, limits.context_length, counters or Counters())
        self._draining = False
        self._requests: dict[int, Request] = {}  # by arrival: a caller's ids need not be unique
        self._thread = StepThread("engine", self._has_work, self._turn)
        if interpreter is not None:
            interpreter.resize(limits.slots)
        self._thread.start()

    # ---- from other threads -----------------------------------------------------------------------------------------
    def submit(self, request: Request) -> Future[int]:
        """Queue a request → its place in the queue. The future raises QUEUE_FULL, SHUTTING_DOWN."""

        def enqueue() -> int:
            if self._draining:
                raise SidecarError("SHUTTING_DOWN", "The server is shutting down; try again in a moment.")
            place = self.scheduler.waiting_requests
            self.scheduler.enqueue(request)
            self._requests[request.arrival] = request
            return place

        return self.call(enqueue)

    def cancel(self, request: Request) -> None:
        """Stop a request at the next step boundary and free its slots. Unknown or answered: nothing happens."""
        self._thread.post(lambda: None if request.answered else self._abort(request, None))

    def call(self, work: Callable[[], T]) -> Future[T]:
        """Run `work` on the engine thread between two steps."""
        return self._thread.call(work)

    @property
    def busy_since(self) -> float | None:
        """When (monotonic seconds) the engine began what it is at; None: it is idle."""
        return self._thread.busy_since

    def refuse(self) -> None:
        """From now on, `submit` answers SHUTTING_DOWN."""
        self._draining = True

    def drain(self, timeout_s: float) -> None:
        """Refuse new requests and wait for the running ones, at most `timeout_s`."""
        self.refuse()
        end = time.monotonic() + timeout_s
        while self._requests and time.monotonic() < end:
            time.sleep(0.02)

    def close(self) -> None:
        """Fail what is left and end the thread."""
        self._draining = True

        def fail_all() -> None:
            for request in list(self._requests.values()):
                self._abort(request, SidecarError("SHUTTING_DOWN", "The server shut down while this was running."))

        self._thread.end(fail_all, timeout_s=30)

    # ---- a step -----------------------------------------------------------------------------------------------------
    def _has_work(self) -> bool:
        return bool(self.scheduler.waiting or self.scheduler.running)

    def _turn(self) -> None:
        try:
            self.step()
        except Exception as error:
            self._recover(error)

    def step(self) -> None:
        """One turn: expire, admit, feed a piece of the prompts, decode one token of everything that decodes."""
        self._expire()
        self._schedule()
        self._prefill()
        self._decode()
        for request in [r for r in self._requests.values() if r.finished]:
            del self._requests[request.arrival]
            request.let_go()

    def _schedule(self) -> None:
        while (newest := self.scheduler.overflow()) is not None:
            log.info("engine:preempted", request_id=newest.request.id, choice=newest.index)
            self._close_slot(newest)
            self.scheduler.preempt(newest)
        hole = self.scheduler.hole()
        if hole is not None:
            self._move(*hole)
        admitted = self.scheduler.admit()
        self.runner.cache.resize(*self.scheduler.shape(), self.scheduler.held())
        for admission in admitted:
            self._start(admission)

    def _start(self, admission: Admission) -> None:
        sequence, request = admission.sequence, admission.sequence.request
        if request.started is None:
            request.started = time.monotonic()
            request.cached_tokens = admission.reuse
        if admission.source is not None:
            if admission.source < self.runner.cache.slots:
                self.runner.cache.copy(admission.source, admission.slot, admission.reuse)
            else:  # the prefix went with the rows that memory pressure took
                sequence.computed = request.cached_tokens = 0
        if self.interpreter is not None:
            self.interpreter.open(admission.slot, request.plan, request.prompt)

    def _move(self, source: int, target: int) -> None:
        sequence = self.scheduler.slots[source].owner
        assert sequence is not None
        self.runner.cache.copy(source, target, sequence.computed)
        self.scheduler.move(source, target)
        if self.interpreter is not None:
            self.interpreter.fork(source, target)
            self.interpreter.close(source)

    # ---- prefill ----------------------------------------------------------------------------------------------------
    def _prefill(self) -> None:
        running = self.scheduler.running
        decoding = sum(s.state in (State.DECODE, State.LAST_READ) for s in running)
        order = sorted((s for s in running if s.state is State.PREFILL), key=lambda s: (s.request.arrival, s.index))
        budget = self.limits.prefill_budget(decoding, len(order))
        for sequence in order:
            if budget <= 0:
                return
            budget -= self._prefill_chunk(sequence, budget)

    def _prefill_chunk(self, sequence: Sequence, budget: int) -> int:
        request = sequence.request
        start = sequence.computed
        chunk = sequence.tokens[start : start + min(budget, sequence.to_compute)]
        self._prefilling = sequence
        end = start + len(chunk)
        assert sequence.slot is not None
        scored = request.prompt_logprobs is not None and sequence.index == 0 and start < sequence.prompt_length
        keep = len(chunk) if scored else int(end == len(sequence.tokens))  # only the last token's are sampled from
        logits, trace = self.runner.prefill(
            sequence.slot, chunk, start, min(bucket(end), self.scheduler.capacity), keep=keep
        )
        sequence.computed = end
        self.post.count(request, trace)
        self._hand_out(trace)
        if scored:
            self.post.score_prompt(sequence, logits, start)
        if end == len(sequence.tokens):
            self.post.prompt_done(sequence)
            if sequence.state is State.PREFILL:
                self.post.advance([sequence], logits[-1:])
        self._prefilling = None
        return len(chunk)

    # ---- decode -----------------------------------------------------------------------------------------------------
    def _decode(self) -> None:
        rows = [s for s in self.scheduler.running if s.state in (State.DECODE, State.LAST_READ)]
        rows = [s for s in rows if len(s.tokens) <= self.runner.cache.capacity]
        if not rows:
            return
        by_slot = {s.slot: s for s in rows if s.slot is not None}
        lo, hi = self.runner.window(min(by_slot), max(by_slot) + 1)
        limit = self.runner.cache.capacity - 1
        tokens, positions, valid = [], [], []
        for slot in range(lo, hi):
            sequence = by_slot.get(slot)
            valid.append(sequence is not None)
            tokens.append(sequence.tokens[-1] if sequence else 0)
            # ballast writes just behind what its slot holds, where the next real token will overwrite it
            positions.append(len(sequence.tokens) - 1 if sequence else min(self._known(slot), limit))
        span = min(bucket(max(p for p, v in zip(positions, valid, strict=True) if v) + 1), self.runner.cache.capacity)
        logits, trace = self.runner.decode(lo, tokens, positions, valid, span)
        for sequence in rows:
            sequence.computed = len(sequence.tokens)
            self.post.count(sequence.request, trace, sequence.slot)
        self._hand_out(trace)
        order = [s for s in rows if s.state is State.DECODE]
        for sequence in rows:
            if sequence.state is State.LAST_READ:
                self.post.complete(sequence)
        if order:
            picked = logits if len(order) == hi - lo else logits[[s.slot - lo for s in order if s.slot is not None]]
            if len(order) == hi - lo:
                order.sort(key=lambda s: s.slot or 0)
            self.post.advance(order, picked)

    def _known(self, slot: int) -> int:
        entry = self.scheduler.slots[slot]
        if entry.owner is None and len(entry.tokens) >= self.runner.cache.capacity:
            entry.tokens = entry.tokens[: self.runner.cache.capacity - 1]
        return entry.held

    def _hand_out(self, trace: ForwardTrace | None) -> None:
        if trace is None:
            return
        for reading in trace.readings():
            owner = self.scheduler.slots[reading.slot].owner
            if owner is not None:
                self._keep_reading(owner, reading)

    def _keep_reading(self, sequence: Sequence, reading: Reading) -> None:
        if reading.monitor:
            if reading.position > sequence.watched.get(reading.sae_id, -1):
                sequence.watched[reading.sae_id] = reading.position
                self.on_watched(sequence, reading)
            return
        if reading.position <= sequence.reported:
            return
        if reading.position < sequence.prompt_length:
            sequence.prompt_readings.append(reading)
        else:
            sequence.readings.append(reading)

    # ---- ends -------------------------------------------------------------------------------------------------------
    def _close_slot(self, sequence: Sequence) -> None:
        if self.interpreter is not None and sequence.slot is not None:
            self.interpreter.close(sequence.slot)

    def _abort(self, request: Request, error: SidecarError | None) -> None:
        if self._requests.pop(request.arrival, None) is None or request.finished:
            return
        request.cancelled = True
        self.scheduler.withdraw(request)
        for sequence in request.sequences:
            if sequence.state is not State.FINISHED:
                self._close_slot(sequence)
                self.scheduler.release(sequence)
                sequence.state = State.FINISHED
        request.let_go()
        if request.answered:
            return
        self.post.counters.aborted += 1
        if error is not None:
            request.outbox(Failed(error))

    def _expire(self) -> None:
        now = time.monotonic()
        late = [r for r in self._requests.values() if r.deadline is not None and r.deadline < now]
        for request in late:
            self._abort(request, SidecarError("DEADLINE_EXCEEDED", "The request's deadline passed."))

    def _recover(self, error: Exception) -> None:
        match outcome_of(error):
            case "out_of_memory":
                self._relieve(error)
            case "device_lost":
                self._fail_running(error)
                self.on_device_lost()
            case "failed":
                self._fail_running(error)

    def _relieve(self, error: Exception) -> None:
        """One request gives way: the one at work, else the newest. The others take the step again; nothing of it was
        kept."""
        running = self.scheduler.running
        victim = self._prefilling or max(running, key=lambda s: (s.request.arrival, s.index), default=None)
        self._prefilling = None
        if victim is None:
            return self._fail_running(error)
        log.warning("engine:out-of-memory", request_id=victim.request.id, running=len(running), error=str(error))
        reason = "There was not enough memory to go on with this request; ask for less, or when less is running."
        self._abort(victim.request, SidecarError("INSUFFICIENT_MEMORY", reason))
        self.scheduler.tighten()
        self.runner.spare()

    def _fail_running(self, error: Exception) -> None:
        log.exception("engine:step-failed", error=str(error))
        known = error if isinstance(error, SidecarError) else None
        failure = known or SidecarError("INTERNAL_ERROR", "The engine failed while generating.")
        self._prefilling = None
        for request in [r for r in self._requests.values() if any(s.slot is not None for s in r.sequences)]:
            self._abort(request, failure)
        self.scheduler.forget()
