"""Whoever watches the server reads every token, and nobody's answer waits for it."""

import threading

import pytest

from millm_inference.contract import FeatureSteering, MonitorWatch, SteeringSpec
from millm_inference.engine.interpreter import PromptTokens
from millm_inference.engine.sequence import Done
from tests.engine.test_laws import settle
from tests.interpret.random_saes import random_sae
from tests.interpret.serving import session_with
from tests.support.running import engine_for, random_prompt, submit
from tests.support.tiny import tiny_model

PROMPT = random_prompt(10, 5)
STEERED = SteeringSpec(fingerprint="f", features=[FeatureSteering(sae_id="sae", index=3, op="add", strength=2.0)])


class Held:
    """An engine's decode passes, of which the one with `number` waits until it is let through."""

    def __init__(self, engine, number):
        self.gate, self.begun = threading.Event(), threading.Event()
        self.count = 0
        decode = engine.runner.decode

        def held(*args):
            self.count += 1
            if self.count == number:
                self.begun.set()
                assert self.gate.wait(timeout=30)
            return decode(*args)

        engine.runner.decode = held


@pytest.fixture
def watched():
    """An engine whose server is watched, and the positions that were read."""
    model = tiny_model()
    session = session_with(model, {"sae": random_sae()})
    positions = []
    with engine_for(model, session) as engine:
        engine.on_watched = lambda _, reading: positions.append(reading.position)
        engine.call(lambda: session.watch([MonitorWatch(sae_id="sae", top_k=2)])).result(timeout=30)
        yield engine, positions


def test_an_answer_ends_before_its_last_token_is_read_for_watchers(watched):
    engine, positions = watched
    passes = Held(engine, 6)  # the first token comes from the prompt's pass, five from decode passes
    got = submit(engine, PROMPT, max_tokens=6, wait=True)
    assert len(got.tokens()) == 6
    assert passes.begun.wait(timeout=30)
    engine.cancel(got.request)  # as a connection that closes does; what was answered is still read to its end
    passes.gate.set()
    settle(engine)
    assert positions == list(range(16))
    assert engine.scheduler.free == 8
    assert engine.post.counters.requests == 1
    assert engine.post.counters.aborted == 0


def test_closing_in_that_moment_says_nothing_more_to_who_was_answered(watched):
    engine, _ = watched
    passes = Held(engine, 6)
    got = submit(engine, PROMPT, max_tokens=6, wait=True)
    said = len(got.seen)
    threading.Timer(0.2, passes.gate.set).start()
    engine.close()
    assert got.events.empty()
    assert len(got.seen) == said


def answer(watches):
    model = tiny_model()
    session = session_with(model, {"sae": random_sae()})
    with engine_for(model, session) as engine:
        engine.call(lambda: session.watch(watches)).result(timeout=30)
        plan = session.compile(STEERED, None, PromptTokens(tuple(PROMPT)))
        got = submit(engine, PROMPT, plan=plan, max_tokens=6, wait=True)
    return got.tokens(), got.of(Done)[0].steered_positions, got.of(Done)[0].completion_tokens


def test_watching_changes_neither_the_answer_nor_what_is_counted():
    plain = answer([])
    assert plain == answer([MonitorWatch(sae_id="sae", top_k=2)])
    assert plain[1] == 15  # prompt and answer but its last token
