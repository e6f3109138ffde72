"""What a session promises whatever is asked: rows do not touch each other, nothing stays, chunks do not matter."""

import gc
import threading
import weakref
from dataclasses import replace

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from transformers import DynamicCache, LlamaForCausalLM

from millm_inference.contract import SteeringCondition, SteeringScope
from millm_inference.engine.interpreter import ForwardBatch
from millm_inference.errors import SidecarError
from tests.interpret.agreement import WATCH, every_operation, feature
from tests.interpret.naive import look, naive_forward, steer
from tests.interpret.probe import batch_of, forward, open_row, spec_of
from tests.interpret.random_saes import ARCHITECTURES, random_sae
from tests.interpret.serving import Row, hook_count, hooked, prompt_of, serve, session_with, step
from tests.support.tiny import tiny_model

LATCHED = SteeringCondition(index=20, above=0.1, mode="latched")
KINDS_OF_STEERING = {
    "sums": [feature("add", 1, 3.0), feature("add", 2, -2.0)],
    "reads": [feature("clamp", 1, 3.0), feature("multiply", 2, -2.0)],
    "directions": [feature("ablate_direction", 1), feature("orthogonal", 2, 3.0)],
    "conditions": [feature("add", 1, 3.0, when=LATCHED), feature("ablate", 2, when=LATCHED)],
    "scopes": [feature("add", 1, 3.0, scope=SteeringScope(roles=["user"]))],
    "everything": every_operation(),
}


@pytest.mark.parametrize("name", KINDS_OF_STEERING)
@pytest.mark.parametrize("width", [1, 5], ids=["decode", "prefill"])
@pytest.mark.parametrize("hook", ["blocks.1.hook_resid_post", "blocks.1.hook_resid_mid"])
def test_a_steered_row_leaves_the_others_bit_for_bit(model, name, width, hook):
    session = session_with(model, {"sae": random_sae(hook=hook)})
    batch = batch_of(*[[5 + r, 6, 7, 8, 9][:width] for r in range(4)])
    plain, _ = forward(model, session, batch)
    open_row(session, 2, KINDS_OF_STEERING[name])
    steered, trace = forward(model, session, batch)
    assert trace.steered == {2: width}
    for row in (0, 1, 3):
        assert torch.equal(steered[row], plain[row])
    if name not in ("conditions", "scopes"):
        assert not torch.equal(steered[2], plain[2])


@pytest.mark.parametrize("name", KINDS_OF_STEERING)
def test_an_added_row_leaves_an_additive_row_bit_for_bit(model, name):
    """Whether its neighbours read, project or wait for conditions, a row that only adds takes the same path."""
    session = session_with(model, {"sae": random_sae(), "other": random_sae("topk", seed=3)})
    batch = batch_of([5, 6, 7], [8, 9, 10])
    open_row(session, 0, [feature("add", 3, 2.0), feature("add", 4, 1.0, "other")])
    alone, _ = forward(model, session, batch)
    open_row(session, 1, KINDS_OF_STEERING[name], WATCH)
    together, _ = forward(model, session, batch)
    assert torch.equal(alone[0], together[0])


NOTHING = {
    "no features": [],
    "strength zero": [feature("add", 1, 0.0), feature("add", 2, -0.0)],
    "neutral numbers": [feature("multiply", 1, 1.0), feature("orthogonal", 2, 1.0), feature("norm_add", 3, 0.0)],
    "zero under a condition": [feature("add", 1, 0.0, when=LATCHED, scope=SteeringScope(phase="prompt"))],
}


@pytest.mark.parametrize("name", NOTHING)
def test_what_changes_nothing_is_no_plan(model, name):
    session = session_with(model, {"sae": random_sae()})
    assert session.compile(spec_of(*NOTHING[name]), None, prompt_of()) is None
    assert session.compile(None, None, prompt_of()) is None


def test_nobody_asking_means_no_hook(model):
    session = session_with(model, {"sae": random_sae()})
    open_row(session, 5, [feature("add", 1, 3.0)])
    with hooked(session, batch_of([5, 6], [7, 8])) as trace:
        assert trace is None
        assert hook_count(model) == 0


def test_hooks_sit_at_the_sites_of_the_batch_and_nowhere_else(model):
    saes = {
        "sae": random_sae(),
        "late": random_sae(hook="blocks.2.hook_mlp_out"),
        "mid": random_sae(hook="blocks.1.hook_resid_mid"),
    }
    session = session_with(model, saes)
    open_row(session, 0, [feature("add", 1, 1.0)])
    open_row(session, 1, [feature("clamp", 1, 1.0, "late")])
    open_row(session, 2, [feature("add", 1, 1.0, "mid")])
    for rows, hooks in (((0,), 1), ((0, 1), 2), ((0, 1, 2), 4)):
        batch = batch_of(*[[5]] * len(rows))
        with hooked(session, batch):
            assert hook_count(model) == hooks
            model(batch.token_ids)


def test_hooks_are_gone_after_a_failing_pass(model):
    session = session_with(model, {"sae": random_sae()})
    open_row(session, 0, every_operation(), WATCH)
    with pytest.raises(IndexError), hooked(session, batch_of([5])):
        model(input_ids=torch.tensor([[10**6]]))
    assert hook_count(model) == 0


def test_a_pass_that_misses_a_hook_fails_loudly(model):
    session = session_with(model, {"sae": random_sae()})
    open_row(session, 0, [feature("add", 1, 1.0)])
    with pytest.raises(RuntimeError, match=r"layers\.1"), hooked(session, batch_of([5])):
        pass


def test_detach_restores_the_model_exactly(model):
    batch = batch_of([5, 6, 7])
    with torch.inference_mode():
        before = model(input_ids=batch.token_ids).logits
    session = session_with(model, {"sae": random_sae()})
    open_row(session, 0, every_operation(), WATCH)
    forward(model, session, batch)
    session.close(0)
    session.detach("sae")
    after, trace = forward(model, session, batch)
    assert trace is None
    assert torch.equal(before, after)
    assert session.attached() == []
    assert session.memory_bytes == 0


def test_a_running_plan_keeps_its_sae_and_a_closed_one_lets_it_go(model):
    sae = random_sae()
    session = session_with(model, {"sae": sae})
    held = weakref.ref(session.sae("sae").W_dec)
    prompt = prompt_of()
    plan = open_row(session, 0, every_operation(), prompt=prompt)
    first, _ = forward(model, session, batch_of([5, 6]))
    session.detach("sae")
    second, _ = forward(model, session, batch_of([5, 6]))
    assert torch.equal(first, second)
    with pytest.raises(SidecarError, match="not attached"):
        session.compile(spec_of(*every_operation()), None, prompt)
    session.close(0)
    del plan, sae
    gc.collect()
    assert held() is None


@settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
@given(
    chunk=st.integers(1, 9),
    name=st.sampled_from(sorted(KINDS_OF_STEERING)),
    kind=st.sampled_from(sorted(ARCHITECTURES)),
)
def test_any_chunking_equals_one_full_forward(chunk, name, kind):
    model, saes = tiny_model("llama"), {"sae": random_sae(kind)}
    row = Row(prompt_of(3), spec_of(*KINDS_OF_STEERING[name]))
    serve(model, session_with(model, saes), [row], max_tokens=3, chunk=chunk)
    ids = [*row.prompt.ids, *row.tokens]
    full, _ = naive_forward(model, ids, row.prompt, saes, row.steering)
    torch.testing.assert_close(torch.cat(row.logits), full, atol=1e-3, rtol=1e-3)


@pytest.mark.parametrize("name", KINDS_OF_STEERING)
def test_positions_that_are_not_valid_are_neither_moved_nor_read(model, name):
    session = session_with(model, {"sae": random_sae()})
    open_row(session, 0, KINDS_OF_STEERING[name], WATCH)
    ids = torch.tensor([[5, 6, 7, 8]])
    valid = torch.tensor([[False, True, True, False]])
    captured = []
    handle = model.model.layers[1].register_forward_hook(lambda *a: captured.append(a[2].clone()))
    with torch.inference_mode():
        model(input_ids=ids, use_cache=False)
    handle.remove()
    with torch.inference_mode(), hooked(session, ForwardBatch(0, ids, torch.arange(4)[None], valid)) as trace:
        handle = model.model.layers[1].register_forward_hook(lambda *a: captured.append(a[2].clone()))
        model(input_ids=ids, use_cache=False)
        handle.remove()
    plain, steered = (hidden[0] for hidden in captured)
    assert torch.equal(plain[0], steered[0])
    assert torch.equal(plain[3], steered[3])
    assert [reading.position for reading in trace.readings()] == [1, 2]
    assert trace.steered == {0: 2}


def test_an_idle_row_counts_nothing(model):
    session = session_with(model, {"sae": random_sae()})
    open_row(session, 0, [feature("add", 1, 1.0)])
    open_row(session, 1, [feature("add", 1, 1.0)])
    batch = ForwardBatch(0, torch.tensor([[5], [6]]), torch.tensor([[20], [20]]), torch.tensor([[True], [False]]))
    _, trace = forward(model, session, batch)
    assert trace.steered == {0: 1}


def test_a_fork_takes_the_plan_and_what_conditions_remember(model):
    saes = {"sae": random_sae("standard")}
    session = session_with(model, saes)
    prompt = prompt_of()
    # Met by every prompt token, since relu is never below zero; after the prompt only memory knows.
    fires = SteeringCondition(index=20, above=-1.0, mode="prompt")
    open_row(session, 0, [feature("add", 1, 2.0), feature("add", 2, 3.0, when=fires)], prompt=prompt)
    forward(model, session, batch_of(list(prompt.ids)))
    session.fork(0, 3)
    source, _ = forward(model, session, batch_of([7], start=9))
    open_row(session, 5, [feature("add", 1, 2.0)], prompt=prompt)
    without, _ = forward(model, session, batch_of([7], slot_lo=5, start=9))
    assert not torch.equal(source, without)
    target, _ = forward(model, session, batch_of([7], slot_lo=3, start=9))
    assert torch.equal(source, target)
    session.close(0)
    again, _ = forward(model, session, batch_of([7], slot_lo=3, start=9))
    assert torch.equal(target, again)
    session.fork(6, 3)  # of an empty slot: the target is empty too
    _, trace = forward(model, session, batch_of([7], slot_lo=3, start=9))
    assert trace is None


def test_a_latch_is_forgotten_with_its_slot(model):
    session = session_with(model, {"sae": random_sae("standard")})
    prompt = prompt_of()
    never = SteeringCondition(index=20, above=1e9, mode="latched")
    always = SteeringCondition(index=20, above=-1.0, mode="latched")
    batch = batch_of([7, 8])
    plain, _ = forward(model, session, batch)
    open_row(session, 0, [feature("add", 2, 3.0, when=always)], prompt=prompt)
    moved, _ = forward(model, session, batch)
    assert not torch.equal(plain, moved)
    open_row(session, 0, [feature("add", 2, 3.0, when=never)], prompt=prompt)
    unmoved, _ = forward(model, session, batch)
    assert torch.equal(plain, unmoved)


def test_padding_meets_no_condition(model):
    session = session_with(model, {"sae": random_sae("standard")})
    prompt = prompt_of()
    fires = SteeringCondition(index=20, above=-1.0, mode="prompt")
    open_row(session, 0, [feature("add", 2, 3.0, when=fires)], prompt=prompt)
    prefill, decode = batch_of(list(prompt.ids)), batch_of([7], start=9)
    plain, _ = forward(model, session, decode)
    forward(model, session, replace(prefill, valid=torch.zeros_like(prefill.valid)))
    assert torch.equal(forward(model, session, decode)[0], plain)
    forward(model, session, prefill)
    assert not torch.equal(forward(model, session, decode)[0], plain)


def test_closing_and_resizing_leave_zeros(model):
    session = session_with(model, {"sae": random_sae()}, slots=2)
    open_row(session, 0, [feature("add", 1, 3.0)])
    open_row(session, 1, [feature("add", 1, 3.0)])
    session.close(0)
    session.close(0)
    batch = batch_of([5], [6])
    steered, trace = forward(model, session, batch)
    with torch.inference_mode():
        plain = model(input_ids=batch.token_ids).logits
    assert torch.equal(steered[0], plain[0])
    assert trace.steered == {1: 1}
    session.close(1)
    session.resize(5)
    open_row(session, 4, [feature("add", 1, 3.0)])
    _, trace = forward(model, session, batch_of([5], slot_lo=4))
    assert trace.steered == {4: 1}


BF16 = {"atol": 0.02, "rtol": 0.01}
"""A steered bfloat16 state differs from the same sums in float32 by one rounding of the delta and one of the sum."""


@pytest.mark.parametrize("name", ["sums", "reads", "directions", "everything"])
def test_a_bfloat16_model_steers_within_its_rounding(name):
    model = LlamaForCausalLM(tiny_model("llama").config).to(torch.bfloat16).eval()
    model.load_state_dict(tiny_model("llama").state_dict())
    sae = random_sae()
    session = session_with(model, {"sae": sae})
    prompt = prompt_of()
    ids = list(prompt.ids)
    features = spec_of(*KINDS_OF_STEERING[name])
    open_row(session, 0, features.features, WATCH, prompt)
    captured = {}

    def keep(_module, _args, output):
        captured["steered" if "clean" in captured else "clean"] = output.clone()

    first = model.model.layers[1].register_forward_hook(keep)
    with torch.inference_mode(), hooked(session, batch_of(ids)) as trace:
        last = model.model.layers[1].register_forward_hook(keep)
        model(input_ids=torch.tensor([ids]), use_cache=False)
    first.remove()
    last.remove()
    assert captured["steered"].dtype == torch.bfloat16

    seen, scales, clean = {}, {}, captured["clean"][0].float()
    look(sae, clean, "sae", seen, scales)
    expected = steer(clean, features.features, {"sae": sae}, seen, scales, ids, prompt)
    torch.testing.assert_close(captured["steered"][0].float(), expected, **BF16)
    for reading in trace.readings():
        values = [float(seen["sae"][reading.position, index]) for index in reading.indices]
        assert list(reading.values) == pytest.approx(values, abs=1e-5, rel=1e-5)


def test_attaching_and_compiling_from_many_threads_while_a_batch_runs(model):
    session = session_with(model, {"sae": random_sae()})
    open_row(session, 0, every_operation())
    expected, _ = forward(model, session, batch_of([5, 6]))
    failures: list[BaseException] = []
    stop = threading.Event()

    def attach_and_detach(name: str) -> None:
        try:
            while not stop.is_set():
                session.attach(name, random_sae("gated"))
                session.compile(spec_of(feature("clamp", 1, 2.0, name), feature("add", 1, 2.0)), None, prompt_of())
                session.detach(name)
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=attach_and_detach, args=(f"other{n}",)) for n in range(2)]
    for thread in threads:
        thread.start()
    for _ in range(30):
        assert torch.equal(forward(model, session, batch_of([5, 6]))[0], expected)
    stop.set()
    for thread in threads:
        thread.join()
    assert failures == []
    assert [attached.sae_id for attached in session.attached()] == ["sae"]


def test_plans_and_buffers_work_inside_and_outside_inference_mode(model):
    with torch.inference_mode():
        session = session_with(model, {"sae": random_sae()})
        open_row(session, 0, [feature("add", 1, 1.0), feature("add", 2, 1.0, when=LATCHED)])
    with torch.no_grad(), hooked(session, batch_of([5])):
        model(input_ids=torch.tensor([[5]]))
    open_row(session, 0, [feature("add", 1, 1.0)])
    with torch.inference_mode():
        session.close(0)
    session.close(0)


def test_a_cache_written_in_two_sessions_is_the_same(model):
    """The engine may move a request to another slot between two passes."""
    saes = {"sae": random_sae()}
    row, moved = (Row(prompt_of(4), spec_of(*every_operation())) for _ in range(2))
    session = session_with(model, saes)
    serve(model, session, [row], max_tokens=2)
    plan = session.compile(moved.steering, None, moved.prompt)
    session.open(1, plan, moved.prompt)
    cache = DynamicCache(config=model.config)
    ids = torch.tensor([moved.prompt.ids])
    step(model, session, [moved], ids[:, :4], 0, cache, slot_lo=1)
    session.fork(1, 5)
    session.close(1)
    step(model, session, [moved], ids[:, 4:], 4, cache, slot_lo=5)
    torch.testing.assert_close(torch.cat(moved.logits), torch.cat(row.logits)[:9], atol=1e-4, rtol=1e-4)
