"""One SAE of a repository in a line: format, architecture, sizes and hook, from its small JSON file and its path."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from millm_inference.contract import SaeListing
from millm_inference.hub.sae_listing import FoundSae

Json = Mapping[str, Any]
GEMMA_HOOKS = {"res": "hook_resid_post", "mlp": "hook_mlp_out", "att": "attn.hook_z"}
MISTUDIO_HOOKS = {"residual": "hook_resid_post", "mlp": "hook_mlp_out", "attention": "hook_attn_out"}
LAYER = (r"(?:^|[^a-z])(?:layers?|blocks|h)[._-]?(\d+)", r"(?:^|[^a-z])l(\d+)(?!\d|_\d)")
FLOAT32 = 4


def describe(sae: FoundSae, repo_id: str, config: Json) -> SaeListing:
    """What is not known stays None: only opening the weights tells everything."""
    metadata = config.get("metadata")
    flat = {**metadata, **config} if isinstance(metadata, dict) else dict(config)
    known = READERS[sae.format](sae, repo_id, flat)
    hook = known.get("hook")
    layer = known.get("layer")
    if layer is None:
        layer = _layer_in(hook or "")
    return SaeListing(
        path=sae.path,
        size_bytes=sae.size_bytes,
        format=known.get("format", sae.format),
        architecture=known.get("architecture"),
        d_in=_number(known.get("d_in")),
        d_sae=_number(known.get("d_sae")),
        hook=hook if isinstance(hook, str) else None,
        layer=_number(_layer_in(sae.path) if layer is None else layer),
    )


def _gemma_scope(sae: FoundSae, repo_id: str, _: Json) -> dict[str, Any]:
    """`layer_20/width_16k/average_l0_71`; the rest is in the repository's name and the file's size."""
    layer, width = _layer_in(sae.path), _width_in(sae.path)
    kind = re.search(r"-(res|mlp|att|transcoders?)(?:$|-)", repo_id.lower())
    hook, architecture = None, "jumprelu"
    if "embedding" in sae.path.split("/"):
        hook, layer = "hook_embed", 0
    elif kind and kind[1].startswith("transcoder"):
        hook, architecture = f"blocks.{layer}.ln2.hook_normalized", "jumprelu_transcoder"
    elif kind and layer is not None:
        hook = f"blocks.{layer}.{GEMMA_HOOKS[kind[1]]}"
    # two matrices [d_in, n], two vectors of n and one of d_in, in float32
    d_in = round((sae.size_bytes / FLOAT32 - 2 * width) / (2 * width + 1)) if width else None
    return {"architecture": architecture, "d_sae": width, "d_in": d_in, "hook": hook, "layer": layer}


def _gemma_scope_2(sae: FoundSae, _: str, config: Json) -> dict[str, Any]:
    hook, out = config.get("hf_hook_point_in"), config.get("hf_hook_point_out")
    transcodes = bool(out and out != hook) or "transcoder" in sae.path
    kind = "_skip" if config.get("affine_connection") else ""
    return {
        "architecture": f"jumprelu{kind}_transcoder" if transcodes else "jumprelu",
        "d_in": config.get("d_in"),
        "d_sae": config.get("width") or _width_in(sae.path),
        "hook": hook,
    }


def _llama_scope(_: FoundSae, __: str, config: Json) -> dict[str, Any]:
    width, factor = config.get("d_model"), config.get("expansion_factor")
    d_sae = config.get("d_sae") or (width * factor if width and factor else None)
    hook, out = config.get("hook_point_in"), config.get("hook_point_out")
    architecture = "jumprelu_transcoder" if out and out != hook else "jumprelu"
    return {"architecture": architecture, "d_in": width, "d_sae": d_sae, "hook": hook}


def _dictionary_learning(_: FoundSae, __: str, config: Json) -> dict[str, Any]:
    trainer = config.get("trainer")
    trainer = trainer if isinstance(trainer, dict) else {}
    name = str(trainer.get("dict_class") or "")
    known = {
        "Gated": "gated",
        "TopK": "topk",
        "BatchTopK": "jumprelu",
        "JumpRelu": "jumprelu",
        "AutoEncoder": "standard",
    }
    architecture = next((known[mark] for mark in ("Gated", "BatchTopK", "TopK", "JumpRelu") if mark in name), None)
    return {
        "architecture": architecture or ("standard" if name else None),
        "d_in": trainer.get("activation_dim"),
        "d_sae": trainer.get("dict_size"),
        "hook": trainer.get("submodule_name"),
        "layer": trainer.get("layer"),
    }


def _saelens(sae: FoundSae, _: str, config: Json) -> dict[str, Any]:
    hook = config.get("hf_hook_name") or config.get("hook_name") or config.get("hook_point")
    folder = re.fullmatch(r"layer_(\d+)_(residual|mlp|attention)", sae.path.rpartition("/")[2])
    known = {"d_in": config.get("d_in"), "d_sae": config.get("d_sae"), "hook": hook}
    if folder:  # miStudio's exports: the folder tells the truth about the hook
        known["hook"] = f"blocks.{folder[1]}.{MISTUDIO_HOOKS[folder[2]]}"
    if folder or "extra_metadata" in config:
        known["format"] = "mistudio"
    layer = config.get("hook_layer", config.get("hook_point_layer"))
    return {**known, "architecture": _saelens_architecture(config), "layer": None if folder else layer}


def _saelens_architecture(config: Json) -> str | None:
    if not config:
        return None
    activation = config.get("activation_fn_str") or config.get("activation_fn")
    architecture = str(config.get("architecture") or "standard")
    if architecture == "standard" and activation in ("topk", "jumprelu"):
        return str(activation)
    return "jumprelu" if "batchtopk" in architecture else architecture


def _sparsify(sae: FoundSae, repo_id: str, config: Json) -> dict[str, Any]:
    if {"hook_name", "hook_point"} & set(config):
        return {**_saelens(sae, repo_id, config), "format": "saelens"}
    width, factor = config.get("d_in"), config.get("expansion_factor")
    d_sae = config.get("num_latents") or (width * factor if width and factor else None)
    folder = sae.path.rpartition("/")[2]
    hooked = folder.split(".")[0] in ("layers", "h", "embed_tokens", "model", "transformer")
    side = "input" if config.get("transcode") else "output"
    hook = f"{folder}.{side}" if hooked else None
    architecture = config.get("activation", "topk") if config else None
    return {"architecture": architecture, "d_in": width, "d_sae": d_sae, "hook": hook}


def _native(sae: FoundSae, _: str, config: Json) -> dict[str, Any]:
    return {"d_in": config.get("hidden_dim"), "d_sae": config.get("latent_dim"), "layer": _layer_in(sae.path)}


def _plain(_: FoundSae, __: str, config: Json) -> dict[str, Any]:
    return {"d_in": config.get("act_size"), "d_sae": config.get("dict_size"), "hook": config.get("act_name")}


READERS: dict[str, Callable[[FoundSae, str, Json], dict[str, Any]]] = {
    "gemma-scope": _gemma_scope,
    "gemma-scope-2": _gemma_scope_2,
    "llama-scope": _llama_scope,
    "dictionary-learning": _dictionary_learning,
    "saelens": _saelens,
    "sparsify": _sparsify,
    "mistudio-native": _native,
    "plain": _plain,
}


def _layer_in(path: str) -> int | None:
    for pattern in LAYER:
        for part in reversed(path.lower().split("/")):
            if found := re.search(pattern, part):
                return int(found[1])
    return None


def _width_in(path: str) -> int | None:
    """16k is 16384 and 1m is 1048576: widths are powers of two, named by their rounded size."""
    found = re.search(r"width_(\d+)(k|m)", path.lower())
    if not found:
        return None
    rough = int(found[1]) * (1000 if found[2] == "k" else 1_000_000)
    return int(min((2**power for power in range(10, 26)), key=lambda exact: abs(exact - rough)))


def _number(value: Any) -> int | None:
    return int(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else None
