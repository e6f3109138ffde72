"""The only file that knows huggingface_hub: listings, small files, byte streams, and what its exceptions mean.

Endpoint and token are passed with every call; the tokens and addresses that the library would find for itself are never
used. File contents are streamed over the library's own session, since its downloader drops what it has when it is
interrupted, and can neither be stopped nor verify what arrived.
"""

from __future__ import annotations

import contextlib
import json
import re
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import httpx2  # the HTTP library of huggingface_hub, whose exceptions surface here
from huggingface_hub import HfApi, get_session, hf_hub_url
from huggingface_hub.errors import (
    DisabledRepoError,
    EntryNotFoundError,
    GatedRepoError,
    HfHubHTTPError,
    HFValidationError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from huggingface_hub.utils import build_hf_headers, hf_raise_for_status

from millm_inference.errors import SidecarError

TIMEOUT = httpx2.Timeout(10, read=20)
TRY_AGAIN = (408, 429, 500, 502, 503, 504)
LARGEST_JSON = 32 << 20
REPO_ID = re.compile(r"(?:[A-Za-z0-9][\w.-]*/)?[A-Za-z0-9_][\w.-]*", re.ASCII)
COMMIT = re.compile(r"[0-9a-f]{40}")
CONTENT = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
RAISED = (httpx2.HTTPError, HFValidationError, OfflineModeIsEnabled)
NAMED = (GatedRepoError, DisabledRepoError, RepositoryNotFoundError, RevisionNotFoundError, EntryNotFoundError)


@dataclass(frozen=True, slots=True)
class Target:
    """What is asked for, and with whose rights. Never shown whole: it carries the token."""

    repo_id: str
    kind: str
    revision: str | None = None
    token: str | None = None

    def __post_init__(self) -> None:
        """Its name becomes a folder, and part of addresses."""
        if not REPO_ID.fullmatch(self.repo_id) or "--" in self.repo_id or ".." in self.repo_id:
            sentence = f"{self.repo_id!r} is no repository id; ids look like owner/name."
            raise SidecarError("VALIDATION_ERROR", sentence, param="repo_id")

    def __repr__(self) -> str:
        return f"Target({self.repo_id!r}, {self.kind!r}, {self.revision!r})"


@dataclass(frozen=True, slots=True)
class RemoteFile:
    path: str
    size: int
    content: str
    """The name of its bytes, in the store too: their SHA-256 for large files, git's SHA-1 for the others."""


@dataclass(frozen=True, slots=True)
class Repository:
    target: Target
    commit: str
    files: tuple[RemoteFile, ...]
    gated: bool
    license: str | None
    counted: dict[str, Any]
    """What the hub read from weights: `parameters`, and for GGUF `architecture` and `context_length`."""


@dataclass(frozen=True, slots=True)
class Stream:
    offset: int
    """Where its first byte belongs; 0 when the hub ignored the range that was asked for."""
    chunks: Iterator[bytes]
    abort: Callable[[], None]
    """Ends the stream from another thread, at once."""


class Interrupted(Exception):
    """The bytes stopped for a reason that can pass. `wait_s`: how long the hub asked us to stay away."""

    def __init__(self, message: str, wait_s: float = 0) -> None:
        super().__init__(message)
        self.message = message
        self.wait_s = wait_s


class Hub:
    """One hub, asked with the server's token unless the call brings its own."""

    def __init__(self, endpoint: str, token: str | None = None) -> None:
        self.endpoint = endpoint.rstrip("/")
        self._token = token

    def repository(self, target: Target) -> Repository:
        """Its commit and every file. Two requests, and one more for every thousand files."""
        api = HfApi(endpoint=self.endpoint, token=self._rights(target))
        with self._explained(target):
            info = api.model_info(target.repo_id, revision=target.revision, timeout=20)
            entries = list(api.list_repo_tree(target.repo_id, recursive=True, revision=info.sha))
        if not COMMIT.fullmatch(info.sha or ""):
            raise SidecarError("DOWNLOAD_FAILED", f"{self.endpoint} named no commit of {target.repo_id}.")
        return Repository(
            target=target,
            commit=info.sha,
            files=tuple(_file(entry) for entry in entries if hasattr(entry, "blob_id")),
            gated=bool(info.gated),
            license=_license(info),
            counted=_counted(info),
        )

    def read_json(self, repository: Repository, file: RemoteFile) -> dict[str, Any]:
        """A small JSON file of the repository, as an object."""
        target = repository.target
        if file.size > LARGEST_JSON:
            raise SidecarError("DOWNLOAD_FAILED", f"{file.path} of {target.repo_id} is too large for a description.")
        url = hf_hub_url(target.repo_id, file.path, revision=repository.commit, endpoint=self.endpoint)
        with self._explained(target, file.path):
            response = get_session().get(url, headers=self._headers(target), timeout=TIMEOUT)
            hf_raise_for_status(response)
        try:
            value = json.loads(response.content)
        except ValueError:
            value = None
        if not isinstance(value, dict):
            raise SidecarError("DOWNLOAD_FAILED", f"{file.path} of {target.repo_id} is no JSON object.")
        return value

    @contextmanager
    def stream(self, repository: Repository, file: RemoteFile, offset: int) -> Iterator[Stream]:
        """The bytes of a file from `offset` on. Raises Interrupted, also from its chunks; or SidecarError for good."""
        target = repository.target
        url = hf_hub_url(target.repo_id, file.path, revision=repository.commit, endpoint=self.endpoint)
        headers = self._headers(target) | ({"Range": f"bytes={offset}-"} if offset else {})
        client = get_session()
        request = client.build_request("GET", url, headers=headers, timeout=TIMEOUT)
        with self._explained(target, file.path):
            try:
                response = client.send(request, stream=True)
            except (httpx2.TransportError, RuntimeError) as error:  # RuntimeError: the session was closed beside us
                raise Interrupted(_reason(error)) from error
        try:
            with self._explained(target, file.path):
                _judge(response)
            yield Stream(_begins_at(response, offset), _chunks(response), lambda: _hang_up(response))
        finally:
            response.close()

    def _rights(self, target: Target) -> str | bool:
        return target.token or self._token or False

    def _headers(self, target: Target) -> dict[str, str]:
        # identity: a compressed body has other offsets than the file
        headers: dict[str, str] = build_hf_headers(token=self._rights(target))
        return {**headers, "Accept-Encoding": "identity"}

    @contextmanager
    def _explained(self, target: Target, path: str = "") -> Iterator[None]:
        try:
            yield
        except RAISED as error:
            raise explain(error, target, self.endpoint, path) from None  # from None: requests carry the token


def explain(error: Exception, target: Target, endpoint: str, path: str = "") -> SidecarError:
    """The one table: what the library raises → code and sentence. Never its own text, which may quote headers."""
    missing = "MODEL_NOT_FOUND" if target.kind == "model" else "SAE_NOT_FOUND"
    repo, page = target.repo_id, f"{endpoint}/{target.repo_id}"
    status = error.response.status_code if isinstance(error, HfHubHTTPError) else 0
    if status in (401, 403) and not isinstance(error, NAMED):
        sentence = f"The hub refused access to {repo} ({status}): the token is invalid or lacks the right; see {page}."
        return SidecarError("GATED_REPOSITORY", sentence, url=page)
    table: tuple[tuple[Any, str, str], ...] = (
        (GatedRepoError, "GATED_REPOSITORY", f"{repo} is gated: ask for access at {page}, then give a token of that"
         " account (HF_TOKEN)."),
        (DisabledRepoError, missing, f"{repo} was disabled by the hub."),
        (RepositoryNotFoundError, missing, f"There is no repository {repo} at {endpoint}; if it is private, give a"
         " token that may read it (HF_TOKEN)."),
        (RevisionNotFoundError, missing, f"{repo} has no revision {target.revision!r}."),
        (EntryNotFoundError, missing, f"{repo} has no file {path!r}."),
        (HFValidationError, "VALIDATION_ERROR", f"{repo!r} is no repository id; ids look like owner/name."),
        (OfflineModeIsEnabled, "DOWNLOAD_FAILED", "HF_HUB_OFFLINE is set, so the hub is not asked."),
        (HfHubHTTPError, "DOWNLOAD_FAILED", f"{endpoint} answered {status} when asked for {repo}."),
        (httpx2.TimeoutException, "DOWNLOAD_FAILED", f"{endpoint} did not answer in time."),
        (httpx2.HTTPError, "DOWNLOAD_FAILED", f"{endpoint} cannot be reached: {_reason(error)}."),
    )  # fmt: skip
    code, sentence = next((code, text) for types, code, text in table if isinstance(error, types))
    details = {"url": page} if code == "GATED_REPOSITORY" else {}
    param = "repo_id" if code == "VALIDATION_ERROR" else None
    return SidecarError(code, sentence, param=param, **details)


def _reason(error: Exception) -> str:
    names = {"ConnectError": "no connection", "ReadError": "the connection broke", "ReadTimeout": "nothing arrived"}
    return names.get(type(error).__name__, type(error).__name__)


def _judge(response: httpx2.Response) -> None:
    if response.status_code in TRY_AGAIN:
        wait = response.headers.get("Retry-After", "")
        raise Interrupted(f"the hub answered {response.status_code}", min(float(wait), 60) if wait.isdigit() else 0)
    if response.status_code == 416:
        raise Interrupted("the hub knows no such range")
    if response.is_error:
        response.read()
    hf_raise_for_status(response)


def _begins_at(response: httpx2.Response, offset: int) -> int:
    if response.status_code != 206:
        return 0
    found = re.match(r"bytes (\d+)-", response.headers.get("Content-Range", ""))
    if not found or int(found[1]) != offset:
        raise Interrupted("the hub answered with another range")
    return offset


def _chunks(response: httpx2.Response) -> Iterator[bytes]:
    try:
        yield from response.iter_bytes()
    except (httpx2.HTTPError, httpx2.StreamError, OSError, ValueError) as error:  # ValueError: the socket was closed
        raise Interrupted(_reason(error)) from error


def _hang_up(response: httpx2.Response) -> None:
    stream = response.extensions["network_stream"]
    with contextlib.suppress(OSError):  # it has ended by itself
        stream.get_extra_info("socket").shutdown(socket.SHUT_RDWR)


def _file(entry: Any) -> RemoteFile:
    content = entry.lfs.sha256 if entry.lfs else entry.blob_id
    parts = entry.path.split("/")
    if not CONTENT.fullmatch(content) or any(part in ("", ".", "..") or "\0" in part for part in parts):
        raise SidecarError("DOWNLOAD_FAILED", "The hub lists a file under a name that no repository can hold.")
    return RemoteFile(entry.path, entry.lfs.size if entry.lfs else entry.size, content)


def _license(info: Any) -> str | None:
    """As the model card has it, or the tag the hub made of it."""
    card = info.card_data.to_dict() if info.card_data is not None else {}
    name = card.get("license")
    if name == "other":
        name = card.get("license_name") or name
    tag = next((tag.removeprefix("license:") for tag in info.tags or () if tag.startswith("license:")), None)
    return name if isinstance(name, str) else tag


def _counted(info: Any) -> dict[str, Any]:
    if info.safetensors is not None:
        return {"parameters": info.safetensors.total}
    gguf = info.gguf or {}
    names = {"total": "parameters", "architecture": "architecture", "context_length": "context_length"}
    return {ours: gguf[theirs] for theirs, ours in names.items() if theirs in gguf}
