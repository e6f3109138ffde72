"""Which reader opens a path, by the names and first keys of its files."""

from __future__ import annotations

from pathlib import Path

from millm_inference.interpret.formats import saelens
from millm_inference.interpret.formats.files import refuse
from millm_inference.interpret.formats.parsed import Parsed


def read(path: Path) -> Parsed:
    directory = path if path.is_dir() else path.parent
    if (directory / "cfg.json").is_file():
        return saelens.read(directory)
    refuse(f"Nothing at {path} looks like an SAE.")
