"""Sentence vectors from a causal LM: batched, pooled over real tokens only, never steered."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from transformers import PreTrainedModel

BATCH_TOKENS = 4096


def embed(
    model: PreTrainedModel, inputs: Sequence[Sequence[int]], *, pooling: str, normalize: bool
) -> list[list[float]]:
    """Token ids per text → one vector `[hidden]` per text, in order. Similar lengths share a batch, padded on the
    right,
    so the same text gives the same vector alone and in company (up to rounding)."""
    vectors: list[list[float]] = [[]] * len(inputs)
    for group in batches([len(ids) for ids in inputs]):
        for place, vector in zip(
            group, _embed_batch(model, [inputs[i] for i in group], pooling, normalize), strict=True
        ):
            vectors[place] = vector
    return vectors


def batches(lengths: Sequence[int]) -> list[list[int]]:
    """Indices grouped by length so that rows × longest stays within BATCH_TOKENS."""
    groups: list[list[int]] = []
    for index in sorted(range(len(lengths)), key=lambda i: lengths[i]):
        if groups and (len(groups[-1]) + 1) * lengths[index] <= BATCH_TOKENS:
            groups[-1].append(index)
        else:
            groups.append([index])
    return groups


def _embed_batch(
    model: PreTrainedModel, inputs: Sequence[Sequence[int]], pooling: str, normalize: bool
) -> list[list[float]]:
    longest = max(len(ids) for ids in inputs)
    ids = torch.zeros((len(inputs), longest), dtype=torch.long)
    mask = torch.zeros((len(inputs), longest), dtype=torch.long)
    for row, tokens in enumerate(inputs):
        ids[row, : len(tokens)] = torch.tensor(list(tokens))
        mask[row, : len(tokens)] = 1
    ids, mask = ids.to(model.device), mask.to(model.device)
    base = getattr(model, model.base_model_prefix, model)
    with torch.inference_mode():
        hidden = base(input_ids=ids, attention_mask=mask, use_cache=False).last_hidden_state.float()
    match pooling:
        case "last":
            pooled = hidden[torch.arange(len(inputs)), mask.sum(1) - 1]
        case "cls":
            pooled = hidden[:, 0]
        case _:
            pooled = (hidden * mask[..., None]).sum(1) / mask.sum(1, keepdim=True)
    if normalize:
        pooled = torch.nn.functional.normalize(pooled, dim=-1)
    result: list[list[float]] = pooled.cpu().tolist()
    return result
