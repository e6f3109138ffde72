"""From token ids to text that is certain: whole characters only, and never a part of a stop string.

One `TextOutput` per choice. Pure Python, no tensors: `push` a token, get what may be shown now.
"""

from __future__ import annotations

import codecs
from dataclasses import dataclass, field

from millm_inference.engine.token_bytes import TokenBytes


@dataclass(slots=True)
class TokenRecord:
    """A generated token, waiting until the text it is part of may be shown. `top` holds (token_id, logprob)."""

    token_id: int
    position: int
    logprob: float | None = None
    top: tuple[tuple[int, float], ...] = ()
    special: bool = False
    start: int = 0  # characters of text before this token
    end: int = 0  # and up to and including it; an unfinished character counts


@dataclass(slots=True)
class Emission:
    text: str = ""
    tokens: list[TokenRecord] = field(default_factory=list)


class TextOutput:
    """Detokenisation, UTF-8 hold-back and stop strings for one choice.

    `stopped` holds the stop string once one was found; nothing after it is ever released.
    """

    def __init__(
        self,
        token_bytes: TokenBytes,
        *,
        stop: tuple[str, ...] = (),
        include_stop: bool = False,
        skip_special_tokens: bool = True,
    ) -> None:
        self._bytes = token_bytes
        self._stop = stop
        self._include_stop = include_stop
        self._skip_special = skip_special_tokens
        self._decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
        self._held = ""  # decoded characters that might begin a stop string
        self._released = 0  # characters released so far
        self._length = 0  # characters decoded so far
        self._pending: list[TokenRecord] = []
        self.stopped: str | None = None

    def push(self, record: TokenRecord, *, ends: bool = False, match_stop: bool = True) -> Emission:
        """Add one token. `ends`: an end-of-sequence or stop token, which is never part of the text."""
        hidden = ends or (self._skip_special and record.token_id in self._bytes.special_ids)
        raw = b"" if hidden else self._bytes.of(record.token_id)
        record.special = hidden
        text = self._decoder.decode(raw)
        record.start = self._length
        self._length += len(text)
        record.end = self._length + (1 if self._decoder.getstate()[0] else 0)
        self._pending.append(record)
        self._held += text
        if match_stop and self._stop:
            self._find_stop()
        keep = 0 if self.stopped is not None else self._possible_stop()
        text, self._held = self._held[: len(self._held) - keep], self._held[len(self._held) - keep :]
        return self._release(text)

    def finish(self) -> Emission:
        """Everything still held: the text ended for another reason than a stop string."""
        text = self._held
        self._held = ""
        if self.stopped is None:
            text += self._decoder.decode(b"", final=True)
        emission = self._release(text)
        for record in self._pending:  # cut by a stop string, or without text of their own
            record.special = record.special or self.stopped is not None
            emission.tokens.append(record)
        self._pending = []
        return emission

    def _find_stop(self) -> None:
        found = [(self._held.find(s), -len(s), s) for s in self._stop if s in self._held]
        if not found:
            return
        at, _, stop = min(found)
        self.stopped = stop
        self._held = self._held[: at + len(stop)] if self._include_stop else self._held[:at]

    def _possible_stop(self) -> int:
        """Length of the longest end of the held text that could be the beginning of a stop string."""
        longest = max((len(s) for s in self._stop), default=1) - 1
        for size in range(min(longest, len(self._held)), 0, -1):
            tail = self._held[-size:]
            if any(s.startswith(tail) for s in self._stop):
                return size
        return 0

    def _release(self, text: str) -> Emission:
        self._released += len(text)
        cut = 0
        while cut < len(self._pending) and self._pending[cut].end <= self._released:
            cut += 1
        # A token cut in the middle by a stop string shows some of its text: it keeps its entry.
        if self.stopped is not None and cut < len(self._pending) and self._pending[cut].start < self._released:
            cut += 1
        tokens, self._pending = self._pending[:cut], self._pending[cut:]
        return Emission(text, tokens)
