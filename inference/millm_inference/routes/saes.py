"""Inspect, attach and detach SAEs; what the weights say of one feature."""

from typing import Annotated

from fastapi import APIRouter, Query

from millm_inference import contract as c
from millm_inference.errors import SidecarError
from millm_inference.interpret.formats import describe_sae
from millm_inference.interpret.geometry import describe_feature
from millm_inference.routes.dependencies import RuntimeDep, off_loop

router = APIRouter(prefix="/saes")


@router.post("/inspect", operation_id="inspectSae")
async def inspect(body: c.InspectSaeRequest) -> c.SaeDescription:
    return await off_loop(describe_sae, body.path, body.overrides)


@router.post("/attach", operation_id="attachSae")
async def attach(body: c.AttachSaeRequest, runtime: RuntimeDep) -> c.AttachedSae:
    return await off_loop(runtime.attach, body.sae_id, body.path, body.overrides)


@router.post("/detach", operation_id="detachSae")
async def detach(body: c.DetachSaeRequest, runtime: RuntimeDep) -> c.RuntimeState:
    await off_loop(runtime.detach, body.sae_id)
    return runtime.state()


@router.get("/{sae_id}/features/{index}", operation_id="getFeature")
async def feature(
    sae_id: str, index: int, runtime: RuntimeDep, top_k: Annotated[int, Query(ge=1, le=100)] = 10
) -> c.FeatureGeometry:
    resident = runtime.resident
    if resident is None:
        raise SidecarError("MODEL_NOT_LOADED", "No model is loaded.")
    sae = resident.session.sae(sae_id)
    if not 0 <= index < sae.d_sae:
        raise SidecarError(
            "INVALID_FEATURE_INDEX",
            f"Feature {index} does not exist; {sae_id!r} has features 0 to {sae.d_sae - 1}.",
            param="index",
        )
    geometry = await off_loop(describe_feature, resident.loaded.model, sae, index, top_k)

    def weigh(pairs: list[tuple[int, float]]) -> list[c.TokenWeight]:
        return [c.TokenWeight(token_id=i, token=resident.token_bytes.text(i), value=v) for i, v in pairs]

    return c.FeatureGeometry(
        sae_id=sae_id,
        index=index,
        decoder_norm=geometry.decoder_norm,
        promoted=weigh(geometry.promoted),
        suppressed=weigh(geometry.suppressed),
        nearest=[c.NearFeature(index=i, cosine=v) for i, v in geometry.nearest],
    )
