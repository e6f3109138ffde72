"""Tiny random models and SAEs; nothing here is downloaded."""

import pytest
import torch

from tests.interpret.oracles import load_oracles
from tests.interpret.serving import hook_count
from tests.support.tiny import tiny_model

torch.set_num_threads(1)


@pytest.fixture(scope="session")
def oracles() -> dict:
    return load_oracles()


@pytest.fixture
def model():
    # Not the shared one: transformers leaves hooks of its own on models once asked for hidden states.
    model = tiny_model.__wrapped__("llama")
    yield model
    assert hook_count(model) == 0
