"""A hub on loopback: what huggingface_hub asks of the real one, over real HTTP, with faults on request.

Large files are redirected to a second server, another origin, as the real hub does with its CDN.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import re
import socket
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, quote, unquote, urlparse

GOOD_TOKEN = "hf_good"
COMMIT = "c0ffee" + "0" * 34
PIECE = 16 * 1024


@dataclass
class FakeFile:
    content: bytes
    lfs: bool

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.content).hexdigest()

    @property
    def git_sha1(self) -> str:
        return hashlib.sha1(f"blob {len(self.content)}\0".encode() + self.content).hexdigest()

    def entry(self, path: str) -> dict:
        entry = {"type": "file", "path": path, "size": len(self.content), "oid": self.git_sha1}
        if self.lfs:
            entry["lfs"] = {"oid": self.sha256, "size": len(self.content), "pointerSize": 130}
        return entry


@dataclass
class FakeRepository:
    revisions: dict[str, dict[str, FakeFile]]
    commits: dict[str, str]
    info: dict = field(default_factory=dict)
    gated: bool = False
    private: bool = False


@dataclass
class Faults:
    """By path, or by repository for its description. Lists are used up, one item per request."""

    cut_after: dict[str, list[int]] = field(default_factory=dict)
    statuses: dict[str, list[int]] = field(default_factory=dict)
    seconds_per_piece: dict[str, float] = field(default_factory=dict)
    stall_after: dict[str, int] = field(default_factory=dict)
    corrupt: set[str] = field(default_factory=set)
    ignore_range: set[str] = field(default_factory=set)


class FakeHub:
    def __init__(self) -> None:
        self.repositories: dict[str, FakeRepository] = {}
        self.faults = Faults()
        self.served: Counter[str] = Counter()
        """Bytes of bodies, by path."""
        self.requests: list[tuple[str, str, dict[str, str]]] = []
        """Method, path and query, headers in lower case; of both servers."""
        self.page_size = 1000
        self.stopping = threading.Event()
        self._servers = [self._serve(_HubHandler), self._serve(_CdnHandler)]
        self.endpoint, self.cdn = (f"http://127.0.0.1:{s.server_address[1]}" for s in self._servers)

    def add(
        self,
        repo_id: str,
        files: dict[str, bytes],
        *,
        revision: str = "main",
        commit: str = COMMIT,
        gated: bool = False,
        private: bool = False,
        **info,
    ) -> FakeRepository:
        """A revision of a repository; files of 10 kB and more, and weights, are large ones."""
        repository = self.repositories.setdefault(repo_id, FakeRepository({}, {}))
        lfs = re.compile(r".*\.(safetensors|npz|pt|gguf|bin)")
        repository.revisions[commit] = {
            path: FakeFile(content, len(content) >= 10_000 or bool(lfs.fullmatch(path)))
            for path, content in files.items()
        }
        repository.commits[revision] = repository.commits[commit] = commit
        repository.gated, repository.private = gated, private
        repository.info.update(info)
        return repository

    def ranges(self, path: str) -> list[str | None]:
        """The Range header of every request for a file's bytes."""
        ours = (headers for method, url, headers in self.requests if method == "GET" and self._is_bytes_of(url, path))
        return [headers.get("range") for headers in ours]

    def find_lfs(self, sha256: str) -> tuple[str, FakeFile] | None:
        for repository in self.repositories.values():
            for files in repository.revisions.values():
                for path, file in files.items():
                    if file.lfs and file.sha256 == sha256:
                        return path, file
        return None

    def close(self) -> None:
        self.stopping.set()
        for server in self._servers:
            server.shutdown()
            server.server_close()

    def _serve(self, handler: type[BaseHTTPRequestHandler]) -> ThreadingHTTPServer:
        server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        server.daemon_threads = True
        server.block_on_close = False
        server.hub = self  # type: ignore[attr-defined]
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        return server

    def _is_bytes_of(self, url: str, path: str) -> bool:
        parts = urlparse(url)
        if parts.path.startswith("/cdn/"):
            return parse_qs(parts.query)["path"] == [path]
        return parts.path.endswith(f"/{quote(path)}") and "/resolve/" in parts.path


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    @property
    def hub(self) -> FakeHub:
        return self.server.hub  # type: ignore[attr-defined]

    def setup(self) -> None:
        # small buffers: what is counted as served has nearly arrived
        self.request.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 32 * 1024)
        super().setup()

    def log_message(self, *_) -> None:
        pass

    def handle(self) -> None:
        with contextlib.suppress(ConnectionError, TimeoutError):
            super().handle()

    def note(self) -> None:
        headers = {name.lower(): value for name, value in self.headers.items()}
        self.hub.requests.append((self.command, self.path, headers))

    def answer(self, status: int, body: bytes = b"", **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def refuse(self, status: int, code: str, message: str) -> None:
        body = json.dumps({"error": message}).encode()
        self.answer(status, body, X_Error_Code=code, X_Error_Message=message)

    def send_bytes(self, path: str, content: bytes, **headers: str) -> None:
        """A file's bytes, or the range of them that was asked for, with the faults of its path."""
        faults = self.hub.faults
        if faults.statuses.get(path):
            self.answer(faults.statuses[path].pop(0), Retry_After="0")
            return
        begin = 0
        asked = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        if asked and path not in faults.ignore_range:
            begin = int(asked[1])
            if begin >= len(content):
                self.answer(416)
                return
        if path in faults.corrupt:
            content = content[:-1] + bytes([content[-1] ^ 1])
        body = content[begin:]
        self.send_response(206 if begin else 200)
        if begin:
            self.send_header("Content-Range", f"bytes {begin}-{len(content) - 1}/{len(content)}")
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self._send_with_faults(path, body)

    def _send_with_faults(self, path: str, body: bytes) -> None:
        faults = self.hub.faults
        cut = faults.cut_after[path].pop(0) if faults.cut_after.get(path) else None
        stall = faults.stall_after.get(path)
        end = min(x for x in (len(body), cut, stall) if x is not None)
        for start in range(0, end, PIECE):
            piece = body[start : min(start + PIECE, end)]
            self.wfile.write(piece)
            self.hub.served[path] += len(piece)
            if pause := faults.seconds_per_piece.get(path):
                time.sleep(pause)
        if stall is not None and end == stall:
            self.hub.stopping.wait(60)
        if end < len(body):
            self.close_connection = True
            self.connection.shutdown(socket.SHUT_WR)


class _HubHandler(_Handler):
    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        self.note()
        url = urlparse(self.path)
        for pattern, act in (
            (r"/api/models/(.+?)/tree/([^/]+)", self._tree),
            (r"/api/models/(.+?)/revision/([^/]+)", self._info),
            (r"/api/models/(.+)", self._info),
            (r"/(.+?)/resolve/([^/]+)/(.+)", self._resolve),
        ):
            if found := re.fullmatch(pattern, url.path):
                act(*map(unquote, found.groups()))
                return
        self.refuse(404, "", "no such page")

    @property
    def _token(self) -> str | None:
        return self.headers.get("Authorization", "").removeprefix("Bearer ") or None

    def _open(self, repo_id: str, revision: str) -> tuple[FakeRepository, str] | None:
        repository = self.hub.repositories.get(repo_id)
        if self._token not in (None, GOOD_TOKEN, "hf_other"):
            self.refuse(401, "", "Invalid credentials in Authorization header")
        elif repository is None or (repository.private and self._token != GOOD_TOKEN):
            self.refuse(401 if self._token is None else 404, "RepoNotFound", "Repository not found")
        elif revision not in repository.commits:
            self.refuse(404, "RevisionNotFound", "Invalid rev id")
        else:
            return repository, repository.commits[revision]
        return None

    def _info(self, repo_id: str, revision: str = "main") -> None:
        if self.hub.faults.statuses.get(repo_id):
            self.answer(self.hub.faults.statuses[repo_id].pop(0))
        elif opened := self._open(repo_id, revision):
            repository, commit = opened
            info = {
                "id": repo_id,
                "sha": commit,
                "gated": "manual" if repository.gated else False,
                "tags": [],
                **repository.info,
            }
            self.answer(200, json.dumps(info).encode(), Content_Type="application/json")

    def _tree(self, repo_id: str, revision: str) -> None:
        opened = self._open(repo_id, revision)
        if not opened:
            return
        repository, commit = opened
        entries = [file.entry(path) for path, file in repository.revisions[commit].items()]
        folders = {p.rpartition("/")[0] for p in repository.revisions[commit]} - {""}
        entries += [{"type": "directory", "path": folder, "oid": "0" * 40} for folder in folders]
        start = int(parse_qs(urlparse(self.path).query).get("cursor", ["0"])[0])
        end = start + self.hub.page_size
        headers = {"Content_Type": "application/json"}
        if end < len(entries):
            base = f"{self.hub.endpoint}{urlparse(self.path).path}"
            headers["Link"] = f'<{base}?recursive=true&cursor={end}>; rel="next"'
        self.answer(200, json.dumps(entries[start:end]).encode(), **headers)

    def _resolve(self, repo_id: str, revision: str, path: str) -> None:
        opened = self._open(repo_id, revision)
        if not opened:
            return
        repository, commit = opened
        if repository.gated and self._token != GOOD_TOKEN:
            self.refuse(401 if self._token is None else 403, "GatedRepo", "Access to this model is restricted")
            return
        file = repository.revisions[commit].get(path)
        if file is None:
            self.refuse(404, "EntryNotFound", "Entry not found")
        elif file.lfs:
            location = f"{self.hub.cdn}/cdn/{file.sha256}?signature=secret&path={quote(path)}"
            self.answer(
                302,
                X_Repo_Commit=commit,
                X_Linked_Size=str(len(file.content)),
                X_Linked_Etag=f'"{file.sha256}"',
                Location=location,
            )
        else:
            self.send_bytes(path, file.content, X_Repo_Commit=commit, ETag=f'"{file.git_sha1}"')


class _CdnHandler(_Handler):
    def do_GET(self) -> None:
        self.note()
        found = self.hub.find_lfs(urlparse(self.path).path.rpartition("/")[2])
        if found is None:
            self.answer(404)
        else:
            path, file = found
            self.send_bytes(path, file.content, ETag=f'"{file.sha256}"')
