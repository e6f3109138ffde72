"""The sidecar as a process of its own, on a free port."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def sidecar(data_dir: Path, stdout: Any = None, stderr: Any = None, **settings: str) -> Iterator[tuple[Any, str]]:
    """→ the process and its address, once it answers; killed afterwards."""
    port = free_port()
    environment = {
        **os.environ,
        "MILLM_INFERENCE_PORT": str(port),
        "MILLM_DATA_DIR": str(data_dir),
        "MILLM_INFERENCE_KV_MEMORY_MB": "64",
        "MILLM_INFERENCE_SHUTDOWN_GRACE_S": "20",
        **settings,
    }
    command = [sys.executable, "-m", "millm_inference"]
    child = subprocess.Popen(command, env=environment, stdout=stdout, stderr=stderr)
    base = f"http://127.0.0.1:{port}"
    try:
        wait_healthy(base, child)
        yield child, base
    finally:
        child.kill()
        child.wait()


def wait_healthy(base: str, child: Any, timeout_s: float = 120) -> None:
    end = time.monotonic() + timeout_s
    while time.monotonic() < end:
        assert child.poll() is None, "it ended"
        try:
            if httpx.get(f"{base}/health").status_code == 200:
                return
        except httpx.TransportError:
            time.sleep(0.1)
    raise AssertionError(f"{base} does not answer")
