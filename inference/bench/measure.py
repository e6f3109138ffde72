"""Interleaved timing: two or more variants take turns, so that a noisy machine disturbs them alike."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table. `ratio` is against the first variant; `bar` is what design.md asks, or ''."""

    what: str
    value: str
    bar: str = ""


def interleaved(variants: Sequence[Callable[[], float]], rounds: int) -> list[list[float]]:
    """Each variant is called once per round and returns its own seconds → seconds per variant, per round."""
    times: list[list[float]] = [[] for _ in variants]
    for number in range(rounds):
        order = list(range(len(variants)))
        if number % 2:
            order.reverse()
        for index in order:
            times[index].append(variants[index]())
    return times


def median_ratio(baseline: Sequence[float], other: Sequence[float]) -> float:
    """Median over rounds of other / baseline, each pair measured next to each other."""
    return statistics.median(b / a for a, b in zip(baseline, other, strict=True))


def timed(work: Callable[[], object]) -> float:
    begun = time.perf_counter()
    work()
    return time.perf_counter() - begun


def percentile(values: Sequence[float], share: float) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def table(title: str, rows: Sequence[Row]) -> str:
    lines = [f"### {title}", "", "| what | measured | asked |", "|---|---|---|"]
    lines += [f"| {r.what} | {r.value} | {r.bar} |" for r in rows]
    return "\n".join(lines) + "\n"
