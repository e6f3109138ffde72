"""A tiny model whose own code does once, in its next forward pass or while it is loaded, what a file beside it says."""

from __future__ import annotations

import json
from pathlib import Path

from tests.support.tiny import byte_tokenizer, tiny_model

CODE = """
import re
import time
from pathlib import Path

import torch
from transformers import LlamaForCausalLM


class MoodyForCausalLM(LlamaForCausalLM):
    def __init__(self, config):
        super().__init__(config)
        if mood_of(config, "hang while loading"):
            time.sleep(3600)
        self.model.register_forward_pre_hook(obey)


def mood_of(config, *moods):
    file = Path(config.mood_file)
    if not file.exists() or file.read_text() not in moods:
        return None
    mood = file.read_text()
    file.unlink()
    return mood


def obey(module, _):
    mood = mood_of(module.config, "hang", "slow", "hold the interpreter", "lose the device")
    if mood == "hang":
        time.sleep(3600)
    if mood == "slow":
        time.sleep(1)
    if mood == "hold the interpreter":
        re.match(r"(a+)+$", "a" * 64 + "b")
    if mood == "lose the device":
        raise torch.AcceleratorError("CUDA error: an illegal memory access was encountered")
"""


class Moody:
    """`folder` is loaded with trust_remote_code."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._mood = folder / "mood"
        tiny_model("llama").save_pretrained(folder)
        byte_tokenizer().save_pretrained(folder)
        (folder / "moody.py").write_text(CODE)
        config = json.loads((folder / "config.json").read_text())
        own = {"auto_map": {"AutoModelForCausalLM": "moody.MoodyForCausalLM"}, "mood_file": str(self._mood)}
        (folder / "config.json").write_text(json.dumps({**config, **own}))

    def next(self, mood: str) -> None:
        part = self._mood.with_suffix(".part")
        part.write_text(mood)
        part.rename(self._mood)

    @property
    def is_served(self) -> bool:
        """Whether the model has seen its last mood."""
        return not self._mood.exists()
