"""`scope` of one feature against one prompt: which positions it means."""

from __future__ import annotations

import math
from typing import NoReturn

import torch

from millm_inference.contract import SteeringScope
from millm_inference.engine.interpreter import PromptTokens
from millm_inference.errors import SidecarError
from millm_inference.interpret.plan import Scope

GENERATED_ROLE = "assistant"
ROLES = frozenset({"system", "developer", "user", "assistant", "tool"})


def resolve_scope(scope: SteeringScope, prompt: PromptTokens, param: str, device: torch.device) -> Scope | None:
    """None where the scope leaves nothing out."""
    length = len(prompt.ids)
    first, last = _range(scope.positions, length, f"{param}.positions")
    wanted = [scope.phase != "generated" and first <= position < last for position in range(length)]
    generated = scope.phase != "prompt"
    if scope.roles is not None:
        tags = _roles(scope.roles, prompt, f"{param}.roles")
        wanted = [keep and role in scope.roles for keep, role in zip(wanted, tags, strict=True)]
        generated = generated and GENERATED_ROLE in scope.roles
    skips_special = not scope.special_tokens and bool(prompt.special_ids)
    if skips_special:
        wanted = [keep and token not in prompt.special_ids for keep, token in zip(wanted, prompt.ids, strict=True)]
    if all(wanted) and generated and last == math.inf and not skips_special:
        return None
    return Scope(torch.tensor(wanted, dtype=torch.bool, device=device), generated, first, last, skips_special)


def depends_on_prompt(scope: SteeringScope) -> bool:
    """Equal tokens under two prompts can be steered differently, so their caches must not be shared."""
    return scope.roles is not None or scope.phase != "both" or any(p < 0 for p in scope.positions or [])


def _range(positions: list[int] | None, length: int, param: str) -> tuple[int, float]:
    if positions is None:
        return 0, math.inf
    if len(positions) != 2:
        _refuse("positions is a pair [from, to): two whole numbers.", param)
    first, last = (max(p + length, 0) if p < 0 else p for p in positions)
    if last <= first:
        _refuse(
            f"positions {positions} is empty: it means tokens {first} up to, not including, {last}"
            f" of a prompt of {length} tokens.",
            param,
        )
    return first, last


def _roles(roles: list[str], prompt: PromptTokens, param: str) -> tuple[str | None, ...]:
    if prompt.roles is None:
        _refuse(
            "roles needs a chat whose template shows where each message begins and ends; this prompt has none.", param
        )
    present = {role for role in prompt.roles if role}
    unknown = sorted(set(roles) - ROLES - present)
    if unknown or not roles:
        named = f"{unknown[0]!r} is no role" if unknown else "roles is empty"
        _refuse(f"{named}; roles are {', '.join(sorted(ROLES | present))}.", param)
    return prompt.roles


def _refuse(message: str, param: str) -> NoReturn:
    raise SidecarError("VALIDATION_ERROR", message, param=param)
