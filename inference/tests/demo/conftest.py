"""The demo's scripts are plain files beside each other, so the tests put their folder on the path."""

import sys
from pathlib import Path

import pytest

DEMO = Path(__file__).resolve().parents[2] / "demo"
sys.path.insert(0, str(DEMO))

from fetch_model import FetchError, fetch  # noqa: E402 - found on the path just set


@pytest.fixture(scope="session")
def sae_folder() -> Path:
    return DEMO / "sae"


@pytest.fixture(scope="session")
def gguf() -> Path:
    try:
        return fetch()
    except FetchError as error:
        pytest.skip(str(error))
