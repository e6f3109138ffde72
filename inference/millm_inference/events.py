"""The feed: what happens here, numbered. A subscriber is only a cursor into one bounded ring, so a slow one costs
nothing:
it loses the oldest events, is told how many frames that were, and gets a fresh snapshot.

`publish` may be called from any thread; `subscribe` belongs to the event loop.
"""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass

from millm_inference import contract as c

Event = c.SnapshotEvent | c.StateEvent | c.DownloadEvent | c.LoadEvent | c.MetricsEvent | c.ActivationsEvent


@dataclass(frozen=True, slots=True)
class Entry:
    event: Event
    frames_before: int  # frames published before this event, to count what a late reader missed


class Feed:
    def __init__(self, snapshot: Callable[[int], c.SnapshotEvent], *, size: int = 1024) -> None:
        self._snapshot = snapshot
        self._ring: deque[Entry] = deque(maxlen=size)
        self._seq = 0
        self._frames = 0
        self._lock = threading.Lock()
        self._waiting: dict[asyncio.Event, tuple[asyncio.AbstractEventLoop, int]] = {}  # with the loop's thread
        self._closed = False

    @property
    def seq(self) -> int:
        return self._seq

    def publish(self, build: Callable[[int], Event]) -> None:
        """`build` gets the event's number. Never blocks on a subscriber."""
        with self._lock:
            event = build(self._seq + 1)
            self._seq += 1
            self._ring.append(Entry(event, self._frames))
            if isinstance(event, c.ActivationsEvent):
                self._frames += len(event.frames)
        self._wake_all()

    def close(self) -> None:
        """End every subscription: the process is about to stop."""
        self._closed = True
        self._wake_all()

    def _wake_all(self) -> None:
        for wake, (loop, thread) in list(self._waiting.items()):
            if thread == threading.get_ident():
                wake.set()  # without a turn of the loop more
            elif not loop.is_closed():
                loop.call_soon_threadsafe(wake.set)

    async def subscribe(self, after_seq: int | None = None) -> AsyncIterator[Event]:
        """From a snapshot, or from `after_seq` while what came after it is still in the ring; then everything,
        forever."""
        wake = asyncio.Event()
        self._waiting[wake] = asyncio.get_running_loop(), threading.get_ident()
        try:
            cursor, seen, dropped = after_seq, self._frames, 0
            if cursor is None or not self._reaches(cursor):
                cursor = None
            while not self._closed:
                wake.clear()
                with self._lock:
                    behind = cursor is None or not self._reaches(cursor)
                    if behind:
                        dropped += 0 if cursor is None else self._frames - seen
                        batch, cursor, seen = [], self._seq, self._frames
                    else:
                        batch = [e for e in self._ring if cursor is not None and e.event.seq > cursor]
                if behind:
                    assert cursor is not None
                    yield self._snapshot(cursor)
                    continue
                for entry in batch:
                    cursor = entry.event.seq
                    event = entry.event
                    if isinstance(event, c.ActivationsEvent):
                        seen = entry.frames_before + len(event.frames)
                        event = event.model_copy(update={"dropped": dropped})
                    yield event
                if not batch:
                    await wake.wait()
        finally:
            del self._waiting[wake]

    def _reaches(self, cursor: int) -> bool:
        """Is everything after `cursor` still in the ring?"""
        if cursor > self._seq:
            return False
        return cursor == self._seq or (bool(self._ring) and self._ring[0].event.seq <= cursor + 1)


class FrameBuffer:
    """Frames from the engine thread, handed over in batches; bounded, drops the oldest and counts."""

    def __init__(self, limit: int = 20_000) -> None:
        self._frames: deque[c.MonitorFrame] = deque(maxlen=limit)
        self.dropped = 0

    def push(self, frame: c.MonitorFrame) -> None:
        if len(self._frames) == self._frames.maxlen:
            self.dropped += 1
        self._frames.append(frame)

    def take(self) -> list[c.MonitorFrame]:
        taken: list[c.MonitorFrame] = []
        while self._frames:
            taken.append(self._frames.popleft())
        return taken
