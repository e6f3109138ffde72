"""What the files beside an SAE's weights state about its quality, whoever measured it; nothing is measured here.

Of several files that state a figure, the first counts: an evaluation before what training counted on its way.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from millm_inference.contract import SaeQuality
from millm_inference.errors import SidecarError
from millm_inference.interpret.formats.files import read_json, read_tensors

NEVER = -9.99  # SAELens writes log10(share of tokens + 1e-10)

Figures = dict[str, float | None]


def read_quality(location: Path, d_sae: int, warnings: list[str]) -> SaeQuality | None:
    """Figures of the SAE at `location` (a folder, or a file in one); None where nothing states any."""
    folder = location if location.is_dir() else location.parent
    found: dict[str, Any] = {}
    sources: list[str] = []
    for source, figures in _statements(folder, d_sae, warnings):
        new = {name: value for name, value in figures.items() if value is not None and name not in found}
        if new:
            found |= new
            sources.append(source)
    return SaeQuality(**found, sources=sources) if found else None


def _statements(folder: Path, d_sae: int, warnings: list[str]) -> Iterator[tuple[str, Figures]]:
    for name, figures_of in (
        ("quality.json", _evaluated),
        ("eval_results.json", _dictionary_learning),
        ("cfg.json", _configured),
        ("config.json", _configured),
        ("sparsity.safetensors", _counted),
    ):
        if not (folder / name).is_file():
            continue
        try:
            yield name, figures_of(folder / name, d_sae)
        except SidecarError as error:
            warnings.append(f"What {name} states of the SAE's quality is not shown: {error.message}")
    if found := re.fullmatch(r"average_l0_(\d+)", folder.resolve().name):
        yield folder.resolve().name, {"l0": float(found[1])}


def _evaluated(file: Path, d_sae: int) -> Figures:
    """The demo's `evaluate.py` writes a part per kind of text beside `all`."""
    values = read_json(file)
    whole = values.get("all")
    return _figures({**values, **(whole if isinstance(whole, dict) else {})}, d_sae)


def _dictionary_learning(file: Path, d_sae: int) -> Figures:
    values = read_json(file)
    alive = _number(values.get("frac_alive"), 0, 1)
    names = {"explained_variance": "frac_variance_explained", "loss_recovered": "frac_recovered", "l0": "l0"}
    figures = _figures({ours: values.get(theirs) for ours, theirs in names.items()}, d_sae)
    return {**figures, "dead_features": None if alive is None else round((1 - alive) * d_sae)}


def _configured(file: Path, d_sae: int) -> Figures:
    """Gemma Scope 2 states `l0`; SAELens counts what was dead when training ended."""
    values = read_json(file)
    metadata = values.get("metadata")
    dead = metadata.get("num_dead_features") if isinstance(metadata, dict) else None
    return _figures({"l0": values.get("l0"), "dead_features": dead}, d_sae)


def _counted(file: Path, d_sae: int) -> Figures:
    """log10 of the share of tokens each feature fires on; these shares add up to L0."""
    log10 = read_tensors(file).get("sparsity")
    if log10 is None or tuple(log10.shape) != (d_sae,) or not bool((log10 <= 0).all()):
        return {}
    return {"l0": float((10 ** log10.double()).sum()), "dead_features": int((log10 < NEVER).sum())}


def _figures(values: dict[str, Any], d_sae: int) -> Figures:
    dead = values.get("dead_features")
    return {
        "l0": _number(values.get("l0"), 0, d_sae),
        "explained_variance": _number(values.get("explained_variance"), -math.inf, 1),
        "loss_recovered": _number(values.get("loss_recovered"), -math.inf, math.inf),
        "dead_features": _number(dead, 0, d_sae) if isinstance(dead, int) else None,
    }


def _number(value: Any, least: float, most: float) -> float | None:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        return None
    return value if least <= value <= most else None
