"""The whole of miLLM as `make demo` starts it, on free ports, with what a soak wants to know of its processes."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import psutil

REPOSITORY = Path(__file__).resolve().parents[2]
KV_LIMIT_MIB = 512
PROGRAMS = {"sidecar": "millm_inference", "gateway": "server.ts"}


@dataclass(frozen=True)
class Stack:
    base: str
    sidecar: str
    launcher: subprocess.Popen[bytes]

    def program(self, name: str) -> psutil.Process | None:
        with contextlib.suppress(psutil.Error):
            for child in psutil.Process(self.launcher.pid).children(recursive=True):
                with contextlib.suppress(psutil.Error):
                    if child.status() != psutil.STATUS_ZOMBIE and any(PROGRAMS[name] in w for w in child.cmdline()):
                        return child
        return None

    def sidecar_memory(self) -> tuple[int, int] | None:
        """Bytes that it takes, and those of them that are keys and values; None: it does not answer."""
        with contextlib.suppress(httpx.TransportError):
            memory = httpx.get(f"{self.sidecar}/state", timeout=10).json()["memory"]
            return memory["used_bytes"], memory["kv_bytes"]
        return None

    def is_ready(self) -> bool:
        with contextlib.suppress(httpx.TransportError):
            return httpx.get(f"{self.base}/api/health/ready", timeout=2).status_code == 200
        return False

    def wait_ready(self, timeout_s: float = 240) -> None:
        end = time.monotonic() + timeout_s
        while not self.is_ready():
            if self.launcher.poll() is not None or time.monotonic() > end:
                raise RuntimeError("the stack did not become ready")
            time.sleep(0.2)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def running(data_dir: Path, log: Path) -> Iterator[Stack]:
    """Afterwards no process of it is left, which is checked. Raises RuntimeError."""
    port, sidecar_port = free_port(), free_port()
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("MILLM_")},
        "PORT": str(port),
        "MILLM_INFERENCE_PORT": str(sidecar_port),
        "MILLM_INFERENCE_KV_MEMORY_MB": str(KV_LIMIT_MIB),
        "MILLM_DATA_DIR": str(data_dir),
    }
    command = [sys.executable, str(REPOSITORY / "inference" / "demo" / "up.py")]
    with log.open("wb") as output:
        launcher = subprocess.Popen(command, cwd=REPOSITORY, env=environment, stdout=output, stderr=output)
        children: list[psutil.Process] = []
        try:
            stack = Stack(f"http://127.0.0.1:{port}", f"http://127.0.0.1:{sidecar_port}", launcher)
            stack.wait_ready()
            yield stack
            children = psutil.Process(launcher.pid).children(recursive=True)
        finally:
            launcher.send_signal(signal.SIGTERM)
            launcher.wait(timeout=90)
    _, left = psutil.wait_procs(children, timeout=10)
    if left:
        raise RuntimeError(f"processes are left: {left}")
