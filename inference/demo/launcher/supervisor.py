"""Keeps programs running: one readable log, restarts with backoff, and no orphan however it ends.

Knows processes and lines; knows nothing of models or HTTP.
"""

import asyncio
import contextlib
import ctypes
import os
import signal
import sys
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

FIRST_BACKOFF_S = 0.5
LAST_BACKOFF_S = 10.0
STEADY_AFTER_S = 60.0
GRACE_S = 10.0
LONGEST_LINE = 1 << 16
PR_SET_PDEATHSIG = 1

Emit = Callable[[str, str], None]


@dataclass(frozen=True, slots=True)
class Program:
    name: str
    command: tuple[str, ...]
    cwd: Path
    env: dict[str, str] = field(default_factory=dict)


class Supervised:
    """One program: the running process, how often it stopped, and its last lines."""

    def __init__(self, program: Program, emit: Emit) -> None:
        self.program = program
        self.last_lines: deque[str] = deque(maxlen=20)
        self.stops = 0
        self.last_exit: str | None = None
        self._emit = emit
        self._process: asyncio.subprocess.Process | None = None
        self._stopping = asyncio.Event()

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process and self._process.returncode is None else None

    async def run(self) -> None:
        backoff_s = FIRST_BACKOFF_S
        while not self._stopping.is_set():
            started = time.monotonic()
            await self._run_once()
            if self._stopping.is_set():
                return
            if time.monotonic() - started >= STEADY_AFTER_S:
                backoff_s = FIRST_BACKOFF_S
            self._say(f"{self.last_exit}; starting it again in {backoff_s:g} s")
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), backoff_s)
            backoff_s = min(backoff_s * 2, LAST_BACKOFF_S)

    async def stop(self) -> None:
        """Asks the program's whole process group to end, and kills what is left after the grace period."""
        self._stopping.set()
        process = self._process
        if process is None or process.returncode is not None:
            return
        _signal_group(process.pid, signal.SIGTERM)
        try:
            await asyncio.wait_for(process.wait(), GRACE_S)
        except TimeoutError:
            self._say(f"still running {GRACE_S:g} s after it was asked to stop; killing it")
        _signal_group(process.pid, signal.SIGKILL)
        await process.wait()

    def kill(self) -> None:
        if self._process is not None:
            _signal_group(self._process.pid, signal.SIGKILL)

    async def _run_once(self) -> None:
        program = self.program
        try:
            self._process = process = await asyncio.create_subprocess_exec(
                *program.command,
                cwd=program.cwd,
                env={**_inherited(), **program.env},
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.STDOUT,
                # Its own group, so that the terminal's Ctrl-C reaches us alone and we decide the order.
                start_new_session=True,
                preexec_fn=_die_with_parent if sys.platform == "linux" else None,
            )
        except OSError as error:
            self.stops += 1
            self.last_exit = f"could not start ({error.strerror}: {program.command[0]})"
            return
        assert process.stdout is not None
        reading = asyncio.create_task(self._read(process.stdout))
        code = await process.wait()
        # What it started may hold the pipe open; the group goes with its leader.
        if not self._stopping.is_set():
            _signal_group(process.pid, signal.SIGKILL)
        await reading
        self.stops += 1
        self.last_exit = _describe_exit(code)

    async def _read(self, stream: asyncio.StreamReader) -> None:
        pending = b""
        while chunk := await stream.read(LONGEST_LINE):
            *lines, pending = (pending + chunk).split(b"\n")
            for line in lines:
                self._line(line)
            if len(pending) > LONGEST_LINE:
                self._line(pending)
                pending = b""
        if pending:
            self._line(pending)

    def _line(self, raw: bytes) -> None:
        text = raw.decode("utf-8", "replace").rstrip("\r")
        self.last_lines.append(text)
        self._emit(self.program.name, text)

    def _say(self, text: str) -> None:
        self._emit("miLLM", f"{self.program.name} {text}")


def _inherited() -> dict[str, str]:
    """Our environment, less what is addressed to the tests: the programs refuse settings that they do not know."""
    return {key: value for key, value in os.environ.items() if not key.startswith("MILLM_TEST_")}


def _describe_exit(code: int) -> str:
    if code >= 0:
        return f"stopped with exit code {code}"
    try:
        return f"was ended by {signal.Signals(-code).name}"
    except ValueError:
        return f"was ended by signal {-code}"


def _signal_group(pid: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, number)


def _die_with_parent() -> None:
    """In the child, before exec: should the supervisor be killed outright, the kernel tells the child to end."""
    _libc.prctl(PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)


# Loaded before any fork: a child must not load libraries between fork and exec.
_libc = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None
