"""Inspect, load and unload models."""

from fastapi import APIRouter

from millm_inference import contract as c
from millm_inference.loader import describe_model
from millm_inference.routes.dependencies import RuntimeDep, off_loop

router = APIRouter(prefix="/models")


@router.post("/inspect", operation_id="inspectModel")
async def inspect(body: c.InspectModelRequest) -> c.ModelDescription:
    return c.ModelDescription.model_validate(await off_loop(describe_model, body.path, body.trust_remote_code))


@router.post("/load", operation_id="loadModel")
async def load(body: c.LoadModelRequest, runtime: RuntimeDep) -> c.LoadedModel:
    return await off_loop(runtime.load, body)


@router.post("/unload", operation_id="unloadModel")
async def unload(runtime: RuntimeDep) -> c.RuntimeState:
    await off_loop(runtime.unload)
    return runtime.state()
