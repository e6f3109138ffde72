"""The whole of miLLM as `make demo` starts it: real model, real SAE, embedded database, the launcher as supervisor."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
from openai import OpenAI

REPOSITORY = Path(__file__).resolve().parents[3]
DEMO = REPOSITORY / "inference" / "demo"
MODEL = "HuggingFaceTB/SmolLM2-135M-Instruct"


@dataclass(frozen=True)
class Stack:
    base: str
    launcher: subprocess.Popen
    data_dir: Path

    @property
    def client(self) -> OpenAI:
        return OpenAI(base_url=f"{self.base}/v1", api_key="unused", max_retries=0, timeout=300)

    def program(self, mark: str) -> psutil.Process:
        """The child whose command line holds `mark`."""
        children = psutil.Process(self.launcher.pid).children(recursive=True)
        alive = [p for p in children if p.status() != psutil.STATUS_ZOMBIE]
        return next(p for p in alive if any(mark in part for part in p.cmdline()))

    def wait_restarted(self, mark: str, old_pid: int, timeout: float = 60) -> None:
        end = time.monotonic() + timeout
        while time.monotonic() < end:
            with contextlib.suppress(psutil.Error, StopIteration):
                if self.program(mark).pid != old_pid:
                    return
            time.sleep(0.1)
        raise AssertionError(f"{mark} was not started again")

    def wait_ready(self, timeout: float = 240) -> None:
        end = time.monotonic() + timeout
        while time.monotonic() < end:
            assert self.launcher.poll() is None, "the launcher ended"
            try:
                if httpx.get(f"{self.base}/api/health/ready", timeout=5).status_code == 200:
                    return
            except httpx.TransportError:
                pass
            time.sleep(0.3)
        raise AssertionError("the stack did not become ready")


def free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return int(s.getsockname()[1])


@contextlib.contextmanager
def running_stack(data_dir: Path, output: Any, **settings: str) -> Iterator[Stack]:
    if not (REPOSITORY / "gateway" / "src" / "storage" / "generated").exists():
        pytest.skip("the gateway is not set up here; `make test` does that")
    port = free_port()
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("MILLM_")},
        "PORT": str(port),
        "MILLM_INFERENCE_PORT": str(free_port()),
        "MILLM_INFERENCE_KV_MEMORY_MB": "768",
        "MILLM_DATA_DIR": str(data_dir),
        **settings,
    }
    launcher = subprocess.Popen(
        [sys.executable, str(DEMO / "up.py")], cwd=REPOSITORY, env=environment, stdout=output, stderr=output
    )
    running = Stack(f"http://127.0.0.1:{port}", launcher, data_dir)
    try:
        running.wait_ready()
        yield running
    finally:
        launcher.send_signal(signal.SIGTERM)
        launcher.wait(timeout=60)


@pytest.fixture(scope="session")
def stack(tmp_path_factory):
    given = os.environ.get("STACK_LOG")
    output: Any = open(given, "wb") if given else subprocess.DEVNULL  # noqa: SIM115  (lives as long as the stack)
    with running_stack(tmp_path_factory.mktemp("stack"), output) as running:
        yield running


@pytest.fixture(scope="session")
def client(stack):
    return stack.client


@pytest.fixture(scope="session")
def examples() -> list[dict[str, Any]]:
    """The demo's measured steering examples: index, label, strength, prompt, default, steered."""
    loaded: list[dict[str, Any]] = json.loads((DEMO / "sae" / "examples.json").read_text())
    return loaded
