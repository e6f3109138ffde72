"""Composition root: settings → runtime → routes and error handlers."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.concurrency import run_in_threadpool

from millm_inference import __version__
from millm_inference.contract import DownloadEvent
from millm_inference.errors import SidecarError
from millm_inference.fatal import end_device_lost
from millm_inference.memory import outcome_of
from millm_inference.request_log import RequestLog
from millm_inference.routes import activations, embeddings, feed, generate, health, hub, models, saes, tokens
from millm_inference.runtime import Runtime
from millm_inference.settings import Settings

log = structlog.get_logger()

STATUS = {
    "VALIDATION_ERROR": 400,
    "UNSUPPORTED_VALUE": 400,
    "CONTEXT_LENGTH_EXCEEDED": 400,
    "INVALID_CHAT_TEMPLATE_INPUT": 400,
    "INVALID_FEATURE_INDEX": 400,
    "SAE_NOT_ATTACHED": 400,
    "MODEL_NOT_FOUND": 404,
    "SAE_NOT_FOUND": 404,
    "MODEL_NOT_LOADED": 409,
    "CONFLICT": 409,
    "SAE_INCOMPATIBLE": 409,
    "MODEL_INCOMPATIBLE": 409,
    "INSUFFICIENT_MEMORY": 507,
    "GATED_REPOSITORY": 403,
    "DOWNLOAD_FAILED": 502,
    "QUEUE_FULL": 503,
    "SHUTTING_DOWN": 503,
    "DEADLINE_EXCEEDED": 504,
}
"""The gateway maps the code, not this status; it is for people who look at the sidecar's own traffic."""


def create_app(settings: Settings) -> FastAPI:
    runtime = Runtime(settings)
    downloads = hub.open_downloads(settings)
    downloads.on_change = lambda state: runtime.feed.publish(
        lambda seq: DownloadEvent(type="download", seq=seq, download=state)
    )
    runtime.downloads = downloads.states

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        log.info("sidecar:started", instance_id=runtime.instance_id, device=str(runtime.device), version=__version__)
        ticking = asyncio.create_task(_tick(runtime))
        yield
        ticking.cancel()
        runtime.loop_seen = None
        downloads.close()
        await run_in_threadpool(runtime.shutdown)
        log.info("sidecar:stopped")

    app = FastAPI(title="miLLM inference sidecar", version=__version__, lifespan=lifespan)
    app.state.runtime = runtime
    app.state.downloads = downloads
    app.add_middleware(RequestLog)
    for module in (health, models, saes, generate, embeddings, activations, tokens, feed, hub):
        app.include_router(module.router)
    app.add_exception_handler(SidecarError, _known)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(Exception, _unknown)
    return app


async def _tick(runtime: Runtime) -> None:
    """Hand watched frames on every 100 ms, as often as a screen shows them, and metrics every 2 s; a failing turn is
    logged and the next one tried."""
    turn = 0
    while True:
        runtime.loop_seen = time.monotonic()
        await asyncio.sleep(0.1)
        turn += 1
        try:
            runtime.say_frames()
            if turn % 20 == 0:
                runtime.say_metrics()
        except Exception as error:
            log.exception("feed:tick-failed")
            _end_if_device_lost(error)


async def _known(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, SidecarError)
    return JSONResponse(error.body().model_dump(mode="json"), STATUS.get(error.code, 500))


async def _invalid(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    first = error.errors()[0]
    path = ".".join(str(part) for part in first["loc"] if part != "body")
    problem = SidecarError("VALIDATION_ERROR", f"{path}: {first['msg']}", param=path or None)
    return await _known(request, problem)


async def _unknown(request: Request, error: Exception) -> JSONResponse:
    log.exception("sidecar:unexpected", path=request.url.path, error=repr(error))
    _end_if_device_lost(error)
    return await _known(request, SidecarError("INTERNAL_ERROR", "The sidecar failed unexpectedly; its log says why."))


def _end_if_device_lost(error: Exception) -> None:
    if outcome_of(error) == "device_lost":
        end_device_lost()
