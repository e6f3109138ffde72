"""Where downloaded files lie: huggingface_hub's cache layout, so that its other users find and share them.

`models--owner--name/blobs/<content>` holds each file once, `snapshots/<commit>/<path>` links to it. A file on its way
is `blobs/<content>.incomplete`, kept to be continued. Beside these, `complete/<commit>/*.json` says which downloads are
whole: written last, at once, after everything it names is on the disk.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from millm_inference.hub.client import RemoteFile

PREFIX = "models--"
INCOMPLETE = ".incomplete"


@dataclass(frozen=True, slots=True)
class Shelf:
    """One repository in a cache directory."""

    root: Path
    repo_id: str

    @property
    def folder(self) -> Path:
        return self.root / (PREFIX + self.repo_id.replace("/", "--"))

    def blob(self, content: str) -> Path:
        return self.folder / "blobs" / content

    def incomplete(self, content: str) -> Path:
        return self.folder / "blobs" / (content + INCOMPLETE)

    def snapshot(self, commit: str) -> Path:
        return self.folder / "snapshots" / commit

    def marker(self, commit: str, path: str) -> Path:
        return self.folder / "complete" / commit / f"{hashlib.sha256(path.encode()).hexdigest()[:16]}.json"

    def present(self, file: RemoteFile) -> int:
        """How many bytes of it are here."""
        for place in (self.blob(file.content), self.incomplete(file.content)):
            with contextlib.suppress(FileNotFoundError):
                return min(place.stat().st_size, file.size)
        return 0

    def has(self, file: RemoteFile) -> bool:
        blob = self.blob(file.content)
        return blob.is_file() and blob.stat().st_size == file.size

    def link(self, commit: str, file: RemoteFile) -> None:
        """Show a complete blob under its path in the snapshot."""
        place = self.snapshot(commit) / file.path
        place.parent.mkdir(parents=True, exist_ok=True)
        blob = self.blob(file.content)
        part = place.with_name(f"{place.name}.{file.content[:8]}.part")
        with contextlib.suppress(FileNotFoundError):
            part.unlink()
        try:
            part.symlink_to(os.path.relpath(blob, place.parent))
        except OSError:  # a disk without symbolic links
            os.link(blob, part)
        part.replace(place)

    def name_revision(self, revision: str, commit: str) -> None:
        reference = self.folder / "refs" / revision
        if (self.folder / "refs").resolve() in reference.resolve().parents and revision != commit:
            reference.parent.mkdir(parents=True, exist_ok=True)
            reference.write_text(commit)

    def complete(self, commit: str, path: str, entry: str, files: tuple[RemoteFile, ...]) -> None:
        marker = self.marker(commit, path)
        marker.parent.mkdir(parents=True, exist_ok=True)
        listed = [[file.path, file.size, file.content] for file in files]
        part = marker.with_suffix(".part")
        with part.open("w") as sink:
            json.dump({"path": path, "entry": entry, "files": listed}, sink)
            sink.flush()
            os.fsync(sink.fileno())
        part.replace(marker)

    def completed(self, commit: str, path: str) -> dict[str, Any] | None:
        """What the marker of a download says, if everything it names is still here."""
        found = read_marker(self.marker(commit, path))
        if found is None:
            return None
        places = ((self.snapshot(commit) / name, size) for name, size, _ in found["files"])
        return found if all(place.is_file() and place.stat().st_size == size for place, size in places) else None

    @contextmanager
    def locked(self, content: str, check: Callable[[], None]) -> Iterator[None]:
        """The only writer of a blob, among threads and processes. `check` is called while it waits, and may raise."""
        place = self.root / ".locks" / self.folder.name / f"{content}.lock"
        place.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(place)
        while True:
            check()
            try:
                lock.acquire(timeout=0.1)
                break
            except Timeout:
                continue
        try:
            yield
        finally:
            lock.release()


def read_marker(place: Path) -> dict[str, Any] | None:
    try:
        value = json.loads(place.read_text())
        return value if isinstance(value, dict) else None
    except (OSError, ValueError):
        return None
