"""A loaded model with everything that lives and dies with it, and how it comes up."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import psutil
import structlog
import torch
from transformers import PreTrainedModel

from millm_inference.contract import LoadedModel, LoadModelRequest
from millm_inference.engine.decode_graphs import CudaRecorder, DecodeGraphs
from millm_inference.engine.engine import Engine, EngineLimits
from millm_inference.engine.interpreter import Reading
from millm_inference.engine.model_runner import Passed
from millm_inference.engine.postprocess import Counters
from millm_inference.engine.sequence import Sequence
from millm_inference.engine.token_bytes import TokenBytes
from millm_inference.engine.verify import verified_graphs, verify_model
from millm_inference.fatal import end_device_lost
from millm_inference.interpret.session import InterpretSession
from millm_inference.loader import Loaded, load_model
from millm_inference.metrics import MeasuredRunner, Passes
from millm_inference.settings import Settings

log = structlog.get_logger()
MEBIBYTE = 1 << 20
PREFILL_CHUNK = {"cpu": 32, "cuda": 256}
"""Tokens whose prompt pass takes about one or two decode steps, by device, so that running streams hardly notice it."""


@dataclass(frozen=True)
class Resident:
    """A loaded model and everything that lives and dies with it."""

    info: LoadedModel
    loaded: Loaded
    token_bytes: TokenBytes
    session: InterpretSession
    engine: Engine

    @property
    def tokenizer(self) -> Any:
        return self.loaded.tokenizer


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What the process has one of, whatever is loaded."""

    settings: Settings
    passes: Passes
    counters: Counters
    on_watched: Callable[[TokenBytes, Sequence, Reading], None]


def bring_up(
    request: LoadModelRequest,
    around: Surroundings,
    *,
    go_on: Callable[[], None],
    say_verifying: Callable[[], None],
) -> Resident:
    """Read, verify and build. `go_on` is asked again and again, and raises where the load was called off. Raises what
    `load_model` and `verify_model` raise."""
    begun = time.monotonic()
    settings = around.settings
    loaded = load_model(
        request.path,
        settings,
        quantization=request.quantization,
        trust_remote_code=request.trust_remote_code,
        go_on=go_on,
    )
    go_on()
    say_verifying()
    verify_model(loaded.model)
    graphs = _graphs(loaded.model, settings)
    go_on()
    session = InterpretSession(loaded.model)
    token_bytes = TokenBytes(loaded.tokenizer)
    engine = Engine(
        MeasuredRunner(loaded.model, session, around.passes, graphs),
        session,
        token_bytes,
        _limits(loaded, settings),
        loaded.eos_ids,
        around.counters,
        partial(around.on_watched, token_bytes),
        end_device_lost,
    )
    info = _describe(request, loaded, time.monotonic() - begun)
    log.info(
        "model:loaded",
        model_id=info.model_id,
        seconds=info.load_seconds,
        dtype=info.dtype,
        device=info.device,
        graphs=graphs is not None,
    )
    return Resident(info, loaded, token_bytes, session, engine)


def _describe(request: LoadModelRequest, loaded: Loaded, seconds: float) -> LoadedModel:
    model = loaded.model
    config, generation = model.config.get_text_config(), model.generation_config
    return LoadedModel(
        model_id=request.model_id,
        path=request.path,
        architecture=type(model).__name__,
        parameters=loaded.parameters,
        dtype=str(model.dtype).removeprefix("torch."),
        quantization=request.quantization,
        device=str(model.device),
        context_length=loaded.context_length,
        hidden_size=config.hidden_size,
        layers=config.num_hidden_layers,
        vocab_size=config.vocab_size,
        memory_bytes=loaded.memory_bytes,
        has_chat_template=bool(loaded.tokenizer.chat_template),
        default_sampling={
            name: value
            for name in ("temperature", "top_p", "top_k", "repetition_penalty")
            if (value := getattr(generation, name, None)) is not None
        },
        load_seconds=round(seconds, 3),
    )


def _graphs(model: PreTrainedModel, settings: Settings) -> DecodeGraphs[Passed] | None:
    if model.device.type != "cuda" or settings.cuda_graphs == "off":
        return None
    return verified_graphs(model, CudaRecorder(model.device))


def _limits(loaded: Loaded, settings: Settings) -> EngineLimits:
    """KV positions that fit the memory given, else a quarter of what is free on a CPU and 80 % on a GPU."""
    device = loaded.model.device
    config = loaded.model.config.get_text_config()
    heads = getattr(config, "num_key_value_heads", None) or config.num_attention_heads
    head_dim = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    per_position = 2 * config.num_hidden_layers * heads * head_dim * loaded.model.dtype.itemsize
    if settings.kv_memory_mb:
        memory = settings.kv_memory_mb * MEBIBYTE
    elif device.type == "cuda":
        memory = int(torch.cuda.mem_get_info()[0] * 0.8)
    else:
        memory = psutil.virtual_memory().available // 4
    return EngineLimits(
        slots=settings.slots,
        kv_positions=max(loaded.context_length // 8, memory // per_position),
        max_waiting=settings.max_waiting,
        prefill_chunk=settings.prefill_chunk or PREFILL_CHUNK.get(device.type, 64),
        idle_chunk=settings.idle_prefill_chunk,
        context_length=loaded.context_length,
    )
