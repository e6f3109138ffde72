"""Which files of a listing a model needs: one set of weights, its configuration and its tokenizer; nothing twice."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

from millm_inference.errors import SidecarError
from millm_inference.hub.client import RemoteFile

SMALL = {
    "config.json", "generation_config.json", "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json",
    "added_tokens.json", "vocab.json", "vocab.txt", "merges.txt", "tokenizer.model", "spiece.model",
    "sentencepiece.bpe.model", "chat_template.jinja", "chat_template.json",
}  # fmt: skip
TEMPLATES = re.compile(r"additional_chat_templates/[^/]+\.jinja|[^/]+\.tiktoken")
SINGLE, INDEX = "model.safetensors", "model.safetensors.index.json"
SHARD = re.compile(r"model-\d{5}-of-\d{5}\.safetensors")
SPLIT_GGUF = re.compile(r"-\d{5}-of-\d{5}(?=\.gguf$)")
CODE = ("AutoConfig", "AutoModelForCausalLM", "AutoTokenizer")

ReadJson = Callable[[RemoteFile], dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Selection:
    files: tuple[RemoteFile, ...]
    entry: str
    """What is loaded, from the root of the repository: a folder ("" is the root) or a file."""
    config: dict[str, Any] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    choices: tuple[str, ...] = ()
    """Not empty: nothing was selected, because one of these has to be named."""


def safe_path(path: str | None) -> str:
    """A path inside a repository, tidied; "" for none. Raises VALIDATION_ERROR for one that leads out of it."""
    parts = [part for part in (path or "").split("/") if part not in ("", ".")]
    if (path or "").startswith("/") or ".." in parts or any(c in (path or "") for c in "\\\0"):
        raise SidecarError("VALIDATION_ERROR", f"{path!r} is no path inside a repository.", param="path")
    return "/".join(parts)


def below(files: Iterable[RemoteFile], folder: str) -> dict[str, RemoteFile]:
    """The files of a folder and of its folders, by their path from it."""
    prefix = f"{folder}/" if folder else ""
    return {file.path.removeprefix(prefix): file for file in files if file.path.startswith(prefix)}


def select_model(files: Iterable[RemoteFile], path: str, read_json: ReadJson) -> Selection:
    """What a model needs. `path`: a folder, or a GGUF file. Raises MODEL_NOT_FOUND, MODEL_INCOMPATIBLE."""
    files = tuple(files)
    if any(file.path == path for file in files):
        return _named(files, path)
    names = below(files, path)
    if not names:
        raise SidecarError("MODEL_NOT_FOUND", f"The repository has no folder or file {path!r}.", param="path")
    config = read_json(names["config.json"]) if "config.json" in names else None
    if config is not None and (weights := _weights(names, read_json)):
        return _transformers(names, path, config, weights)
    return _only_gguf(names, config or {}) or _nothing(names)


def requires_remote_code(config: Mapping[str, Any]) -> bool:
    """The repository's own Python is needed: it names some, and transformers has no class for this kind of model."""
    named = config.get("auto_map")
    known = config.get("model_type") in MODEL_FOR_CAUSAL_LM_MAPPING_NAMES
    return isinstance(named, dict) and any(name in named for name in CODE) and not known


def _transformers(names: Mapping[str, RemoteFile], path: str, config: dict[str, Any], weights: list[str]) -> Selection:
    chosen = [name for name in names if name in SMALL or TEMPLATES.fullmatch(name)] + weights
    warnings = []
    if requires_remote_code(config):
        chosen += [name for name in names if name.endswith(".py") and "/" not in name]
        references = [str(value) for value in config["auto_map"].values()]
        if elsewhere := sorted({value.split("--")[0] for value in references if "--" in value}):
            warnings.append(f"Its code lies in another repository, {', '.join(elsewhere)}, and is not downloaded.")
    return Selection(tuple(names[name] for name in chosen), path, config, tuple(warnings))


def _weights(names: Mapping[str, RemoteFile], read_json: ReadJson) -> list[str]:
    """The safetensors that transformers opens: the single file before the shards its index names."""
    if SINGLE in names:
        return [SINGLE]
    if INDEX not in names:
        return []
    listed = read_json(names[INDEX]).get("weight_map")
    shards = sorted({str(name) for name in listed.values()}) if isinstance(listed, dict) else []
    shards = shards or sorted(name for name in names if SHARD.fullmatch(name))
    if missing := [name for name in shards if name not in names]:
        raise SidecarError("MODEL_INCOMPATIBLE", f"The repository lacks {missing[0]}, which its index names.")
    return [INDEX, *shards] if shards else []


def _named(files: tuple[RemoteFile, ...], path: str) -> Selection:
    if not path.endswith(".gguf"):
        raise SidecarError("VALIDATION_ERROR", "Name a folder or a .gguf file of the repository.", param="path")
    group = SPLIT_GGUF.sub("", path)
    return Selection(tuple(file for file in files if SPLIT_GGUF.sub("", file.path) == group), path)


def _only_gguf(names: Mapping[str, RemoteFile], config: dict[str, Any]) -> Selection | None:
    groups: dict[str, list[RemoteFile]] = {}
    for name, file in sorted(names.items()):
        if name.endswith(".gguf"):
            groups.setdefault(SPLIT_GGUF.sub("", name), []).append(file)
    if not groups:
        return None
    firsts = [group[0].path for group in groups.values()]
    if len(groups) == 1:
        return Selection(tuple(next(iter(groups.values()))), firsts[0], config)
    every = tuple(file for group in groups.values() for file in group)
    return Selection(every, "", config, ("Several GGUF files: name one to download.",), tuple(firsts))


def _nothing(names: Mapping[str, RemoteFile]) -> Selection:
    if "adapter_config.json" in names:
        reason = "it holds an adapter, not a model; download the model it was made for"
    elif any(name.endswith((".bin", ".pt", ".pth", ".h5", ".msgpack")) for name in names):
        reason = (
            "its weights are pickled files, which can run code and are never opened; safetensors or GGUF are needed"
        )
    else:
        reason = "it holds no config.json with safetensors, and no GGUF file"
    raise SidecarError("MODEL_INCOMPATIBLE", f"The repository cannot be loaded: {reason}.")
