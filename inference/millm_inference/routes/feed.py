"""GET /feed: everything that happens here, as one numbered stream; PUT /monitor: what is watched."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query
from fastapi.responses import StreamingResponse

from millm_inference import contract as c
from millm_inference.routes.dependencies import RuntimeDep, off_loop
from millm_inference.sse import stream

router = APIRouter()


@router.get("/feed", operation_id="feed")
async def feed(
    runtime: RuntimeDep, instance_id: str | None = None, after_seq: Annotated[int | None, Query(ge=0)] = None
) -> StreamingResponse:
    resumable = instance_id == runtime.instance_id
    events = runtime.feed.subscribe(after_seq if resumable else None)
    body = stream(events, heartbeat_s=runtime.settings.heartbeat_s, on_close=lambda: None)
    return StreamingResponse(body, media_type="text/event-stream")


@router.put("/monitor", operation_id="setMonitor")
async def set_monitor(body: c.MonitorState, runtime: RuntimeDep) -> c.MonitorState:
    return await off_loop(runtime.set_monitor, body)
