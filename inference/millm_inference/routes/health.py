"""Liveness, and the one answer about what is true now."""

import time

from fastapi import APIRouter, Response
from prometheus_client import CONTENT_TYPE_PLAIN_0_0_4, generate_latest

from millm_inference import __version__
from millm_inference import contract as c
from millm_inference.routes.dependencies import RuntimeDep

router = APIRouter()


@router.get("/health", operation_id="getHealth")
async def health(runtime: RuntimeDep) -> c.Health:
    return c.Health(
        status="draining" if runtime.draining else "ok",
        instance_id=runtime.instance_id,
        version=__version__,
        device=str(runtime.device),
        uptime_s=round(time.monotonic() - runtime.started, 3),
    )


@router.get("/state", operation_id="getState")
async def state(runtime: RuntimeDep) -> c.RuntimeState:
    return runtime.state()


@router.get("/metrics", include_in_schema=False)
async def metrics(runtime: RuntimeDep) -> Response:
    """For Prometheus, not for the gateway: it is no part of the contract."""
    return Response(generate_latest(runtime.passes.registry), media_type=CONTENT_TYPE_PLAIN_0_0_4)
