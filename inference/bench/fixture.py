"""The demo model, its SAE, and engines over them."""

from __future__ import annotations

import queue
import random
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from transformers import AutoModelForCausalLM

from demo.fetch_model import fetch
from millm_inference.engine.engine import Engine, EngineLimits
from millm_inference.engine.interpreter import Plan, PromptTokens
from millm_inference.engine.model_runner import ModelRunner
from millm_inference.engine.sampling import SamplingParams
from millm_inference.engine.sequence import Delta, Done, Event, Failed, Request, Sequence, choice_stream
from millm_inference.engine.text_output import TextOutput
from millm_inference.engine.token_bytes import TokenBytes
from millm_inference.interpret.formats import load_sae
from millm_inference.interpret.sae import Sae
from millm_inference.interpret.session import InterpretSession
from millm_inference.loader import Loaded, load_model
from millm_inference.settings import Settings

SAE_DIR = Path(__file__).parents[1] / "demo" / "sae"
DATA = Path(__file__).parents[2] / ".cache" / "bench"


@dataclass(frozen=True)
class Bench:
    loaded: Loaded
    stock: Any
    """The same weights as transformers itself loads them: what `generate` is measured on."""
    sae: Sae
    token_bytes: TokenBytes

    @property
    def model(self) -> Any:
        return self.loaded.model

    def session(self) -> InterpretSession:
        session = InterpretSession(self.model)
        session.attach("demo", self.sae)
        return session

    def engine(self, **limits: Any) -> Engine:
        session = self.session()
        options = {"slots": 32, "kv_positions": 65536, "context_length": 8192, **limits}
        return Engine(ModelRunner(self.model, session), session, self.token_bytes, EngineLimits(**options), frozenset())


def prepare() -> Bench:
    path = fetch()
    settings = Settings(data_dir=DATA)
    loaded = load_model(str(path), settings)
    stock = AutoModelForCausalLM.from_pretrained(next((DATA / "models" / "converted").iterdir())).eval()
    return Bench(loaded, stock, load_sae(str(SAE_DIR), None), TokenBytes(loaded.tokenizer))


def prompt(length: int, seed: int) -> PromptTokens:
    return PromptTokens(tuple(random.Random(seed).choices(range(1000, 40000), k=length)))


class Running:
    """A submitted request whose events are collected with their times."""

    def __init__(self, bench: Bench, engine: Engine, ids: PromptTokens, tokens: int, plan: Plan | None = None) -> None:
        self.events: queue.Queue[Event] = queue.Queue()
        self.request = Request("bench", ids, SamplingParams(max_tokens=tokens, temperature=0.0), self.events.put, plan)
        self.request.sequences = [
            Sequence(self.request, 0, TextOutput(bench.token_bytes), list(ids.ids), choice_stream(0, 0))
        ]
        engine.submit(self.request)

    def wait(self) -> int:
        """→ tokens generated."""
        while True:
            event = self.events.get(timeout=600)
            if isinstance(event, Done):
                return event.completion_tokens
            assert not isinstance(event, Failed), event

    def first(self) -> None:
        while not isinstance(self.events.get(timeout=600), Delta):
            pass
