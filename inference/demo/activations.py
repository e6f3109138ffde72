"""Turns text into sequences of tokens, and sequences into a cache of residual activations on disk, shard by shard.

A shard keeps every position; `keep` marks those that the SAE learns from. The first position of a sequence and the few
tokens of enormous norm are attention sinks: huge, constant, and without meaning for steering.
"""

import argparse
import hashlib
import random
import time
from dataclasses import dataclass
from pathlib import Path

import corpus
import structlog
import torch
from lm import CONTEXT_SIZE, LAYER, WORK, load_model, load_tokenizer
from transformers import PreTrainedModel, PreTrainedTokenizerBase

SEQUENCES_PER_SHARD = 256
HELD_OUT_SHARE = 0.03
SINK_NORM_RATIO = 5.0
log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Shard:
    activations: torch.Tensor  # [positions, d_in], bfloat16
    tokens: torch.Tensor  # [positions]
    starts: torch.Tensor  # [sequences], offset of each sequence
    keep: torch.Tensor  # [positions], bool


def is_held_out(sequence: list[int]) -> bool:
    """By a hash of the content, so that no later change of the mix moves text between training and test."""
    digest = hashlib.sha256(str(sequence).encode()).digest()
    return int.from_bytes(digest[:4], "big") < HELD_OUT_SHARE * 2**32


QUESTIONS = {
    "wordnet": ("What does '{head}' mean?", "Define {head}.", "Explain the word {head}."),
    "facts": ("Tell me something interesting.", "Do you know a fun fact?", "What did you learn today?"),
    "fortunes": ("Say something witty.", "Give me a quote.", "What do you think?"),
    "wikipedia": ("Write about this topic.", "Tell me more.", "Give me some background."),
    "films": ("What is the film about?", "Write a short film review."),
}


def free_text_sequences(tokenizer: PreTrainedTokenizerBase, sources: Path, seed: int = 0) -> list[list[int]]:
    """Short documents share a sequence, long ones fill several; two in five are put into a chat as its answer."""
    rng = random.Random(seed)
    sequences: list[list[int]] = []
    pending: dict[str, list[int]] = {}
    separator = tokenizer.encode("\n\n", add_special_tokens=False)
    for source, text in corpus.documents(sources, seed):
        if source in QUESTIONS and len(text) < 1500 and rng.random() < 0.4:
            question = rng.choice(QUESTIONS[source]).format(head=text.partition(":")[0])
            chat = [{"role": "user", "content": question}, {"role": "assistant", "content": text}]
            rendered = tokenizer.apply_chat_template(chat, tokenize=False)
            sequences.append(tokenizer.encode(rendered, add_special_tokens=False)[:CONTEXT_SIZE])
            continue
        tokens = pending.get(source, []) + tokenizer.encode(text, add_special_tokens=False) + separator
        while len(tokens) >= CONTEXT_SIZE:
            sequences.append(tokens[:CONTEXT_SIZE])
            tokens = tokens[CONTEXT_SIZE:]
        pending[source] = tokens
    rng.shuffle(sequences)
    return sequences


def chat_sequences(folder: Path) -> list[list[int]]:
    return [chat[:CONTEXT_SIZE] for path in sorted(folder.glob("*.pt")) for chat in torch.load(path)]


@torch.inference_mode()
def residuals(model: PreTrainedModel, sequences: list[list[int]], batch_size: int = 16) -> list[torch.Tensor]:
    """The residual stream after block LAYER for every position of every sequence, batched by length.

    Padding is on the right, where causal attention never looks, so no mask is needed.
    """
    captured: list[torch.Tensor] = []

    def capture(_module: torch.nn.Module, _inputs: object, output: torch.Tensor | tuple[torch.Tensor, ...]) -> None:
        captured.append(output if isinstance(output, torch.Tensor) else output[0])

    handle = model.model.layers[LAYER].register_forward_hook(capture)
    result: list[torch.Tensor] = [torch.empty(0)] * len(sequences)
    order = sorted(range(len(sequences)), key=lambda index: len(sequences[index]))
    try:
        for begin in range(0, len(order), batch_size):
            rows = order[begin : begin + batch_size]
            width = max(len(sequences[row]) for row in rows)
            ids = torch.tensor([sequences[row] + [0] * (width - len(sequences[row])) for row in rows])
            model.model(input_ids=ids, use_cache=False)
            for row, values in zip(rows, captured.pop(), strict=True):
                result[row] = values[: len(sequences[row])].to(torch.bfloat16).clone()
    finally:
        handle.remove()
    return result


def make_shard(model: PreTrainedModel, sequences: list[list[int]]) -> Shard:
    per_sequence = residuals(model, sequences)
    activations = torch.cat(per_sequence)
    lengths = torch.tensor([len(sequence) for sequence in sequences])
    starts = lengths.cumsum(0) - lengths
    norms = activations.float().norm(dim=-1)
    keep = norms < SINK_NORM_RATIO * norms.median()
    keep[starts] = False
    tokens = torch.tensor([token for sequence in sequences for token in sequence], dtype=torch.int32)
    return Shard(activations, tokens, starts, keep)


def save_shard(shard: Shard, path: Path) -> None:
    scratch = path.with_suffix(".tmp")
    torch.save({name: getattr(shard, name) for name in Shard.__slots__}, scratch)
    scratch.rename(path)


def load_shard(path: Path) -> Shard:
    return Shard(**torch.load(path, mmap=True))


def truncated_model(dtype: torch.dtype = torch.bfloat16) -> PreTrainedModel:
    """The model without the blocks after the hook: they would be computed for nothing."""
    model = load_model(dtype)
    model.model.layers = model.model.layers[: LAYER + 1]
    return model


def extract(
    model: PreTrainedModel, sequences: list[list[int]], folder: Path, name: str, limit: int | None = None
) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    kept = [sequence for sequence in sequences if len(sequence) > 8 and not is_held_out(sequence)]
    for index, begin in enumerate(range(0, len(kept), SEQUENCES_PER_SHARD)):
        path = folder / f"{name}-{index:04}.pt"
        if path.exists():
            continue
        if limit is not None and index >= limit:
            break
        started = time.monotonic()
        shard = make_shard(model, kept[begin : begin + SEQUENCES_PER_SHARD])
        save_shard(shard, path)
        log.info(
            "activations:cached", shard=path.stem, of=-(-len(kept) // SEQUENCES_PER_SHARD), tokens=len(shard.tokens),
            kept=int(shard.keep.sum()), seconds=round(time.monotonic() - started, 1),
        )  # fmt: skip


def all_sequences() -> dict[str, list[list[int]]]:
    """Every sequence by kind, held-out ones included; the free text is tokenised once and kept on disk."""
    cached = WORK / "free-text.pt"
    if not cached.exists():
        if not (WORK / "sources").exists():
            corpus.download(WORK / "sources")
        torch.save(free_text_sequences(load_tokenizer(), WORK / "sources"), cached)
    return {"free": torch.load(cached), "chat": chat_sequences(WORK / "chat")}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kinds", nargs="+", default=["free", "chat"], choices=["free", "chat"])
    parser.add_argument("--limit", type=int, help="shards of each kind at most")
    arguments = parser.parse_args()
    sequences = all_sequences()
    model = truncated_model()
    for kind in arguments.kinds:
        extract(model, sequences[kind], WORK / "activations", kind, arguments.limit)


if __name__ == "__main__":
    main()
