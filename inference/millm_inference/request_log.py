"""One log line per request, with the request id the gateway sent; plain ASGI, so streams are never buffered."""

from __future__ import annotations

import re
import time
import uuid
from typing import Any

import structlog
from starlette.types import ASGIApp, Message, Receive, Scope, Send

log = structlog.get_logger()
QUIET = {"/health", "/state", "/metrics"}
TRACEPARENT = re.compile(rb"[0-9a-f]{2}-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}")


def trace_of(traceparent: bytes) -> str | None:
    """The id of the trace that the caller is in, from its W3C header."""
    found = TRACEPARENT.fullmatch(traceparent)
    return found.group(1).decode() if found else None


class RequestLog:
    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        headers = dict(scope["headers"])
        request_id = headers.get(b"x-request-id", b"").decode("latin-1")[:128] or uuid.uuid4().hex
        structlog.contextvars.bind_contextvars(request_id=request_id)
        if trace_id := trace_of(headers.get(b"traceparent", b"")):
            structlog.contextvars.bind_contextvars(trace_id=trace_id)
        begun, answer = time.monotonic(), {"status": 0}

        async def remember(message: Message) -> None:
            if message["type"] == "http.response.start":
                answer["status"] = message["status"]
            await send(message)

        try:
            await self.app(scope, receive, remember)
        finally:
            fields: dict[str, Any] = {
                "method": scope["method"],
                "path": scope["path"],
                "status": answer["status"],
                "ms": round((time.monotonic() - begun) * 1000, 1),
            }
            (log.debug if scope["path"] in QUIET else log.info)("request", **fields)
            structlog.contextvars.clear_contextvars()
