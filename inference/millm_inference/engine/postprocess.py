"""What follows a forward pass: sample, decide who is finished, tell the outboxes."""

from __future__ import annotations

import time
from collections import deque
from dataclasses import dataclass, field

import torch

from millm_inference.engine.interpreter import ForwardTrace, Interpreter, Reading
from millm_inference.engine.sampler import Sampled, SampleRow, sample, with_logprobs
from millm_inference.engine.scheduler import Scheduler
from millm_inference.engine.sequence import Delta, Done, Finish, PromptScored, Request, Sequence, State
from millm_inference.engine.text_output import Emission, TokenRecord


@dataclass(slots=True)
class Counters:
    """Monotonic since the process started; `recent` holds (time, tokens) of the last seconds."""

    prompt_tokens: int = 0
    generated_tokens: int = 0
    requests: int = 0
    aborted: int = 0
    cached_prompt_tokens: int = 0
    recent: deque[tuple[float, int]] = field(default_factory=lambda: deque(maxlen=4096))

    def tokens_per_second(self, window_s: float = 5.0) -> float:
        since = time.monotonic() - window_s
        return sum(count for at, count in tuple(self.recent) if at >= since) / window_s


class Postprocess:
    def __init__(
        self,
        scheduler: Scheduler,
        interpreter: Interpreter | None,
        eos_ids: frozenset[int],
        context_length: int,
        counters: Counters,
    ) -> None:
        self.scheduler, self.interpreter = scheduler, interpreter
        self.eos_ids, self.context_length = eos_ids, context_length
        self.counters = counters

    def count(self, request: Request, trace: ForwardTrace | None, slot: int | None = None) -> None:
        if trace is not None:
            steered = trace.steered
            request.steered_positions += sum(steered.values()) if slot is None else steered.get(slot, 0)

    def prompt_done(self, sequence: Sequence) -> None:
        """Every known token is computed. The first time, the prompt is reported; with no token wanted, that was all."""
        request = sequence.request
        if request.prefilled is None and sequence.index == 0:
            request.prefilled = time.monotonic()
            self.counters.prompt_tokens += sequence.prompt_length
            self.counters.cached_prompt_tokens += request.cached_tokens
            if request.report_prompt:
                request.outbox(PromptScored(sequence.prompt_scores, _take(sequence, sequence.prompt_readings)))
        if request.sampling.max_tokens == 0:
            sequence.finish_reason = "length"
        if sequence.finish_reason is not None:
            self.complete(sequence)

    def score_prompt(self, sequence: Sequence, logits: torch.Tensor, start: int) -> None:
        """The log-probability of each prompt token that `logits [T, vocab]`, from position `start`, foretell."""
        request = sequence.request
        targets = sequence.tokens[start + 1 : min(start + 1 + logits.shape[0], sequence.prompt_length)]
        known = len(sequence.prompt_scores) - 1 - start  # a preempted sequence scores positions twice
        for offset, target in enumerate(targets):
            if offset < known:
                continue
            scores = torch.log_softmax(logits[offset].float(), dim=-1)
            result = with_logprobs(scores, target, request.prompt_logprobs or 0)
            assert result.logprob is not None
            sequence.prompt_scores.append((result.logprob, result.top))

    def advance(self, sequences: list[Sequence], logits: torch.Tensor) -> None:
        """Sample one token for each; `logits [len(sequences), vocab]`."""
        results = sample(logits, [self._row(s) for s in sequences])
        self.counters.recent.append((time.monotonic(), len(sequences)))
        self.counters.generated_tokens += len(sequences)
        for sequence, result in zip(sequences, results, strict=True):
            self._accept(sequence, result)

    def complete(self, sequence: Sequence) -> None:
        """Free a choice's slot, and say its last words where that is still to do."""
        if self.interpreter is not None and sequence.slot is not None:
            self.interpreter.close(sequence.slot)
        self.scheduler.release(sequence)
        sequence.state = State.FINISHED
        self._tell(sequence)

    def _tell(self, sequence: Sequence) -> None:
        """The last words of a choice; of a request, when it was the last choice."""
        if sequence.told:
            return
        request, sequence.told = sequence.request, True
        emission = sequence.output.finish()
        assert sequence.finish_reason is not None
        request.outbox(
            Finish(
                index=sequence.index,
                reason=sequence.finish_reason,
                stop_reason=sequence.stop_reason,
                text=emission.text,
                tokens=emission.tokens,
                readings=_take(sequence, sequence.readings),
                completion_tokens=sequence.generated,
            )
        )
        if request.answered:
            self._done(request)

    def _row(self, sequence: Sequence) -> SampleRow:
        params = sequence.request.sampling
        banned: list[int] = []
        if sequence.generated < params.min_tokens:
            banned = [*self.eos_ids, *params.stop_token_ids]
        allowed = sequence.grammar.mask() if sequence.grammar is not None else None
        return SampleRow(params, sequence.stream, sequence.output_ids, sequence.request.prompt.ids, banned, allowed)

    def _accept(self, sequence: Sequence, result: Sampled) -> None:
        params, token = sequence.request.sampling, result.token_id
        sequence.tokens.append(token)
        sequence.state = State.DECODE
        ends = token in params.stop_token_ids or (token in self.eos_ids and not params.ignore_eos)
        record = TokenRecord(token, len(sequence.tokens) - 1, result.logprob, result.top)
        early = sequence.generated < params.min_tokens
        emission = sequence.output.push(record, ends=ends, match_stop=not early)
        if sequence.grammar is not None and not ends:
            sequence.grammar.accept(token)
        self._judge(sequence, token, ends)
        self._say(sequence, emission)
        if sequence.finish_reason is None:
            return
        reads, watched = self._last_reads(sequence) if not ends else (False, False)
        if reads or watched:
            sequence.state = State.LAST_READ
            if not reads:
                self._tell(sequence)
        else:
            self.complete(sequence)

    def _last_reads(self, sequence: Sequence) -> tuple[bool, bool]:
        """Whether the request, and whether somebody who watches the server, wants the last token read."""
        if self.interpreter is None or sequence.slot is None:
            return False, False
        return self.interpreter.reads(sequence.slot), self.interpreter.watched(sequence.slot)

    def _judge(self, sequence: Sequence, token: int, ends: bool) -> None:
        """Set the finish reason if this token was the last. The end of sequence is tested before the length."""
        params = sequence.request.sampling
        if ends:
            sequence.finish_reason = "stop"
            sequence.stop_reason = token if token in params.stop_token_ids else None
        elif sequence.output.stopped is not None:
            sequence.finish_reason, sequence.stop_reason = "stop", sequence.output.stopped
        elif sequence.grammar is not None and sequence.grammar.finished:
            sequence.finish_reason = "stop"
        elif sequence.generated >= params.max_tokens or len(sequence.tokens) >= self.context_length:
            sequence.finish_reason = "length"

    def _say(self, sequence: Sequence, emission: Emission) -> None:
        readings = _take(sequence, sequence.readings)
        if emission.text or emission.tokens or readings:
            sequence.request.outbox(Delta(sequence.index, emission.text, emission.tokens, readings))

    def _done(self, request: Request) -> None:
        self.counters.requests += 1
        now = time.monotonic()
        started, prefilled = request.started or now, request.prefilled or now
        request.outbox(
            Done(
                prompt_tokens=len(request.prompt.ids),
                completion_tokens=sum(s.generated for s in request.sequences),
                cached_tokens=request.cached_tokens,
                steered_positions=request.steered_positions,
                queue_s=started - request.submitted,
                prefill_s=prefilled - started,
                decode_s=now - prefilled,
            )
        )


def _take(sequence: Sequence, readings: list[Reading]) -> list[Reading]:
    taken = list(readings)
    readings.clear()
    if taken:
        sequence.reported = max(sequence.reported, taken[-1].position)
    return taken
