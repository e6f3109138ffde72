"""The encoder columns of some features: what is left of an SAE when only these are asked for."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Columns:
    """`W [B, C, d_in]` and per-column parameters `[B, C]`; B is the number of rows, or 1 where all rows share a set.

    With `group > 1` each asked feature brings its whole group, and `within [B, F]` says which member it is.
    """

    W: Tensor
    b_enc: Tensor | None = None
    threshold: Tensor | None = None
    b_gate: Tensor | None = None
    b_mag: Tensor | None = None
    r_mag: Tensor | None = None
    group: int = 1
    within: Tensor | None = None

    def activate(self, prepared: Tensor) -> Tensor:
        """Activations `[rows, T, F]` from encoder inputs `[rows, T, d_in]`."""
        return self.values(F.linear(prepared, self.W[0]) if self.W.shape[0] == 1 else torch.matmul(prepared, self.W.mT))

    def values(self, z: Tensor) -> Tensor:
        """Activations from the products with the columns, `[rows, T, C]`."""
        if self.b_gate is not None and self.b_mag is not None and self.r_mag is not None:
            gate = z + self.b_gate.unsqueeze(1) > 0
            return F.relu(z * self.r_mag.exp().unsqueeze(1) + self.b_mag.unsqueeze(1)) * gate
        if self.b_enc is not None:
            z = z + self.b_enc.unsqueeze(1)
        if self.group > 1:
            return self._group_winners(z)
        # Strictly above, and the relu stays: a negative threshold lets no negative value through.
        return F.relu(z) if self.threshold is None else F.relu(z) * (z > self.threshold.unsqueeze(1))

    def _group_winners(self, z: Tensor) -> Tensor:
        assert self.within is not None
        groups = z.reshape(*z.shape[:-1], -1, self.group)
        within = self.within.unsqueeze(1).unsqueeze(-1).expand(*groups.shape[:-1], 1)
        own = groups.gather(-1, within).squeeze(-1)
        return F.relu(own) * (own >= groups.amax(dim=-1))
