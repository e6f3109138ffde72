"""One download while it lasts: what was asked, how far it is, how fast, and how to stop it."""

from __future__ import annotations

import threading
import time
from collections import deque
from dataclasses import dataclass, field

import structlog

from millm_inference.contract import DownloadState
from millm_inference.hub.client import Target
from millm_inference.hub.control import Control
from millm_inference.hub.plan import Plan

log = structlog.get_logger()
ENDED = ("done", "failed", "cancelled")
SPEED_OVER_S = 5.0


@dataclass(slots=True, eq=False)
class Task:
    target: Target
    path: str
    state: DownloadState
    control: Control = field(default_factory=Control)
    ended: threading.Event = field(default_factory=threading.Event)
    here: dict[str, int] = field(default_factory=dict)
    """Bytes on the disk, by content; written by the threads that fetch, summed by the one that tells."""
    plan: Plan | None = None

    @property
    def wanted(self) -> tuple[str, str, str | None, str]:
        return self.target.kind, self.target.repo_id, self.target.revision, self.path

    @property
    def missing(self) -> int:
        return self.state.bytes_total - sum(self.here.values()) if self.plan else 0


class Speed:
    """Bytes per second over the last seconds."""

    def __init__(self, here: int) -> None:
        self._seen = deque([(time.monotonic(), here)])

    def at(self, here: int) -> float:
        now = time.monotonic()
        self._seen.append((now, here))
        while len(self._seen) > 2 and now - self._seen[0][0] > SPEED_OVER_S:
            self._seen.popleft()
        then, before = self._seen[0]
        return round(max(0, here - before) / max(now - then, 1e-3), 1)


def tell(state: DownloadState) -> None:
    log.info(
        f"download:{state.state}",
        download_id=state.download_id,
        repo_id=state.repo_id,
        revision=state.revision,
        path=state.path,
        bytes_done=state.bytes_done,
        bytes_total=state.bytes_total,
        code=state.error.code if state.error else None,
    )
