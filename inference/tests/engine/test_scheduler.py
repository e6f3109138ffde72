"""Admission, prefixes and memory, without a model."""

from hypothesis import given
from hypothesis import strategies as st

from millm_inference.engine.engine import EngineLimits
from millm_inference.engine.interpreter import PromptTokens
from millm_inference.engine.sampling import SamplingParams
from millm_inference.engine.scheduler import Scheduler, bucket, common_prefix
from millm_inference.engine.sequence import Request, Sequence, State, choice_stream
from millm_inference.engine.text_output import TextOutput
from tests.support.running import TOKEN_BYTES


def make(ids, salt=""):
    plan = type("Salted", (), {"salt": salt, "needs_prompt": False, "reads": False})() if salt else None
    request = Request("r", PromptTokens(tuple(ids)), SamplingParams(max_tokens=5), lambda e: None, plan=plan)
    request.sequences = [Sequence(request, 0, TextOutput(TOKEN_BYTES), list(ids), choice_stream(0, 0))]
    return request


def run_to_end(scheduler, request):
    (admission,) = scheduler.admit()
    scheduler.shape()
    sequence = admission.sequence
    sequence.computed = len(sequence.tokens)
    scheduler.release(sequence)
    sequence.state = State.FINISHED
    return admission


@given(st.lists(st.integers(0, 2)), st.lists(st.integers(0, 2)))
def test_common_prefix(a, b):
    n = common_prefix(a, b)
    assert a[:n] == b[:n]
    assert n == min(len(a), len(b)) or a[n] != b[n]


@given(st.integers(1, 10_000))
def test_buckets_hold_and_waste_little(n):
    assert n <= bucket(n) < n + 256


def test_first_come_first_served_even_when_a_later_one_would_fit():
    scheduler = Scheduler(slots=4, budget=256, max_waiting=9)
    for length in (100, 200, 10):
        scheduler.enqueue(make(range(length)))
    assert [len(a.sequence.tokens) for a in scheduler.admit()] == [100]
    assert [len(s.tokens) for s in scheduler.waiting] == [200, 10]


def test_steered_and_plain_prefixes_never_mix():
    scheduler = Scheduler(slots=2, budget=4096, max_waiting=9)
    ids = list(range(60))
    for salt, reuse in (("", 0), ("steered", 0), ("steered", 59), ("other", 0), ("", 0)):
        scheduler.enqueue(request := make(ids, salt))
        assert run_to_end(scheduler, request).reuse == reuse, salt


def test_the_longest_prefix_wins_and_the_last_token_is_always_forwarded():
    scheduler = Scheduler(slots=3, budget=4096, max_waiting=9)
    for ids in (range(40), range(100)):
        scheduler.enqueue(request := make(ids))
        run_to_end(scheduler, request)
    scheduler.enqueue(request := make(range(100)))
    assert run_to_end(scheduler, request).reuse == 99


def test_the_rectangle_stays_within_the_budget():
    scheduler = Scheduler(slots=8, budget=1024, max_waiting=99)
    for _ in range(20):
        scheduler.enqueue(make(range(120)))
    admitted = scheduler.admit()
    rows, capacity = scheduler.shape()
    assert rows * capacity <= 1024
    assert len(admitted) == 8
    for admission in admitted:
        admission.sequence.tokens += range(30)
    assert scheduler.overflow() is admitted[-1].sequence


def test_a_lone_long_prompt_takes_one_chunk_from_running_streams():
    limits = EngineLimits(prefill_chunk=16, idle_chunk=512)
    assert limits.prefill_budget(decoding=1, prefilling=1) == 16
    assert limits.prefill_budget(decoding=6, prefilling=2) == 16


def test_many_waiting_prompts_do_not_queue_behind_a_single_stream():
    limits = EngineLimits(prefill_chunk=16, idle_chunk=100)
    assert limits.prefill_budget(decoding=1, prefilling=4) == 64
    assert limits.prefill_budget(decoding=1, prefilling=31) == 100
    assert limits.prefill_budget(decoding=0, prefilling=1) == 100
