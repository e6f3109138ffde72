"""POST /embeddings. One batch at a time on the engine thread, so streams go on between batches."""

from __future__ import annotations

import asyncio

from fastapi import APIRouter

from millm_inference import contract as c
from millm_inference.contract import TextPrompt, TokensPrompt
from millm_inference.embedding import batches, embed
from millm_inference.errors import SidecarError
from millm_inference.prompt import encode
from millm_inference.resident import Resident
from millm_inference.routes.dependencies import RuntimeDep, off_loop

router = APIRouter()


@router.post("/embeddings", operation_id="embed")
async def embeddings(body: c.EmbedRequest, runtime: RuntimeDep) -> c.EmbedResponse:
    resident = runtime.require(body.model_id)
    inputs = await off_loop(_encode_all, body.inputs, resident)
    vectors: list[list[float]] = [[]] * len(inputs)
    for group in batches([len(ids) for ids in inputs]):
        picked = [inputs[i] for i in group]

        def work(picked: list[tuple[int, ...]] = picked) -> list[list[float]]:
            return embed(resident.loaded.model, picked, pooling=body.pooling, normalize=body.normalize)

        for place, vector in zip(group, await asyncio.wrap_future(resident.engine.call(work)), strict=True):
            vectors[place] = vector
    return c.EmbedResponse(vectors=vectors, prompt_tokens=sum(len(ids) for ids in inputs))


def _encode_all(inputs: list[c.EmbedInput], resident: Resident) -> list[tuple[int, ...]]:
    encoded = []
    for number, item in enumerate(inputs):
        if (item.text is None) == (item.token_ids is None):
            raise SidecarError("VALIDATION_ERROR", "Give exactly one of text and token_ids.", param=f"input[{number}]")
        prompt = (
            TextPrompt(type="text", text=item.text)
            if item.text is not None
            else TokensPrompt(type="tokens", token_ids=item.token_ids or [])
        )
        ids = encode(prompt, resident.tokenizer, resident.token_bytes, resident.info.vocab_size).ids
        if len(ids) > resident.loaded.context_length:
            raise SidecarError(
                "CONTEXT_LENGTH_EXCEEDED",
                f"An input has {len(ids)} tokens; this model's context holds {resident.loaded.context_length}.",
                param="input",
                context_length=resident.loaded.context_length,
                prompt_tokens=len(ids),
                max_tokens=None,
            )
        encoded.append(ids)
    return encoded
