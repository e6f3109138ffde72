"""What fires on a text, without generating; and which features tell two sets of texts apart."""

from __future__ import annotations

import asyncio
import uuid

import torch
from fastapi import APIRouter

from millm_inference import contract as c
from millm_inference.engine.sequence import Event
from millm_inference.errors import SidecarError
from millm_inference.generation import Wire, build_request
from millm_inference.interpret.contrast import contrast, mean_activations
from millm_inference.prompt import encode
from millm_inference.resident import Resident
from millm_inference.routes.dependencies import RuntimeDep, off_loop

router = APIRouter(prefix="/activations")


@router.post("", operation_id="readActivations")
async def read(body: c.ReadActivationsRequest, runtime: RuntimeDep) -> c.ReadActivationsResponse:
    """A request that generates nothing and reads its prompt: the same path as generation, so the same numbers."""
    resident = runtime.require(body.model_id)
    loop = asyncio.get_running_loop()
    queue: asyncio.Queue[Event] = asyncio.Queue()
    wire = c.GenerateRequest(
        request_id=uuid.uuid4().hex,
        model_id=body.model_id,
        prompt=body.prompt,
        sampling=c.Sampling(max_tokens=0),
        activations=body.activations.model_copy(update={"prompt": True}),
    )
    request = await off_loop(
        build_request, wire, resident, lambda event: loop.call_soon_threadsafe(queue.put_nowait, event)
    )
    await asyncio.wrap_future(resident.engine.submit(request))
    translate = Wire(request, resident)
    entries: list[c.ActivationEntry] = []
    try:
        while True:
            match translate(await queue.get()):
                case c.PromptEvent() as event:
                    entries.extend(event.activations)
                case c.ErrorEvent() as event:
                    raise SidecarError(event.error.code, event.error.message, **event.error.details)
                case c.DoneEvent():
                    return c.ReadActivationsResponse(tokens=entries)
                case _:
                    pass
    finally:
        resident.engine.cancel(request)


@router.post("/contrast", operation_id="contrastActivations")
async def contrast_sets(body: c.ContrastRequest, runtime: RuntimeDep) -> c.ContrastResponse:
    resident = runtime.require(body.model_id)
    sae = resident.session.sae(body.sae_id)
    for name, texts in (("a", body.a), ("b", body.b)):
        if not texts:
            raise SidecarError("VALIDATION_ERROR", f"Set {name} is empty; give at least one text.", param=name)

    async def means(prompts: list[c.TextPrompt | c.TokensPrompt | c.ChatPrompt]) -> list[torch.Tensor]:
        rows: list[torch.Tensor] = []
        special = resident.token_bytes.special_ids  # BOS and the like would drown the means of short texts
        for prompt in prompts:
            ids = await off_loop(_encode, prompt, resident)
            work = resident.engine.call(lambda ids=ids: mean_activations(resident.loaded.model, sae, ids, special))  # type: ignore[misc]
            rows.append(await asyncio.wrap_future(work))
        return rows

    features = await off_loop(contrast, await means(body.a), await means(body.b), body.limit)
    return c.ContrastResponse(
        features=[
            c.ContrastFeature(index=f.index, mean_a=f.mean_a, mean_b=f.mean_b, effect_size=f.effect_size, auroc=f.auroc)
            for f in features
        ],
        texts_a=len(body.a),
        texts_b=len(body.b),
    )


def _encode(prompt: c.TextPrompt | c.TokensPrompt | c.ChatPrompt, resident: Resident) -> tuple[int, ...]:
    ids = encode(prompt, resident.tokenizer, resident.token_bytes, resident.info.vocab_size).ids
    if len(ids) > resident.loaded.context_length:
        raise SidecarError(
            "CONTEXT_LENGTH_EXCEEDED",
            f"A text has {len(ids)} tokens; the context holds {resident.loaded.context_length}.",
            context_length=resident.loaded.context_length,
            prompt_tokens=len(ids),
            max_tokens=None,
        )
    return ids
