"""Tiny random models of every architecture the engine covers, and a byte-level tokenizer. Nothing is downloaded."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import (
    AutoModelForCausalLM,
    Gemma2Config,
    Gemma3TextConfig,
    GPT2Config,
    GPTNeoXConfig,
    LlamaConfig,
    MistralConfig,
    OPTConfig,
    Phi3Config,
    PretrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerFast,
    Qwen2Config,
    Qwen3Config,
)

from millm_inference.engine.token_bytes import byte_level_alphabet

VOCAB = 320
CHAT_TEMPLATE = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]


def byte_tokenizer() -> PreTrainedTokenizerFast:
    """One token per byte, ids 3…258, after three special tokens."""
    vocab = {token: i for i, token in enumerate(SPECIAL)}
    vocab.update({c: i + len(SPECIAL) for i, c in enumerate(byte_level_alphabet())})
    backend = Tokenizer(models.BPE(vocab=vocab, merges=[]))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    backend.decoder = decoders.ByteLevel()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=backend, eos_token="<|im_end|>", bos_token="<|endoftext|>")
    tokenizer.add_special_tokens({"additional_special_tokens": SPECIAL})
    tokenizer.chat_template = CHAT_TEMPLATE
    return tokenizer


COMMON = {
    "vocab_size": VOCAB,
    "hidden_size": 32,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "intermediate_size": 64,
    "max_position_embeddings": 512,
    "bos_token_id": 0,
    "eos_token_id": 2,
    "pad_token_id": 0,
}
GQA = {**COMMON, "num_key_value_heads": 2}

CONFIGS: dict[str, Callable[[], PretrainedConfig]] = {
    "llama": lambda: LlamaConfig(**GQA),
    "mistral": lambda: MistralConfig(**GQA, sliding_window=16),
    "qwen2": lambda: Qwen2Config(**GQA),
    "qwen3": lambda: Qwen3Config(**GQA, head_dim=8),
    "gemma2": lambda: Gemma2Config(**GQA, head_dim=8, sliding_window=16, query_pre_attn_scalar=8),
    "gemma3": lambda: Gemma3TextConfig(
        **{**GQA, "num_hidden_layers": 4},
        head_dim=8,
        sliding_window=16,
        sliding_window_pattern=2,
        query_pre_attn_scalar=8,
    ),
    "phi3": lambda: Phi3Config(**GQA),
    "gpt2": lambda: GPT2Config(
        vocab_size=VOCAB, n_embd=32, n_layer=3, n_head=4, n_positions=512, bos_token_id=0, eos_token_id=2
    ),
    "gpt_neox": lambda: GPTNeoXConfig(**COMMON),
    "opt": lambda: OPTConfig(
        vocab_size=VOCAB,
        hidden_size=32,
        num_hidden_layers=3,
        num_attention_heads=4,
        ffn_dim=64,
        max_position_embeddings=512,
        word_embed_proj_dim=32,
        eos_token_id=2,
        pad_token_id=1,
    ),
}


@lru_cache
def tiny_model(name: str = "llama") -> PreTrainedModel:
    """Random weights, large enough that greedy text varies; the same for every test of a run."""
    torch.manual_seed(7)
    model = AutoModelForCausalLM.from_config(CONFIGS[name]()).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() > 1:
                parameter.normal_(0, 0.15)
    model.generation_config.eos_token_id = 2
    return model
