"""Tiny random models and SAEs; nothing here is downloaded."""

import pytest
import torch

from tests.interpret.oracles import load_oracles

torch.set_num_threads(1)


@pytest.fixture(scope="session")
def oracles() -> dict:
    return load_oracles()
