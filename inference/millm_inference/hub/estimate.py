"""How much memory a model will take, by its configuration: weights, keys and values of a full context, an SAE, work."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal, get_args

Quantization = Literal["Q4", "Q8", "FP16", "BF16", "FP32"]
QUANTIZATIONS: tuple[Quantization, ...] = get_args(Quantization)
LINEAR_BYTES = {"Q4": 0.5625, "Q8": 1.0, "FP16": 2.0, "BF16": 2.0, "FP32": 4.0}
"""Per weight of a linear layer; 4-bit blocks of 64 carry a 32-bit scale each."""
WORK_BYTES = 256 << 20
SAE_FEATURES = 16_384
"""Of the SAE that room is left for, the width most are published in; encoder and decoder, kept in float32."""
DTYPE_BYTES = {"float32": 4, "float": 4, "float64": 8, "float16": 2, "bfloat16": 2, "float8_e4m3fn": 1}


@dataclass(frozen=True, slots=True)
class Shape:
    """What of a configuration decides about memory."""

    parameters: int
    embedding: int
    """Parameters of the token embedding and the output layer, which quantization leaves alone."""
    kv_values: int
    """Numbers kept per position."""
    context: int

    width: int = 0
    """Of the residual stream, as an SAE reads it."""

    def kv_bytes(self, quantization: Quantization, *, on_cpu: bool) -> int:
        return self.kv_values * self.context * _wide(quantization, on_cpu)

    @property
    def sae_bytes(self) -> int:
        return 2 * SAE_FEATURES * self.width * 4

    def memory_bytes(self, quantization: Quantization, *, on_cpu: bool) -> int:
        embedding = min(self.embedding, self.parameters)
        wide = _wide(quantization, on_cpu)
        weights = (self.parameters - embedding) * LINEAR_BYTES[quantization] + embedding * wide
        return int(weights * 1.02) + self.kv_bytes(quantization, on_cpu=on_cpu) + self.sae_bytes + WORK_BYTES

    def context_that_fits(self, quantization: Quantization, room: int, *, on_cpu: bool) -> int:
        empty, one = (replace(self, context=n).memory_bytes(quantization, on_cpu=on_cpu) for n in (0, 1))
        return max(0, (room - empty) // max(1, one - empty))


def _wide(quantization: Quantization, on_cpu: bool) -> int:
    """Bytes of a number that is not quantised: such layers compute in the device's own dtype, as do keys and values."""
    own = 4 if on_cpu else 2
    return own if quantization in ("Q4", "Q8") else int(LINEAR_BYTES[quantization])


def text_config(config: Mapping[str, Any]) -> Mapping[str, Any]:
    """The language model's part, where a model also sees or hears."""
    inner = next((config[name] for name in ("text_config", "llm_config") if isinstance(config.get(name), dict)), None)
    return {**config, **inner} if inner else config


def context_length(config: Mapping[str, Any]) -> int | None:
    names = ("max_position_embeddings", "n_positions", "n_ctx", "seq_length", "max_seq_len")
    return next((value for name in names if isinstance(value := text_config(config).get(name), int)), None)


def shape_of(config: Mapping[str, Any], parameters: int, max_context: int) -> Shape:
    text = text_config(config)

    def number(*names: str) -> int:
        return next((value for name in names if isinstance(value := text.get(name), int)), 0)

    layers = number("num_hidden_layers", "n_layer", "num_layers")
    hidden = number("hidden_size", "n_embd", "d_model")
    heads = number("num_attention_heads", "n_head") or 1
    kv_heads = number("num_key_value_heads", "num_kv_heads") or heads
    head_dim = number("head_dim") or hidden // heads
    tied = bool(text.get("tie_word_embeddings", config.get("tie_word_embeddings", False)))
    context = context_length(config) or 2048
    return Shape(
        parameters=parameters,
        embedding=number("vocab_size") * hidden * (1 if tied else 2),
        kv_values=2 * layers * kv_heads * head_dim,
        context=min(context, max_context) if max_context else context,
        width=hidden,
    )


def parameters_of(config: Mapping[str, Any], weight_bytes: int) -> int | None:
    """From the size of the files, where nobody counted: right up to their headers."""
    name = str(config.get("dtype") or config.get("torch_dtype") or "")
    size = DTYPE_BYTES.get(name.removeprefix("torch."))
    return weight_bytes // size if size else None
