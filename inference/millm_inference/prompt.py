"""From a contract prompt to token ids, with the chat role of each token. Knows tokenizers and templates, no tensors."""

from __future__ import annotations

import json
from typing import Any

import jinja2

from millm_inference.contract import ChatPrompt, TextPrompt, TokensPrompt
from millm_inference.engine.interpreter import PromptTokens
from millm_inference.engine.token_bytes import TokenBytes
from millm_inference.errors import SidecarError

Prompt = ChatPrompt | TextPrompt | TokensPrompt
Span = tuple[int, int, str]
THINK, THOUGHT = "<think>", "</think>"
OPEN, CLOSE = "\ue000", "\ue001"
"""Private-use characters around each message's content, to find it again in the rendered text."""


def encode(prompt: Prompt, tokenizer: Any, token_bytes: TokenBytes, vocab_size: int) -> PromptTokens:
    """Raises VALIDATION_ERROR (empty, id out of vocabulary), INVALID_CHAT_TEMPLATE_INPUT, UNSUPPORTED_VALUE."""
    roles: tuple[str | None, ...] | None = None
    match prompt:
        case TokensPrompt():
            ids = list(prompt.token_ids)
            wrong = next((i for i in ids if not 0 <= i < vocab_size), None)
            if wrong is not None:
                raise SidecarError(
                    "VALIDATION_ERROR",
                    f"Token id {wrong} is out of vocabulary (vocabulary size {vocab_size}).",
                    param="prompt",
                )
        case TextPrompt():
            ids = tokenizer(prompt.text, add_special_tokens=prompt.add_special_tokens)["input_ids"]
        case ChatPrompt():
            ids, roles = _encode_chat(prompt, tokenizer)
    if not ids:
        raise SidecarError("VALIDATION_ERROR", "prompt must be provided and non-empty.", param="prompt")
    return PromptTokens(tuple(ids), roles, token_bytes.special_ids)


def opens_reasoning(prompt: PromptTokens, token_bytes: TokenBytes) -> bool:
    """Whether a chat prompt ends inside `<think>`, opened by its template or by the answer that is continued.

    What others say in their messages opens nothing; where their place is unknown, only a tag at the very end counts.
    """
    others = [i for i, role in enumerate(prompt.roles or ()) if role not in (None, "assistant")]
    begin = others[-1] + 1 if others else 0
    tail = b"".join(token_bytes.of(i) for i in prompt.ids[begin:]).decode(errors="replace")
    if prompt.roles is None:
        return tail.rstrip().endswith(THINK)
    return tail.rfind(THINK) > tail.rfind(THOUGHT)


def render(prompt: ChatPrompt, tokenizer: Any, messages: list[dict[str, Any]]) -> str:
    template = prompt.chat_template or tokenizer.chat_template
    if not template:
        raise SidecarError(
            "UNSUPPORTED_VALUE",
            "This model has no chat template; use /v1/completions with a plain prompt.",
            param="messages",
        )
    try:
        text: str = tokenizer.apply_chat_template(
            messages,
            tools=prompt.tools,
            chat_template=prompt.chat_template,
            add_generation_prompt=prompt.add_generation_prompt and not prompt.continue_final_message,
            continue_final_message=prompt.continue_final_message,
            tokenize=False,
            **prompt.chat_template_kwargs,
        )
    except (jinja2.TemplateError, ValueError, TypeError, KeyError) as error:
        raise SidecarError(
            "INVALID_CHAT_TEMPLATE_INPUT", f"The chat template refused the messages: {error}", param="messages"
        ) from error
    return text


def _encode_chat(prompt: ChatPrompt, tokenizer: Any) -> tuple[list[int], tuple[str | None, ...] | None]:
    messages = [_for_template(m, tokenizer) for m in prompt.messages]
    text = render(prompt, tokenizer, messages)
    if not getattr(tokenizer, "is_fast", False):
        return tokenizer(text, add_special_tokens=prompt.add_special_tokens)["input_ids"], None
    encoded = tokenizer(text, add_special_tokens=prompt.add_special_tokens, return_offsets_mapping=True)
    spans = _content_spans(prompt, tokenizer, messages, text)
    if spans is None:
        return encoded["input_ids"], None
    return encoded["input_ids"], tuple(_role_at(spans, start, end) for start, end in encoded["offset_mapping"])


def _for_template(message: dict[str, Any], tokenizer: Any) -> dict[str, Any]:
    """Text parts joined (with a newline) where content is a list; `developer` is `system` to templates without it;
    tool-call arguments as an object."""
    out = {k: v for k, v in message.items() if v is not None or k == "content"}
    template = tokenizer.chat_template or ""
    if out.get("role") == "developer" and "developer" not in template:
        out["role"] = "system"
    content = out.get("content")
    if isinstance(content, list):
        out["content"] = "\n".join(str(part.get("text", "")) for part in content)
    elif content is None:
        out["content"] = ""
    calls = out.get("tool_calls")
    if isinstance(calls, list):
        out["tool_calls"] = [_parsed_call(call) for call in calls]
    return out


def _parsed_call(call: dict[str, Any]) -> dict[str, Any]:
    function = call.get("function")
    if not isinstance(function, dict) or not isinstance(function.get("arguments"), str):
        return call
    try:
        arguments = json.loads(function["arguments"])
    except json.JSONDecodeError:
        return call
    return {**call, "function": {**function, "arguments": arguments}}


def _content_spans(prompt: ChatPrompt, tokenizer: Any, messages: list[dict[str, Any]], text: str) -> list[Span] | None:
    """Character spans of each message's content in `text`, by rendering once more with marks around it; None where the
    template changes what it is given, so that the spans cannot be told."""
    if any(OPEN in str(m.get("content")) or CLOSE in str(m.get("content")) for m in messages):
        return None
    marked = [
        {**m, "content": f"{OPEN}{m['content']}{CLOSE}"} if isinstance(m.get("content"), str) else m for m in messages
    ]
    try:
        rendered = render(prompt, tokenizer, marked)
    except SidecarError:
        return None
    spans: list[Span] = []
    plain: list[str] = []
    length, begun = 0, -1
    roles = iter([str(m.get("role")) for m in messages if isinstance(m.get("content"), str)])
    for character in rendered:
        if character == OPEN:
            begun = length
        elif character == CLOSE:
            spans.append((begun, length, next(roles, "")))
            begun = -1
        else:
            plain.append(character)
            length += 1
    if begun >= 0:  # a continued last message loses its closing mark with the end of the text
        spans.append((begun, length, next(roles, "")))
    return spans if "".join(plain) == text else None


def _role_at(spans: list[Span], start: int, end: int) -> str | None:
    return next((role for lo, hi, role in spans if start < hi and end > lo and start < end), None)
