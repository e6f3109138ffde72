"""Programs other people wrote, against a running miLLM. The stack suite runs them, in an environment of its own."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

FOLDER = Path(__file__).parent


def _given(name: str) -> str:
    value = os.environ.get(name)
    if not value:
        pytest.skip(f"{name} is not set: `make test-demo` runs this suite against a stack that it starts")
    return value


@pytest.fixture(scope="session")
def base() -> str:
    """Where the gateway listens, without a path."""
    return _given("MILLM_TEST_URL")


@pytest.fixture(scope="session")
def model() -> str:
    return _given("MILLM_TEST_MODEL")


@pytest.fixture(scope="session")
def weights() -> Path:
    """The served model's files, as transformers reads them."""
    return Path(_given("MILLM_TEST_MODEL_DIR"))
