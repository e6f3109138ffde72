"""A replayed decode step is the step: on every architecture, with everything the interpreter does in it."""

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from millm_inference.engine.decode_graphs import DecodeGraphs, StepInputs
from millm_inference.engine.engine import Engine, EngineLimits
from millm_inference.engine.model_runner import ModelRunner
from millm_inference.engine.verify import verified_graphs
from tests.interpret.agreement import WATCH, every_operation, row_of
from tests.interpret.random_saes import random_sae
from tests.interpret.serving import Row, prompt_of, session_with
from tests.support.recording import OperationRecorder
from tests.support.running import TOKEN_BYTES, random_prompt, submit
from tests.support.tiny import CONFIGS, tiny_model

PLAIN_FEATURES = [f for f in every_operation() if f.op == "add"]


def engines(model, saes=None):
    """The same engine twice: one that records and replays its steps, one that runs each."""
    made = []
    for graphs in (DecodeGraphs(OperationRecorder(), record_after=1), None):
        session = session_with(model, saes) if saes else None
        limits = EngineLimits(slots=4, kv_positions=2048, context_length=512, prefill_chunk=16, idle_chunk=64)
        made.append(Engine(ModelRunner(model, session, graphs), session, TOKEN_BYTES, limits, frozenset()))
    return made


def ask(engine, rows, tokens=10):
    running = []
    for row in rows:
        plan = engine.interpreter.compile(row.steering, row.activations, row.prompt) if engine.interpreter else None
        running.append(submit(engine, list(row.prompt.ids), plan=plan, max_tokens=tokens))
    return [(c.wait().tokens(), c.readings()) for c in running]


def assert_same(answers, expected):
    for (tokens, readings), (their_tokens, their_readings) in zip(answers, expected, strict=True):
        assert tokens == their_tokens
        assert [(r.position, r.sae_id) for r in readings] == [(r.position, r.sae_id) for r in their_readings]
        for mine, theirs in zip(readings, their_readings, strict=True):
            assert mine.indices == theirs.indices
            torch.testing.assert_close(torch.tensor(mine.values), torch.tensor(theirs.values), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("name", sorted(CONFIGS))
def test_replayed_steps_give_the_same_tokens_alone_and_together(name):
    graphed, plain = engines(tiny_model(name))
    try:
        prompts = [random_prompt(n, seed) for seed, n in enumerate([3, 40, 17])]
        for engine in (graphed, plain):
            engine.alone = [submit(engine, p, max_tokens=12, wait=True).tokens() for p in prompts]
            engine.together = [c.wait().tokens() for c in [submit(engine, p, max_tokens=12) for p in prompts]]
        assert (graphed.alone, graphed.together) == (plain.alone, plain.together)
        assert graphed.runner.graphs.refused is None
        assert graphed.runner.graphs.replays > 20
    finally:
        graphed.close(), plain.close()


@pytest.mark.parametrize("kind", ["standard", "jumprelu", "topk", "gated", "groupmax"])
def test_every_operation_and_reading_happens_in_a_replayed_step(kind):
    saes = {"sae": random_sae(kind)}
    graphed, plain = engines(tiny_model("llama"), saes)
    try:
        rows = [row_of(prompt_of(i), [f]) for i, f in enumerate(every_operation())]
        rows += [row_of(prompt_of(20), every_operation()), Row(prompt_of(21), activations=WATCH), Row(prompt_of(22))]
        for start in range(0, len(rows), 3):
            some = rows[start : start + 3]
            assert_same(ask(graphed, some), ask(plain, some))
        assert graphed.runner.graphs.refused is None
        assert graphed.runner.graphs.replays > 20
    finally:
        graphed.close(), plain.close()


@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.tuples(st.integers(0, 4), st.integers(1, 12), st.booleans()), min_size=1, max_size=8))
def test_requests_that_come_and_go_get_what_they_asked_for(jobs):
    saes = {"sae": random_sae()}
    graphed, plain = engines(tiny_model("gpt2"), saes)
    kinds = [None, PLAIN_FEATURES, PLAIN_FEATURES[:1], every_operation(), every_operation()[1:4]]
    try:
        answers = []
        for engine in (graphed, plain):
            running = []
            for number, (kind, tokens, watched) in enumerate(jobs):
                row = row_of(prompt_of(number), kinds[kind]) if kinds[kind] else Row(prompt_of(number))
                row.activations = WATCH if watched else None
                plan = engine.interpreter.compile(row.steering, row.activations, row.prompt)
                running.append(submit(engine, list(row.prompt.ids), plan=plan, max_tokens=tokens))
            answers.append([(c.wait().tokens(), c.readings()) for c in running])
        assert_same(*answers)
        assert graphed.runner.graphs.refused is None
    finally:
        graphed.close(), plain.close()


def test_purely_additive_requests_share_recorded_steps():
    saes = {"sae": random_sae()}
    graphed, plain = engines(tiny_model("llama"), saes)
    try:
        for number in range(8):
            louder = [f.model_copy(update={"strength": 1.0 + number}) for f in PLAIN_FEATURES]
            row = row_of(prompt_of(number), louder, activations=None)
            assert_same(ask(graphed, [row]), ask(plain, [row]))
        assert graphed.runner.graphs.recorder.recorded <= 3  # one, two and four slots wide
    finally:
        graphed.close(), plain.close()


@pytest.mark.parametrize("name", sorted(CONFIGS))
def test_recording_is_on_where_replays_reproduce_the_model(name):
    graphs = verified_graphs(tiny_model(name), OperationRecorder())
    assert graphs is not None


class Stuck(OperationRecorder):
    """What is replayed does nothing: the first step's logits for ever."""

    def record(self, step):
        result, _ = super().record(step)
        return result, lambda: None


def test_recording_is_off_where_replays_do_not_reproduce_the_model():
    assert verified_graphs(tiny_model("llama"), Stuck()) is None


def test_a_step_that_cannot_be_recorded_runs_as_ever_and_is_not_tried_again():
    calls = []

    def step(inputs: StepInputs):
        calls.append(inputs.positions.tolist())
        return inputs.token_ids + int(inputs.positions.sum())  # waits for the device

    graphs = DecodeGraphs(OperationRecorder(), record_after=1)
    rows = torch.tensor([[5], [7], [1]])
    results = [graphs.run("key", 0, rows, step) for _ in range(4)]
    assert [(r.item(), replayed) for r, replayed in results] == [(12, False)] * 4
    assert "not while recording" in graphs.refused
    assert len(calls) == 4 + 2  # the warm-up and the recording that failed


def test_other_memory_makes_recorded_steps_void():
    graphs = DecodeGraphs(OperationRecorder(), record_after=1)
    memory = [torch.tensor([10])]

    def step(inputs: StepInputs):
        return inputs.token_ids[:, 0] + memory[0]

    rows = torch.tensor([[5], [0], [1]])
    with torch.inference_mode():
        for _ in range(3):
            assert graphs.run("key", 0, rows, step)[0].item() == 15
        memory[0] = torch.tensor([20])
        assert graphs.run("key", 1, rows, step) == (torch.tensor([25]), False)


def test_the_least_recently_used_step_is_dropped():
    graphs = DecodeGraphs(OperationRecorder(), record_after=1, kept=2)
    rows = torch.tensor([[5], [0], [1]])
    with torch.inference_mode():
        for key in "aabbaccca":
            graphs.run(key, 0, rows, lambda inputs: inputs.token_ids + 1)
        assert graphs.recorder.recorded == 3
        graphs.run("b", 0, rows, lambda inputs: inputs.token_ids + 1)
    assert graphs.recorder.recorded == 4
