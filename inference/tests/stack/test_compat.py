"""What other people's programs do with the server, each in its own process and environment (`inference/compat`)."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tests.stack.conftest import DEMO, MODEL, REPOSITORY, Stack, free_port

pytestmark = pytest.mark.demo
COMPAT = REPOSITORY / "inference" / "compat"
PYTHON = COMPAT / ".venv" / "bin" / "python"
NO_HUB = {"HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1", "LITELLM_LOCAL_MODEL_COST_MAP": "True"}


@pytest.fixture(scope="module")
def fake_url(tmp_path_factory):
    """The gateway before the scripted sidecar."""
    port = free_port()
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("MILLM_")},
        "PORT": str(port),
        "MILLM_INFERENCE_PORT": str(free_port()),
        "MILLM_DATA_DIR": str(tmp_path_factory.mktemp("fake")),
        "LOG_LEVEL": "warn",
    }
    launcher = subprocess.Popen(
        [sys.executable, str(DEMO / "up.py"), "--fake"],
        cwd=REPOSITORY,
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    running = Stack(f"http://127.0.0.1:{port}", launcher, tmp_path_factory.mktemp("unused"))
    try:
        running.wait_ready(60)
        yield running.base
    finally:
        launcher.terminate()
        launcher.wait(timeout=60)


def run(file, tmp_path, **given):
    if not PYTHON.exists():
        pytest.skip("the compatibility suite's environment is missing; `make compat-ready` makes it")
    environment = {**os.environ, **NO_HUB, "HF_DATASETS_CACHE": str(tmp_path), **given}
    command = [str(PYTHON), "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:xdist", "-p", "no:cov", file]
    done = subprocess.run(
        command, cwd=COMPAT, env=environment, capture_output=True, text=True, timeout=500, check=False
    )
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    assert " skipped" not in done.stdout, done.stdout[-2000:]


@pytest.mark.parametrize("file", ["test_lm_eval.py", "test_adapters.py"])
def test_programs_of_others_work_unchanged(file, stack, tmp_path):
    weights = next(stack.data_dir.glob("models/converted/*/"))
    given = {"MILLM_TEST_URL": stack.base, "MILLM_TEST_MODEL": MODEL, "MILLM_TEST_MODEL_DIR": str(weights)}
    run(file, tmp_path, **given)


def test_no_request_that_the_document_describes_ends_as_a_server_error(fake_url, tmp_path):
    run("test_schema.py", tmp_path, MILLM_TEST_FAKE_URL=fake_url)
