"""A CUDA graph without CUDA: the tensor operations of a step, done again on the very same memory.

As in a graph, Python runs once, views keep pointing where they pointed, results land where they landed, and whatever
would wait for the device or bring data from the host is an error.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten

T = TypeVar("T")
aten = torch.ops.aten
FORBIDDEN = {
    aten._local_scalar_dense.default: "reads a number from the device",
    aten.lift_fresh.default: "brings a tensor from the host",
    aten.nonzero.default: "asks the device for a shape",
    aten.masked_select.default: "asks the device for a shape",
}


class OperationRecorder:
    """The engine's `Recorder`, on the CPU."""

    def __init__(self) -> None:
        self.recorded = 0

    def record(self, step: Callable[[], T]) -> tuple[T, Callable[[], None]]:
        step()  # as CudaRecorder does: whatever is set up at first use
        tape = Tape()
        with tape:
            result = step()
        self.recorded += 1
        return result, tape.replay


class Tape(TorchDispatchMode):
    def __init__(self) -> None:
        super().__init__()
        self.operations: list[tuple[Any, tuple[Any, ...], dict[str, Any], list[torch.Tensor]]] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func in FORBIDDEN:
            raise RuntimeError(f"{func} {FORBIDDEN[func]}: not while recording")
        result = func(*args, **kwargs)
        given = {storage(t) for t in tensors_of((args, kwargs))}
        made = [t for t in tensors_of(result) if storage(t) not in given]
        if made or func._schema.is_mutable:
            self.operations.append((func, args, kwargs, made))
        return result

    def replay(self) -> None:
        with torch.inference_mode():
            for func, args, kwargs, made in self.operations:
                again = tensors_of(func(*args, **kwargs))
                for old, new in zip(made, again if made else (), strict=True):
                    old.copy_(new)


def tensors_of(tree: Any) -> list[torch.Tensor]:
    return [leaf for leaf in tree_flatten(tree)[0] if isinstance(leaf, torch.Tensor)]


def storage(tensor: torch.Tensor) -> int:
    """What names the tensor's memory; a packed weight has none that could be asked for, and is never written."""
    return tensor.untyped_storage().data_ptr() if tensor.layout is torch.strided else id(tensor)
