"""Tokens per second against transformers' own generate, and what a long prompt does to running streams."""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from bench.fixture import Bench, Running, prompt
from bench.measure import Row, interleaved, median_ratio, percentile, timed
from millm_inference.engine.sequence import Delta

PROMPT, TOKENS = 32, 48


def measure(bench: Bench, rounds: int = 5) -> list[Row]:
    rows = []
    speeds = {}
    for batch in (1, 8):
        engine = bench.engine()
        ids = [prompt(PROMPT, i) for i in range(batch)]

        def ours(engine=engine, ids=ids) -> float:  # type: ignore[no-untyped-def]
            engine.call(engine.scheduler.forget).result()
            return timed(lambda: [r.wait() for r in [Running(bench, engine, p, TOKENS) for p in ids]])

        def theirs(ids=ids) -> float:  # type: ignore[no-untyped-def]
            return timed(lambda: _generate(bench, [list(p.ids) for p in ids]))

        ours(), theirs()
        generate, engine_times = interleaved([theirs, ours], rounds)
        engine.close()
        ratio = 1 / median_ratio(generate, engine_times)
        speeds[batch] = batch * TOKENS / min(engine_times)
        rows.append(Row(f"engine / transformers.generate, batch {batch}", f"{ratio:.2f}×", "≥ 1×"))
    rows.append(Row("engine tokens/s, batch 1 and 8", f"{speeds[1]:.1f} and {speeds[8]:.1f}"))
    rows.append(Row("batch 8 / batch 1", f"{speeds[8] / speeds[1]:.2f}×", "≥ 4×"))
    return rows


def _generate(bench: Bench, prompts: list[list[int]]) -> None:
    ids = torch.tensor(prompts)
    with torch.inference_mode():
        bench.stock.generate(
            ids,
            attention_mask=torch.ones_like(ids),
            max_new_tokens=TOKENS,
            min_new_tokens=TOKENS,
            do_sample=False,
            pad_token_id=2,
            eos_token_id=None,
        )


def measure_interference(
    bench: Bench, chunks: Sequence[int] = (16, 32, 64), length: int = 1000, rounds: int = 4
) -> list[Row]:
    """Gaps between tokens of four running streams, before and while a long prompt is fed; chunk sizes take turns."""
    found = {chunk: Interference([], [], []) for chunk in chunks}
    for number in range(rounds):
        for chunk in chunks if number % 2 == 0 else reversed(chunks):
            _feed_among_streams(bench, chunk, length, found[chunk])
    rows = []
    for chunk, seen in found.items():
        before, during = percentile(seen.before, 0.99), percentile(seen.during, 0.99)
        value = f"{during / before:.2f}× ({before * 1000:.0f} → {during * 1000:.0f} ms)"
        usual = statistics.median(seen.during) / statistics.median(seen.before)
        rows += [
            Row(f"inter-token p99 while {length} tokens are prefilled in chunks of {chunk}", value, "≤ 3×"),
            Row(f"median likewise, chunks of {chunk}", f"{usual:.2f}×"),
            Row(f"time to first token of that prompt, chunks of {chunk}", f"{statistics.median(seen.first):.2f} s"),
        ]
    return rows


@dataclass(frozen=True)
class Interference:
    """Seconds between tokens `before` and `during` the prefill, and to the `first` token of the long prompt."""

    before: list[float]
    during: list[float]
    first: list[float]


def _feed_among_streams(bench: Bench, chunk: int, length: int, seen: Interference) -> None:
    engine = bench.engine(prefill_chunk=chunk)
    streams = [Running(bench, engine, prompt(16, i), 400) for i in range(4)]
    for stream in streams:
        stream.first()
    seen.before.extend(_gaps(streams[0], 80))
    begun = time.perf_counter()
    late = Running(bench, engine, prompt(length, 99), 1)
    while late.events.empty():
        seen.during.extend(_gaps(streams[0], 1))
    seen.first.append(time.perf_counter() - begun)
    for stream in streams:
        engine.cancel(stream.request)
    engine.close()


def _gaps(stream: Running, count: int) -> list[float]:
    gaps, last = [], time.perf_counter()
    while len(gaps) < count:
        if isinstance(stream.events.get(timeout=60), Delta):
            now = time.perf_counter()
            gaps.append(now - last)
            last = now
    return gaps
