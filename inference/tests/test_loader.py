"""A load can be called off at any tensor, and leaves nothing that the next one stumbles over."""

from __future__ import annotations

import pytest

from millm_inference.errors import SidecarError
from millm_inference.loader import load_model
from millm_inference.settings import Settings
from tests.support.tiny import byte_tokenizer, tiny_model


class CalledOff:
    """Raises from the nth time on that it is asked."""

    def __init__(self, after: int) -> None:
        self.asked, self.after = 0, after

    def __call__(self) -> None:
        self.asked += 1
        if self.asked > self.after:
            raise SidecarError("CONFLICT", "It was called off.")


@pytest.fixture
def folder(tmp_path):
    tiny_model("llama").save_pretrained(tmp_path / "tiny")
    byte_tokenizer().save_pretrained(tmp_path / "tiny")
    return str(tmp_path / "tiny")


def test_a_load_can_be_called_off_between_any_two_tensors(folder, tmp_path):
    settings = Settings(data_dir=tmp_path)
    whole = CalledOff(10**9)
    model = load_model(folder, settings, go_on=whole).model
    assert whole.asked > 2 * len(list(model.state_dict())), "asked less than once a tensor"
    for share in range(10):
        with pytest.raises(SidecarError) as refused:
            load_model(folder, settings, go_on=CalledOff(whole.asked * share // 10))
        assert refused.value.code == "CONFLICT"
    assert load_model(folder, settings).model.state_dict().keys() == model.state_dict().keys()
