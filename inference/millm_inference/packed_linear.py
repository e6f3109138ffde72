"""Linear layers whose float32 weights lie in oneDNN's own blocked layout, for decoding on a CPU.

A decode step multiplies every weight matrix with a handful of rows. Over row-major weights that product repacks, or
runs at a fraction of the memory's bandwidth; over weights packed once at load it costs about the same for one row as
for eight. This is what torch.compile's freezing does with a model's weights (`mkldnn_fusion`), without a compiler.
"""

from __future__ import annotations

import structlog
import torch
from torch import Tensor, nn
from transformers.pytorch_utils import Conv1D

log = structlog.get_logger()

TOLERANCE = 1e-4
"""Largest difference from `F.linear`, relative to the largest output, at which packed weights are used at all."""


class PackedLinear(nn.Linear):
    """`y = x Wᵀ + b` with `x [..., in]`, `W [out, in]`. Inference only: its weight is no parameter."""

    def __init__(self, weight: Tensor, bias: Tensor | None) -> None:
        nn.Module.__init__(self)
        self.out_features, self.in_features = weight.shape
        self.register_parameter("bias", None if bias is None else nn.Parameter(bias, requires_grad=False))
        self._packed = _lay_out(weight)

    @property
    def weight(self) -> Tensor:  # type: ignore[override]
        """A copy, `[out, in]`, unpacked on every call."""
        dense: Tensor = self._packed.to_dense()
        return dense

    def forward(self, x: Tensor) -> Tensor:
        return multiply(x, self._packed, self.bias)


def pack(weight: Tensor) -> Tensor | None:
    """`weight [out, in]` in oneDNN's layout, for `multiply`; None where it cannot be, or would not be the same."""
    return _lay_out(weight) if _fits(weight) and _agrees() else None


def multiply(x: Tensor, packed: Tensor, bias: Tensor | None = None) -> Tensor:
    """`x Wᵀ + b` with `x [..., in]`."""
    y: Tensor = torch.ops.mkldnn._linear_pointwise(x, packed, bias, "none", [], "")
    return y


def pack_linears(model: nn.Module) -> int:
    """Replace every float32 `nn.Linear` and GPT-2 `Conv1D` on a CPU in place → how many. Where this machine's oneDNN
    cannot, or does not agree with `F.linear`, none is replaced."""
    if not _agrees():
        return 0
    found = [(name, module) for name, module in model.named_modules() if _packable(module)]
    for name, module in found:
        assert isinstance(module.weight, Tensor)
        weight = module.weight.t() if isinstance(module, Conv1D) else module.weight
        packed = PackedLinear(weight, module.bias)  # type: ignore[arg-type]
        packed.train(module.training)
        model.set_submodule(name, packed)
    return len(found)


def _packable(module: nn.Module) -> bool:
    return type(module) in (nn.Linear, Conv1D) and isinstance(module.weight, Tensor) and _fits(module.weight)


def _fits(weight: Tensor) -> bool:
    return weight.dtype == torch.float32 and weight.device.type == "cpu"


def _lay_out(weight: Tensor) -> Tensor:
    with torch.inference_mode():
        packed: Tensor = torch.ops.mkldnn._reorder_linear_weight(weight.detach().contiguous())
    return packed


def _agrees() -> bool:
    if not torch.backends.mkldnn.is_available():  # type: ignore[no-untyped-call]
        return False
    generator = torch.Generator().manual_seed(0)
    x, weight = (torch.randn(rows, 72, generator=generator) for rows in (3, 40))
    try:
        got = PackedLinear(weight, None)(x)
    except (RuntimeError, AttributeError) as error:
        log.info("model:weights-not-packed", reason=str(error).split("\n")[0])
        return False
    expected = nn.functional.linear(x, weight)
    return bool((got - expected).abs().max() <= TOLERANCE * expected.abs().max())
