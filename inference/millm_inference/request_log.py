"""One log line per request, with the request id the gateway sent; plain ASGI, so streams are never buffered."""

from __future__ import annotations

import time
import uuid
from typing import Any

import structlog
from starlette.types import ASGIApp, Message, Receive, Scope, Send

log = structlog.get_logger()
QUIET = {"/health", "/state"}


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
