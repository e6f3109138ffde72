"""POST /generate: one request in, a stream of events out, cancelled when nobody reads it any more."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from fastapi import APIRouter
from fastapi.responses import StreamingResponse
from pydantic import BaseModel

from millm_inference import contract as c
from millm_inference.engine.sequence import Event
from millm_inference.generation import Wire, build_request
from millm_inference.prompt import opens_reasoning
from millm_inference.routes.dependencies import RuntimeDep, off_loop
from millm_inference.sse import stream

router = APIRouter()


@router.post("/generate", operation_id="generate")
async def generate(wire: c.GenerateRequest, runtime: RuntimeDep) -> StreamingResponse:
    resident = runtime.require(wire.model_id)
    loop = asyncio.get_running_loop()
    queue: asyncio.Queue[Event] = asyncio.Queue()

    def outbox(event: Event) -> None:  # called on the engine thread
        if not loop.is_closed():
            loop.call_soon_threadsafe(queue.put_nowait, event)

    request = await off_loop(build_request, wire, resident, outbox)
    position = await asyncio.wrap_future(resident.engine.submit(request))
    translate = Wire(request, resident)

    async def events() -> AsyncIterator[BaseModel]:
        yield c.AcceptedEvent(
            type="accepted",
            request_id=request.id,
            prompt_tokens=len(request.prompt.ids),
            max_tokens=request.sampling.max_tokens,
            queue_position=position,
            reasoning_open=wire.prompt.type == "chat" and opens_reasoning(request.prompt, resident.token_bytes),
        )
        while True:
            event = translate(await queue.get())
            yield event
            if isinstance(event, c.DoneEvent | c.ErrorEvent):
                return

    body = stream(
        events(),
        heartbeat_s=runtime.settings.heartbeat_s,
        on_close=lambda: resident.engine.cancel(request),
    )
    return StreamingResponse(body, media_type="text/event-stream")
