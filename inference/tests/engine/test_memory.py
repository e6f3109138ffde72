"""Running out of memory in a step fails one request and nobody else; a lost device ends the process."""

import threading
import weakref

import pytest
import torch

from millm_inference.engine.model_runner import ModelRunner
from millm_inference.engine.sequence import Failed
from millm_inference.memory import outcome_of
from tests.engine.test_laws import settle
from tests.support.running import engine_for, greedy, random_prompt, submit
from tests.support.tiny import tiny_model


class SmallDevice(ModelRunner):
    """Real passes on a device that holds so many rows, tokens of one chunk, and positions of cache."""

    def __init__(self, model, rows=99, chunk=999, cells=99_999):
        super().__init__(model, None)
        self.rows, self.chunk = rows, chunk
        layer = self.cache.layers[-1]
        resize = layer.resize

        def limited(slots, capacity, held):
            if slots * capacity > cells:
                raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
            resize(slots, capacity, held)

        layer.resize = limited  # the last one: the others have grown by then

    def prefill(self, slot, tokens, start, span, *, keep=1):
        if len(tokens) > self.chunk:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
        return super().prefill(slot, tokens, start, span, keep=keep)

    def decode(self, lo, tokens, positions, valid, span):
        if sum(valid) > self.rows:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
        return super().decode(lo, tokens, positions, valid, span)


def check(device, prompts, expected_failures, tokens=12):
    model = device.model
    with engine_for(model, prefill_chunk=64, idle_chunk=64) as engine:
        engine.runner = device
        running = [submit(engine, prompt, max_tokens=tokens) for prompt in prompts]
        failed = []
        for number, (prompt, collected) in enumerate(zip(prompts, running, strict=True)):
            collected.wait()
            if isinstance(collected.seen[-1], Failed):
                assert collected.seen[-1].error.code == "INSUFFICIENT_MEMORY"
                failed.append(number)
            else:
                assert collected.tokens() == greedy(model, prompt, tokens)
        assert failed == expected_failures
        settle(engine)
        assert engine.scheduler.free == engine.limits.slots
        again = submit(engine, prompts[0], max_tokens=tokens, wait=True)
        assert again.tokens() == greedy(model, prompts[0], tokens)


def test_in_a_prompt_it_fails_that_request():
    model = tiny_model("llama")
    prompts = [random_prompt(20, 1), random_prompt(60, 2), random_prompt(25, 3)]
    check(SmallDevice(model, chunk=40), prompts, [1])


def test_in_a_batch_it_fails_the_newest_and_the_others_lose_no_token():
    model = tiny_model("llama")
    prompts = [random_prompt(20, seed) for seed in range(4)]
    check(SmallDevice(model, rows=3), prompts, [3], tokens=40)


def test_half_way_through_growing_the_cache_it_keeps_what_the_others_have():
    model = tiny_model("llama")
    prompts = [random_prompt(40, 1), random_prompt(30, 2), random_prompt(400, 3)]
    check(SmallDevice(model, cells=4 * 128), prompts, [2], tokens=30)


class PlanOfAnSae:
    salt, needs_prompt, reads = "steered", False, False


@pytest.mark.parametrize("ends", ["by itself", "cancelled"])
def test_a_plan_and_so_its_saes_are_let_go_when_the_request_ends(ends):
    with engine_for(tiny_model("llama")) as engine:
        plan = PlanOfAnSae()
        held = weakref.ref(plan)
        collected = submit(engine, random_prompt(10, 1), plan=plan, max_tokens=8 if ends == "by itself" else 400)
        del plan
        if ends == "by itself":
            collected.wait()
        else:
            collected.next()
            engine.cancel(collected.request)
        settle(engine)
        assert held() is None
        assert collected.request.sequences[0].request is collected.request  # which nothing but the collector can free


class LostDevice(ModelRunner):
    def decode(self, *_, **__):
        raise torch.AcceleratorError("CUDA error: an illegal memory access was encountered")


def test_a_lost_device_fails_what_runs_and_says_that_the_process_must_end():
    model = tiny_model("llama")
    with engine_for(model) as engine:
        lost = threading.Event()
        engine.runner, engine.on_device_lost = LostDevice(model, None), lost.set
        collected = submit(engine, random_prompt(10, 1), wait=True)
        assert isinstance(collected.seen[-1], Failed)
        assert collected.seen[-1].error.code == "INTERNAL_ERROR"
        assert lost.wait(5)


@pytest.mark.parametrize(
    ("error", "outcome"),
    [
        (torch.OutOfMemoryError("CUDA out of memory."), "out_of_memory"),
        (MemoryError(), "out_of_memory"),
        (
            RuntimeError("DefaultCPUAllocator: can't allocate memory"),
            "out_of_memory",
        ),
        (torch.AcceleratorError("CUDA error: device-side assert triggered"), "device_lost"),
        (RuntimeError("CUDA error: unspecified launch failure"), "device_lost"),
        (torch.AcceleratorError("CUDA error: no kernel image is available for execution on the device"), "failed"),
        (ValueError("shapes"), "failed"),
    ],
)
def test_what_a_failure_means(error, outcome):
    assert outcome_of(error) == outcome
