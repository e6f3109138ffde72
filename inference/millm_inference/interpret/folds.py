"""Rewriting an SAE into an equal one: same support and reconstruction, other units."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from millm_inference.interpret.sae import Sae


def fold_activation_norm(sae: Sae) -> Sae:
    """The constant input scale s₀ moves into the weights: the same features for raw inputs, rows in model space.

    Biases of the encoder and thresholds stay, since pre-activations do not change.
    """
    assert sae.normalization == "expected_average_only_in"
    assert sae.norm_scaling_factor is not None
    s = sae.norm_scaling_factor
    return replace(
        sae,
        W_enc=sae.W_enc * s,
        W_dec=sae.W_dec / s,
        b_dec=sae.b_dec / s,
        normalization="none",
        norm_scaling_factor=None,
    )


def fold_decoder_norm(sae: Sae) -> Sae:
    """Unit decoder rows; activations multiplied by the row's former length. Zero rows stay as they are."""
    if sae.architecture == "groupmax" or (sae.architecture == "topk" and not sae.rescale_acts_by_decoder_norm):
        raise ValueError(f"folding the decoder norm would change which features a {sae.architecture} SAE selects")
    norm = torch.where(sae.decoder_norm > 0, sae.decoder_norm, 1.0)

    def scaled(tensor: Tensor | None) -> Tensor | None:
        return None if tensor is None else tensor * norm

    return replace(
        sae,
        W_dec=sae.W_dec / norm.unsqueeze(-1),
        W_enc=sae.W_enc * norm,
        b_enc=scaled(sae.b_enc),
        threshold=scaled(sae.threshold),
        b_gate=scaled(sae.b_gate),
        b_mag=scaled(sae.b_mag),
    )
