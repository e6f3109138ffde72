"""The feed's law: a message lost makes the screen late, never wrong, and the loss is counted."""

import asyncio

from millm_inference import contract as c
from millm_inference.events import Feed, FrameBuffer

QUEUE = c.QueueState(running=0, waiting=0, slots_total=1, slots_free=1, max_waiting=1)
MEMORY = c.MemoryState(device="cpu", used_bytes=0, total_bytes=0, model_bytes=0, sae_bytes=0, kv_bytes=0)
COUNTERS = c.Counters(prompt_tokens=0, generated_tokens=0, requests=0, aborted=0, cached_prompt_tokens=0)
STATE = c.RuntimeState(instance_id="i", model=None, saes=[], queue=QUEUE, memory=MEMORY, counters=COUNTERS)


def snapshot(seq):
    return c.SnapshotEvent(type="snapshot", seq=seq, state=STATE, downloads=[], monitor=c.MonitorState(watches=[]))


def load(seq):
    return c.LoadEvent(type="load", seq=seq, model_id="m", stage="reading")


def frames(count):
    frame = c.MonitorFrame(
        request_id="r", choice=0, position=0, token_id=0, token="t", prompt=False, sae_id="s", features=[]
    )
    return lambda seq: c.ActivationsEvent(type="activations", seq=seq, frames=[frame] * count, dropped=0)


async def take(stream, count):
    return [await asyncio.wait_for(anext(stream), 2) for _ in range(count)]


async def test_a_newcomer_gets_a_snapshot_and_everything_after_it():
    feed = Feed(snapshot)
    feed.publish(load)
    stream = feed.subscribe()
    first = await take(stream, 1)
    feed.publish(load)
    feed.publish(load)
    rest = await take(stream, 2)
    assert [(e.type, e.seq) for e in first + rest] == [("snapshot", 1), ("load", 2), ("load", 3)]


async def test_a_reader_that_was_cut_resumes_without_a_snapshot():
    feed = Feed(snapshot)
    for _ in range(5):
        feed.publish(load)
    assert [e.seq for e in await take(feed.subscribe(after_seq=2), 3)] == [3, 4, 5]


async def test_a_number_from_the_future_or_long_gone_gets_a_snapshot():
    feed = Feed(snapshot, size=3)
    for _ in range(9):
        feed.publish(load)
    for number in (2, 99):
        assert (await take(feed.subscribe(after_seq=number), 1))[0].type == "snapshot"


async def test_a_slow_reader_loses_the_oldest_is_told_how_many_and_gets_a_snapshot():
    feed = Feed(snapshot, size=4)
    stream = feed.subscribe()
    await take(stream, 1)
    for _ in range(10):
        feed.publish(frames(3))
    (again,) = await take(stream, 1)
    assert (again.type, again.seq) == ("snapshot", 10)
    feed.publish(frames(2))
    (event,) = await take(stream, 1)
    assert (len(event.frames), event.dropped) == (2, 30)


async def test_publishing_from_another_thread_wakes_the_reader():
    feed = Feed(snapshot)
    stream = feed.subscribe()
    await take(stream, 1)
    waiting = asyncio.ensure_future(anext(stream))
    await asyncio.to_thread(feed.publish, load)
    assert (await asyncio.wait_for(waiting, 2)).type == "load"


def test_the_frame_buffer_keeps_the_newest():
    buffer = FrameBuffer(limit=3)
    for position in range(5):
        buffer.push(frames(1)(0).frames[0].model_copy(update={"position": position}))
    assert [f.position for f in buffer.take()] == [2, 3, 4]
    assert buffer.dropped == 2
    assert buffer.take() == []
