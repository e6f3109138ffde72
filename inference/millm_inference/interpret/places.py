"""A hook's name, TransformerLens's or Hugging Face's, to its place in an unmodified Hugging Face model.

Reading and writing agree with TransformerLens: what is added at `hook_resid_mid` stays in the residual stream.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal, NoReturn

from torch import nn

from millm_inference.errors import SidecarError
from millm_inference.interpret.blocks import BlockParts, Blocks, Part, find_blocks, parts_of, text_config

Side = Literal["input", "output"]
BEFORE_BLOCKS, AFTER_BLOCKS = -1, 10**6
# The order in which a block passes its places: conditions may only look back along it.
STAGES = {"resid_pre": 0, "ln1": 1, "z": 2, "attn_out": 3, "resid_mid": 4, "ln2": 5, "mlp_in": 6, "mlp_post": 7,
          "mlp_out": 8, "resid_post": 9}  # fmt: skip
TRANSFORMER_LENS = {
    "hook_resid_pre": "resid_pre",
    "hook_resid_mid": "resid_mid",
    "hook_resid_post": "resid_post",
    "hook_attn_out": "attn_out",
    "hook_mlp_out": "mlp_out",
    "attn.hook_z": "z",
    "mlp.hook_in": "mlp_in",
    "mlp.hook_post": "mlp_post",
    "ln1.hook_normalized": "ln1",
    "ln2.hook_normalized": "ln2",
}


@dataclass(frozen=True, slots=True)
class Place:
    """One side of one module. Equal places are one site, whatever their hooks were called."""

    module: str
    side: Side
    order: tuple[int, int]
    width: int | None = None
    normalized_by: str | None = None
    """Read x/rms(x), without the gain, of this norm's input: no module yields it, and nothing can be added to it."""
    carried_by: str | None = None
    """The block whose output must be moved too: the residual stream does not pass through the norm that is hooked."""

    @property
    def layer(self) -> int | None:
        return None if self.order[0] in (BEFORE_BLOCKS, AFTER_BLOCKS) else self.order[0]


def resolve(model: nn.Module, hook: str) -> Place:
    """The place of `hook`, or SAE_INCOMPATIBLE with what would be possible."""
    blocks = find_blocks(model)
    if hook == "hook_embed" and blocks and blocks.embedding:
        return Place(blocks.embedding, "output", (BEFORE_BLOCKS, 0), _hidden_size(model))
    if found := re.fullmatch(r"blocks\.(\d+)\.(.+)", hook):
        if blocks is None:
            _refuse(f"The decoder blocks of this model were not found, so {hook!r} has no place; use a module's path.")
        return _in_block(model, blocks, int(found[1]), found[2], hook)
    return _module_path(model, blocks, hook)


def _in_block(model: nn.Module, blocks: Blocks, layer: int, name: str, hook: str) -> Place:
    if layer >= blocks.count:
        _refuse(f"{hook!r} names layer {layer}, but the model has {blocks.count} layers (0 to {blocks.count - 1}).")
    if name == "hook_mlp_in":
        _refuse(
            f"{hook!r} means the residual before the norm in one library and the norm's output in another;"
            " give the override hook: hook_resid_mid, or the module's path ending in .output."
        )
    kind = TRANSFORMER_LENS.get(name)
    if kind is None:
        known = ", ".join(TRANSFORMER_LENS)
        _refuse(f"The hook {hook!r} is unknown. Known inside a block are {known}; or give a module's path.")
    place = _of_kind(model, parts_of(model, blocks.block(layer)), layer, kind)
    if place is None:
        _refuse(f"{hook!r} does not exist in this model's blocks ({type(_block(model, blocks, layer)).__name__}).")
    return place


def _of_kind(model: nn.Module, parts: BlockParts, layer: int, kind: str) -> Place | None:
    order, hidden = (layer, STAGES[kind]), _hidden_size(model)
    match kind:
        case "resid_pre":
            return Place(parts.path, "input", order, hidden)
        case "resid_post":
            return Place(parts.path, "output", order, hidden)
        case "ln1" | "ln2":
            norm = parts.first_norm if kind == "ln1" else parts.second_norm
            return Place(norm, "input", order, hidden, normalized_by=norm) if norm else None
        case "resid_mid":
            mid = parts.resid_mid
            return Place(mid.path, "input", order, hidden, carried_by=parts.path) if mid else None
    part: Part | None = getattr(parts, kind)
    return Place(part.path, part.side, order, _width(model, part)) if part else None  # type: ignore[arg-type]


def _module_path(model: nn.Module, blocks: Blocks | None, hook: str) -> Place:
    stem, _, last = hook.rpartition(".")
    path, side = (stem, last) if last in ("input", "output") else (hook, "output")
    module = _find(model, path)
    if module is None:
        _refuse(
            f"The hook {hook!r} is neither blocks.<layer>.<{' | '.join(TRANSFORMER_LENS)}>, nor hook_embed,"
            " nor a module of this model followed by .input or .output.",
        )
    within = blocks and re.match(rf"{re.escape(blocks.path)}\.(\d+)(?:\.|$)", module)
    if not blocks or not within:
        embeds = blocks is not None and module == blocks.embedding
        order = (BEFORE_BLOCKS if embeds else AFTER_BLOCKS, 0)
        return Place(module, side, order, _width(model, Part(module, side)))  # type: ignore[arg-type]
    layer = int(within[1])
    parts = parts_of(model, blocks.block(layer))
    for kind in STAGES:
        place = _of_kind(model, parts, layer, kind)
        if place and place.normalized_by is None and (place.module, place.side) == (module, side):
            return place
    if module == parts.first_norm and side == "input":
        # The norm's input is the residual stream; what is added must stay in it.
        return Place(parts.path, "input", (layer, STAGES["resid_pre"]), _hidden_size(model))
    stage = STAGES["ln1" if module == parts.first_norm else "ln2" if module == parts.second_norm else "mlp_in"]
    if parts.z and module.startswith(parts.z.path.rpartition(".")[0]):
        stage = STAGES["z"]
    return Place(module, side, (layer, stage), _width(model, Part(module, side)))  # type: ignore[arg-type]


def _find(model: nn.Module, path: str) -> str | None:
    """`path` as this class spells it: with its prefix, and below the language model of a multimodal class."""
    below = path.removeprefix("model.")
    base = str(getattr(model, "base_model_prefix", "model"))
    spellings = (path, f"{base}.{path}", f"model.language_model.{below}", f"language_model.{path}", f"{base}.{below}")
    known = dict(model.named_modules())
    return next((spelling for spelling in spellings if spelling in known), None) if path else None


def _width(model: nn.Module, part: Part) -> int | None:
    module = model.get_submodule(part.path)
    if (size := getattr(module, f"{part.side[:-3]}_features", None)) is not None:  # in_features, out_features
        return int(size)
    weight = getattr(module, "weight", None)
    if type(module).__name__ == "Conv1D" and weight is not None:
        return int(weight.shape[0 if part.side == "input" else 1])
    return _hidden_size(model)


def _hidden_size(model: nn.Module) -> int | None:
    size = getattr(text_config(model), "hidden_size", None)
    return size if isinstance(size, int) else None


def _block(model: nn.Module, blocks: Blocks, layer: int) -> nn.Module:
    return model.get_submodule(blocks.block(layer))


def _refuse(message: str) -> NoReturn:
    raise SidecarError("SAE_INCOMPATIBLE", message, param="hook")
