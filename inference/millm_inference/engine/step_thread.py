"""One thread that does what others hand it and, while there is work, one step after another."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

T = TypeVar("T")


class StepThread:
    """Calls `step` again and again while `has_work` holds; what is posted is done between two steps, in order. `step`
    raises nothing. `post`, `call` and `end` may be used from any thread."""

    def __init__(self, name: str, has_work: Callable[[], bool], step: Callable[[], None]) -> None:
        self._has_work, self._step = has_work, step
        self._inbox: deque[Callable[[], None]] = deque()
        self._wake = threading.Condition()
        self._ending = False
        self.busy_since: float | None = None  # monotonic; one task or step, so that a watchdog can tell a hang
        self._thread = threading.Thread(target=self._loop, name=name, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def post(self, task: Callable[[], None]) -> None:
        with self._wake:
            self._inbox.append(task)
            self._wake.notify()

    def call(self, work: Callable[[], T]) -> Future[T]:
        """The future has what `work` returned or raised."""
        future: Future[T] = Future()

        def task() -> None:
            try:
                future.set_result(work())
            except Exception as error:
                future.set_exception(error)

        self.post(task)
        return future

    def end(self, last: Callable[[], None], timeout_s: float) -> None:
        """Do `last` and whatever is posted by then, and end."""

        def task() -> None:
            last()
            self._ending = True

        if self._thread.is_alive():
            self.post(task)
            self._thread.join(timeout=timeout_s)

    def _loop(self) -> None:
        while not self._ending:
            with self._wake:
                while not self._inbox and not self._has_work():
                    self.busy_since = None
                    self._wake.wait()
            self._empty_inbox()
            if self._has_work():
                self.busy_since = time.monotonic()
                self._step()
        self._empty_inbox()
        self.busy_since = None

    def _empty_inbox(self) -> None:
        while self._inbox:
            self.busy_since = time.monotonic()
            self._inbox.popleft()()
