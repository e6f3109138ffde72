"""The stop button of one download, shared by its threads: waits end early, open connections are cut."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager


class Cancelled(Exception):
    """Somebody stopped it."""


class Control:
    def __init__(self) -> None:
        self._stopped = threading.Event()
        self._lock = threading.Lock()
        self._cuts: dict[int, Callable[[], None]] = {}

    @property
    def stopped(self) -> bool:
        return self._stopped.is_set()

    def stop(self) -> None:
        self._stopped.set()
        with self._lock:
            cuts = list(self._cuts.values())
        for cut in cuts:
            cut()

    def check(self) -> None:
        if self._stopped.is_set():
            raise Cancelled

    def wait(self, seconds: float) -> None:
        if self._stopped.wait(seconds):
            raise Cancelled

    @contextmanager
    def cutting(self, cut: Callable[[], None]) -> Iterator[None]:
        """While inside, `stop` calls `cut`."""
        with self._lock:
            self._cuts[id(cut)] = cut
        try:
            self.check()
            yield
        finally:
            with self._lock:
                self._cuts.pop(id(cut), None)
