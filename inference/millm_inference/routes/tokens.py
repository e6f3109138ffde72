"""Tokenise and detokenise with the loaded model's tokenizer."""

from fastapi import APIRouter

from millm_inference import contract as c
from millm_inference.errors import SidecarError
from millm_inference.prompt import encode
from millm_inference.routes.dependencies import RuntimeDep, off_loop

router = APIRouter()


@router.post("/tokenize", operation_id="tokenize")
async def tokenize(body: c.TokenizeRequest, runtime: RuntimeDep) -> c.TokenizeResponse:
    resident = runtime.require(body.model_id)
    prompt = await off_loop(encode, body.prompt, resident.tokenizer, resident.token_bytes, resident.info.vocab_size)
    return c.TokenizeResponse(token_ids=list(prompt.ids), tokens=[resident.token_bytes.text(i) for i in prompt.ids])


@router.post("/detokenize", operation_id="detokenize")
async def detokenize(body: c.DetokenizeRequest, runtime: RuntimeDep) -> c.DetokenizeResponse:
    resident = runtime.require(body.model_id)
    vocab = resident.info.vocab_size
    wrong = next((i for i in body.token_ids if not 0 <= i < vocab), None)
    if wrong is not None:
        raise SidecarError(
            "VALIDATION_ERROR", f"Token id {wrong} is out of vocabulary (vocabulary size {vocab}).", param="token_ids"
        )
    raw = b"".join(resident.token_bytes.of(i) for i in body.token_ids)
    return c.DetokenizeResponse(text=raw.decode("utf-8", errors="replace"))
