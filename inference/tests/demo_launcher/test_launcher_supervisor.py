"""The supervisor over real processes: what it restarts, what it stops, what it never leaves behind."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

STACK = Path(__file__).resolve().parent / "stack.py"
WAIT_S = 20


def is_alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


def until(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + WAIT_S
    while not condition():
        assert time.monotonic() < deadline, f"waited {WAIT_S} s in vain for: {what}"
        time.sleep(0.02)


class Stack:
    def __init__(self, folder: Path, *modes: str) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.folder = folder
        self.log = folder / "log"
        with self.log.open("w") as out:
            command = [sys.executable, str(STACK), str(folder), str(self.port), *modes]
            self.process = subprocess.Popen(command, stdout=out, stderr=subprocess.STDOUT)

    def pids(self, mode: str) -> list[int]:
        path = self.folder / mode
        return [int(line) for line in path.read_text().split()] if path.exists() else []

    def text(self) -> str:
        return self.log.read_text()

    def until_ready(self) -> None:
        until(lambda: "miLLM is ready" in self.text(), "the greeting")

    def end(self, number: int = signal.SIGINT) -> int:
        self.process.send_signal(number)
        return self.process.wait(WAIT_S)


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Stack]]:
    stacks: list[Stack] = []

    def starter(*modes: str) -> Stack:
        stacks.append(Stack(tmp_path, *modes))
        return stacks[-1]

    yield starter
    for stack in stacks:
        if stack.process.poll() is None:
            stack.end(signal.SIGTERM)


def test_a_program_killed_outright_is_started_again(start: Callable[..., Stack]) -> None:
    stack = start("quiet", "healthy")
    stack.until_ready()
    os.kill(stack.pids("quiet")[0], signal.SIGKILL)
    until(lambda: len(stack.pids("quiet")) == 2, "a second start")
    assert "quiet was ended by SIGKILL; starting it again in 0.05 s" in stack.text()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ending_the_supervisor_leaves_no_child(start: Callable[..., Stack], number: int) -> None:
    stack = start("parent", "healthy")
    stack.until_ready()
    grandchild = int((stack.folder / "parent.child").read_text())
    assert stack.end(number) == 0
    assert not any(is_alive(pid) for pid in [*stack.pids("parent"), *stack.pids("healthy"), grandchild])


def test_a_program_that_ignores_the_request_to_stop_is_killed(start: Callable[..., Stack]) -> None:
    stack = start("stubborn", "healthy")
    stack.until_ready()
    assert stack.end() == 0
    assert not is_alive(stack.pids("stubborn")[0])
    assert "killing it" in stack.text()


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel tells children of a killed parent on Linux only")
def test_killing_the_supervisor_outright_ends_its_children_too(start: Callable[..., Stack]) -> None:
    stack = start("quiet", "healthy")
    stack.until_ready()
    stack.end(signal.SIGKILL)
    until(lambda: not any(is_alive(pid) for mode in ("quiet", "healthy") for pid in stack.pids(mode)), "no orphan")


def test_a_program_that_never_comes_up_ends_the_start_with_its_last_words(start: Callable[..., Stack]) -> None:
    stack = start("quiet", "broken")
    assert stack.process.wait(WAIT_S) == 1
    assert "broken stopped 4 times before it was ready (stopped with exit code 1)" in stack.text()
    assert "its last words: no such setting: MILLM_TYPO" in stack.text()
    assert "Traceback" not in stack.text()
    assert not is_alive(stack.pids("quiet")[0])


def test_lines_of_both_programs_carry_their_name(start: Callable[..., Stack]) -> None:
    stack = start("quiet", "healthy")
    stack.until_ready()
    lines = stack.text().splitlines()
    assert "quiet     │ quiet says hello" in lines
    assert "healthy   │ healthy says hello" in lines


def test_it_stops_when_nobody_reads_its_log_any_more(start: Callable[..., Stack], tmp_path: Path) -> None:
    stack = start("quiet", "healthy")  # a port and a folder of its own
    stack.until_ready()
    stack.end()
    piped = subprocess.Popen(
        [sys.executable, str(STACK), str(tmp_path), str(stack.port), "quiet", "healthy"], stdout=subprocess.PIPE
    )
    assert piped.stdout is not None
    piped.stdout.readline()
    piped.stdout.close()
    assert piped.wait(WAIT_S) == 0
    assert not any(is_alive(pid) for mode in ("quiet", "healthy") for pid in stack.pids(mode))
