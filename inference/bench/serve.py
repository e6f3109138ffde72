"""Eight streams over HTTP at once: our sidecar against `transformers serve`, which batches only when told to; the same
model, prompts and lengths."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from statistics import median

import httpx

from bench.fixture import DATA
from bench.measure import Row, interleaved, median_ratio, timed
from demo.fetch_model import fetch

STREAMS, TOKENS = 8, 48
QUESTION = "Write a long story about a lighthouse keeper number {}."


def measure(rounds: int = 3) -> list[Row]:
    model = next((DATA / "models" / "converted").iterdir())
    with ExitStack() as stack:
        ours = stack.enter_context(Server(_ours()))
        batching = stack.enter_context(Server(_theirs(model, "--continuous-batching")))
        default = stack.enter_context(Server(_theirs(model)))
        answer = httpx.post(f"{ours.base}/models/load", json={"model_id": "m", "path": str(fetch())}, timeout=300)
        answer.raise_for_status()
        loads = [
            lambda: _together(lambda i: _ask_ours(ours.base, i)),
            lambda: _together(lambda i: _ask_theirs(batching.base, str(model), i)),
            lambda: _together(lambda i: _ask_theirs(default.base, str(model), i)),
        ]
        for load in loads:
            load()
        times = interleaved([partial(timed, load) for load in loads], rounds)
    rows = []
    for what, theirs in zip(("transformers serve --continuous-batching", "transformers serve"), times[1:], strict=True):
        ratio = 1 / median_ratio(theirs, times[0])
        rows.append(Row(f"{STREAMS} HTTP streams, ours / {what}", f"{ratio:.2f}×", "≥ 3×"))
    speeds = [STREAMS * TOKENS / median(t) for t in times]
    rows.append(Row("tokens/s in all: ours, theirs batching, theirs", ", ".join(f"{s:.0f}" for s in speeds)))
    return rows


def _together(ask) -> None:  # type: ignore[no-untyped-def]
    with ThreadPoolExecutor(STREAMS) as pool:
        counts = list(pool.map(ask, range(STREAMS)))
    assert min(counts) >= TOKENS * 0.8, counts


def _ask_ours(base: str, number: int) -> int:
    body = {
        "request_id": "b",
        "model_id": "m",
        "prompt": {"type": "chat", "messages": [{"role": "user", "content": QUESTION.format(number)}]},
        "sampling": {"temperature": 0, "max_tokens": TOKENS, "ignore_eos": True},
    }
    count = 0
    with httpx.stream("POST", f"{base}/generate", json=body, timeout=600) as answer:
        for line in answer.iter_lines():
            if line.startswith("data: "):
                count += len(json.loads(line[6:]).get("token_ids", []))
    return count


def _ask_theirs(base: str, model: str, number: int) -> int:
    body = {
        "model": model,
        "stream": True,
        "messages": [{"role": "user", "content": QUESTION.format(number)}],
        "max_tokens": TOKENS,
        "temperature": 0,
    }
    count = 0
    with httpx.stream("POST", f"{base}/v1/chat/completions", json=body, timeout=600) as answer:
        answer.raise_for_status()
        for line in answer.iter_lines():
            count += line.startswith("data: {") and '"content"' in line
    return count


def _ours() -> tuple[list[str], dict[str, str], int]:
    port = _free_port()
    environment = {"MILLM_INFERENCE_PORT": str(port), "MILLM_DATA_DIR": str(DATA), "LOG_LEVEL": "warning"}
    return [sys.executable, "-m", "millm_inference"], environment, port


def _theirs(model: Path, *options: str) -> tuple[list[str], dict[str, str], int]:
    port = _free_port()
    binary = str(Path(sys.executable).parent / "transformers")
    arguments = [binary, "serve", str(model), "--host", "127.0.0.1", "--port", str(port), "--device", "cpu"]
    return [*arguments, *options], {"HF_HUB_OFFLINE": "1"}, port


class Server:
    """A child process that answers /health, for as long as the block lasts."""

    def __init__(self, what: tuple[list[str], dict[str, str], int]) -> None:
        self.arguments, self.environment, port = what
        self.base = f"http://127.0.0.1:{port}"

    def __enter__(self) -> Server:
        self.child = subprocess.Popen(
            self.arguments, env={**os.environ, **self.environment}, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        for _ in range(600):
            try:
                if httpx.get(f"{self.base}/health").status_code == 200:
                    return self
            except httpx.TransportError:
                pass
            assert self.child.poll() is None, f"{self.arguments} ended"
            time.sleep(0.2)
        raise TimeoutError(self.arguments)

    def __exit__(self, *_: object) -> None:
        self.child.terminate()
        self.child.wait()


def _free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return int(s.getsockname()[1])
