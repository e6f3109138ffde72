"""The name of what an SAE computes, for whoever must know whether two are the same."""

from __future__ import annotations

import hashlib
import json
from dataclasses import fields

from torch import Tensor

from millm_inference.interpret.sae import Sae


def content_hash(sae: Sae) -> str:
    """Names what the SAE computes: tensors and flags, not where it lay or hangs."""
    digest = hashlib.sha256()
    flags = (sae.architecture, sae.normalization, sae.apply_b_dec_to_input, sae.k, sae.rescale_acts_by_decoder_norm)
    digest.update(json.dumps(flags).encode())
    for field in fields(sae):
        value = getattr(sae, field.name)
        if field.init and isinstance(value, Tensor):
            digest.update(f"{field.name}{tuple(value.shape)}".encode())
            # The encoder lies feature by feature: hash it as it lies, without a copy.
            laid = value.T if field.name == "W_enc" else value
            digest.update(laid.contiguous().cpu().numpy().data.cast("B"))
    return digest.hexdigest()
