"""Several programs' lines as one stream: each line behind its program's name, in its colour on a terminal."""

import os
import sys
from collections.abc import Callable
from typing import TextIO

COLOURS = {"miLLM": "1", "gateway": "36", "inference": "35", "web": "33"}
WIDTH = max(map(len, COLOURS))


class LogStream:
    def __init__(self, out: TextIO = sys.stdout, on_closed: Callable[[], None] = lambda: None) -> None:
        self._out = out
        self._on_closed = on_closed
        self._is_open = True
        self.has_colour = out.isatty() and "NO_COLOR" not in os.environ

    def line(self, name: str, text: str) -> None:
        self.write(f"{self._paint(name)} {text}\n")

    def write(self, text: str) -> None:
        if not self._is_open:
            return
        try:
            self._out.write(text)
            self._out.flush()
        except (BrokenPipeError, ValueError):
            # Nobody reads us any more (`make demo | head`): end like a program in a pipe does.
            self._is_open = False
            self._on_closed()

    def _paint(self, name: str) -> str:
        label = f"{name:<{WIDTH}} │"
        return f"\x1b[{COLOURS.get(name, '0')}m{label}\x1b[0m" if self.has_colour else label
