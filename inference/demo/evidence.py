"""What each feature fires on and what it promotes: one pass over the cached activations, one over the decoder rows."""

from dataclasses import dataclass
from pathlib import Path

import activations as cache
import torch
from lm import LAYER, editing
from sae_lens import SAE
from transformers import DynamicCache, PreTrainedModel

BEFORE, AFTER = 9, 4
PROMOTING_STRENGTH = 60.0


@dataclass(slots=True)
class Evidence:
    count: torch.Tensor  # [features]
    total: torch.Tensor  # [features]
    top_value: torch.Tensor  # [features, kept examples], best first
    top_position: torch.Tensor  # [features, kept examples], index into `tokens`; -1 where there is none
    tokens: torch.Tensor  # [positions], of all shards
    starts: torch.Tensor  # [sequences], offsets into `tokens`
    positions: int  # how many were encoded


@torch.inference_mode()
def collect(sae: SAE, shards: list[Path], examples: int = 32, chunk: int = 4096) -> Evidence:
    d_sae = sae.cfg.d_sae
    count, total = torch.zeros(d_sae), torch.zeros(d_sae)
    best = torch.zeros(d_sae, examples)
    where = torch.full((d_sae, examples), -1)
    tokens, starts, offset, positions = [], [], 0, 0
    for path in shards:
        shard = cache.load_shard(path)
        learnable = shard.keep.nonzero()[:, 0]
        for begin in range(0, len(learnable), chunk):
            rows = learnable[begin : begin + chunk]
            features = sae.encode(shard.activations[rows].float())
            count += (features > 0).sum(0)
            total += features.sum(0)
            value, index = torch.topk(features.T, min(examples, len(rows)), dim=-1)
            value = torch.cat([best, value], dim=1)
            index = torch.cat([where, rows[index] + offset], dim=1)
            best, order = torch.topk(value, examples, dim=-1)
            where = index.gather(1, order)
        tokens.append(shard.tokens)
        starts.append(shard.starts + offset)
        offset += len(shard.tokens)
        positions += len(learnable)
    where[best <= 0] = -1
    return Evidence(count, total, best, where, torch.cat(tokens), torch.cat(starts), positions)


@torch.inference_mode()
def promoted(
    sae: SAE, model: PreTrainedModel, prefixes: list[list[int]], tokens: int = 12, batch_size: int = 256
) -> torch.Tensor:
    """Ids of the tokens made likelier by adding each feature at the last token of neutral prefixes [features, tokens].

    The logit lens (final norm and unembedding right after block 15) says little so early in this model, so the vector
    goes through the blocks that follow. Tokens are ranked by √p · log(p / mean of p).
    """
    score = torch.zeros(sae.cfg.d_sae, model.config.vocab_size)
    for prefix in prefixes:
        probabilities = []
        for begin in range(0, sae.cfg.d_sae, batch_size):
            rows = sae.W_dec[begin : begin + batch_size]
            cache_ = DynamicCache(config=model.config)
            model(input_ids=torch.tensor([prefix[:-1]]), past_key_values=cache_)
            cache_.batch_repeat_interleave(len(rows))
            added = (PROMOTING_STRENGTH * rows)[:, None].to(model.dtype)
            with editing(model.model.layers[LAYER], lambda hidden, add=added: hidden + add):
                last = torch.full((len(rows), 1), prefix[-1])
                logits = model(input_ids=last, past_key_values=cache_).logits[:, -1]
            probabilities.append(logits.float().softmax(-1))
        p = torch.cat(probabilities)
        score += p.sqrt() * (p / p.mean(0)).log()
    return torch.topk(score, tokens, dim=-1).indices


@dataclass(frozen=True, slots=True)
class Context:
    tokens: list[int]
    values: list[float]
    peak: int
    position: int


@torch.inference_mode()
def contexts(
    evidence: Evidence, sae: SAE, shards: list[Path], wanted: dict[int, list[int]]
) -> dict[int, list[Context]]:
    """Windows around the wanted positions of each feature, with the feature's value at every token of the window."""
    values = torch.cat([cache.load_shard(path).activations for path in shards])
    result: dict[int, list[Context]] = {}
    for feature, positions in wanted.items():
        bias = sae.b_enc[feature] - sae.b_dec @ sae.W_enc[:, feature]
        result[feature] = []
        for position in positions:
            row = int(torch.searchsorted(evidence.starts, torch.tensor(position), right=True)) - 1
            start = int(evidence.starts[row])
            stop = int(evidence.starts[row + 1]) if row + 1 < len(evidence.starts) else len(evidence.tokens)
            begin, end = max(start, position - BEFORE), min(stop, position + AFTER + 1)
            hidden = values[begin:end].float() @ sae.W_enc[:, feature] + bias
            hidden = torch.where(hidden > sae.threshold[feature], hidden, torch.zeros_like(hidden)).relu()
            if begin == start:
                hidden[0] = 0.0  # the first position is an attention sink, where no feature means anything
            result[feature].append(
                Context(evidence.tokens[begin:end].tolist(), hidden.tolist(), position - begin, position)
            )
    return result
