"""What every route needs: the runtime, and the one way off the event loop."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, TypeVar

from fastapi import Depends, Request
from starlette.concurrency import run_in_threadpool

from millm_inference.runtime import Runtime

T = TypeVar("T")


def get_runtime(request: Request) -> Runtime:
    runtime: Runtime = request.app.state.runtime
    return runtime


RuntimeDep = Annotated[Runtime, Depends(get_runtime)]


async def off_loop(work: Callable[..., T], *args: object) -> T:
    """Run blocking work (tokenising, loading, waiting for the engine) on a thread."""
    return await run_in_threadpool(work, *args)
