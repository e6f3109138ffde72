"""Strengths that somebody measured for features of an SAE, from the examples beside its weights.

`examples.json` is a list of objects with `index` and `strength` (times the decoder row), whatever else they hold; of
several for one feature the first counts.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from millm_inference.contract import FeatureStrength

EXAMPLES = "examples.json"
STRONGEST = 300.0
MOST = 256  # they travel with every description of the SAE


def read_strengths(location: Path, d_sae: int, warnings: list[str]) -> tuple[FeatureStrength, ...]:
    """Those of the SAE at `location` (a folder, or a file in one), at most MOST. What cannot be read is a warning."""
    file = (location if location.is_dir() else location.parent) / EXAMPLES
    if not file.is_file():
        return ()
    try:
        entries = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        warnings.append(f"The strengths in {EXAMPLES} are not used: {error}")
        return ()
    if not isinstance(entries, list):
        warnings.append(f"The strengths in {EXAMPLES} are not used: it holds no list.")
        return ()
    found: dict[int, float] = {}
    for index, strength in map(_read, entries):
        if index is not None and strength is not None and 0 <= index < d_sae and len(found) < MOST:
            found.setdefault(index, strength)
    return tuple(FeatureStrength(index=index, strength=strength) for index, strength in found.items())


def _read(entry: Any) -> tuple[int | None, float | None]:
    values = entry if isinstance(entry, dict) else {}
    index, strength = values.get("index"), values.get("strength")
    if not isinstance(index, int) or isinstance(index, bool):
        index = None
    if not isinstance(strength, (int, float)) or isinstance(strength, bool) or not 0 < abs(strength) <= STRONGEST:
        return index, None
    return index, float(strength)
