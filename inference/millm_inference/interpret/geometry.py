"""What the weights alone say of one feature: the tokens its decoder row promotes, and the features that point its way.

A row reaches the logits through the final norm, whose size depends on the text; its direction does not. So the value of
a token is its unembedding dotted with `gain ⊙ d̂`, d̂ the unit decoder row (centred first where the norm is a LayerNorm):
what one unit of d̂ adds to the token's logit, up to that common size.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from millm_inference.interpret.blocks import find_blocks
from millm_inference.interpret.places import resolve
from millm_inference.interpret.sae import Sae

FINAL_NORM = ("norm", "ln_f", "final_layer_norm", "final_layernorm")


@dataclass(frozen=True, slots=True)
class Geometry:
    decoder_norm: float
    promoted: list[tuple[int, float]]  # token id, value; strongest first
    suppressed: list[tuple[int, float]]
    nearest: list[tuple[int, float]]  # feature, cosine


@torch.inference_mode()
def describe_feature(model: Any, sae: Sae, index: int, top_k: int = 10) -> Geometry:
    unit = sae.unit_rows(torch.tensor([index], device=sae.W_dec.device))[0]
    cosines = (sae.W_dec @ unit) / torch.where(sae.decoder_norm > 0, sae.decoder_norm, 1.0)
    cosines[index] = -torch.inf
    logits = _logits(model, _in_residual(model, sae, unit))
    return Geometry(
        decoder_norm=float(sae.decoder_norm[index]),
        promoted=_strongest(logits, top_k),
        suppressed=[(token, -value) for token, value in _strongest(-logits, top_k)],
        nearest=_strongest(cosines, min(top_k, sae.d_sae - 1)),
    )


def _in_residual(model: nn.Module, sae: Sae, vector: Tensor) -> Tensor:
    """What is written before a projection (hook_z, hook_post) reaches the residual stream through it."""
    hook = sae.hook_out or sae.hook
    if hook is None:
        return vector
    place = resolve(model, hook)
    module = model.get_submodule(place.module)
    if place.side == "output" or not (isinstance(module, nn.Linear) or type(module).__name__ == "Conv1D"):
        return vector
    return _linear(module, vector)


def _logits(model: Any, vector: Tensor) -> Tensor:
    norm = _final_norm(model)
    if isinstance(norm, nn.LayerNorm):
        vector = vector - vector.mean()
        return _linear(model.get_output_embeddings(), vector if norm.weight is None else vector * norm.weight)
    # An RMS norm maps ones to its gain, whether it stores the gain or (Gemma) the gain less one.
    gain = 1.0 if norm is None else norm(torch.ones_like(vector, dtype=model.dtype))
    return _linear(model.get_output_embeddings(), vector * gain)


def _final_norm(model: nn.Module) -> nn.Module | None:
    blocks = find_blocks(model)
    owner = model.get_submodule(blocks.path.rpartition(".")[0]) if blocks else model
    return next((m for name in FINAL_NORM if isinstance(m := getattr(owner, name, None), nn.Module)), None)


def _linear(module: nn.Module, vector: Tensor) -> Tensor:
    """The linear part of `module`, whatever its weights are stored as."""
    dtype = next((p.dtype for p in module.parameters() if p.is_floating_point()), vector.dtype)
    both = torch.stack([vector, torch.zeros_like(vector)]).to(dtype)
    image: Tensor = module(both).to(vector.dtype)
    return image[0] - image[1]


def _strongest(values: Tensor, count: int) -> list[tuple[int, float]]:
    top = values.topk(min(count, values.shape[0]))
    return list(zip(top.indices.tolist(), top.values.tolist(), strict=True))
