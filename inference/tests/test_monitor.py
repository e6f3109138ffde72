"""Watching over HTTP: the feed holds exactly what the same request returns inline, and nobody watching means no
hook."""

from __future__ import annotations

import asyncio
import json

import pytest
import torch
from safetensors.torch import save_file

from millm_inference import contract as c
from tests.test_app import MODEL, events, model_dir, request, serving  # noqa: F401  (model_dir is a fixture)

SAE = "probe"


@pytest.fixture(scope="session")
def sae_dir(tmp_path_factory):
    """A random SAE after block 1 of the tiny model, in SAELens format."""
    folder = tmp_path_factory.mktemp("sae")
    generator = torch.Generator().manual_seed(3)
    weights = {
        "W_enc": torch.randn(32, 48, generator=generator),
        "W_dec": torch.randn(48, 32, generator=generator),
        "b_enc": torch.zeros(48),
        "b_dec": torch.zeros(32),
    }
    save_file(weights, folder / "sae_weights.safetensors")
    config = {
        "architecture": "standard",
        "d_in": 32,
        "d_sae": 48,
        "dtype": "float32",
        "apply_b_dec_to_input": False,
        "normalize_activations": "none",
        "metadata": {"hook_name": "blocks.1.hook_resid_post", "sae_lens_version": "6.50.0"},
    }
    (folder / "cfg.json").write_text(json.dumps(config))
    return folder


@pytest.fixture
async def client(tmp_path, model_dir, sae_dir):  # noqa: F811
    async with serving(tmp_path) as client:
        await client.post("/models/load", json={"model_id": MODEL, "path": str(model_dir)})
        answer = await client.post("/saes/attach", json={"sae_id": SAE, "path": str(sae_dir)})
        assert answer.status_code == 200, answer.text
        yield client


class Listener:
    """Reads the feed in the background until told to stop."""

    def __init__(self, client, **query):
        self.events = []
        self._task = asyncio.create_task(self._read(client, query))

    async def _read(self, client, query):
        async with client.stream("GET", "/feed", params=query, timeout=None) as answer:
            async for line in answer.aiter_lines():
                if line.startswith("data: "):
                    self.events.append(c.FeedEvent.model_validate(json.loads(line[6:])).root)

    async def until(self, holds):
        for _ in range(400):
            if holds(self.events):
                return
            await asyncio.sleep(0.01)
        raise AssertionError(f"not seen; the feed said {[e.type for e in self.events]}")

    async def stop(self):
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    def frames(self, request_id):
        batches = [e.frames for e in self.events if isinstance(e, c.ActivationsEvent)]
        return [f for frames in batches for f in frames if f.request_id == request_id]


def asked(**changes):
    return request(
        request_id="watched",
        activations={"sae_id": SAE, "top_k": 3, "features": [5, 40], "prompt": True},
        **changes,
    )


def inline(found):
    prompt = [a for e in found if isinstance(e, c.PromptEvent) for a in e.activations]
    return prompt + [a for e in found if isinstance(e, c.DeltaEvent | c.FinishEvent) for a in e.activations]


async def test_a_watcher_sees_what_the_request_returns_inline_for_every_token_in_order(client):
    listener = Listener(client)
    await listener.until(lambda seen: any(isinstance(e, c.SnapshotEvent) for e in seen))
    watch = {"watches": [{"sae_id": SAE, "top_k": 3, "features": [5, 40]}]}
    assert (await client.put("/monitor", json=watch)).json() == watch
    steering = {"fingerprint": "f", "features": [{"sae_id": SAE, "index": 7, "op": "add", "strength": 2.0}]}
    found = await events(client, asked(steering=steering))
    expected = [(a.position, a.token_id, a.token, a.features) for a in inline(found)]
    assert len(expected) == 5 + 8
    await listener.until(lambda seen: len(listener.frames("watched")) >= len(expected))
    got = listener.frames("watched")
    assert [(f.position, f.token_id, f.token, f.features) for f in got] == expected
    assert [f.prompt for f in got] == [True] * 5 + [False] * 8
    await listener.stop()


async def test_a_request_that_asks_for_nothing_is_watched_to_its_last_token_and_reads_the_same(client):
    plain = await events(client, request())
    listener = Listener(client)
    await client.put("/monitor", json={"watches": [{"sae_id": SAE, "features": [1]}]})
    watched = await events(client, request(request_id="w"))
    strip = lambda found: [e.text for e in found if isinstance(e, c.DeltaEvent | c.FinishEvent)]  # noqa: E731
    assert "".join(strip(watched)) == "".join(strip(plain))
    await listener.until(lambda seen: any(f.position == 12 for f in listener.frames("w")))
    await client.put("/monitor", json={"watches": []})
    await events(client, request(request_id="later"))
    await asyncio.sleep(0.2)
    assert listener.frames("later") == []
    await listener.stop()


async def test_state_changes_are_told_and_a_cut_reader_resumes(client):
    listener = Listener(client)
    await listener.until(lambda seen: seen)
    snapshot = listener.events[0]
    assert [s.sae_id for s in snapshot.state.saes] == [SAE]
    await listener.stop()
    await client.post("/saes/detach", json={"sae_id": SAE})
    resumed = Listener(client, instance_id=snapshot.state.instance_id, after_seq=snapshot.seq)
    await resumed.until(lambda seen: any(isinstance(e, c.StateEvent) and not e.state.saes for e in seen))
    assert not any(isinstance(e, c.SnapshotEvent) for e in resumed.events)
    await resumed.stop()


@pytest.mark.parametrize(
    ("watch", "code"),
    [
        ({"sae_id": "other", "top_k": 1}, "SAE_NOT_ATTACHED"),
        ({"sae_id": SAE, "features": [48]}, "INVALID_FEATURE_INDEX"),
    ],
)
async def test_what_cannot_be_watched_is_refused_and_changes_nothing(client, watch, code):
    good = {"watches": [{"sae_id": SAE, "top_k": 1, "features": []}]}
    await client.put("/monitor", json=good)
    assert (await client.put("/monitor", json={"watches": [watch]})).json()["code"] == code
    listener = Listener(client)
    await listener.until(lambda seen: seen)
    assert listener.events[0].monitor.model_dump(mode="json") == good
    await listener.stop()


async def test_detaching_ends_the_watch_of_that_sae(client):
    await client.put("/monitor", json={"watches": [{"sae_id": SAE, "top_k": 1}]})
    await client.post("/saes/detach", json={"sae_id": SAE})
    found = await events(client, request())
    assert isinstance(found[-1], c.DoneEvent)
