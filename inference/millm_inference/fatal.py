"""What only a new process mends: a device that is lost, and a program that hangs. Whoever supervises starts another."""

from __future__ import annotations

import os
import sys
import threading
import traceback

import structlog

log = structlog.get_logger()
EXIT_DEVICE_LOST = 70
EXIT_HUNG = 71
LOG_PATIENCE_S = 5.0
"""A log that nobody reads any more may be why we hang."""


def end_device_lost() -> None:
    """Streams are told first."""
    log.critical("sidecar:device-lost")
    _end_after(1.0, EXIT_DEVICE_LOST)


def end_hung(what: str, seconds: float) -> None:
    """Says where every thread stands, and does not return."""
    _end_after(LOG_PATIENCE_S, EXIT_HUNG)
    log.critical("sidecar:hung", what=what, seconds=round(seconds, 1), stack=_stacks())
    os._exit(EXIT_HUNG)


def _end_after(seconds: float, code: int) -> None:
    ending = threading.Timer(seconds, os._exit, (code,))
    ending.daemon = True
    ending.start()


def _stacks() -> str:
    names = {thread.ident: thread.name for thread in threading.enumerate()}
    return "\n".join(
        f"Thread {names.get(ident, ident)}:\n{''.join(traceback.format_stack(frame))}"
        for ident, frame in sys._current_frames().items()
        if ident != threading.get_ident()
    )
