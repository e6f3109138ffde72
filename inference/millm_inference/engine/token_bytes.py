"""Token id → the bytes it stands for, for byte-level BPE and SentencePiece vocabularies with byte fallback.

Joining these bytes and decoding them as UTF-8 is the tokenizer's own decoding of generated text (leading space kept).
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from functools import lru_cache
from typing import Any

_BYTE_TOKEN = re.compile(r"<0x([0-9A-Fa-f]{2})>\Z")


def byte_level_alphabet() -> dict[str, int]:
    """GPT-2's printable stand-in for each byte (Radford et al. 2019, `bytes_to_unicode`)."""
    printable = [*range(ord("!"), ord("~") + 1), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    table = {chr(b): b for b in printable}
    hidden = [b for b in range(256) if b not in set(printable)]
    table.update({chr(256 + i): b for i, b in enumerate(hidden)})
    return table


class TokenBytes:
    """Bytes and printable text of every token of one tokenizer."""

    def __init__(self, tokenizer: Any) -> None:
        self.tokenizer = tokenizer
        self.special_ids: frozenset[int] = frozenset(int(i) for i in tokenizer.all_special_ids) | frozenset(
            index for index, token in tokenizer.added_tokens_decoder.items() if token.special
        )
        self._added = {index: token.content for index, token in tokenizer.added_tokens_decoder.items()}
        self._piece_bytes = _piece_decoder(tokenizer)
        self.of = lru_cache(maxsize=65536)(self._of)

    def _of(self, token_id: int) -> bytes:
        if token_id in self._added:
            return str(self._added[token_id]).encode()
        piece: str | None = self.tokenizer.convert_ids_to_tokens(token_id)
        return b"" if piece is None else self._piece_bytes(piece, token_id)

    def text(self, token_id: int) -> str:
        """The token as a person reads it; bytes that are no whole character show as U+FFFD."""
        return self.of(token_id).decode("utf-8", errors="replace")

    def special_id_of(self, text: str) -> int | None:
        """The special token whose text is exactly `text`, if there is one."""
        return next((i for i in self.special_ids if self._added.get(i) == text), None)


def _piece_decoder(tokenizer: Any) -> Callable[[str, int], bytes]:
    backend = getattr(tokenizer, "backend_tokenizer", None)
    decoder = json.dumps((json.loads(backend.to_str()).get("decoder") or {}) if backend is not None else {})
    if '"ByteLevel"' in decoder:
        alphabet = byte_level_alphabet()
        return lambda piece, _: (
            bytes(alphabet[c] for c in piece) if all(c in alphabet for c in piece) else piece.encode()
        )
    if "\u2581" in decoder or "\\u2581" in decoder or '"Metaspace"' in decoder or '"ByteFallback"' in decoder:

        def sentencepiece(piece: str, _: int) -> bytes:
            byte = _BYTE_TOKEN.match(piece)
            return bytes([int(byte[1], 16)]) if byte else piece.replace("\u2581", " ").encode()

        return sentencepiece
    return lambda _, token_id: str(tokenizer.decode([token_id])).encode()
