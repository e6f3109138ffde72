"""The way in: a path to an SAE, in whatever format it lies there."""

from __future__ import annotations

from pathlib import Path

from millm_inference.contract import SaeDescription, SaeOverrides
from millm_inference.errors import SidecarError
from millm_inference.interpret.formats.build import build
from millm_inference.interpret.formats.detect import read
from millm_inference.interpret.sae import Sae


def load_sae(path: str | Path, overrides: SaeOverrides | None = None) -> Sae:
    location = Path(path)
    if not location.exists():
        raise SidecarError("SAE_NOT_FOUND", f"There is no SAE at {location}.")
    size = sum(f.stat().st_size for f in location.rglob("*") if f.is_file()) if location.is_dir() else 0
    return build(read(location), overrides or SaeOverrides(), location, size or location.stat().st_size)


def describe_sae(path: str | Path, overrides: SaeOverrides | None = None) -> SaeDescription:
    """What `load_sae` would give, checked in full; the weights are dropped again."""
    sae = load_sae(path, overrides)
    return SaeDescription(
        path=sae.path,
        format=sae.format,
        architecture=sae.architecture,
        d_in=sae.d_in,
        d_sae=sae.d_sae,
        d_out=sae.d_out,
        hook=sae.hook,
        hook_out=sae.hook_out,
        layer=sae.layer,
        model=sae.model,
        normalization=sae.normalization,
        neuronpedia_id=sae.neuronpedia_id,
        size_bytes=sae.size_bytes,
        content_hash=sae.content_hash,
        warnings=list(sae.warnings),
        unknown_keys=list(sae.unknown_keys),
    )
