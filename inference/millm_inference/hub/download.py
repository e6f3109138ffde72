"""Downloads: what was asked for, each a small state machine, run a few at a time on threads of its own.

queued → running → done | failed | cancelled. Every change is a whole `DownloadState` with a higher `seq`, kept for
`states` and handed to `on_change` in order.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import structlog

from millm_inference.contract import DownloadState, StartDownloadRequest
from millm_inference.errors import SidecarError
from millm_inference.hub.client import Hub, RemoteFile, Target
from millm_inference.hub.control import Cancelled
from millm_inference.hub.files import safe_path
from millm_inference.hub.plan import Plan, already_here, make_plan
from millm_inference.hub.room import disk_free, human
from millm_inference.hub.task import ENDED, Speed, Task, tell
from millm_inference.hub.transfer import DiskFull, Patience, Transfer

log = structlog.get_logger()
PROGRESS_EVERY_S = 0.25
LISTING_TRIES = 3
KEPT = 500


@dataclass(frozen=True, slots=True)
class Limits:
    downloads: int = 2
    files: int = 4
    patience: Patience = field(default_factory=Patience)


class Downloads:
    """Thread-safe. `roots`: the cache directory of each kind. `on_change` is called on the threads of downloads."""

    def __init__(
        self,
        hub: Hub,
        roots: Mapping[str, Path],
        *,
        limits: Limits | None = None,
        free_bytes: Callable[[Path], int] = disk_free,
        on_change: Callable[[DownloadState], None] = lambda _: None,
    ) -> None:
        self.on_change = on_change
        self._hub = hub
        self._roots = roots
        self._limits = limits or Limits()
        self._free_bytes = free_bytes
        self._tasks: dict[str, Task] = {}
        self._lock = threading.RLock()
        self._closed = False
        # Higher than any of an earlier process: who remembers the last one it saw takes ours for newer.
        self._seq = int(time.time() * 1000)
        self._pool = ThreadPoolExecutor(self._limits.downloads, thread_name_prefix="download")

    # ---- what callers do --------------------------------------------------------------------------------------------
    def states(self) -> list[DownloadState]:
        """As last told. Takes no lock, so that whoever listens may ask while it is told something."""
        return [task.state for task in tuple(self._tasks.values())]

    def start(self, request: StartDownloadRequest) -> DownloadState:
        """Queue it, or find it running under this or another id. Raises VALIDATION_ERROR, CONFLICT."""
        path = safe_path(request.path)
        target = Target(request.repo_id, request.kind, request.revision or None, request.hf_token or None)
        state = DownloadState(
            download_id=request.download_id,
            kind=request.kind,
            repo_id=request.repo_id,
            revision=None,
            path=path or None,
            state="queued",
            bytes_done=0,
            bytes_total=0,
            seq=0,
        )
        task = Task(target, path, state)
        with self._lock:
            if self._closed:
                raise SidecarError("SHUTTING_DOWN", "The sidecar is stopping.")
            running = [t for t in self._tasks.values() if t.state.state not in ENDED]
            if same := next((t for t in running if t.wanted == task.wanted and not t.control.stopped), None):
                return same.state
            if any(t.state.download_id == request.download_id for t in running):
                raise SidecarError("CONFLICT", f"The download {request.download_id!r} is running for something else.")
            self._tasks.pop(request.download_id, None)  # to the end: the oldest ended ones go first
            self._tasks[request.download_id] = task
            self._forget()
            self._change(task)
            self._pool.submit(self._run, task)
            return task.state

    def cancel(self, download_id: str) -> DownloadState:
        """Stop it, wait until it stands, and say so; one that has ended stays as it ended."""
        with self._lock:
            task = self._tasks.get(download_id)
        if task is None:
            raise SidecarError("VALIDATION_ERROR", f"There is no download {download_id!r}.", param="download_id")
        if task.state.state not in ENDED:
            task.control.stop()
            if task.state.state == "running":
                task.ended.wait(2)
            # Queued, or waiting for the hub's first answer: nothing is written any more, whenever that comes.
            self._end(task, "cancelled")
        return task.state

    def in_use(self, folder: Path) -> set[str]:
        """Contents that running downloads into this repository's folder still need."""
        return {file.content for plan in self._running() if plan.shelf.folder == folder for file in plan.blobs}

    def writes_below(self, place: Path) -> bool:
        return any(plan.local_path.is_relative_to(place) for plan in self._running())

    def _running(self) -> list[Plan]:
        with self._lock:
            return [t.plan for t in self._tasks.values() if t.plan and t.state.state not in ENDED]

    def close(self) -> None:
        """Stop everything without a word: what was running can be continued by the next process."""
        with self._lock:
            self._closed = True
            tasks = list(self._tasks.values())
        for task in tasks:
            task.control.stop()
        self._pool.shutdown(wait=False, cancel_futures=True)

    # ---- one download, on its thread --------------------------------------------------------------------------------
    def _run(self, task: Task) -> None:
        try:
            task.control.check()
            self._change(task, state="running")
            if found := already_here(task.target, task.path, self._roots[task.target.kind]):
                commit, place, size = found
                totals = {"bytes_done": size, "bytes_total": size}
                self._end(task, "done", revision=commit, local_path=str(place), **totals)
                return
            plan = self._plan(task)
            task.control.check()
            self._begin(task, plan)
            self._fetch(task, plan)
            plan.shelf.complete(plan.repository.commit, task.path, plan.selection.entry, plan.selection.files)
            plan.shelf.name_revision(task.target.revision or "main", plan.repository.commit)
            self._end(task, "done")
        except Cancelled:
            self._end(task, "cancelled")
        except SidecarError as error:
            self._end(task, "failed", error=error.body())
        except OSError as error:
            body = SidecarError("DOWNLOAD_FAILED", f"The cache directory cannot be used: {error.strerror}.").body()
            self._end(task, "failed", error=body)
        except Exception as error:
            log.exception("download:unexpected", download_id=task.state.download_id, error=repr(error))
            body = SidecarError(
                "INTERNAL_ERROR", "The download failed unexpectedly; the sidecar's log says why."
            ).body()
            self._end(task, "failed", error=body)

    def _plan(self, task: Task) -> Plan:
        for failures in range(LISTING_TRIES):
            try:
                return make_plan(self._hub, task.target, task.path, self._roots[task.target.kind])
            except SidecarError as error:
                if error.code != "DOWNLOAD_FAILED" or failures == LISTING_TRIES - 1:
                    raise
                task.control.wait(self._limits.patience.wait_s(failures))
        raise AssertionError("unreachable")

    def _begin(self, task: Task, plan: Plan) -> None:
        """Count what is here already, and see that the rest fits on the disk beside what else is on its way."""
        with self._lock:
            task.here = {file.content: plan.shelf.present(file) for file in plan.blobs}
            total = sum(file.size for file in plan.blobs)
            task.plan = plan
            self._change(
                task,
                revision=plan.repository.commit,
                local_path=str(plan.local_path),
                bytes_total=total,
                bytes_done=sum(task.here.values()),
            )
            others = sum(t.missing for t in self._tasks.values() if t is not task and t.state.state == "running")
            self._require(task, self._free_bytes(plan.shelf.root) - others)

    def _require(self, task: Task, free: int) -> None:
        if task.missing > free:
            lacking = task.missing - max(free, 0)
            raise SidecarError(
                "DOWNLOAD_FAILED",
                f"The disk is too full by {human(lacking)}: {human(task.missing)} are still to be fetched, and"
                f" {human(max(free, 0))} are free.",
                missing_bytes=lacking,
                needed_bytes=task.missing,
                free_bytes=max(free, 0),
            )

    def _fetch(self, task: Task, plan: Plan) -> None:
        def report(file: RemoteFile, here: int) -> None:
            task.here[file.content] = here

        transfer = Transfer(self._hub, plan.repository, plan.shelf, task.control, self._limits.patience, report)
        speed = Speed(sum(task.here.values()))
        with ThreadPoolExecutor(self._limits.files, thread_name_prefix="download-file") as pool:
            pending = {pool.submit(transfer.fetch, file, plan.links(file.content)) for file in plan.blobs}
            failure: BaseException | None = None
            while pending:
                ended, pending = wait(pending, PROGRESS_EVERY_S, return_when=FIRST_EXCEPTION)
                errors = [error for future in ended if (error := future.exception())]
                if errors and failure is None:
                    failure = next((e for e in errors if not isinstance(e, Cancelled)), errors[0])
                    task.control.stop()  # one file that cannot be had stops the others
                if pending and failure is None:
                    here = sum(task.here.values())
                    self._change(task, bytes_done=here, bytes_per_second=speed.at(here))
        if isinstance(failure, DiskFull):
            self._require(task, self._free_bytes(plan.shelf.root))
            raise SidecarError("DOWNLOAD_FAILED", f"The disk is full; {human(task.missing)} are still to be fetched.")
        if failure is not None:
            raise failure

    # ---- its state --------------------------------------------------------------------------------------------------
    def _end(self, task: Task, state: str, **changes: Any) -> None:
        if task.plan is not None:
            # Also where it did not end well: what is on the disk can be freed by this path.
            changes = {"local_path": str(task.plan.local_path), "bytes_done": sum(task.here.values()), **changes}
        self._change(task, state=state, bytes_per_second=0.0, **changes)
        task.ended.set()

    def _change(self, task: Task, **changes: Any) -> None:
        """Nothing changes after the end, in a task that another one replaced, or while closing."""
        with self._lock:
            current = self._tasks.get(task.state.download_id) is task
            if self._closed or not current or task.state.state in ENDED:
                return
            if task.state.seq and all(getattr(task.state, name) == value for name, value in changes.items()):
                return
            self._seq += 1
            task.state = task.state.model_copy(update={**changes, "seq": self._seq})
            if "state" in changes:
                tell(task.state)
            try:
                self.on_change(task.state)
            except Exception:
                log.exception("download:listener-failed", download_id=task.state.download_id)

    def _forget(self) -> None:
        ended = [name for name, task in self._tasks.items() if task.state.state in ENDED]
        for name in ended[: max(0, len(self._tasks) - KEPT)]:
            del self._tasks[name]
