"""The laws of live monitoring, with the gateway's own Socket.IO tests, against the real model and SAE."""

from __future__ import annotations

import os
import subprocess

import pytest

from tests.stack.conftest import REPOSITORY

pytestmark = pytest.mark.demo


def test_what_a_watcher_sees_is_what_the_request_answers_inline(stack):
    command = ["npx", "vitest", "run", "--project", "unit", "test/unit/live-stack.test.ts", "--reporter=verbose"]
    environment = {**os.environ, "MILLM_LIVE_URL": stack.base, "NO_COLOR": "1"}
    environment.pop("RESULTS", None)
    folder = REPOSITORY / "gateway"
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-1000:]
    assert "3 passed" in done.stdout, done.stdout[-1000:]
