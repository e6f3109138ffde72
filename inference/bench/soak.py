"""Minutes of random requests, a quarter of them abandoned: afterwards every slot is free, memory is flat and the greedy
text is what it was before."""

from __future__ import annotations

import gc
import random
import time

import psutil

from bench.fixture import Bench, Running, prompt
from bench.measure import Row
from millm_inference.contract import ActivationsRequest, FeatureSteering, SteeringSpec
from millm_inference.engine.engine import Engine

PROBE = prompt(40, 7)


def measure(bench: Bench, minutes: float = 10) -> list[Row]:
    engine = bench.engine(slots=8)
    rng = random.Random(1)
    before = _probe(bench, engine)
    end = time.monotonic() + minutes * 60
    settled: list[float] = []
    running: list[tuple[Running, bool, float]] = []
    finished = aborted = 0
    while time.monotonic() < end:
        while len(running) < 12:
            job = _start(bench, engine, rng)
            running.append((job, rng.random() < 0.25, time.monotonic() + rng.random() * 3))
        for entry in list(running):
            job, leaves, at = entry
            if leaves and time.monotonic() > at:
                engine.cancel(job.request)
                running.remove(entry)
                aborted += 1
            elif job.request.finished:
                running.remove(entry)
                finished += 1
        settled.append(psutil.Process().memory_info().rss / 2**20)
        time.sleep(0.05)
    for job, _, _ in running:
        engine.cancel(job.request)
    engine.call(lambda: None).result()
    free = engine.scheduler.free
    after = _probe(bench, engine)
    engine.close()
    gc.collect()
    third = len(settled) // 3
    growth = max(settled[-third:]) - max(settled[third : 2 * third])
    return [
        Row(f"requests finished and abandoned in {minutes:g} minutes", f"{finished} and {aborted}"),
        Row("slots free at the end", f"{free} of 8", "8"),
        Row("memory, last third against the middle third", f"{growth:+.0f} MiB", "flat"),
        Row("greedy text as before", "yes" if before == after else "NO", "yes"),
    ]


def _probe(bench: Bench, engine: Engine) -> list[int]:
    job = Running(bench, engine, PROBE, 24)
    job.wait()
    return job.request.sequences[0].tokens


def _start(bench: Bench, engine: Engine, rng: random.Random) -> Running:
    ids = prompt(rng.randint(1, 300), rng.randrange(40))
    steering = activations = None
    if rng.random() < 0.5:
        features = [
            FeatureSteering(sae_id="demo", index=i, op="add", strength=rng.uniform(-5, 5))
            for i in rng.sample(range(4096), rng.randint(1, 20))
        ]
        steering = SteeringSpec(fingerprint="soak", features=features)
    if rng.random() < 0.3:
        activations = ActivationsRequest(sae_id="demo", top_k=4, prompt=rng.random() < 0.5)
    session = engine.interpreter
    assert session is not None
    return Running(bench, engine, ids, rng.randint(1, 60), session.compile(steering, activations, ids))
