"""The way in: a path to an SAE, in whatever format it lies there."""

from __future__ import annotations

from pathlib import Path

import structlog

from millm_inference.contract import SaeDescription, SaeOverrides
from millm_inference.errors import SidecarError
from millm_inference.interpret.formats.build import build
from millm_inference.interpret.formats.detect import read
from millm_inference.interpret.formats.files import refuse
from millm_inference.interpret.sae import Sae

log = structlog.get_logger()


def load_sae(path: str | Path, overrides: SaeOverrides | None = None) -> Sae:
    location = Path(path)
    if not location.exists():
        raise SidecarError("SAE_NOT_FOUND", f"There is no SAE at {location}.")
    try:
        return build(read(location), overrides or SaeOverrides(), location, files_bytes(location))
    except SidecarError:
        raise
    except MemoryError as error:
        raise SidecarError("INSUFFICIENT_MEMORY", f"The SAE at {location.name} declares more than fits.") from error
    except Exception as error:  # foreign files, several parsers: whatever they raise, the file is wrong
        log.warning("sae:unreadable", path=str(location), error=repr(error))
        reason = (str(error).splitlines() or [type(error).__name__])[0][:300]
        refuse(f"The SAE could not be read: {reason}")


def files_bytes(path: str | Path) -> int:
    """On disk; 0 when there is nothing."""
    location = Path(path)
    files = location.rglob("*") if location.is_dir() else [location]
    return sum(f.stat().st_size for f in files if f.is_file())


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
        quality=sae.quality,
        strengths=list(sae.strengths),
    )
