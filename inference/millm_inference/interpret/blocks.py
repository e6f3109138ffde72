"""The parts of a Hugging Face decoder block, found by the modules that are there, never by a model's name."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from torch import nn

ATTENTION = ("self_attn", "attn", "attention", "self_attention")
MLP = ("mlp", "feed_forward", "ffn", "block_sparse_moe")
OUT_PROJECTION = ("o_proj", "c_proj", "dense", "out_proj")
DOWN_PROJECTION = ("down_proj", "c_proj", "dense_4h_to_h", "fc2")
FIRST_NORM = ("input_layernorm", "ln_1", "self_attn_layer_norm")
SECOND_NORM = ("post_attention_layernorm", "ln_2", "final_layer_norm")
EMBEDDING = ("embed_tokens", "wte", "embed_in", "word_embeddings")


@dataclass(frozen=True, slots=True)
class Part:
    """One side of a module, by its path inside the model."""

    path: str
    side: str  # "input" or "output"


@dataclass(frozen=True, slots=True)
class Blocks:
    """Where the decoder's blocks lie: `path.0 … path.{count-1}`, and the token embedding."""

    path: str
    count: int
    embedding: str | None

    def block(self, layer: int) -> str:
        return f"{self.path}.{layer}"


@dataclass(frozen=True, slots=True)
class BlockParts:
    """The hook places of one block; None where this architecture has no such tensor."""

    path: str
    attn_out: Part | None
    mlp_out: Part | None
    resid_mid: Part | None
    z: Part | None
    mlp_in: Part | None
    mlp_post: Part | None
    first_norm: str | None
    second_norm: str | None
    parallel: bool


def find_blocks(model: nn.Module) -> Blocks | None:
    count = getattr(text_config(model), "num_hidden_layers", None)
    lists = [
        (path, module)
        for path, module in model.named_modules()
        if isinstance(module, nn.ModuleList) and len(module) == count and _first(module[0], ATTENTION)
    ]
    lists = [found for found in lists if not any(word in found[0] for word in ("vision", "audio", "encoder"))]
    if not lists:
        return None
    path = min(lists, key=lambda found: found[0].count("."))[0]
    owner_path = path.rpartition(".")[0]
    embedding = _first(model.get_submodule(owner_path), EMBEDDING)
    return Blocks(path, len(model.get_submodule(path)), _join(owner_path, embedding))  # type: ignore[arg-type]


def text_config(model: nn.Module) -> Any:
    config: Any = getattr(model, "config", None)
    return config.get_text_config(decoder=True) if hasattr(config, "get_text_config") else config


def parts_of(model: nn.Module, path: str) -> BlockParts:
    block = model.get_submodule(path)
    attention = _join(path, _first(block, ATTENTION))
    mlp = _join(path, _first(block, MLP))
    post_norms = hasattr(block, "post_feedforward_layernorm")
    first_norm = _join(path, _first(block, FIRST_NORM))
    pre_mlp_norm = ("pre_feedforward_layernorm",) if post_norms else SECOND_NORM
    second_norm = _join(path, _first(block, pre_mlp_norm))
    parallel = _is_parallel(model, block, second_norm, post_norms)
    return BlockParts(
        path=path,
        attn_out=_attention_out(path, attention, post_norms),
        mlp_out=_mlp_out(path, block, mlp, post_norms),
        resid_mid=None if parallel else _input_of(second_norm or mlp),
        z=_input_of(_projection(model, attention, OUT_PROJECTION)),
        mlp_in=_input_of(mlp or _own(path, block, "fc1")),
        mlp_post=_input_of(_projection(model, mlp, DOWN_PROJECTION) or _own(path, block, "fc2")),
        first_norm=first_norm,
        second_norm=second_norm,
        parallel=parallel,
    )


def _attention_out(path: str, attention: str | None, post_norms: bool) -> Part | None:
    if post_norms:
        return Part(f"{path}.post_attention_layernorm", "output")
    return Part(attention, "output") if attention else None


def _mlp_out(path: str, block: nn.Module, mlp: str | None, post_norms: bool) -> Part | None:
    if post_norms:
        return Part(f"{path}.post_feedforward_layernorm", "output")
    output = mlp or _own(path, block, "fc2")
    return Part(output, "output") if output else None


def _is_parallel(model: nn.Module, block: nn.Module, second_norm: str | None, post_norms: bool) -> bool:
    """Attention and MLP read the same residual (or the block normalises after adding), so no middle exists."""
    config = getattr(model, "config", None)
    if getattr(block, "do_layer_norm_before", True) is False:
        return True
    flags = ("use_parallel_residual", "parallel_attn", "use_parallel_attention")
    return any(getattr(config, flag, False) for flag in flags) or (second_norm is None and not post_norms)


def _first(module: nn.Module, names: tuple[str, ...]) -> str | None:
    return next((name for name in names if isinstance(getattr(module, name, None), nn.Module)), None)


def _own(path: str, block: nn.Module, name: str) -> str | None:
    return f"{path}.{name}" if isinstance(getattr(block, name, None), nn.Module) else None


def _join(path: str, name: str | None) -> str | None:
    return None if name is None else f"{path}.{name}" if path else name


def _projection(model: nn.Module, parent: str | None, names: tuple[str, ...]) -> str | None:
    return None if parent is None else _join(parent, _first(model.get_submodule(parent), names))


def _input_of(path: str | None) -> Part | None:
    return Part(path, "input") if path else None
