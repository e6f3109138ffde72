"""One file from the hub into the store: continued where it stopped, tried again, verified, put in place at once."""

from __future__ import annotations

import errno
import hashlib
import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import structlog

from millm_inference.errors import SidecarError
from millm_inference.hub.client import Hub, Interrupted, RemoteFile, Repository
from millm_inference.hub.control import Control
from millm_inference.hub.store import Shelf

log = structlog.get_logger()
PIECE = 1 << 20
FULL = (errno.ENOSPC, errno.EDQUOT)


@dataclass(frozen=True, slots=True)
class Patience:
    """How often a connection that brings nothing is tried again, and how long the first wait is; it then doubles."""

    tries: int = 5
    first_wait_s: float = 0.5
    longest_wait_s: float = 8.0

    def wait_s(self, failures: int) -> float:
        return min(self.longest_wait_s, self.first_wait_s * float(2**failures))


class DiskFull(Exception):
    pass


@dataclass(frozen=True, slots=True)
class Transfer:
    hub: Hub
    repository: Repository
    shelf: Shelf
    control: Control
    patience: Patience
    report: Callable[[RemoteFile, int], None]
    """Called with how many bytes of a file are here, after every piece."""

    def fetch(self, file: RemoteFile, shown_as: Iterable[RemoteFile]) -> None:
        """Raises Cancelled, DiskFull, SidecarError; what arrived stays, unless it is proven wrong."""
        self.control.check()
        try:
            with self.shelf.locked(file.content, self.control.check):
                if not self.shelf.has(file):
                    self._fetch(file)
            self.report(file, file.size)
            for link in shown_as:
                self.shelf.link(self.repository.commit, link)
        except OSError as error:
            if error.errno in FULL:
                raise DiskFull from error
            raise SidecarError("DOWNLOAD_FAILED", f"{file.path} cannot be written: {error.strerror}.") from error

    def _fetch(self, file: RemoteFile) -> None:
        part = self.shelf.incomplete(file.content)
        part.parent.mkdir(parents=True, exist_ok=True)
        continued = part.exists() and part.stat().st_size > 0
        while self._receive(file, part) != file.content:
            part.unlink()
            self.report(file, 0)
            if not continued:
                raise SidecarError(
                    "DOWNLOAD_FAILED",
                    f"{file.path} arrived with a wrong checksum and was removed; try again, or tell its owner.",
                    file=file.path,
                )
            log.warning("download:leftover-was-wrong", file=file.path)
            continued = False
        part.replace(self.shelf.blob(file.content))

    def _receive(self, file: RemoteFile, part: Path) -> str:
        """Fill the partial file; the checksum of what is in it then."""
        failures = 0
        with part.open("a+b", buffering=0) as sink:
            if sink.tell() > file.size:
                sink.truncate(0)
            digest = self._digest(file, sink)
            while sink.tell() < file.size:
                before = sink.tell()
                try:
                    digest = self._continue(file, sink, digest)
                    reason = Interrupted("the stream ended early")
                except Interrupted as problem:
                    reason = problem
                self.control.check()
                if sink.tell() >= file.size:
                    break
                failures = 0 if sink.tell() > before else failures + 1
                self._wait(file, reason, failures)
            os.fsync(sink.fileno())
        return str(digest.hexdigest())

    def _continue(self, file: RemoteFile, sink: BinaryIO, digest: Any) -> Any:
        """One connection's worth; the digest, a new one if the hub began at the beginning again."""
        offset = sink.tell()
        with self.hub.stream(self.repository, file, offset) as stream, self.control.cutting(stream.abort):
            if stream.offset != offset:
                sink.truncate(0)
                sink.seek(0)
                digest = _hasher(file)
            for chunk in stream.chunks:
                self.control.check()
                digest.update(chunk)
                _write(sink, chunk)
                self.report(file, sink.tell())
        return digest

    def _wait(self, file: RemoteFile, reason: Interrupted, failures: int) -> None:
        if failures > self.patience.tries:
            raise SidecarError(
                "DOWNLOAD_FAILED",
                f"{file.path} could not be fetched: {reason.message}. Start the download again to continue it.",
                file=file.path,
            )
        log.info("download:interrupted", file=file.path, reason=reason.message, failures=failures)
        self.control.wait(max(reason.wait_s, self.patience.wait_s(failures)))

    def _digest(self, file: RemoteFile, sink: BinaryIO) -> Any:
        """Over what is here already; leaves the file at its end."""
        digest = _hasher(file)
        sink.seek(0)
        while piece := sink.read(PIECE):
            self.control.check()
            digest.update(piece)
        return digest


def _hasher(file: RemoteFile) -> Any:
    """SHA-256 of large files; git's own SHA-1 of the others."""
    if len(file.content) == 64:
        return hashlib.sha256()
    return hashlib.sha1(f"blob {file.size}\0".encode(), usedforsecurity=False)


def _write(sink: BinaryIO, chunk: bytes) -> None:
    """Unbuffered, so that a killed process loses nothing it counted."""
    rest = memoryview(chunk)
    while rest:
        rest = rest[sink.write(rest) :]
