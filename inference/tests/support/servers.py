"""PostgreSQL and Redis of our own, to be killed and started again; where one is missing, its tests are skipped."""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import pytest

from tests.support.process import free_port

LOCAL = "127.0.0.1"


@dataclass
class Server:
    command: list[str]
    port: int
    answers: Callable[[], bool]
    process: subprocess.Popen[bytes] | None = field(default=None)

    def start(self) -> None:
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        self.process = subprocess.Popen(self.command, start_new_session=True, **quiet)
        end = time.monotonic() + 30
        while not self.answers():
            assert self.process.poll() is None, f"{self.command[0]} ended"
            assert time.monotonic() < end, f"{self.command[0]} does not answer"
            time.sleep(0.05)

    def kill(self) -> None:
        """As a machine that loses its power does it: every process of it at once."""
        if self.process is None:
            return
        with contextlib.suppress(psutil.Error):
            parent = psutil.Process(self.process.pid)
            family = [*parent.children(recursive=True), parent]
            for one in family:
                one.kill()
            psutil.wait_procs(family, timeout=10)
        self.process.wait()


@contextlib.contextmanager
def started(server: Server) -> Iterator[Server]:
    try:
        server.start()
        yield server
    finally:
        server.kill()


@contextlib.contextmanager
def redis() -> Iterator[Server]:
    program = shutil.which("redis-server") or pytest.skip("there is no redis-server here")
    port = free_port()
    command = [program, "--bind", LOCAL, "--port", str(port), "--save", "", "--appendonly", "no"]

    def answers() -> bool:
        ping = ["redis-cli", "-h", LOCAL, "-p", str(port), "ping"]
        return subprocess.run(ping, capture_output=True).stdout == b"PONG\n"

    with started(Server(command, port, answers)) as server:
        yield server


@contextlib.contextmanager
def postgres() -> Iterator[Server]:
    """With the superuser `postgres`; nobody needs a password."""
    programs = max(Path("/usr/lib/postgresql").glob("*/bin"), default=None) or pytest.skip("PostgreSQL is not here")
    # Its server refuses to be root, and the folder of a test's own is closed to others.
    user = ["runuser", "-u", "postgres", "--"] if os.geteuid() == 0 else []
    port, folder = free_port(), Path(tempfile.mkdtemp(prefix="millm-postgres-"))
    if user:
        os.chown(folder, pwd.getpwnam("postgres").pw_uid, -1)
    make = ["initdb", "-D", str(folder / "data"), "-U", "postgres", "--auth=trust", "--no-sync", "-E", "UTF8"]
    serve = ["postgres", "-D", str(folder / "data"), "-k", str(folder), "-h", LOCAL, "-p", str(port)]

    def run(program: str, *arguments: str) -> list[str]:
        return [*user, str(programs / program), *arguments]

    def answers() -> bool:
        return subprocess.run(run("pg_isready", "-q", "-h", LOCAL, "-p", str(port))).returncode == 0

    try:
        subprocess.run(run(*make), check=True, capture_output=True)
        with started(Server(run(*serve), port, answers)) as server:
            yield server
    finally:
        shutil.rmtree(folder, ignore_errors=True)
