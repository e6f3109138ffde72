"""From a directory or GGUF file on disk to a model and tokenizer in memory: dtype, device, quantisation. Loads no
SAE."""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import structlog
import torch
from torch.overrides import TorchFunctionMode
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer, GgufConfig, PreTrainedModel
from transformers.utils import logging as transformers_logging

from millm_inference.errors import SidecarError
from millm_inference.hub.estimate import LINEAR_BYTES
from millm_inference.memory import free_bytes, outcome_of, require_room
from millm_inference.packed_linear import pack_linears
from millm_inference.settings import Settings

log = structlog.get_logger()
transformers_logging.disable_progress_bar()

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
ADVICE = "Choose a smaller quantization or model, or free memory."
QUANTIZED = {"FP32": torch.float32, "BF16": torch.bfloat16, "FP16": torch.float16}


@dataclass(frozen=True, slots=True)
class Loaded:
    model: PreTrainedModel
    tokenizer: Any
    eos_ids: frozenset[int]
    context_length: int
    parameters: int
    """However they are stored: 4-bit weights lie two in a byte, packed ones are no parameters of the module."""
    memory_bytes: int


@dataclass(frozen=True, slots=True)
class Source:
    """What `from_pretrained` is called with: a directory, and the GGUF file in it if that is what is loaded."""

    directory: Path
    gguf: str | None

    @property
    def arguments(self) -> dict[str, Any]:
        return {"gguf_file": self.gguf} if self.gguf else {}


def find_source(path: str) -> Source:
    """A directory with config.json, a directory with one .gguf, or a .gguf file. Raises MODEL_NOT_FOUND."""
    place = Path(path)
    if place.is_file() and place.suffix == ".gguf":
        return Source(place.parent, place.name)
    if (place / "config.json").is_file():
        return Source(place, None)
    files = sorted(place.glob("*.gguf")) if place.is_dir() else []
    if len(files) == 1:
        return Source(place, files[0].name)
    found = "more than one .gguf file; name one" if files else "no config.json and no .gguf file"
    raise SidecarError("MODEL_NOT_FOUND", f"{place.name!r} is no model: there is {found}.", param="path")


def pick_device(settings: Settings) -> torch.device:
    if settings.device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if settings.device == "cuda" and not torch.cuda.is_available():
        raise SidecarError("UNSUPPORTED_VALUE", "MILLM_INFERENCE_DEVICE=cuda, but this machine has no CUDA device.")
    return torch.device(settings.device)


def pick_dtype(settings: Settings, quantization: str | None, device: torch.device) -> torch.dtype:
    """float32 on a CPU unless told otherwise: half precision is not faster on most of them, and never exact."""
    if quantization in QUANTIZED:
        return QUANTIZED[quantization]
    if settings.dtype != "auto":
        return DTYPES[settings.dtype]
    return torch.bfloat16 if device.type == "cuda" else torch.float32


class Checkpoints(TorchFunctionMode):
    """Calls `go_on` before every torch operation of this thread, which may raise: `from_pretrained` runs some for each
    tensor, and offers no other place to end it."""

    def __init__(self, go_on: Callable[[], None]) -> None:
        super().__init__()
        self._go_on = go_on

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self._go_on()
        return func(*args, **(kwargs or {}))


def load_model(
    path: str,
    settings: Settings,
    *,
    quantization: str | None = None,
    trust_remote_code: bool = False,
    go_on: Callable[[], None] = lambda: None,
) -> Loaded:
    """Load onto the device, in evaluation mode. `go_on` is called between tensors and ends the load by raising.
    Raises MODEL_NOT_FOUND, MODEL_INCOMPATIBLE, UNSUPPORTED_VALUE, INSUFFICIENT_MEMORY."""
    with Checkpoints(go_on):
        return _load_model(path, settings, quantization, trust_remote_code, go_on)


def _load_model(
    path: str, settings: Settings, quantization: str | None, trust_remote_code: bool, go_on: Callable[[], None]
) -> Loaded:
    source = find_source(path)
    device = pick_device(settings)
    dtype = pick_dtype(settings, quantization, device)
    _require_room(source, settings, quantization, dtype, trust_remote_code)
    options: dict[str, Any] = {"trust_remote_code": trust_remote_code, "dtype": dtype}
    if quantization in ("Q4", "Q8"):
        options["quantization_config"] = _bitsandbytes(quantization, dtype)
        options["device_map"] = {"": device}
    try:
        cached = _converted(source, settings)
        if source.gguf and cached is None and "quantization_config" in options:
            cached = _convert(source, settings)
        if source.gguf and cached is None:
            options["quantization_config"] = GgufConfig(dequantize=True)  # once, not in every forward pass
        directory, extra = (cached, {}) if cached else (source.directory, source.arguments)
        tokenizer = AutoTokenizer.from_pretrained(directory, trust_remote_code=trust_remote_code, **extra)
        model = AutoModelForCausalLM.from_pretrained(directory, **extra, **options)
        if source.gguf and cached is None and model.dtype == torch.float32:
            _keep_converted(source, settings, model, tokenizer)
        if "device_map" not in options:
            model = model.to(device)
    except SidecarError:
        raise
    except Exception as error:  # foreign files, several parsers: whatever they raise, the file is wrong
        if outcome_of(error) == "device_lost":
            raise
        go_on()  # whatever became of its own error on the way here
        if outcome_of(error) == "out_of_memory":
            raise SidecarError(
                "INSUFFICIENT_MEMORY", f"The model does not fit into the memory of {device}. {ADVICE}"
            ) from error
        log.warning("model:load-failed", path=path, error=repr(error))
        raise _incompatible("loaded", error, path) from error
    model.eval()
    parameters, memory = model.num_parameters(), model.get_memory_footprint()
    if device.type == "cpu":
        pack_linears(model)
    config = model.config.get_text_config()
    context = int(getattr(config, "max_position_embeddings", 0) or getattr(config, "n_positions", 0) or 2048)
    if settings.max_context:
        context = min(context, settings.max_context)
    return Loaded(model, tokenizer, _eos_ids(model, tokenizer), context, parameters, memory)


def describe_model(path: str, trust_remote_code: bool = False) -> dict[str, Any]:
    """What the files say, without weights: the fields of the contract's ModelDescription."""
    source = find_source(path)
    try:
        config = AutoConfig.from_pretrained(source.directory, trust_remote_code=trust_remote_code, **source.arguments)
    except Exception as error:  # foreign files, as below
        raise _incompatible("read", error, path) from error
    text = config.get_text_config()
    files = [source.directory / source.gguf] if source.gguf else [f for f in source.directory.rglob("*") if f.is_file()]
    return {
        "path": path,
        "format": "gguf" if source.gguf else "safetensors",
        "architecture": (config.architectures or [type(config).__name__.removesuffix("Config") + "ForCausalLM"])[0],
        "size_bytes": sum(f.stat().st_size for f in files),
        "parameters": _parameters(config, trust_remote_code),
        "context_length": int(getattr(text, "max_position_embeddings", 0) or 2048),
        "hidden_size": text.hidden_size,
        "layers": text.num_hidden_layers,
        "has_chat_template": (source.directory / "chat_template.jinja").exists() or source.gguf is not None,
    }


def _incompatible(done: str, error: Exception, path: str) -> SidecarError:
    if "trust_remote_code" in str(error):
        reason = "it comes with Python code of its own; read that, and if you trust it, send trust_remote_code: true."
    else:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0][:300]
    return SidecarError("MODEL_INCOMPATIBLE", f"The model could not be {done}: {reason}", path=path)


def _parameters(config: Any, trust_remote_code: bool) -> int | None:
    """Counted without allocating any."""
    with torch.device("meta"), contextlib.suppress(Exception):
        model = AutoModelForCausalLM.from_config(config, trust_remote_code=trust_remote_code)
        count: int = sum(p.numel() for p in model.parameters())
        return count
    return None


def _require_room(
    source: Source, settings: Settings, quantization: str | None, dtype: torch.dtype, trust_remote_code: bool
) -> None:
    """Raises INSUFFICIENT_MEMORY for a model that cannot fit; one whose size nobody can tell is tried."""
    try:
        cached = _converted(source, settings)
        directory, extra = (cached, {}) if cached else (source.directory, source.arguments)
        config = AutoConfig.from_pretrained(directory, trust_remote_code=trust_remote_code, **extra)
        parameters = _parameters(config, trust_remote_code)
    except Exception:
        return  # loading it will say what is wrong
    if parameters is None:
        return
    device = pick_device(settings)
    size = LINEAR_BYTES[quantization] if quantization in ("Q4", "Q8") else dtype.itemsize
    free = free_bytes(device, settings.memory_limit_mb)
    require_room(f"The model ({parameters / 1e6:.0f} M parameters)", parameters * size, free, device, ADVICE)


def _eos_ids(model: PreTrainedModel, tokenizer: Any) -> frozenset[int]:
    declared = model.generation_config.eos_token_id if model.generation_config is not None else None
    ids = declared if isinstance(declared, list) else [declared]
    return frozenset(int(i) for i in [*ids, tokenizer.eos_token_id] if i is not None)


def _bitsandbytes(quantization: str, dtype: torch.dtype) -> Any:
    try:
        import bitsandbytes  # noqa: F401  (optional: only machines that quantise need it)
    except ImportError:
        raise SidecarError(
            "UNSUPPORTED_VALUE",
            f"{quantization} needs the package bitsandbytes; install the sidecar with its `cuda` extra, or load FP16.",
            param="quantization",
        ) from None
    # It warns in every layer of every step that it computes in float16 in between.
    logging.getLogger("bitsandbytes.autograd._functions").setLevel(logging.ERROR)
    from transformers import BitsAndBytesConfig  # imports accelerate machinery that plain loads do not need

    if quantization == "Q4":
        return BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_compute_dtype=dtype)
    return BitsAndBytesConfig(load_in_8bit=True)


# GGUF files are dequantised once and kept as safetensors beside the data, since the conversion takes many times longer
# than a load. The folder is named by what was converted, so a changed file is converted again.
def _converted_dir(source: Source, settings: Settings) -> Path:
    file = source.directory / (source.gguf or "")
    stat = file.stat()
    key = hashlib.sha256(f"{file.resolve()}:{stat.st_size}:{stat.st_mtime_ns}".encode()).hexdigest()[:16]
    return (settings.model_cache_dir or settings.data_dir / "models") / "converted" / f"{file.stem}-{key}"


def _converted(source: Source, settings: Settings) -> Path | None:
    if not source.gguf:
        return None
    folder = _converted_dir(source, settings)
    return folder if (folder / "complete.json").is_file() else None


def _convert(source: Source, settings: Settings) -> Path:
    """→ where it lies: bitsandbytes starts from the floating point that the file stands for. Raises UNSUPPORTED_VALUE
    where there is no room on the disk for that."""
    exact: dict[str, Any] = {"dtype": torch.float32, "quantization_config": GgufConfig(dequantize=True)}
    tokenizer = AutoTokenizer.from_pretrained(source.directory, **source.arguments)
    model = AutoModelForCausalLM.from_pretrained(source.directory, **source.arguments, **exact)
    _keep_converted(source, settings, model, tokenizer)
    if (folder := _converted(source, settings)) is None:
        reason = "its float32 form, from which it would be quantized again, could not be written to the disk"
        raise SidecarError("UNSUPPORTED_VALUE", f"The GGUF file cannot be loaded so: {reason}.", param="quantization")
    return folder


def _keep_converted(source: Source, settings: Settings, model: PreTrainedModel, tokenizer: Any) -> None:
    folder = _converted_dir(source, settings)
    part = folder.with_name(folder.name + ".part")
    try:
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir(parents=True)
        # what was dequantised is an ordinary float32 model: without the mark it saves as one
        model.hf_quantizer = None
        model.config.__dict__.pop("quantization_config", None)
        model.save_pretrained(part)
        tokenizer.save_pretrained(part)
        (part / "complete.json").write_text(json.dumps({"source": source.gguf}))
        shutil.rmtree(folder, ignore_errors=True)
        part.rename(folder)
    except (OSError, ValueError) as error:  # a full disk costs the next start time, not this one its model
        log.warning("model:conversion-not-kept", reason=str(error))
        shutil.rmtree(part, ignore_errors=True)
