"""The SAELens registry: which SAEs people have published, for which model, and where each of them lies.

Read from the file inside the installed `sae_lens` package; the package itself is not imported, for that takes seconds
and pulls in transformer-lens. A release groups the SAEs of one paper or run; a release and an `sae_id` name one SAE.
"""

from __future__ import annotations

import importlib.util
from functools import lru_cache
from pathlib import Path
from typing import Any

import yaml

from millm_inference import contract as c
from millm_inference.errors import SidecarError

FILE = "pretrained_saes.yaml"


def search(words: str, release: str | None, sae_id: str | None, skip: int, limit: int) -> c.RegistryPage:
    """Entries that hold every word, in any case, in their model, release, id or repository; a release and an id given
    must be equal. Raises UNSUPPORTED_VALUE where SAELens is not installed."""
    wanted = words.lower().split()
    found = [
        entry
        for text, entry in _entries(_file())
        if (release is None or entry.release == release)
        and (sae_id is None or entry.sae_id == sae_id)
        and all(word in text for word in wanted)
    ]
    return c.RegistryPage(items=found[skip : skip + limit], total=len(found))


def _file() -> Path:
    spec = importlib.util.find_spec("sae_lens")
    folders = (spec.submodule_search_locations or []) if spec else []
    path = next((Path(folder) / FILE for folder in folders if (Path(folder) / FILE).is_file()), None)
    if path is None:
        sentence = "The SAELens registry is not installed here: install millm-inference[sae], or name a repository."
        raise SidecarError("UNSUPPORTED_VALUE", sentence, param="release")
    return path


@lru_cache(maxsize=1)
def _entries(path: Path) -> tuple[tuple[str, c.RegistryEntry], ...]:
    """Each with the text in which words are looked for."""
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    releases: dict[str, dict[str, Any]] = yaml.load(path.read_text(encoding="utf-8"), loader)
    entries = [
        c.RegistryEntry(
            release=str(name),
            sae_id=str(sae["id"]),
            repo_id=str(release["repo_id"]),
            path=str(sae["path"]),
            model=str(release["model"]),
            l0=sae.get("l0"),
            neuronpedia_id=sae.get("neuronpedia"),
        )
        for name, release in releases.items()
        for sae in release["saes"]
    ]
    return tuple((f"{e.model} {e.release} {e.sae_id} {e.repo_id}".lower(), e) for e in entries)
