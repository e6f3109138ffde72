"""From a contract request to an engine request, and from engine events back to contract events. No HTTP, no threads."""

from __future__ import annotations

import time
from collections.abc import Iterable

from millm_inference import contract as c
from millm_inference.engine.interpreter import PromptTokens, Reading
from millm_inference.engine.sampling import SamplingParams
from millm_inference.engine.sequence import (
    Delta,
    Done,
    Event,
    Failed,
    Finish,
    Outbox,
    PromptScored,
    Request,
    Sequence,
    choice_stream,
)
from millm_inference.engine.text_output import TextOutput, TokenRecord
from millm_inference.engine.token_bytes import TokenBytes
from millm_inference.errors import SidecarError
from millm_inference.grammar import compile_grammar
from millm_inference.prompt import encode
from millm_inference.resident import Resident

WireEvent = c.PromptEvent | c.DeltaEvent | c.FinishEvent | c.DoneEvent | c.ErrorEvent
LOWEST_LOGPROB = -9999.0
"""JSON has no -Infinity."""


def build_request(wire: c.GenerateRequest, resident: Resident, outbox: Outbox) -> Request:
    """Validate, tokenise, check the context and compile steering. Raises SidecarError; nothing is queued yet."""
    prompt = encode(wire.prompt, resident.tokenizer, resident.token_bytes, resident.info.vocab_size)
    sampling = _sampling(wire, resident, prompt)
    plan = None
    if wire.steering is not None or wire.activations is not None:
        plan = resident.session.compile(wire.steering, wire.activations, prompt)
    request = Request(
        id=wire.request_id,
        prompt=prompt,
        sampling=sampling,
        outbox=outbox,
        plan=plan,
        n=wire.n,
        prompt_logprobs=wire.prompt_logprobs,
        report_prompt=wire.return_prompt
        or wire.prompt_logprobs is not None
        or (wire.activations is not None and wire.activations.prompt),
        deadline=None if wire.deadline_s is None else time.monotonic() + wire.deadline_s,
    )
    request.sequences = [_choice(request, index, resident.token_bytes) for index in range(wire.n)]
    return request


def _choice(request: Request, index: int, token_bytes: TokenBytes) -> Sequence:
    params = request.sampling
    output = TextOutput(
        token_bytes,
        stop=params.stop,
        include_stop=params.include_stop,
        skip_special_tokens=params.skip_special_tokens,
    )
    return Sequence(
        request=request,
        index=index,
        output=output,
        tokens=list(request.prompt.ids),
        stream=choice_stream(params.seed, index),
        grammar=params.grammar.start() if params.grammar else None,
    )


def _sampling(wire: c.GenerateRequest, resident: Resident, prompt: PromptTokens) -> SamplingParams:
    s = wire.sampling or c.Sampling()
    context, vocab, length = resident.loaded.context_length, resident.info.vocab_size, len(prompt.ids)
    room = context - length
    if room < (0 if s.max_tokens == 0 else 1) or (s.max_tokens is not None and s.max_tokens > room):
        raise SidecarError(
            "CONTEXT_LENGTH_EXCEEDED",
            f"The prompt has {length} tokens and {s.max_tokens or 'at least 1'} more were "
            f"asked for; this model's context holds {context}.",
            param="messages" if wire.prompt.type == "chat" else "prompt",
            context_length=context,
            prompt_tokens=length,
            max_tokens=s.max_tokens,
        )
    bias = {int(token): value for token, value in s.logit_bias.items()}
    for name, ids in (("logit_bias", bias), ("stop_token_ids", s.stop_token_ids)):
        wrong = next((i for i in ids if not 0 <= i < vocab), None)
        if wrong is not None:
            raise SidecarError(
                "VALIDATION_ERROR", f"Token id {wrong} is out of vocabulary (vocabulary size {vocab}).", param=name
            )
    # a stop string that is a special token's text never shows up as text: stop on the token
    special = {text: i for text in s.stop if (i := resident.token_bytes.special_id_of(text)) is not None}
    budget = resident.engine.scheduler.budget
    wanted = room if s.max_tokens is None else s.max_tokens
    if length + 1 > budget:
        raise SidecarError("INSUFFICIENT_MEMORY", f"A prompt of {length} tokens does not fit the KV memory ({budget}).")
    default = resident.info.default_sampling
    temperature = _first(s.temperature, default.get("temperature"), 1.0)
    greedy = temperature < 1e-5
    top_k = _first(s.top_k, default.get("top_k"), 0)
    return SamplingParams(
        max_tokens=min(wanted, budget - length),
        temperature=temperature,
        top_p=1.0 if greedy else _first(s.top_p, default.get("top_p"), 1.0),
        top_k=0 if greedy or top_k <= 0 else int(top_k),
        min_p=0.0 if greedy else s.min_p,
        frequency_penalty=s.frequency_penalty,
        presence_penalty=s.presence_penalty,
        repetition_penalty=_first(s.repetition_penalty, default.get("repetition_penalty"), 1.0),
        logit_bias=bias,
        seed=s.seed,
        min_tokens=s.min_tokens,
        stop=tuple(s.stop),
        stop_token_ids=frozenset(s.stop_token_ids) | frozenset(special.values()),
        include_stop=s.include_stop_str_in_output,
        ignore_eos=s.ignore_eos,
        skip_special_tokens=s.skip_special_tokens,
        logprobs=s.logprobs,
        grammar=compile_grammar(wire.grammar, resident) if wire.grammar is not None else None,
    )


def _first(*values: float | None) -> float:
    return next(v for v in values if v is not None)


class Wire:
    """Engine events of one request → contract events."""

    def __init__(self, request: Request, resident: Resident) -> None:
        self.request, self.token_bytes = request, resident.token_bytes

    def __call__(self, event: Event) -> WireEvent:
        match event:
            case PromptScored():
                return self._prompt(event)
            case Delta():
                return c.DeltaEvent(
                    type="delta",
                    index=event.index,
                    text=event.text,
                    token_ids=[t.token_id for t in event.tokens],
                    logprobs=self._logprobs(event.tokens),
                    activations=self._activations(event.readings, event.index),
                )
            case Finish():
                return c.FinishEvent(
                    type="finish",
                    index=event.index,
                    finish_reason="stop" if event.reason == "stop" else "length",
                    stop_reason=event.stop_reason,
                    text=event.text,
                    token_ids=[t.token_id for t in event.tokens],
                    logprobs=self._logprobs(event.tokens),
                    activations=self._activations(event.readings, event.index),
                    completion_tokens=event.completion_tokens,
                )
            case Done():
                return c.DoneEvent(
                    type="done",
                    prompt_tokens=event.prompt_tokens,
                    completion_tokens=event.completion_tokens,
                    cached_tokens=event.cached_tokens,
                    steered_positions=event.steered_positions,
                    timings=c.Timings(queue_s=event.queue_s, prefill_s=event.prefill_s, decode_s=event.decode_s),
                )
            case Failed():
                return c.ErrorEvent(type="error", error=event.error.body())

    def _prompt(self, event: PromptScored) -> c.PromptEvent:
        ids = self.request.prompt.ids
        scores = event.logprobs if len(event.logprobs) == len(ids) else [None] * len(ids)
        raw = b"".join(self.token_bytes.of(i) for i in ids)
        return c.PromptEvent(
            type="prompt",
            text=raw.decode("utf-8", errors="replace"),
            tokens=[
                self._logprob(i, *(score or (None, ())), special=i in self.token_bytes.special_ids)
                for i, score in zip(ids, scores, strict=True)
            ],
            activations=self._activations(event.readings, 0),
        )

    def _logprobs(self, tokens: Iterable[TokenRecord]) -> list[c.TokenLogprob]:
        if self.request.sampling.logprobs is None:
            return []
        return [self._logprob(t.token_id, t.logprob, t.top, special=t.special) for t in tokens]

    def _logprob(
        self, token_id: int, logprob: float | None, top: Iterable[tuple[int, float]], *, special: bool
    ) -> c.TokenLogprob:
        return c.TokenLogprob(
            token_id=token_id,
            token=self.token_bytes.text(token_id),
            bytes=list(self.token_bytes.of(token_id)),
            logprob=None if logprob is None else max(logprob, LOWEST_LOGPROB),
            top=[
                c.TopLogprob(
                    token_id=i,
                    token=self.token_bytes.text(i),
                    bytes=list(self.token_bytes.of(i)),
                    logprob=max(value, LOWEST_LOGPROB),
                )
                for i, value in top
            ],
            special=special,
        )

    def _activations(self, readings: Iterable[Reading], index: int) -> list[c.ActivationEntry]:
        tokens = self.request.sequences[index].tokens
        return [
            c.ActivationEntry(
                position=r.position,
                token_id=tokens[r.position],
                token=self.token_bytes.text(tokens[r.position]),
                sae_id=r.sae_id,
                features=[c.FeatureValue(index=i, value=v) for i, v in zip(r.indices, r.values, strict=True)],
            )
            for r in readings
        ]
