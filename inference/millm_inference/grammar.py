"""Constrained decoding through llguidance: a contract Grammar → per-choice token masks.

llguidance: an Earley parser over token tries; no dependencies, so a machine without a GPU needs no CUDA packages
(xgrammar was the other candidate: it requires triton).
"""

from __future__ import annotations

import json
import threading
import weakref
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from llguidance import LLMatcher, LLTokenizer
from llguidance.hf import from_tokenizer

from millm_inference.contract import Grammar
from millm_inference.errors import SidecarError
from millm_inference.resident import Resident

if TYPE_CHECKING:
    from llguidance._lib import JsonCompileOptions

NO_WHITESPACE: JsonCompileOptions = {"whitespace_flexible": False}
"""Compact JSON: a model cannot loop on white space until max_tokens."""

_tokenizers: weakref.WeakKeyDictionary[Any, LLTokenizer] = weakref.WeakKeyDictionary()
_lock = threading.Lock()


@dataclass(frozen=True)
class CompiledGrammar:
    tokenizer: LLTokenizer
    grammar: str
    vocab_size: int

    def start(self) -> TokenMatcher:
        return TokenMatcher(LLMatcher(self.tokenizer, self.grammar), self.vocab_size)


class TokenMatcher:
    """The state of one choice's constrained text."""

    def __init__(self, matcher: LLMatcher, vocab_size: int) -> None:
        self._matcher = matcher
        self._vocab_size = vocab_size

    def mask(self) -> torch.Tensor:
        """`[vocab]` bool, True where allowed. Raises VALIDATION_ERROR when the grammar can go nowhere."""
        packed = self._matcher.compute_bitmask()
        if self._matcher.is_error():
            raise SidecarError("VALIDATION_ERROR", f"The grammar cannot be followed: {self._matcher.get_error()}")
        bits = np.unpackbits(np.frombuffer(packed, dtype=np.uint8), bitorder="little")[: self._vocab_size]
        return torch.from_numpy(bits.astype(bool))

    def accept(self, token_id: int) -> None:
        self._matcher.consume_token(token_id)

    @property
    def finished(self) -> bool:
        return bool(self._matcher.is_stopped())


def compile_grammar(grammar: Grammar, resident: Resident) -> CompiledGrammar:
    """Raises VALIDATION_ERROR with the library's reason; UNSUPPORTED_VALUE for tokenizers it cannot read."""
    tokenizer = _tokenizer_for(resident)
    text = _to_llguidance(grammar)
    problem = LLMatcher.validate_grammar(text, tokenizer)
    if problem:
        raise SidecarError(
            "UNSUPPORTED_VALUE",
            f"This schema or grammar cannot be enforced: {problem.strip()[:400]}",
            param="response_format",
        )
    return CompiledGrammar(tokenizer, text, resident.info.vocab_size)


def _tokenizer_for(resident: Resident) -> LLTokenizer:
    with _lock:
        known = _tokenizers.get(resident.tokenizer)
        if known is None:
            try:
                known = from_tokenizer(
                    resident.tokenizer, n_vocab=resident.info.vocab_size, eos_token=sorted(resident.loaded.eos_ids)
                )
            except (ValueError, RuntimeError) as error:
                raise SidecarError(
                    "UNSUPPORTED_VALUE",
                    f"Constrained output is not available for this model's tokenizer: {error}",
                    param="response_format",
                ) from error
            _tokenizers[resident.tokenizer] = known
        return known


def _to_llguidance(grammar: Grammar) -> str:
    try:
        match grammar.kind:
            case "json_object":
                schema = grammar.value or '{"type": "object"}'
                return LLMatcher.grammar_from_json_schema(schema, defaults=NO_WHITESPACE)
            case "json_schema":
                return LLMatcher.grammar_from_json_schema(grammar.value, defaults=NO_WHITESPACE)
            case "regex":
                return LLMatcher.grammar_from_regex(grammar.value)
            case "choice":
                options = " | ".join(json.dumps(choice) for choice in json.loads(grammar.value))
                return LLMatcher.grammar_from_lark(f"start: {options}")
            case "lark":
                return LLMatcher.grammar_from_lark(grammar.value)
    except (ValueError, TypeError) as error:
        raise SidecarError("VALIDATION_ERROR", f"The schema is not valid: {error}", param="response_format") from error
