"""From the names in a request to what is attached, or the error that names the choices."""

from __future__ import annotations

from collections.abc import Mapping

from millm_inference.errors import SidecarError
from millm_inference.interpret.attachment import Attachment

Attached = Mapping[str, Attachment]


def find(attached: Attached, sae_id: str, param: str) -> Attachment:
    if (found := attached.get(sae_id)) is None:
        choices = f"attached are {', '.join(attached)}" if attached else "no SAE is attached"
        raise SidecarError(
            "SAE_NOT_ATTACHED", f"The SAE {sae_id!r} is not attached; {choices}.", param=param, sae_id=sae_id
        )
    return found


def check_index(source: Attachment, index: int, param: str) -> None:
    n = source.sae.d_sae
    if not 0 <= index < n:
        raise SidecarError(
            "INVALID_FEATURE_INDEX",
            f"Feature {index} does not exist: the SAE {source.sae_id!r} has {n} features, 0 to {n - 1}.",
            param=param,
            index=index,
            d_sae=n,
        )
