"""Look into hub repositories, download from them, and free the disk again."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import torch
from fastapi import APIRouter, Depends, Query, Request

from millm_inference import contract as c
from millm_inference.errors import SidecarError
from millm_inference.hub import registry
from millm_inference.hub.client import Hub
from millm_inference.hub.delete import delete_files
from millm_inference.hub.download import Downloads
from millm_inference.hub.preview import Room, preview
from millm_inference.hub.room import disk_free, memory_free
from millm_inference.routes.dependencies import RuntimeDep, off_loop
from millm_inference.runtime import Runtime
from millm_inference.settings import Settings

router = APIRouter()


def open_downloads(settings: Settings) -> Downloads:
    return Downloads(Hub(settings.hf_endpoint, settings.hf_token), roots(settings))


def roots(settings: Settings) -> dict[str, Path]:
    return {"model": settings.model_cache.absolute(), "sae": settings.sae_cache.absolute()}


def get_downloads(request: Request) -> Downloads:
    downloads: Downloads = request.app.state.downloads
    return downloads


DownloadsDep = Annotated[Downloads, Depends(get_downloads)]


@router.post("/hub/preview", operation_id="previewRepository")
async def preview_repository(body: c.PreviewRepositoryRequest, runtime: RuntimeDep) -> c.RepositoryPreview:
    settings = runtime.settings
    hub = Hub(settings.hf_endpoint, settings.hf_token)
    return await off_loop(preview, hub, body, roots(settings)[body.kind], _room(runtime))


@router.get("/hub/registry", operation_id="searchRegistry")
async def search_registry(
    search: str = "",
    release: str | None = None,
    sae_id: str | None = None,
    skip: Annotated[int, Query(ge=0)] = 0,
    limit: Annotated[int, Query(ge=1, le=500)] = 50,
) -> c.RegistryPage:
    return await off_loop(registry.search, search, release, sae_id, skip, limit)


@router.get("/downloads", operation_id="listDownloads")
async def list_downloads(downloads: DownloadsDep) -> list[c.DownloadState]:
    return downloads.states()


@router.post("/downloads", operation_id="startDownload")
async def start_download(body: c.StartDownloadRequest, downloads: DownloadsDep) -> c.DownloadState:
    return await off_loop(downloads.start, body)


@router.post("/downloads/{download_id}/cancel", operation_id="cancelDownload")
async def cancel_download(download_id: str, downloads: DownloadsDep) -> c.DownloadState:
    return await off_loop(downloads.cancel, download_id)


@router.post("/files/delete", operation_id="deleteFiles")
async def delete(body: c.DeleteFilesRequest, runtime: RuntimeDep, downloads: DownloadsDep) -> c.DeletedFiles:
    _refuse_loaded(body.path, runtime)
    if downloads.writes_below(Path(body.path)):
        raise SidecarError("CONFLICT", "It is being downloaded; cancel that first.", param="path")
    places = roots(runtime.settings).values()
    return c.DeletedFiles(freed_bytes=await off_loop(delete_files, body.path, places, downloads.in_use))


def _refuse_loaded(path: str, runtime: Runtime) -> None:
    """Files of what is loaded would go on taking disk, unseen, until it is unloaded."""
    state = runtime.state()
    used = [(state.model.path, "model", state.model.model_id)] if state.model else []
    used += [(sae.path, "SAE", sae.sae_id) for sae in state.saes]
    for place, what, name in used:
        if Path(place).absolute().is_relative_to(Path(path).absolute()):
            raise SidecarError("CONFLICT", f"The {what} {name!r} is in use from there; unload it first.", param="path")


def _room(runtime: Runtime) -> Room:
    """What is free once the loaded model has gone: loading another one unloads it first."""
    memory = runtime.state().memory
    loaded = memory.model_bytes + memory.sae_bytes + memory.kv_bytes
    on_cpu = runtime.device.type != "cuda"
    free = memory_free() if on_cpu else int(torch.cuda.mem_get_info()[0])
    return Room(free + loaded, on_cpu, disk_free, runtime.settings.max_context)
