"""Server-Sent Events: encode, heartbeat while silent, and clean up whatever happens."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable

from pydantic import BaseModel


def encode(event: BaseModel) -> bytes:
    return b"data: " + event.model_dump_json().encode() + b"\n\n"


PING = b": ping\n\n"


async def stream(
    events: AsyncIterator[BaseModel], *, heartbeat_s: float, on_close: Callable[[], None]
) -> AsyncIterator[bytes]:
    """Encode `events`; a comment after every `heartbeat_s` of silence. `on_close` runs once, on end, error or
    disconnect."""
    pending: asyncio.Future[BaseModel] | None = None
    try:
        while True:
            if pending is None:
                pending = asyncio.ensure_future(anext(events))  # type: ignore[arg-type]
            done, _ = await asyncio.wait({pending}, timeout=heartbeat_s)
            if not done:
                yield PING
                continue
            try:
                event = pending.result()
            except StopAsyncIteration:
                return
            pending = None
            yield encode(event)
    finally:
        if pending is not None:
            pending.cancel()
        on_close()
