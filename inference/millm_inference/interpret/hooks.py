"""Hooks on modules for the length of one forward pass: tensors in, tensors out, removed whatever happens."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

Change = Callable[[Tensor], Tensor | None]
"""A hidden state to the one that replaces it, or None to leave it alone."""


@contextmanager
def installed(hooks: Iterable[tuple[nn.Module, str, Change]]) -> Iterator[None]:
    """Each hook sits at the `input` or the `output` of its module; hooks of one place run in the order given."""
    handles = []
    try:
        for module, side, change in hooks:
            if side == "input":
                handles.append(module.register_forward_pre_hook(_on_input(change), with_kwargs=True))
            else:
                handles.append(module.register_forward_hook(_on_output(change)))
        yield
    finally:
        for handle in handles:
            handle.remove()


def _on_input(change: Change) -> Callable[..., Any]:
    def hook(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        if args and isinstance(args[0], Tensor):
            changed = change(args[0])
            return None if changed is None else ((changed, *args[1:]), kwargs)
        by_name = "hidden_states" if "hidden_states" in kwargs else None
        name = by_name or next((name for name, value in kwargs.items() if _is_hidden(value)), None)
        if name is None:
            raise RuntimeError(f"{type(module).__name__} was called without a hidden state")
        changed = change(kwargs[name])
        return None if changed is None else (args, {**kwargs, name: changed})

    return hook


def _on_output(change: Change) -> Callable[..., Any]:
    def hook(module: nn.Module, args: Any, output: Any) -> Any:
        if isinstance(output, Tensor):
            return change(output)
        if not (isinstance(output, (tuple, list)) and output and isinstance(output[0], Tensor)):
            raise RuntimeError(f"{type(module).__name__} returned {type(output).__name__}, not a hidden state")
        changed = change(output[0])
        return None if changed is None else type(output)((changed, *output[1:]))

    return hook


def _is_hidden(value: Any) -> bool:
    return isinstance(value, Tensor) and torch.is_floating_point(value) and value.ndim >= 2
