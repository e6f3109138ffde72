"""What a session reads for its requests and for whoever watches the server."""

import pytest
import torch

from millm_inference.contract import ActivationsRequest, Feature, MonitorWatch
from millm_inference.engine.interpreter import PromptTokens, Reading
from millm_inference.errors import SidecarError
from tests.interpret.agreement import WATCH, feature
from tests.interpret.probe import batch_of, forward, open_row, spec_of
from tests.interpret.random_saes import random_sae
from tests.interpret.serving import hooked, session_with


class TestReadings:
    def read(self, model, request, features=(), ids=(5, 6, 7), prompt_length=1, kind="jumprelu"):
        saes = {"sae": random_sae(kind)}
        session = session_with(model, saes)
        prompt = PromptTokens(ids[:prompt_length])
        plan = session.compile(spec_of(*features), request, prompt)
        session.open(0, plan, prompt)
        _, trace = forward(model, session, batch_of(list(ids)))
        return trace.readings(), saes["sae"]

    def test_chosen_features_come_first_even_when_silent_then_the_strongest(self, model):
        request = ActivationsRequest(sae_id="sae", top_k=5, features=[Feature(9), Feature(2), Feature(9)])
        readings, _ = self.read(model, request)
        assert [reading.position for reading in readings] == [1, 2]
        for reading in readings:
            assert reading.indices[:2] == (9, 2)
            assert len(set(reading.indices)) == len(reading.indices)
            strongest = reading.values[2:]
            assert list(strongest) == sorted(strongest, reverse=True)
            assert all(value > 0 for value in strongest)

    def test_top_k_alone_shows_only_what_fires(self, model):
        readings, _ = self.read(model, ActivationsRequest(sae_id="sae", top_k=64))
        assert all(value > 0 for reading in readings for value in reading.values)
        assert all(0 < len(reading.values) < 64 for reading in readings)

    def test_prompt_positions_only_when_asked(self, model):
        request = ActivationsRequest(sae_id="sae", top_k=1, prompt=True)
        assert [r.position for r in self.read(model, request, prompt_length=2)[0]] == [0, 1, 2]
        request = ActivationsRequest(sae_id="sae", top_k=1)
        assert [r.position for r in self.read(model, request, prompt_length=2)[0]] == [2]

    @pytest.mark.parametrize("top_k", [0, 3])
    def test_a_pass_over_the_end_of_the_prompt_reads_the_right_tokens(self, model, top_k):
        request = ActivationsRequest(sae_id="sae", features=[Feature(20), Feature(5)], top_k=top_k)
        some, _ = self.read(model, request, ids=(5, 6, 7, 8), prompt_length=2)
        every, _ = self.read(model, request.model_copy(update={"prompt": True}), ids=(5, 6, 7, 8), prompt_length=2)
        assert [reading.position for reading in some] == [2, 3]
        for reading, same in zip(some, every[2:], strict=True):
            assert reading.indices == same.indices
            assert reading.values == pytest.approx(same.values, abs=1e-5)

    def test_a_prefill_nobody_reads_needs_no_hook(self, model):
        session = session_with(model, {"sae": random_sae()})
        open_row(session, 0, [], ActivationsRequest(sae_id="sae", top_k=1), PromptTokens((5, 6, 7)))
        with hooked(session, batch_of([5, 6])) as trace:
            assert trace is None

    @pytest.mark.parametrize("kind", ["jumprelu", "topk", "gated"])
    def test_after_steering_shows_the_edit(self, model, kind):
        edits = [feature("add", 3, 8.0)]
        request = ActivationsRequest(sae_id="sae", top_k=8)
        before, _ = self.read(model, request, edits, kind=kind)
        after, _ = self.read(model, request.model_copy(update={"stage": "after"}), edits, kind=kind)
        plain, _ = self.read(model, request, kind=kind)
        assert [r.values for r in before] == [r.values for r in plain]
        assert [r.values for r in after] != [r.values for r in plain]

    def test_rows_that_watch_different_things_in_different_ways(self, model):
        session = session_with(model, {"sae": random_sae(), "top": random_sae("topk", hook="blocks.2.hook_mlp_out")})
        prompt = PromptTokens((5,))
        asked = [
            ActivationsRequest(sae_id="sae", features=[Feature(1), Feature(2), Feature(3)]),
            ActivationsRequest(sae_id="sae", features=[Feature(7)]),
            None,
            ActivationsRequest(sae_id="sae", top_k=2, features=[Feature(1)]),
            ActivationsRequest(sae_id="top", features=[Feature(4)]),
            ActivationsRequest(sae_id="sae", features=[Feature(7)], stage="after"),
        ]
        for slot, request in enumerate(asked):
            if request:
                open_row(session, slot, [], request, prompt)
        _, trace = forward(model, session, batch_of(*[[9]] * 6, start=4))
        by_slot: dict[int, Reading] = {reading.slot: reading for reading in trace.readings()}
        assert [reading.slot for reading in trace.readings()] == [0, 1, 3, 4, 5]
        assert by_slot[0].indices == (1, 2, 3)
        assert by_slot[1].values == by_slot[5].values
        assert by_slot[0].values[0] == pytest.approx(by_slot[3].values[0], abs=1e-5)
        assert trace.steered == {}

    def test_only_reading_salts_nothing_and_changes_nothing(self, model):
        session = session_with(model, {"sae": random_sae()})
        batch = batch_of([5, 6, 7])
        plain, _ = forward(model, session, batch)
        plan = open_row(session, 0, [], WATCH)
        assert plan.salt == ""
        assert plan.reads
        assert plan.needs_prompt
        read, _ = forward(model, session, batch)
        assert torch.equal(plain, read)


class TestWatchingTheServer:
    WATCHES = (MonitorWatch(sae_id="sae", top_k=2), MonitorWatch(sae_id="late", features=[Feature(4)]))

    def test_every_open_row_is_read_besides_its_own_readings(self, model):
        session = session_with(model, {"sae": random_sae(), "late": random_sae("topk", hook="blocks.2.hook_mlp_out")})
        prompt = PromptTokens((5, 6))
        session.open(0, None, prompt)
        open_row(session, 1, [feature("clamp", 1, 2.0)], ActivationsRequest(sae_id="sae", top_k=1), prompt)
        assert [session.reads(slot) for slot in range(3)] == [False, True, False]
        session.watch(self.WATCHES)
        assert [session.reads(slot) for slot in range(3)] == [False, True, False]
        assert [session.watched(slot) for slot in range(3)] == [True, True, False]
        _, trace = forward(model, session, batch_of([5, 6, 7], [5, 6, 7], [5, 6, 7]))
        readings = trace.readings()
        assert {(r.slot, r.sae_id) for r in readings if r.monitor} == {(s, n) for s in (0, 1) for n in ("sae", "late")}
        assert [(r.slot, r.position) for r in readings if not r.monitor] == [(1, 2)]
        assert trace.steered == {1: 3}

    def test_watching_ends_and_leaves_plain_rows_without_hooks(self, model):
        session = session_with(model, {"sae": random_sae(), "late": random_sae(hook="blocks.2.hook_mlp_out")})
        session.open(0, None, PromptTokens((5, 6)))
        session.watch(self.WATCHES)
        session.watch([])
        _, trace = forward(model, session, batch_of([5]))
        assert trace is None

    def test_a_detached_sae_is_not_watched_any_more(self, model):
        session = session_with(model, {"sae": random_sae(), "late": random_sae(hook="blocks.2.hook_mlp_out")})
        session.open(0, None, PromptTokens((5, 6)))
        session.watch(self.WATCHES)
        forward(model, session, batch_of([5]))
        session.detach("sae")
        _, trace = forward(model, session, batch_of([5]))
        assert {reading.sae_id for reading in trace.readings()} == {"late"}

    def test_what_is_not_attached_cannot_be_watched(self, model):
        session = session_with(model, {"sae": random_sae()})
        with pytest.raises(SidecarError) as refused:
            session.watch(self.WATCHES)
        assert (refused.value.code, refused.value.param) == ("SAE_NOT_ATTACHED", "watches[1].sae_id")
