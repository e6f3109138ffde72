"""A model that is nothing but two places, so that oracle vectors can be put straight where an SAE reads and writes."""

from types import SimpleNamespace

import torch
from torch import nn

from millm_inference.contract import FeatureSteering, SteeringSpec
from millm_inference.engine.interpreter import ForwardBatch, PromptTokens
from millm_inference.interpret.plan import CompiledPlan
from millm_inference.interpret.session import InterpretSession
from tests.interpret.serving import hooked, prompt_of


class Probe(nn.Module):
    """Token t is row t of `inputs`; `outputs` is what the second place holds before anything is added."""

    def __init__(self, inputs: torch.Tensor, outputs: torch.Tensor | None = None) -> None:
        super().__init__()
        self.anchor = nn.Parameter(torch.zeros(1, dtype=inputs.dtype))
        self.device = inputs.device
        self.inputs, self.outputs = inputs, inputs if outputs is None else outputs
        self.read, self.write = nn.Identity(), nn.Identity()

    def forward(self, input_ids: torch.Tensor, **_: object) -> SimpleNamespace:
        read = self.read(self.inputs[input_ids])
        write = self.write(self.outputs[input_ids])
        return SimpleNamespace(read=read, logits=read if self.outputs is self.inputs else write)


def spec_of(*features: FeatureSteering) -> SteeringSpec:
    return SteeringSpec(fingerprint="test", features=list(features))


def batch_of(*rows: list[int], slot_lo: int = 0, start: int = 0) -> ForwardBatch:
    ids = torch.tensor(rows)
    positions = torch.arange(start, start + ids.shape[1]).expand(ids.shape)
    return ForwardBatch(slot_lo, ids, positions, torch.ones_like(ids, dtype=torch.bool))


def open_row(session, slot, features, activations=None, prompt=None) -> CompiledPlan:
    prompt = prompt or prompt_of()
    plan = session.compile(spec_of(*features), activations, prompt)
    assert plan is not None
    session.open(slot, plan, prompt)
    return plan


def forward(model, session, batch: ForwardBatch):
    with torch.inference_mode(), hooked(session, batch) as trace:
        logits = model(input_ids=batch.token_ids, use_cache=False).logits
    return logits, trace


def run_probe(probe: Probe, sae, features: list[FeatureSteering], prompt_length: int | None = None) -> torch.Tensor:
    """The hidden state after steering, `[T, d]`, through the session."""
    count = len(probe.inputs)
    session = InterpretSession(probe)
    session.resize(1)
    session.attach("sae", sae)
    prompt = PromptTokens(tuple(range(count if prompt_length is None else prompt_length)))
    plan = session.compile(spec_of(*features), None, prompt)
    if plan is not None:
        session.open(0, plan, prompt)
    batch = batch_of(list(range(count)))
    with torch.no_grad(), hooked(session, batch):
        return probe(batch.token_ids).logits[0]
