"""The laws of the batch engine, on a tiny random model of every architecture it covers."""

import random
import time

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from millm_inference.engine.sequence import Done, Failed, Finish
from millm_inference.engine.verify import verify_model
from tests.support.running import engine_for, greedy, random_prompt, submit
from tests.support.tiny import CONFIGS, tiny_model

ARCHITECTURES = sorted(CONFIGS)


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_greedy_equals_generate_alone_and_in_a_batch_of_different_lengths(name):
    model = tiny_model(name)
    prompts = [random_prompt(n, seed) for seed, n in enumerate([3, 70, 17, 1, 33, 40, 8, 25])]
    expected = [greedy(model, p, 12) for p in prompts]
    with engine_for(model) as engine:
        alone = [submit(engine, p, max_tokens=12, wait=True).tokens() for p in prompts]
        together = [submit(engine, p, max_tokens=12) for p in prompts]
        batched = [c.wait().tokens() for c in together]
    assert alone == expected
    assert batched == expected


@pytest.mark.parametrize("name", ["llama", "gemma2", "gpt2"])
@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_random_arrivals_lengths_and_cancellations_change_nobodys_text(name, data):
    model = tiny_model(name)
    seed = data.draw(st.integers(0, 10_000))
    jobs = data.draw(
        st.lists(st.tuples(st.integers(1, 60), st.integers(1, 14), st.booleans()), min_size=2, max_size=12)
    )
    chunk = data.draw(st.sampled_from([4, 16, 64]))
    rng = random.Random(seed)
    with engine_for(model, slots=4, prefill_chunk=chunk) as engine:
        running = []
        for i, (length, tokens, cancelled) in enumerate(jobs):
            prompt = random_prompt(length, seed + i)
            running.append((prompt, tokens, cancelled, submit(engine, prompt, max_tokens=tokens)))
            if rng.random() < 0.5:
                time.sleep(rng.random() * 0.01)
            if cancelled:
                engine.cancel(running[-1][3].request)
        texts = [(p, n, c.wait().tokens()) for p, n, cancelled, c in running if not cancelled]
        settle(engine)
        assert engine.scheduler.free == 4
    for prompt, tokens, got in texts:
        assert got == greedy(model, prompt, tokens)


def settle(engine, timeout=5.0):
    end = time.monotonic() + timeout
    while engine.call(lambda: bool(engine.scheduler.running or engine.scheduler.waiting)).result():
        assert time.monotonic() < end, "the engine does not come to rest"
        time.sleep(0.005)


def test_cancel_frees_the_slot_within_one_step_and_says_nothing_more():
    with engine_for(tiny_model()) as engine:
        long = submit(engine, random_prompt(5, 1), max_tokens=400)
        long.next()
        engine.cancel(long.request)
        free = engine.call(lambda: engine.scheduler.free).result()
        assert free == 8
        time.sleep(0.05)
        while not long.events.empty():
            assert not isinstance(long.events.get(), Done | Finish)


def test_cancel_of_a_waiting_request_removes_it_without_running():
    with engine_for(tiny_model(), slots=1) as engine:
        first = submit(engine, random_prompt(5, 1), max_tokens=60)
        second = submit(engine, random_prompt(5, 2), max_tokens=60)
        engine.cancel(second.request)
        assert first.wait().reason() == "length"
        settle(engine)
        assert second.events.empty()


def test_the_same_seed_gives_the_same_text_under_load_and_another_seed_another():
    model = tiny_model()
    prompt = random_prompt(12, 3)
    sampled = {"temperature": 1.3, "top_p": 0.95, "max_tokens": 24}
    with engine_for(model) as engine:
        alone = submit(engine, prompt, seed=11, wait=True, **sampled).tokens()
        others = [submit(engine, random_prompt(20 + i, i), max_tokens=40, temperature=0.9) for i in range(5)]
        loaded = submit(engine, prompt, seed=11, **sampled)
        different = submit(engine, prompt, seed=12, **sampled)
        assert loaded.wait().tokens() == alone
        assert different.wait().tokens() != alone
        for other in others:
            other.wait()


def test_several_choices_share_one_prefill_and_differ_by_stream():
    model = tiny_model()
    prompt = random_prompt(40, 5)
    with engine_for(model) as engine:
        many = submit(engine, prompt, n=5, temperature=1.5, seed=3, max_tokens=10, wait=True)
        assert len({tuple(many.tokens(i)) for i in range(5)}) > 1
        assert many.of(Done)[0].completion_tokens == 50
        assert engine.post.counters.prompt_tokens == 40
        same = submit(engine, prompt, n=3, max_tokens=10, wait=True)
        assert same.tokens(0) == same.tokens(1) == same.tokens(2) == greedy(model, prompt, 10)


def test_a_next_turn_reuses_what_is_computed_and_says_the_same():
    model = tiny_model()
    prompt = random_prompt(50, 9)
    with engine_for(model) as engine:
        first = submit(engine, prompt, max_tokens=10, wait=True)
        longer = prompt + first.tokens() + random_prompt(10, 10)
        second = submit(engine, longer, max_tokens=10, wait=True)
        assert second.of(Done)[0].cached_tokens >= 59
        assert second.tokens() == greedy(model, longer, 10)


def test_a_busy_slots_prefix_is_copied_not_taken():
    model = tiny_model()
    prompt = random_prompt(60, 21)
    with engine_for(model) as engine:
        first = submit(engine, prompt, max_tokens=100)
        first.next()
        second = submit(engine, prompt[:50] + random_prompt(5, 22), max_tokens=20).wait()
        assert second.of(Done)[0].cached_tokens >= 50
        assert second.tokens() == greedy(model, prompt[:50] + random_prompt(5, 22), 20)
        assert first.wait().tokens() == greedy(model, prompt, 100)


def test_memory_pressure_preempts_the_newest_and_changes_no_text():
    model = tiny_model()
    prompts = [random_prompt(50, 30 + i) for i in range(4)]
    with engine_for(model, slots=4, kv_positions=2 * 192) as engine:
        jobs = [submit(engine, p, max_tokens=100) for p in prompts]
        assert [j.wait().tokens() for j in jobs] == [greedy(model, p, 100) for p in prompts]


def test_the_end_of_sequence_wins_over_the_length():
    model = tiny_model()
    prompt = random_prompt(9, 2)
    text = greedy(model, prompt, 6)
    eos = text[5]
    stops_at = text.index(eos) + 1
    with engine_for(model, eos=frozenset({eos})) as engine:
        done = submit(engine, prompt, max_tokens=stops_at, wait=True)
        assert done.reason() == "stop"
        assert done.of(Done)[0].completion_tokens == stops_at
        on = submit(engine, prompt, max_tokens=10, ignore_eos=True, wait=True)
        assert on.reason() == "length"
        assert on.tokens() == greedy(model, prompt, 10)


def test_a_queue_that_is_full_says_so():
    with engine_for(tiny_model(), slots=1, max_waiting=2) as engine:
        jobs = [submit(engine, random_prompt(4, 0), max_tokens=200)]
        jobs[0].next()
        jobs += [submit(engine, random_prompt(4, i), max_tokens=3) for i in (1, 2)]
        with pytest.raises(Exception, match="2 requests are waiting") as refused:
            submit(engine, random_prompt(4, 9), max_tokens=3)
        assert refused.value.code == "QUEUE_FULL"
        engine.cancel(jobs[0].request)
        assert [j.wait().reason() for j in jobs[1:]] == ["length", "length"]


def test_a_deadline_ends_running_and_waiting_requests():
    with engine_for(tiny_model(), slots=1) as engine:
        soon = time.monotonic() + 0.2
        running = submit(engine, random_prompt(4, 0), max_tokens=500, deadline=soon)
        waiting = submit(engine, random_prompt(4, 1), max_tokens=500, deadline=soon)
        assert [c.wait().seen[-1].error.code for c in (running, waiting)] == ["DEADLINE_EXCEEDED"] * 2
        settle(engine)
        assert engine.scheduler.free == 1


def test_a_failing_step_fails_what_runs_and_the_engine_lives_on():
    model = tiny_model()
    with engine_for(model) as engine:
        real, engine.runner.decode = engine.runner.decode, lambda *a: 1 / 0
        broken = submit(engine, random_prompt(4, 0), max_tokens=5).wait()
        assert isinstance(broken.seen[-1], Failed)
        assert broken.seen[-1].error.code == "INTERNAL_ERROR"
        engine.runner.decode = real
        prompt = random_prompt(6, 1)
        assert submit(engine, prompt, max_tokens=5, wait=True).tokens() == greedy(model, prompt, 5)


def test_closing_tells_everybody():
    with engine_for(tiny_model()) as engine:
        running = submit(engine, random_prompt(4, 0), max_tokens=500)
        running.next()
        engine.close()
        assert running.wait().seen[-1].error.code == "SHUTTING_DOWN"


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_every_covered_architecture_passes_the_check_at_load(name):
    verify_model(tiny_model(name))
