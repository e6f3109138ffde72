"""What a download fetches and where that will lie: decided once, from the listing, before any large file."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from millm_inference.errors import SidecarError
from millm_inference.hub.client import COMMIT, Hub, RemoteFile, Repository, Target
from millm_inference.hub.files import Selection, select_model
from millm_inference.hub.sae_listing import select_sae
from millm_inference.hub.store import Shelf


@dataclass(frozen=True, slots=True)
class Plan:
    repository: Repository
    selection: Selection
    shelf: Shelf

    @property
    def blobs(self) -> tuple[RemoteFile, ...]:
        """Each content once, the small ones first: a wrong one is found before the large ones are fetched."""
        once = {file.content: file for file in self.selection.files}
        return tuple(sorted(once.values(), key=lambda file: file.size))

    @property
    def local_path(self) -> Path:
        return self.shelf.snapshot(self.repository.commit) / self.selection.entry

    def links(self, content: str) -> Iterable[RemoteFile]:
        return (file for file in self.selection.files if file.content == content)


def make_plan(hub: Hub, target: Target, path: str, root: Path) -> Plan:
    """Raises SidecarError: what is not there, not loadable, not allowed, or not named precisely enough."""
    repository = hub.repository(target)
    read_json = partial(hub.read_json, repository)
    if target.kind == "model":
        selection = select_model(repository.files, path, read_json)
    else:
        selection = select_sae(repository.files, path)
    if selection.choices:
        what = "GGUF files" if target.kind == "model" else "SAEs"
        raise SidecarError(
            "VALIDATION_ERROR",
            f"{target.repo_id} holds {len(selection.choices)} {what}; name one in path, like {selection.choices[0]!r}.",
            param="path",
            choices=list(selection.choices[:200]),
        )
    return Plan(repository, selection, Shelf(root, target.repo_id))


def already_here(target: Target, path: str, root: Path) -> tuple[str, Path, int] | None:
    """Commit, place and size of a finished download, for an exact commit: no hub is needed to know it."""
    commit = target.revision or ""
    if not COMMIT.fullmatch(commit):
        return None
    shelf = Shelf(root, target.repo_id)
    found = shelf.completed(commit, path)
    if found is None:
        return None
    size = sum({content: size for _, size, content in found["files"]}.values())
    return commit, shelf.snapshot(commit) / found["entry"], size
