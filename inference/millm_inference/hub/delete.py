"""Free the disk of what was downloaded: the links of one download, then every blob that no other link needs."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from millm_inference.errors import SidecarError
from millm_inference.hub.store import INCOMPLETE, PREFIX, read_marker

InUse = Callable[[Path], set[str]]


def delete_files(path: str, roots: Iterable[Path], in_use: InUse = lambda _: set()) -> int:
    """The bytes that were freed; 0 for what is gone already. Raises VALIDATION_ERROR outside the cache directories.

    `in_use`: contents that running downloads into a repository's folder still need.
    """
    root, place = _inside(path, [root.absolute() for root in roots])
    parts = place.relative_to(root).parts
    if not place.exists() and not place.is_symlink() and not (root / parts[0]).is_dir():
        return 0
    if not parts[0].startswith(PREFIX):
        return _remove_plain(place)
    folder = root / parts[0]
    before = _size(folder / "blobs", folder / "snapshots")
    converted = _converted(root, place)
    if len(parts) == 1:
        _remove_links(folder, folder / "snapshots", keep=set())
        shutil.rmtree(folder / "complete", ignore_errors=True)
    elif len(parts) >= 3 and parts[1] == "snapshots":
        _remove_download(folder, parts[2], place)
    else:
        raise SidecarError("VALIDATION_ERROR", "Only a whole download can be deleted.", param="path")
    _remove_orphans(folder, in_use(folder))
    _tidy(folder, root)
    return before - _size(folder / "blobs", folder / "snapshots") + sum(_remove_plain(place) for place in converted)


def _inside(path: str, roots: list[Path]) -> tuple[Path, Path]:
    """The cache directory, and the path below it, by names and after every link that leads there."""
    given = Path(path)
    place = Path(os.path.normpath(given)) if given.is_absolute() and "\0" not in path else Path()
    for root in roots:
        for base in {root, root.resolve()}:
            if base not in place.parents:
                continue
            resolved = (place.parent.resolve() / place.name, place.resolve())
            if ".." not in given.parts and all(root.resolve() in p.parents for p in resolved):
                return base, place
    raise SidecarError(
        "VALIDATION_ERROR", "Only what lies below the directories of models and SAEs can be deleted.", param="path"
    )


def _remove_download(folder: Path, commit: str, place: Path) -> None:
    """Its links, except those that other whole downloads of this commit show too."""
    snapshot = folder / "snapshots" / commit
    entry = place.relative_to(snapshot).as_posix()
    entry = "" if entry == "." else entry
    keep: set[Path] = set()
    for marker in (folder / "complete" / commit).glob("*.json"):
        found = read_marker(marker) or {"entry": entry}
        if found["entry"] == entry:
            marker.unlink()
        else:
            keep.update(snapshot / name for name, _, _ in found["files"])
    _remove_links(folder, place, keep)


def _remove_links(folder: Path, place: Path, keep: set[Path]) -> None:
    for link in [place] if place.is_symlink() or place.is_file() else list(_files(place)):
        if link not in keep:
            link.unlink()


def _remove_orphans(folder: Path, in_use: set[str]) -> None:
    shown = {file.stat().st_ino for file in _files(folder / "snapshots") if file.exists()}
    for blob in list(_files(folder / "blobs")):
        if blob.stat().st_ino not in shown and blob.name.removesuffix(INCOMPLETE) not in in_use:
            blob.unlink()


def _tidy(folder: Path, root: Path) -> None:
    for empty in sorted((p for p in folder.rglob("*") if p.is_dir()), key=lambda p: -len(p.parts)):
        with contextlib.suppress(OSError):  # not empty
            empty.rmdir()
    if not (folder / "snapshots").exists() and not (folder / "blobs").exists():
        shutil.rmtree(folder, ignore_errors=True)
        shutil.rmtree(root / ".locks" / folder.name, ignore_errors=True)


def _converted(root: Path, place: Path) -> list[Path]:
    """What the loader made of GGUF files that go now: it names its folders after them. Making them again costs time."""
    ggufs = [place] if place.suffix == ".gguf" else [f for f in _files(place) if f.suffix == ".gguf"]
    return [
        folder
        for gguf in ggufs
        for folder in (root / "converted").glob("*")
        if folder.name.startswith(f"{gguf.stem}-") and _source(folder) == gguf.name
    ]


def _source(folder: Path) -> Any:
    try:
        return json.loads((folder / "complete.json").read_text())["source"]
    except (OSError, ValueError, LookupError, TypeError):
        return None


def _remove_plain(place: Path) -> int:
    """Something imported, not downloaded: a folder or a file of its own."""
    if place.is_dir() and not place.is_symlink():
        size = _size(place)
        shutil.rmtree(place)
        return size
    size = place.lstat().st_size if place.is_symlink() or place.exists() else 0
    place.unlink(missing_ok=True)
    return size


def _files(folder: Path) -> Iterator[Path]:
    return (file for file in folder.rglob("*") if file.is_symlink() or file.is_file())


def _size(*folders: Path) -> int:
    """Each file once, however many names it has."""
    stats = (file.stat() for folder in folders for file in _files(folder) if not file.is_symlink())
    return sum({(stat.st_dev, stat.st_ino): stat.st_size for stat in stats}.values())
