"""A sparse autoencoder as plain tensors, exact for every architecture served.

Knows shapes and formulas; must not know files, hooks, requests or Hugging Face. Nothing is stored between calls.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields, replace
from typing import Literal, get_args

import torch
from torch import Tensor
from torch.nn import functional as F

from millm_inference.contract import FeatureStrength, SaeQuality
from millm_inference.interpret.columns import Columns
from millm_inference.interpret.norms import Normalization, NormState, denormalize, normalize
from millm_inference.packed_linear import multiply, pack

Architecture = Literal[
    "standard",
    "jumprelu",
    "topk",
    "groupmax",
    "gated",
    "transcoder",
    "jumprelu_transcoder",
    "skip_transcoder",
    "jumprelu_skip_transcoder",
]
ARCHITECTURES: tuple[str, ...] = get_args(Architecture)
PACKED_BYTES = 256 << 20
PER_FEATURE = ("b_enc", "threshold", "b_gate", "b_mag", "r_mag")


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Sae:
    """`W_enc [d_in, n]` (laid out feature by feature), `W_dec [n, d_out]`, `b_dec [d_out]`; the rest is `[n]`."""

    architecture: Architecture
    W_enc: Tensor
    W_dec: Tensor
    b_dec: Tensor
    b_enc: Tensor | None = None
    threshold: Tensor | None = None
    b_gate: Tensor | None = None
    b_mag: Tensor | None = None
    r_mag: Tensor | None = None
    W_skip: Tensor | None = None
    k: int | None = None
    rescale_acts_by_decoder_norm: bool = False
    apply_b_dec_to_input: bool = False
    normalization: Normalization = "none"
    norm_scaling_factor: float | None = None

    # Where it comes from and where it belongs.
    hook: str | None = None
    hook_out: str | None = None
    layer: int | None = None
    model: str | None = None
    neuronpedia_id: str | None = None
    path: str = ""
    format: str = ""
    size_bytes: int = 0
    content_hash: str = ""
    encodes_exactly: bool = True
    """False where the file lost a tensor the encoder needs: activations are approximate."""
    warnings: tuple[str, ...] = ()
    unknown_keys: tuple[str, ...] = ()
    quality: SaeQuality | None = None
    strengths: tuple[FeatureStrength, ...] = ()
    """What somebody measured to work, at most one for a feature."""

    decoder_norm: Tensor = field(init=False)
    packed: Tensor | None = field(init=False, default=None)
    """The encoder once more, as `packed_linear` lays it out."""

    def __post_init__(self) -> None:
        by_feature = self.W_enc.T.contiguous().T
        object.__setattr__(self, "W_enc", by_feature)
        object.__setattr__(self, "decoder_norm", self.W_dec.norm(dim=-1))

    @property
    def d_in(self) -> int:
        return self.W_enc.shape[0]

    @property
    def d_sae(self) -> int:
        return self.W_enc.shape[1]

    @property
    def d_out(self) -> int:
        return self.W_dec.shape[1]

    @property
    def is_transcoder(self) -> bool:
        """Reads one hook and writes another (sparsify's select by top-k, so the architecture alone does not tell)."""
        return self.architecture.endswith("transcoder") or self.hook_out is not None

    @property
    def selects(self) -> bool:
        """Features compete, so no feature's value follows from its own column alone."""
        return self.architecture in ("topk", "groupmax")

    @property
    def memory_bytes(self) -> int:
        copy = 0 if self.packed is None else self.W_enc.nbytes
        return sum(t.nbytes for t in self._tensors().values()) + self.decoder_norm.nbytes + copy

    def to(self, device: torch.device | str | None = None, dtype: torch.dtype | None = None) -> Sae:
        moved = {name: t.to(device=device, dtype=dtype) for name, t in self._tensors().items()}
        return replace(self, **moved)  # type: ignore[arg-type]

    def for_batches(self) -> Sae:
        """The same, reading every feature of several rows in little more time than of one, on a CPU; that takes a
        second copy of the encoder, and so is left to those of at most `PACKED_BYTES`."""
        if self.W_enc.nbytes > PACKED_BYTES or (packed := pack(self.W_enc.T)) is None:
            return self
        copy = replace(self)
        object.__setattr__(copy, "packed", packed)
        return copy

    def _tensors(self) -> dict[str, Tensor]:
        names = (f.name for f in fields(self) if f.init)
        return {name: value for name in names if isinstance(value := getattr(self, name), Tensor)}

    # Encoding

    def prepare(self, x: Tensor) -> tuple[Tensor, NormState]:
        """The encoder's input: upcast, normalised, then centred (in that order)."""
        x, state = normalize(x.to(self.W_enc.dtype), self.normalization, self.norm_scaling_factor)
        return (x - self.b_dec if self.apply_b_dec_to_input else x), state

    def preactivations(self, prepared: Tensor) -> Tensor:
        """`z` of all features; where they are ranked by scaled values, scaled."""
        z = self._project(prepared, self.b_enc)
        return z * self.decoder_norm if self.rescale_acts_by_decoder_norm else z

    def _project(self, prepared: Tensor, bias: Tensor | None = None) -> Tensor:
        if self.packed is not None:
            return multiply(prepared, self.packed, bias)
        return F.linear(prepared, self.W_enc.T, bias)

    def select(self, z: Tensor) -> Tensor:
        """Activations of all features from their pre-activations, where they compete."""
        assert self.k is not None
        if self.architecture == "topk":
            return F.relu(z) * (z >= _kth_largest(z, self.k))
        groups = z.reshape(*z.shape[:-1], self.k, -1)
        return (F.relu(groups) * (groups >= groups.amax(dim=-1, keepdim=True))).flatten(-2)

    def encode(self, x: Tensor) -> tuple[Tensor, NormState]:
        prepared, state = self.prepare(x)
        if self.selects:
            return self.select(self.preactivations(prepared)), state
        flat = prepared.reshape(1, -1, self.d_in)
        return self._all_columns().values(self._project(flat)).reshape(*x.shape[:-1], self.d_sae), state

    def columns(self, indices: Tensor) -> Columns:
        """The encoder of the features `indices [B, F]`, one set per row (B = 1: shared by all rows)."""
        group = self.d_sae // self.k if self.architecture == "groupmax" and self.k else 1
        members = indices
        if group > 1:
            start = (indices // group * group).unsqueeze(-1)
            members = (start + torch.arange(group, device=indices.device)).flatten(-2)
        gathered = {name: t[members] for name in PER_FEATURE if (t := getattr(self, name)) is not None}
        return Columns(W=self.W_enc.T[members], group=group, within=indices % group, **gathered)

    def partial_encode(self, x: Tensor, indices: Tensor) -> tuple[Tensor, NormState]:
        """`encode(x)[..., indices]`, without computing the rest where the architecture allows it."""
        prepared, state = self.prepare(x)
        if self.architecture == "topk":
            return self.select(self.preactivations(prepared))[..., indices], state
        flat = prepared.reshape(1, -1, self.d_in)
        return self.columns(indices.unsqueeze(0)).activate(flat).reshape(*x.shape[:-1], len(indices)), state

    def _all_columns(self) -> Columns:
        given = {name: t.unsqueeze(0) for name in PER_FEATURE if (t := getattr(self, name)) is not None}
        return Columns(W=self.W_enc.T.unsqueeze(0), **given)

    # Decoding

    def decode(self, f: Tensor, state: NormState, x: Tensor | None = None) -> Tensor:
        """The reconstruction in the space of the hook written to; `x`, the raw input, is for skip transcoders."""
        if self.rescale_acts_by_decoder_norm:
            f = f / _nonzero(self.decoder_norm)
        y = f @ self.W_dec + self.b_dec
        if self.W_skip is not None:
            assert x is not None, "a skip transcoder decodes with its raw input"
            return y + x.to(y.dtype) @ self.W_skip.T
        return y if self.is_transcoder else denormalize(y, state)

    def activation_rows(self, indices: Tensor) -> Tensor:
        """What one unit of activation writes, before the per-token scale: rows, of length 1 where `f` is scaled."""
        return self.unit_rows(indices) if self.rescale_acts_by_decoder_norm else self.W_dec[indices]

    def unit_rows(self, indices: Tensor) -> Tensor:
        return self.W_dec[indices] / _nonzero(self.decoder_norm[indices]).unsqueeze(-1)


def _kth_largest(z: Tensor, k: int) -> Tensor:
    return z.topk(min(k, z.shape[-1]), dim=-1).values[..., -1:]


def _nonzero(norm: Tensor) -> Tensor:
    return torch.where(norm > 0, norm, 1.0)
