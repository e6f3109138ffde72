"""`python -m bench.quantization [row …]`: what each quantization costs in memory, exactness and speed, as a table.

The first row is what all others are compared with. Q4 and Q8 need bitsandbytes; a row that cannot be loaded says why.
"""

from __future__ import annotations

import os
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor
from torch.nn.functional import log_softmax, nll_loss

from bench.fixture import DATA, Bench, Running, prompt
from bench.measure import timed
from bench.requantize import requantize
from demo.fetch_model import fetch
from millm_inference.engine.engine import Engine, EngineLimits
from millm_inference.engine.model_runner import ModelRunner
from millm_inference.engine.token_bytes import TokenBytes
from millm_inference.errors import SidecarError
from millm_inference.loader import Loaded, load_model
from millm_inference.settings import Settings

GGUF = ("Q8_0", "Q4_1", "Q4_0")
ROWS = ("float32", "BF16", "FP16", "Q8", "Q4", *(f"GGUF {kind}" for kind in GGUF))
PROMPT, TOKENS, TURNS = 32, 32, 3
TEXT = (
    "The harbour lay quiet in the first light, and the boats that had come in during the night were tied three abreast"
    " along the wall. Men in oilskins carried crates of herring up the wet steps to the market hall, where buyers from"
    " the inland towns were already waiting with their notebooks. A gull stood on every post. By seven the fog would"
    " lift, the ferry would blow its horn twice, and the children would run down the hill to see who had come from the"
    " islands."
)


@dataclass(frozen=True)
class Measured:
    loaded: Loaded
    logprobs: Tensor
    logits: Tensor
    nll: float
    speeds: tuple[float, float]


def load(row: str, folder: Path) -> Loaded:
    path, quantization = fetch(), None
    if row.startswith("GGUF "):
        kind = row.removeprefix("GGUF ")
        path = path if kind in path.name else requantize(path, folder / f"{kind}.gguf", kind)
    elif row != "float32":
        quantization = row
    return load_model(str(path), Settings(data_dir=DATA, device="cpu"), quantization=quantization)


def measure(loaded: Loaded) -> Measured:
    ids = loaded.tokenizer(TEXT, return_tensors="pt").input_ids
    with torch.inference_mode():
        logits = loaded.model(ids).logits[0, :-1].float()
    logprobs = log_softmax(logits, -1)
    return Measured(
        loaded, logprobs, logits, float(nll_loss(logprobs, ids[0, 1:])), (speed(loaded, 1), speed(loaded, 8))
    )


def speed(loaded: Loaded, rows: int) -> float:
    """Tokens a second, the best of a few turns."""
    bench = Bench(loaded, None, None, TokenBytes(loaded.tokenizer))  # type: ignore[arg-type]
    limits = EngineLimits(slots=8, kv_positions=4096, context_length=1024)
    engine = Engine(ModelRunner(loaded.model, None), None, bench.token_bytes, limits, frozenset())

    def turn() -> float:
        running = [Running(bench, engine, prompt(PROMPT, i), TOKENS) for i in range(rows)]
        for one in running:
            one.first()
        return timed(lambda: [one.wait() for one in running])

    best = min(turn() for _ in range(TURNS))
    engine.close()
    return rows * (TOKENS - 1) / best


def line(row: str, it: Measured, base: Measured) -> str:
    dtype = str(it.loaded.model.dtype).removeprefix("torch.")
    speeds = f"{it.speeds[0]:.1f} / {it.speeds[1]:.1f}"
    head = f"| {row} | {dtype} | {it.loaded.memory_bytes / 1e6:.0f} MB | {it.nll:.3f} |"
    if it is base:
        return f"{head} | | | {speeds} |"
    error = (it.logits - base.logits).norm() / base.logits.norm()
    kl = (base.logprobs.exp() * (base.logprobs - it.logprobs)).sum(-1).mean()
    same = (it.logits.argmax(-1) == base.logits.argmax(-1)).float().mean()
    return f"{head} {error:.4f} | {kl:.4f} | {100 * same:.0f} % | {speeds} |"


def main(wanted: list[str]) -> int:
    os.environ.setdefault("TQDM_DISABLE", "1")
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))
    rows = wanted or list(ROWS)
    print(
        "| | dtype | weights | NLL per token | relative error of logits | KL | same top token | tokens/s, 1 / 8 rows |"
    )
    print("|---|---|---|---|---|---|---|---|")
    base: Measured | None = None
    with tempfile.TemporaryDirectory(prefix="millm-quantization-") as folder:
        for row in rows:
            try:
                measured = measure(load(row, Path(folder)))
            except SidecarError as error:
                print(f"| {row} | {error.message} |", flush=True)
                continue
            base = base or measured
            print(line(row, measured, base), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
