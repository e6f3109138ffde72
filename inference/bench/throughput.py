"""Tokens per second against transformers' own generate, and what a long prompt does to running streams."""

from __future__ import annotations

import time

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


def measure_interference(bench: Bench, chunk: int, length: int = 1000) -> list[Row]:
    """Gaps between tokens of four running streams, before and while a long prompt is fed."""
    engine = bench.engine(prefill_chunk=chunk)
    streams = [Running(bench, engine, prompt(16, i), 400) for i in range(4)]
    for stream in streams:
        stream.first()
    quiet = _gaps(streams[0], 40)
    begun = time.perf_counter()
    late = Running(bench, engine, prompt(length, 99), 1)
    busy = []
    while late.events.empty():
        busy += _gaps(streams[0], 1)
    first = time.perf_counter() - begun
    for stream in streams:
        engine.cancel(stream.request)
    engine.close()
    before, during = percentile(quiet, 0.99), percentile(busy, 0.99)
    return [
        Row(
            f"inter-token p99 while {length} tokens are prefilled in chunks of {chunk}",
            f"{during / before:.2f}× ({before * 1000:.0f} → {during * 1000:.0f} ms)",
            "≤ 3×",
        ),
        Row(f"time to first token of that prompt, chunks of {chunk}", f"{first:.2f} s"),
    ]


def _gaps(stream: Running, count: int) -> list[float]:
    gaps, last = [], time.perf_counter()
    while len(gaps) < count:
        if isinstance(stream.events.get(timeout=60), Delta):
            now = time.perf_counter()
            gaps.append(now - last)
            last = now
    return gaps
