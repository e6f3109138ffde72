"""`python -m soak --minutes 15`: mixed load on the real stack, two kills on the way, and then the verdict."""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
import time
from pathlib import Path

import httpx

from soak.judge import Injected, Memory, judge
from soak.load import MODEL, Load
from soak.stack import KV_LIMIT_MIB, Stack, running

ALLOWED_GROWTH_MIB = 48.0
"""Allocators keep what they once had; a leak of a slot's cache or of a connection each would be far above it."""


def probe(stack: Stack) -> str:
    body = {"model": MODEL, "prompt": "The sea is", "temperature": 0, "max_tokens": 24, "steering": {"enabled": False}}
    answer = httpx.post(f"{stack.base}/v1/completions", json=body, timeout=120)
    if answer.status_code != 200:
        raise RuntimeError(f"the probe was answered {answer.status_code}: {answer.text}")
    return str(answer.json()["choices"][0]["text"])


async def kill(stack: Stack, program: str) -> Injected:
    victim = stack.program(program)
    assert victim is not None, f"no {program} to kill"
    begun = time.monotonic()
    victim.kill()
    await asyncio.sleep(1)
    await asyncio.to_thread(stack.wait_ready)
    await asyncio.sleep(2)  # the last that waited are told
    return Injected(f"{program} killed", begun, time.monotonic())


async def watch(stack: Stack, memory: Memory, load: Load) -> None:
    while not load.stopped:
        gateway = await asyncio.to_thread(stack.program, "gateway")
        if gateway is not None and gateway.is_running():
            memory.note("gateway", gateway.pid, gateway.memory_info().rss)
        sidecar = await asyncio.to_thread(stack.program, "sidecar")
        sizes = await asyncio.to_thread(stack.sidecar_memory)  # both at once, so that they belong together
        if sidecar is not None and sizes is not None:
            memory.note("sidecar", sidecar.pid, *sizes)
        await asyncio.sleep(1)


async def drive(stack: Stack, seconds: float, clients: int) -> tuple[Load, Memory, list[Injected]]:
    load, memory = Load(stack.base), Memory()
    working = [asyncio.create_task(load.run(clients)), asyncio.create_task(watch(stack, memory, load))]
    injected = []
    begun = time.monotonic()
    # Early, so that a long life is left to look for leaks in.
    for share, program in ((0.1, "sidecar"), (0.2, "gateway")):
        await asyncio.sleep(max(0.0, begun + share * seconds - time.monotonic()))
        injected.append(await kill(stack, program))
    await asyncio.sleep(max(0.0, begun + seconds - time.monotonic()))
    load.stopped = True
    await asyncio.gather(*working)
    return load, memory, injected


def settled_queue(stack: Stack, timeout_s: float = 30) -> dict[str, int]:
    end = time.monotonic() + timeout_s
    while True:
        queue: dict[str, int] = httpx.get(f"{stack.base}/api/system", timeout=10).json()["data"]["queue"]
        if queue["running"] + queue["waiting"] == 0 or time.monotonic() > end:
            return queue
        time.sleep(0.5)


def main() -> int:
    parser = argparse.ArgumentParser(prog="soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=15)
    parser.add_argument("--clients", type=int, default=6)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="millm-soak-") as folder:
        log = Path(folder) / "log"
        with running(Path(folder) / "data", log) as stack:
            before = probe(stack)
            load, memory, injected = asyncio.run(drive(stack, options.minutes * 60, options.clients))
            httpx.post(f"{stack.base}/api/saes/demo/attach", timeout=60)
            stack.wait_ready()
            verdicts = judge(
                answers=load.answers,
                injected=injected,
                memory=memory,
                queue=settled_queue(stack),
                same_text=probe(stack) == before,
                allowed_growth_mib=ALLOWED_GROWTH_MIB,
                kv_limit_mib=KV_LIMIT_MIB,
            )
        print(f"{options.minutes:g} minutes, {options.clients} clients, {load.abandoned} requests abandoned")
        for name, count in sorted(load.counts().items()):
            print(f"  {count:6} {name}")
        for verdict in verdicts:
            print(f"  {'ok  ' if verdict.holds else 'FAIL'} {verdict.name}: {verdict.value}")
        if not all(verdict.holds for verdict in verdicts):
            print(f"The stack's last lines:\n{log.read_text(errors='replace')[-4000:]}")
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
