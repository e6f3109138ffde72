"""The soak's judgement, and a short soak itself."""

from __future__ import annotations

import subprocess
import sys

import pytest

from soak.judge import MEBIBYTE, Injected, Memory, judge
from soak.load import Answer
from tests.stack.conftest import REPOSITORY

IDLE = {"running": 0, "waiting": 0, "slots_total": 8, "slots_free": 8}
FAULTS = [Injected("sidecar killed", 10, 20), Injected("gateway killed", 30, 40)]
GOOD = [Answer("chat", n, n + 1, 200) for n in range(50)]


def failing(answers=GOOD, injected=FAULTS, memory=None, queue=IDLE, same_text=True):
    verdicts = judge(
        answers=answers,
        injected=injected,
        memory=memory or Memory(),
        queue=queue,
        same_text=same_text,
        allowed_growth_mib=48,
        kv_limit_mib=512,
    )
    return [verdict.name for verdict in verdicts if not verdict.holds]


def test_a_good_soak_passes():
    broken = [Answer("chat", 9, 11, 0), Answer("chat", 19, 25, 503), Answer("chat", 31, 32, 500)]
    assert failing([*GOOD, *broken]) == []


@pytest.mark.parametrize("answer", [Answer("chat", 1, 2, 500), Answer("chat", 21, 29, 0), Answer("chat", 41, 42, 503)])
def test_a_failure_that_no_fault_touched_is_one_of_ours(answer):
    assert failing([*GOOD, answer]) == ["failures that nobody injected"]


def test_a_slot_that_is_not_free_a_kill_that_did_not_happen_and_another_text_are_seen():
    assert failing(queue={**IDLE, "slots_free": 7}) == ["slots free at the end"]
    assert failing(queue={**IDLE, "waiting": 1}) == ["running or waiting at the end"]
    assert failing(injected=FAULTS[:1]) == ["faults injected"]
    assert failing(same_text=False) == ["greedy text as before"]


def test_memory_that_grows_through_the_longest_life_is_a_leak_and_warming_up_is_not():
    def lives(values):
        memory = Memory()
        for value in values:
            memory.note("sidecar", 1, int(value * MEBIBYTE))
        memory.note("sidecar", 2, 9_000 * MEBIBYTE)  # a life too short to tell
        return memory

    warm = [min(500 + 10 * n, 900) for n in range(300)]
    assert failing(memory=lives(warm)) == []
    assert failing(memory=lives([500 + n for n in range(300)])) == ["memory of the sidecar, last third"]


def test_keys_and_values_may_grow_up_to_their_limit_and_are_no_leak_of_the_rest():
    def life(keys_and_values, rest):
        memory = Memory()
        for n in range(300):
            held = keys_and_values(n) * MEBIBYTE
            memory.note("sidecar", 1, rest(n) * MEBIBYTE + held, held)
        return memory

    def doubling(n):
        return 180 if n < 250 else 360

    assert failing(memory=life(doubling, lambda n: 900)) == []
    assert failing(memory=life(doubling, lambda n: 900 + n)) == ["memory of the sidecar, last third"]
    assert failing(memory=life(lambda n: 513, lambda n: 900)) == ["keys and values, at most"]


@pytest.mark.demo
def test_forty_seconds_of_it():
    done = subprocess.run(
        [sys.executable, "-m", "soak", "--minutes", "0.67", "--clients", "4"],
        cwd=REPOSITORY / "inference",
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
