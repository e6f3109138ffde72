"""Ends a process in which something has been at one piece of work for longer than any takes.

Knows clocks; must not know the engine, HTTP or what is watched.
"""

from __future__ import annotations

import faulthandler
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import TracebackType

from millm_inference.fatal import LOG_PATIENCE_S, end_hung

BusySince = Callable[[], float | None]
"""When (monotonic seconds) what is watched began what it is at; None: it is idle."""


@dataclass(frozen=True, slots=True)
class Watched:
    busy_since: BusySince
    timeout_s: float


class WatchedLock:
    """A lock that says since when somebody holds it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.held_since: float | None = None

    def __enter__(self) -> None:
        self._lock.acquire()
        self.held_since = time.monotonic()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.held_since = None
        self._lock.release()


class Watchdog:
    """A thread that looks at what is watched. `timeout_s` is for the interpreter itself, which cannot be asked; where
    it is 0, nothing is watched. The monotonic clock stands still while the machine sleeps, and knows no jumps."""

    def __init__(self, timeout_s: float, watched: Mapping[str, Watched]) -> None:
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
            for what, watched in self._watched.items():
                since = watched.busy_since()
                if since is not None and (seconds := time.monotonic() - since) > watched.timeout_s:
                    faulthandler.dump_traceback_later(2 * LOG_PATIENCE_S, exit=True)
                    end_hung(what, seconds)
