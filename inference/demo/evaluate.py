"""Measures the SAE on held-out text with the float32 model and writes `sae/quality.json`.

Cross-entropy loss recovered as in Lieberum et al. 2024 (Gemma Scope) and SAELens: the share of the loss that ablating
the residual stream costs which putting the reconstruction in its place does not.
"""

import argparse
import json
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import activations as cache
import structlog
import torch
from lm import LAYER, SAE_DIR, WORK, editing, load_model
from sae_lens import SAE

log = structlog.get_logger()
Edit = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]


@dataclass(slots=True)
class Sums:
    residual: float = 0.0
    total: float = 0.0
    active: float = 0.0
    positions: int = 0
    tokens: int = 0
    losses: dict[str, float] = field(default_factory=dict)


def next_token_loss(model: torch.nn.Module, ids: torch.Tensor, edit: Edit | None, keep: torch.Tensor) -> float:
    """Summed loss of every next token, with the kept positions of the residual stream put through `edit`."""

    def apply(hidden: torch.Tensor) -> torch.Tensor:
        return hidden if edit is None else torch.where(keep[None, :, None], edit(hidden, keep), hidden)

    with editing(model.model.layers[LAYER], apply):
        logits = model(input_ids=ids, use_cache=False).logits[0, :-1]
    return float(torch.nn.functional.cross_entropy(logits, ids[0, 1:], reduction="sum"))


@torch.inference_mode()
def measure(model: torch.nn.Module, sae: SAE, sequences: list[list[int]], mean: torch.Tensor, norm: float) -> Sums:
    sums = Sums()
    edits: dict[str, Edit | None] = {
        "model": None,
        "reconstructed": lambda hidden, _keep: sae(hidden),
        "mean_ablated": lambda hidden, _keep: mean.expand_as(hidden),
        "zero_ablated": lambda hidden, _keep: torch.zeros_like(hidden),
    }
    for sequence in sequences:
        ids = torch.tensor([sequence])
        captured: list[torch.Tensor] = []
        with editing(model.model.layers[LAYER], lambda hidden, into=captured: into.append(hidden) or hidden):
            model.model(input_ids=ids, use_cache=False)
        hidden = captured[0][0]
        keep = hidden.norm(dim=-1) < cache.SINK_NORM_RATIO * norm
        keep[0] = False
        features = sae.encode(hidden[keep])
        sums.residual += float((hidden[keep] - sae.decode(features)).pow(2).sum())
        sums.total += float((hidden[keep] - mean).pow(2).sum())
        sums.active += float((features > 0).sum())
        sums.positions += int(keep.sum())
        sums.tokens += len(sequence) - 1
        for name, edit in edits.items():
            sums.losses[name] = sums.losses.get(name, 0.0) + next_token_loss(model, ids, edit, keep)
    return sums


def summarise(sums: Sums) -> dict[str, float]:
    loss = {name: value / sums.tokens for name, value in sums.losses.items()}

    def recovered(ablated: str) -> float:
        return (loss[ablated] - loss["reconstructed"]) / (loss[ablated] - loss["model"])

    return {
        "tokens": sums.tokens,
        "l0": round(sums.active / sums.positions, 2),
        "explained_variance": round(1 - sums.residual / sums.total, 4),
        "loss": round(loss["model"], 4),
        "loss_reconstructed": round(loss["reconstructed"], 4),
        "loss_mean_ablated": round(loss["mean_ablated"], 4),
        "loss_zero_ablated": round(loss["zero_ablated"], 4),
        "loss_recovered": round(recovered("mean_ablated"), 4),
        "loss_recovered_against_zero": round(recovered("zero_ablated"), 4),
    }


@torch.inference_mode()
def firing_counts(sae: SAE, shards: list[Path], chunk: int = 8192) -> tuple[torch.Tensor, int]:
    counts, positions = torch.zeros(sae.cfg.d_sae), 0
    for path in shards:
        shard = cache.load_shard(path)
        data = shard.activations[shard.keep]
        for begin in range(0, len(data), chunk):
            counts += (sae.encode(data[begin : begin + chunk].float()) > 0).sum(0)
        positions += len(data)
    return counts, positions


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sae", type=Path, default=SAE_DIR)
    parser.add_argument("--sequences", type=int, default=100, help="held-out sequences of each kind")
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    sae = SAE.load_from_disk(arguments.sae, dtype="float32")
    shards = sorted((WORK / "activations").glob("*.pt"))
    counts, positions = firing_counts(sae, shards)
    sample = torch.cat([shard.activations[shard.keep][:4000] for shard in map(cache.load_shard, shards)]).float()
    mean, norm = sample.mean(0), float(sample.norm(dim=-1).median())
    model = load_model(torch.float32)
    report: dict[str, object] = {
        "features": sae.cfg.d_sae,
        "dead_features": int((counts == 0).sum()),
        "dead_share": round(float((counts == 0).float().mean()), 4),
        "dead_measured_on_tokens": positions,
        "median_norm": round(norm, 1),
        "ablation": "mean",
    }
    combined = Sums()
    for kind, sequences in cache.all_sequences().items():
        held_out = [sequence for sequence in sequences if cache.is_held_out(sequence) and len(sequence) > 32]
        random.Random(0).shuffle(held_out)
        sums = measure(model, sae, held_out[: arguments.sequences], mean, norm)
        if not sums.tokens:
            continue
        report[kind] = summarise(sums)
        log.info("sae:measured", kind=kind, **summarise(sums))
        for name in ("residual", "total", "active", "positions", "tokens"):
            setattr(combined, name, getattr(combined, name) + getattr(sums, name))
        for name, value in sums.losses.items():
            combined.losses[name] = combined.losses.get(name, 0.0) + value
    report["all"] = summarise(combined)
    log.info("sae:measured", kind="all", dead=report["dead_share"], **summarise(combined))
    target = arguments.out or arguments.sae / "quality.json"
    target.write_text(json.dumps(report, indent=2) + "\n")


if __name__ == "__main__":
    main()
