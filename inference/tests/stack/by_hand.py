"""The stack as docs/operate.md starts it by hand: with keys, PostgreSQL and Redis, its log on a full disk, and a wall
clock that can be set."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
from openai import OpenAI

from tests.stack.conftest import MODEL, REPOSITORY, Stack
from tests.support.process import free_port
from tests.support.servers import LOCAL, Server

PAGE = (REPOSITORY / "docs" / "operate.md").read_text("utf-8")
START, *TRIED = re.findall(r"^ *```bash tried\n(.*?)^ *```", PAGE, re.MULTILINE | re.DOTALL)
CLOCK = Path(__file__).parents[1] / "support" / "clock.c"


@dataclass(frozen=True)
class ByHand(Stack):
    key: str
    environment: dict[str, str]
    clock: Path

    @property
    def client(self) -> OpenAI:
        return OpenAI(base_url=f"{self.base}/v1", api_key=self.key, max_retries=0, timeout=120)

    @property
    def api(self) -> httpx.Client:
        return httpx.Client(base_url=self.base, headers={"authorization": f"Bearer {self.key}"}, timeout=60)

    def pids(self) -> tuple[int, int]:
        return self.program("millm_inference").pid, self.program("gateway/src/server.ts").pid

    def play(self, block: str) -> str:
        """A block of the page, in a shell of its own."""
        script = block.replace("http://localhost:8000", self.base)
        environment = {**self.environment, "URL": self.base, "KEY": self.key}
        command = ["bash", "-euo", "pipefail", "-c", script]
        done = subprocess.run(command, env=environment, cwd=self.data_dir, capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, f"{block}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def answer(self, prompt: str = "The sea is", tokens: int = 8) -> str:
        done = self.client.completions.create(model=MODEL, prompt=prompt, temperature=0, max_tokens=tokens)
        return done.choices[0].text

    def stream(self, tokens: int = 2000) -> Any:
        """One that goes on as long as it is told to, and has begun."""
        options = {"temperature": 1, "max_tokens": tokens, "extra_body": {"ignore_eos": True}}
        stream = self.client.completions.create(model=MODEL, prompt="The sea is", stream=True, **options)
        read(stream, 2)
        return stream


def read(stream: Any, chunks: int) -> None:
    for _ in range(chunks):
        next(iter(stream))


def until(condition: Any, timeout_s: float = 20) -> None:
    end = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.1)


@contextlib.contextmanager
def started_by_hand(folder: Path, postgres: Server, redis: Server, **settings: str) -> Iterator[ByHand]:
    if not (REPOSITORY / "gateway" / "src" / "storage" / "generated").exists():
        pytest.skip("the gateway is not set up here; `make test` does that")
    port, inference = free_port(), free_port()
    clock = folder / "clock"
    clock.write_text("0")
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith(("MILLM_", "PG"))},
        "PORT": str(port),
        "MILLM_INFERENCE_PORT": str(inference),
        "INFERENCE_URL": f"http://{LOCAL}:{inference}",
        "REDIS_URL": f"redis://{LOCAL}:{redis.port}",
        "MILLM_INFERENCE_KV_MEMORY_MB": "256",
        "PGHOST": LOCAL,
        "PGPORT": str(postgres.port),
        "PGUSER": "postgres",
        "MILLM_TEST_CLOCK": str(clock),
        **settings,
    }
    if shutil.which("cc"):
        subprocess.run(["cc", "-shared", "-fPIC", "-O2", "-o", folder / "clock.so", CLOCK], check=True)
        environment["LD_PRELOAD"] = str(folder / "clock.so")
    page = START.replace("localhost:5432", f"{LOCAL}:{postgres.port}").replace("$PWD/data", str(folder))
    page = re.sub(r"^make .*$", "", page, flags=re.MULTILINE)  # whoever runs this has done that
    tail = f'\necho "$MILLM_API_KEYS" > {folder}/key\necho "$DATABASE_URL" > {folder}/url\nwait\n'
    # A full disk under its log, unless somebody wants to read it.
    with open(os.environ.get("STACK_LOG", "/dev/full"), "wb") as log:
        shell = subprocess.Popen(
            ["bash", "-euo", "pipefail", "-c", page + tail], cwd=REPOSITORY, env=environment, stdout=log, stderr=log
        )
    running = ByHand(f"http://{LOCAL}:{port}", shell, folder, "", environment, clock)
    try:
        running.wait_ready()
        key, url = ((folder / name).read_text().strip() for name in ("key", "url"))
        yield ByHand(running.base, shell, folder, key, {**environment, "DATABASE_URL": url}, clock)
    finally:
        with contextlib.suppress(StopIteration, psutil.Error):
            for pid in running.pids():
                os.kill(pid, signal.SIGKILL)
        shell.kill()
        shell.wait()
