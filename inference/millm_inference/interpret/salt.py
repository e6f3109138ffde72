"""The name of everything in a request that changes the KV cache: equal salts, equal caches."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from millm_inference.contract import FeatureSteering
from millm_inference.engine.interpreter import PromptTokens
from millm_inference.interpret.attachment import Attachment
from millm_inference.interpret.operations import DIRECTION_OPS
from millm_inference.interpret.scopes import depends_on_prompt


def salt_of(features: list[FeatureSteering], attached: Mapping[str, Attachment], prompt: PromptTokens) -> str:
    """'' for nothing. Sums commute and are sorted; direction ops keep the request's order."""
    if not features:
        return ""
    sums = sorted(_canonical(_entry(f, attached)) for f in features if f.op not in DIRECTION_OPS)
    directions = [_canonical(_entry(f, attached)) for f in features if f.op in DIRECTION_OPS]
    content = [sums, directions, _prompt_dependence(features, prompt)]
    return hashlib.sha256(_canonical(content).encode()).hexdigest()


def _entry(feature: FeatureSteering, attached: Mapping[str, Attachment]) -> dict[str, Any]:
    entry = feature.model_dump(exclude={"sae_id"}, exclude_none=True)
    entry["sae"] = attached[feature.sae_id].content
    if feature.when:
        entry["when"]["sae_id"] = attached[feature.when.sae_id or feature.sae_id].content
    return entry


def _prompt_dependence(features: list[FeatureSteering], prompt: PromptTokens) -> list[Any]:
    """Where an op asks what is prompt, or whose turn it is, equal tokens alone do not make equal caches."""
    scoped = [f.scope for f in features if f.scope and depends_on_prompt(f.scope)]
    by_roles = any(scope.roles is not None for scope in scoped)
    remembers_prompt = any(f.when and f.when.mode == "prompt" for f in features)
    special = any(f.scope and not f.scope.special_tokens for f in features)
    return [
        len(prompt.ids) if scoped or remembers_prompt else None,
        prompt.roles if by_roles else None,
        sorted(prompt.special_ids) if special else None,
    ]


def _canonical(value: Any) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"))
