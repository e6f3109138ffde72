"""`python -m bench [throughput|steps|interference|serve|soak …]`: prints tables; none named: all but the soak."""

from __future__ import annotations

import os
import platform
import sys
from datetime import UTC, datetime

import psutil
import torch

from bench import serve, soak, steps, throughput
from bench.fixture import prepare
from bench.measure import table

PARTS = ("throughput", "steps", "interference", "serve", "soak")


def main(wanted: list[str]) -> int:
    unknown = [w for w in wanted if w not in PARTS]
    if unknown:
        print(f"Unknown part {unknown[0]}; there are {', '.join(PARTS)}.", file=sys.stderr)
        return 2
    os.environ.setdefault("TQDM_DISABLE", "1")
    torch.set_num_threads(psutil.cpu_count(logical=False) or 1)
    parts = wanted or [p for p in PARTS if p != "soak"]
    print(f"{datetime.now(UTC):%Y-%m-%d}, {platform.machine()}, {os.cpu_count()} CPUs, torch {torch.__version__}\n")
    bench = prepare()
    if "throughput" in parts:
        print(table("Throughput", throughput.measure(bench)), flush=True)
    if "steps" in parts:
        print(table("What a decode step costs more", steps.measure(bench)), flush=True)
    if "interference" in parts:
        print(table("A long prompt among running streams", throughput.measure_interference(bench)), flush=True)
    if "serve" in parts:
        print(table("Over HTTP", serve.measure()), flush=True)
    if "soak" in parts:
        print(table("Soak", soak.measure(bench)), flush=True)
    print(f"Peak memory of this process: {psutil.Process().memory_info().rss / 2**30:.2f} GiB")
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
