"""An SAE at its place in the loaded model: what fits, what does not, what deserves a warning."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Literal, NoReturn, get_args

from torch import nn

from millm_inference.errors import SidecarError
from millm_inference.interpret.places import Place, resolve
from millm_inference.interpret.sae import Sae

Operation = Literal["add", "clamp", "clamp_range", "multiply", "ablate", "ablate_direction", "orthogonal", "norm_add"]
OPERATIONS: tuple[Operation, ...] = get_args(Operation)
READING_OPERATIONS = frozenset({"clamp", "clamp_range", "multiply", "ablate"})


@dataclass(frozen=True, slots=True, eq=False)
class Attachment:
    """Immutable, so that a plan compiled against it stays what it was after a detach."""

    sae_id: str
    sae: Sae
    hook: str
    hook_out: str | None
    read: Place
    write: Place
    warnings: tuple[str, ...] = ()

    @property
    def layer(self) -> int:
        return self.sae.layer or 0 if self.read.layer is None else self.read.layer

    @property
    def restriction(self) -> str | None:
        """Why some operations cannot be served exactly; None where all can."""
        if self.write.normalized_by:
            return f"{self.hook} is computed, not passed on, so nothing can be added there"
        return None if self.sae.encodes_exactly else "its file lost tensors that its encoder needs"

    @property
    def operations(self) -> tuple[Operation, ...]:
        if self.write.normalized_by:
            return ()
        return tuple(op for op in OPERATIONS if self.sae.encodes_exactly or op not in READING_OPERATIONS)

    @property
    def content(self) -> tuple[str, str, str | None]:
        """What a KV cache written under this SAE depends on."""
        return self.sae.content_hash, self.hook, self.hook_out


def fit(model: nn.Module, sae_id: str, sae: Sae) -> Attachment:
    """`sae` at its place in `model`, or SAE_INCOMPATIBLE saying what differs."""
    if not sae.hook:
        _refuse("The files do not say which hook this SAE belongs to; give one, e.g. blocks.5.hook_resid_post.")
    read = resolve(model, sae.hook)
    write = _write_place(model, sae, read)
    _same_width("reads", sae.d_in, read, sae.hook)
    _same_width("writes", sae.d_out, write, sae.hook_out or sae.hook)
    return Attachment(sae_id, sae, sae.hook, sae.hook_out, read, write, (*sae.warnings, *_doubts(model, sae, read)))


def _write_place(model: nn.Module, sae: Sae, read: Place) -> Place:
    if not sae.is_transcoder:
        return read
    if not sae.hook_out:
        _refuse("This transcoder's files do not say which hook it writes to.")
    write = resolve(model, sae.hook_out)
    if write.order < read.order:
        _refuse(f"This transcoder writes at {sae.hook_out!r}, before it reads at {sae.hook!r}.")
    return write


def _same_width(verb: str, width: int, place: Place, hook: str) -> None:
    if place.width is not None and place.width != width:
        _refuse(
            f"The SAE {verb} vectors of {width} values, but the model has {place.width} at {hook}:"
            " it was trained on another model or another hook.",
            sae_width=width,
            model_width=place.width,
        )


def _doubts(model: nn.Module, sae: Sae, read: Place) -> list[str]:
    doubts = []
    name = str(getattr(getattr(model, "config", None), "_name_or_path", "") or "")
    if sae.model and name and not _same_model(sae.model, name):
        doubts.append(f"The SAE was trained on {sae.model}; the loaded model is {name}.")
    if sae.layer is not None and read.layer is not None and sae.layer != read.layer:
        doubts.append(f"The SAE was trained on layer {sae.layer} and is attached at layer {read.layer}.")
    if read.normalized_by and not sae.is_transcoder:
        doubts.append(f"{sae.hook} is computed, not passed on: this SAE can read there, but not steer.")
    return doubts


def _same_model(trained: str, loaded: str) -> bool:
    a, b = (re.sub(r"[^a-z0-9]", "", name.rstrip("/").rpartition("/")[2].lower()) for name in (trained, loaded))
    a = a.removesuffix("small")
    return not a or not b or a in b or b in a


def _refuse(message: str, **details: Any) -> NoReturn:
    raise SidecarError("SAE_INCOMPATIBLE", message, **details)
