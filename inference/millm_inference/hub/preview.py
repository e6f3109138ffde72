"""What a repository holds and whether it would fit here, from its listing and its small JSON files alone."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from millm_inference.contract import (
    MemoryEstimate,
    PreviewRepositoryRequest,
    RepositoryFile,
    RepositoryPreview,
    SaeListing,
)
from millm_inference.errors import SidecarError
from millm_inference.hub.client import Hub, RemoteFile, Repository, Target
from millm_inference.hub.estimate import QUANTIZATIONS, Quantization, Shape, context_length, parameters_of, shape_of
from millm_inference.hub.files import Selection, requires_remote_code, select_model
from millm_inference.hub.sae_description import describe
from millm_inference.hub.sae_listing import FoundSae, cross_layer, find_saes

DESCRIPTIONS = 64
AT_ONCE = 8


@dataclass(frozen=True, slots=True)
class Room:
    """What is free here for a model, and for its files."""

    memory_bytes: int
    on_cpu: bool
    disk_bytes: Callable[[Path], int]
    max_context: int = 0


def preview(hub: Hub, request: PreviewRepositoryRequest, root: Path, room: Room) -> RepositoryPreview:
    """Raises SidecarError. A gated repository is described as far as it can be seen without its files."""
    repository = hub.repository(Target(request.repo_id, request.kind, request.revision, request.hf_token))
    if request.kind == "model":
        return _model(hub, repository, root, room)
    return _saes(hub, repository, root, room)


def _model(hub: Hub, repository: Repository, root: Path, room: Room) -> RepositoryPreview:
    warnings: list[str] = []
    read_json = partial(_read_if_allowed, hub, repository, warnings)
    selection = select_model(repository.files, "", read_json)
    config, weights = selection.config, _weights(selection)
    parameters = repository.counted.get("parameters") or parameters_of(config, weights)
    shape = shape_of(config, parameters, room.max_context) if parameters and config else None
    architectures = config.get("architectures")
    warnings += selection.warnings
    if any(file.path.endswith(".gguf") for file in selection.files):
        warnings.append("GGUF weights are converted to 32 bits once and kept beside them, which takes more disk.")
        if shape is None and parameters:
            shape = Shape(parameters, 0, 0, 0)
            warnings.append("Without a config.json, memory is estimated for the weights alone.")
    if shape is not None:
        warnings += _advice(shape, room)
    return _common(repository, selection.files, root, room, warnings).model_copy(
        update={
            "architecture": architectures[0] if architectures else repository.counted.get("architecture"),
            "parameters": parameters,
            "context_length": context_length(config) or repository.counted.get("context_length"),
            "requires_trust_remote_code": requires_remote_code(config),
            "memory": _memory(shape, room) if shape is not None else [],
        }
    )


def _saes(hub: Hub, repository: Repository, root: Path, room: Room) -> RepositoryPreview:
    found = find_saes(repository.files)
    warnings: list[str] = []
    if not found:
        warnings.append("Nothing here looks like an SAE.")
    if cross_layer(repository.files):
        warnings.append("Cross-layer transcoders are not listed: their features write several layers at once.")
    configs = _configs(hub, repository, found, warnings)
    listings: list[SaeListing] = [describe(sae, repository.target.repo_id, configs.get(sae.path, {})) for sae in found]
    files = {file.path: file for sae in found for file in sae.files}
    return _common(repository, tuple(files.values()), root, room, warnings).model_copy(update={"saes": listings})


def _configs(hub: Hub, repository: Repository, found: list[FoundSae], warnings: list[str]) -> dict[str, dict[str, Any]]:
    """The small JSON files of the first SAEs, a few at a time; one that cannot be read costs only its own details."""
    described = [sae for sae in found if sae.config is not None]
    if len(described) > DESCRIPTIONS:
        warnings.append(f"Only the first {DESCRIPTIONS} of {len(described)} descriptions were read.")

    def read(sae: FoundSae) -> dict[str, Any] | SidecarError:
        assert sae.config is not None
        try:
            return hub.read_json(repository, sae.config)
        except SidecarError as error:
            return error

    with ThreadPoolExecutor(AT_ONCE) as pool:
        answers = dict(zip((s.path for s in described), pool.map(read, described[:DESCRIPTIONS]), strict=False))
    problems = [answer for answer in answers.values() if isinstance(answer, SidecarError)]
    if problems:
        warnings.append(f"{len(problems)} descriptions could not be read: {problems[0].message}")
    return {path: answer for path, answer in answers.items() if not isinstance(answer, SidecarError)}


def _read_if_allowed(hub: Hub, repository: Repository, warnings: list[str], file: RemoteFile) -> dict[str, Any]:
    try:
        return hub.read_json(repository, file)
    except SidecarError as error:
        if error.code != "GATED_REPOSITORY":
            raise
        if error.message not in warnings:
            warnings.append(error.message)
        return {}


def _common(
    repository: Repository, files: tuple[RemoteFile, ...], root: Path, room: Room, warnings: list[str]
) -> RepositoryPreview:
    return RepositoryPreview(
        repo_id=repository.target.repo_id,
        kind=repository.target.kind,  # type: ignore[arg-type]
        revision=repository.commit,
        files=[RepositoryFile(path=file.path, size_bytes=file.size) for file in files],
        size_bytes=sum({file.content: file.size for file in files}.values()),
        gated=repository.gated,
        license=repository.license,
        memory=[],
        saes=[],
        disk_free_bytes=room.disk_bytes(root),
        warnings=warnings,
    )


def _weights(selection: Selection) -> int:
    return sum(file.size for file in selection.files if file.path.endswith(".safetensors"))


def _memory(shape: Shape, room: Room) -> list[MemoryEstimate]:
    estimates = []
    for name in QUANTIZATIONS:
        size = shape.memory_bytes(name, on_cpu=room.on_cpu)
        estimate = MemoryEstimate(
            quantization=name,
            memory_bytes=size,
            kv_bytes=shape.kv_bytes(name, on_cpu=room.on_cpu),
            sae_bytes=shape.sae_bytes,
            fits=size <= room.memory_bytes,
        )
        estimates.append(estimate)
    return estimates


def _advice(shape: Shape, room: Room) -> list[str]:
    advice = []
    if importlib.util.find_spec("bitsandbytes") is None:
        advice.append("Q4 and Q8 need the package bitsandbytes, which is not installed here.")
    usual: Quantization = "FP32" if room.on_cpu else "BF16"
    if shape.memory_bytes(usual, on_cpu=room.on_cpu) > room.memory_bytes:
        context = shape.context_that_fits(usual, room.memory_bytes, on_cpu=room.on_cpu)
        if context >= 512:
            advice.append(f"{usual} does not fit with the full context, but does with about {context} tokens.")
    return advice
