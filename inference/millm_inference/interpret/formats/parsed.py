"""What a reader hands over: canonical names and orientation, before any check, override or fold."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import Tensor


@dataclass(slots=True, kw_only=True)
class Parsed:
    format: str
    architecture: str
    tensors: dict[str, Tensor]
    """W_enc [d_in, n], W_dec [n, d_out], b_dec, b_enc, threshold, b_gate, b_mag, r_mag, W_skip [d_out, d_in]."""
    apply_b_dec_to_input: bool
    normalization: str = "none"
    norm_scaling_factor: float | None = None
    k: int | None = None
    rescale_acts_by_decoder_norm: bool = False
    hook: str | None = None
    hook_out: str | None = None
    layer: int | None = None
    model: str | None = None
    neuronpedia_id: str | None = None
    encodes_exactly: bool = True
    warnings: list[str] = field(default_factory=list)
    unknown_keys: list[str] = field(default_factory=list)


def unknown(config: dict[str, Any], known: Iterable[str], prefix: str = "") -> list[str]:
    return sorted(prefix + key for key in set(config) - set(known))


def rename(tensors: dict[str, Tensor], names: dict[str, str]) -> tuple[dict[str, Tensor], list[str]]:
    """Tensors under their canonical names (`name.T`: transposed), and the names nobody asked for."""
    canonical: dict[str, Tensor] = {}
    for source, target in names.items():
        if source in tensors:
            name, _, transposed = target.partition(".")
            canonical[name] = tensors[source].T if transposed else tensors[source]
    return canonical, sorted(set(tensors) - set(names))


def layer_of(hook: str | None) -> int | None:
    found = re.search(r"(?:^|\.)(?:blocks|layers|h)\.(\d+)(?:\.|$)", hook or "")
    return int(found[1]) if found else None


def layer_in(path: Path) -> int | None:
    """The layer a path speaks of, the innermost first: `layer_5`, `layers.5`, `blocks.5`; failing these, `L5`."""
    # average_l0_71 is a number of features, not a layer.
    for pattern in (r"(?:^|[^a-z])(?:layers?|blocks|h)[._-]?(\d+)", r"(?:^|[^a-z])l(\d+)(?!\d|_\d)"):
        for part in reversed(path.parts):
            if found := re.search(pattern, part.lower()):
                return int(found[1])
    return None
