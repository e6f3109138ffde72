"""Ends a process in which something has been at one piece of work for longer than any takes.

Knows clocks; must not know the engine, HTTP or what is watched.
"""

from __future__ import annotations

import faulthandler
import threading
import time
from collections.abc import Callable, Mapping

from millm_inference.fatal import LOG_PATIENCE_S, end_hung

BusySince = Callable[[], float | None]
"""When (monotonic seconds) what is watched began what it is at; None: it is idle."""


class Watchdog:
    """A thread that looks at what is watched; `timeout_s` 0: none. The monotonic clock stands still while the machine
    sleeps, and knows no jumps."""

    def __init__(self, timeout_s: float, watched: Mapping[str, BusySince]) -> None:
        self._timeout_s = timeout_s
        self._watched = watched
        self._interval_s = min(1.0, timeout_s / 4)
        self._thread = threading.Thread(target=self._look, name="watchdog", daemon=True)

    def start(self) -> None:
        if self._timeout_s:
            self._thread.start()

    def _look(self) -> None:
        while True:
            # Where the interpreter itself is held, this thread gets no turn either. faulthandler's needs none: it
            # writes the stacks to stderr and ends the process with code 1, since it knows no other.
            faulthandler.dump_traceback_later(self._timeout_s + 2 * self._interval_s, exit=True)
            time.sleep(self._interval_s)
            for what, busy_since in self._watched.items():
                since = busy_since()
                if since is not None and (seconds := time.monotonic() - since) > self._timeout_s:
                    faulthandler.dump_traceback_later(2 * LOG_PATIENCE_S, exit=True)
                    end_hung(what, seconds)
