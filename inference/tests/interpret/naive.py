"""The reference: plain forward hooks, the whole text recomputed for every token, one request at a time, no cache.

Written from the formulas alone, with full encodes and loops over positions; it shares no code with what it checks
(except the wire types and the SAE's tensors). Greedy only.
"""

from __future__ import annotations

import math

import torch

from millm_inference.contract import ActivationsRequest, FeatureSteering, SteeringSpec
from millm_inference.engine.interpreter import PromptTokens, Reading
from millm_inference.interpret.sae import Sae

LLAMA = {
    "blocks": "model.layers",
    "hook_attn_out": ("self_attn", "output"),
    "hook_mlp_out": ("mlp", "output"),
    "hook_resid_mid": ("post_attention_layernorm", "input"),
    "attn.hook_z": ("self_attn.o_proj", "input"),
    "mlp.hook_in": ("mlp", "input"),
    "mlp.hook_post": ("mlp.down_proj", "input"),
}
GEMMA = {
    **LLAMA,
    "hook_attn_out": ("post_attention_layernorm", "output"),
    "hook_mlp_out": ("post_feedforward_layernorm", "output"),
    "hook_resid_mid": ("pre_feedforward_layernorm", "input"),
}
GPT2 = {
    "blocks": "transformer.h",
    "hook_attn_out": ("attn", "output"),
    "hook_mlp_out": ("mlp", "output"),
    "hook_resid_mid": ("ln_2", "input"),
    "attn.hook_z": ("attn.c_proj", "input"),
    "mlp.hook_in": ("mlp", "input"),
    "mlp.hook_post": ("mlp.c_proj", "input"),
}
NEOX = {
    "blocks": "gpt_neox.layers",
    "hook_attn_out": ("attention", "output"),
    "hook_mlp_out": ("mlp", "output"),
    "attn.hook_z": ("attention.dense", "input"),
    "mlp.hook_in": ("mlp", "input"),
    "mlp.hook_post": ("mlp.dense_4h_to_h", "input"),
}
OPT = {
    "blocks": "model.decoder.layers",
    "hook_attn_out": ("self_attn", "output"),
    "hook_mlp_out": ("fc2", "output"),
    "hook_resid_mid": ("final_layer_norm", "input"),
    "attn.hook_z": ("self_attn.out_proj", "input"),
    "mlp.hook_in": ("fc1", "input"),
    "mlp.hook_post": ("fc2", "input"),
}
FAMILIES = {"gpt2": GPT2, "gpt_neox": NEOX, "opt": OPT, "gemma2": GEMMA, "gemma3_text": GEMMA}


def naive_generate(
    model,
    prompt: PromptTokens,
    saes: dict[str, Sae],
    steering: SteeringSpec | None,
    activations: ActivationsRequest | None = None,
    max_tokens: int = 8,
    eos_ids: frozenset[int] = frozenset(),
) -> tuple[list[int], list[Reading]]:
    """Generated token ids (an end-of-sequence token included), and readings by position (slot 0)."""
    ids = list(prompt.ids)
    ended = False
    while len(ids) - len(prompt.ids) < max_tokens and not ended:
        logits, _ = naive_forward(model, ids, prompt, saes, steering)
        ids.append(int(logits[-1].argmax()))
        ended = ids[-1] in eos_ids
    readings: list[Reading] = []
    if activations:
        _, readings = naive_forward(model, ids[:-1] if ended else ids, prompt, saes, steering, activations)
    return ids[len(prompt.ids) :], readings


@torch.no_grad()
def naive_forward(model, ids, prompt, saes, steering, activations=None):
    """Logits `[T, vocab]` of the whole text under `steering`, and the readings asked for."""
    features = list(steering.features) if steering else []
    seen: dict[str, torch.Tensor] = {}  # sae_id → activations [T, n], read from the clean state
    scales: dict[str, torch.Tensor] = {}
    after: dict[str, torch.Tensor] = {}
    used = {f.sae_id for f in features} | {f.when.sae_id or f.sae_id for f in features if f.when}
    used |= {activations.sae_id} if activations else set()
    handles = []
    for name in used:
        handles.append(_tap(model, saes[name].hook, lambda h, name=name: look(saes[name], h, name, seen, scales)))
    for hook in {_write_hook(saes[f.sae_id]) for f in features}:
        here = [f for f in features if _write_hook(saes[f.sae_id]) == hook]
        handles.append(
            _tap(model, hook, lambda h, here=here: steer(h, here, saes, seen, scales, ids, prompt), write=True)
        )
    if activations and activations.stage == "after":
        name = activations.sae_id
        handles.append(_tap(model, saes[name].hook, lambda h: look(saes[name], h, name, after, {})))
    try:
        logits = model(input_ids=torch.tensor([ids], device=model.device), use_cache=False).logits[0]
    finally:
        for handle in handles:
            handle.remove()
    values = after if activations and activations.stage == "after" else seen
    return logits, _readings(activations, values, prompt) if activations else []


def encode(sae: Sae, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """`x [T, d_in]` → activations `[T, n]` and the per-token factor back to model space `[T, 1]`."""
    x = x.to(sae.W_enc.dtype)
    one = torch.ones_like(x[:, :1])
    match sae.normalization:
        case "none":
            scale = one
        case "constant_norm_rescale":
            scale = x.norm(dim=-1, keepdim=True).clamp_min(1e-6) / math.sqrt(sae.d_in)
            x = x / scale
        case "layer_norm":
            mean, scale = x.mean(-1, keepdim=True), x.std(-1, keepdim=True, unbiased=True)
            x = (x - mean) / (scale + 1e-5)
        case other:
            raise NotImplementedError(other)
    if sae.apply_b_dec_to_input:
        x = x - sae.b_dec
    if sae.architecture == "gated":
        gate = x @ sae.W_enc + sae.b_gate > 0
        return gate * torch.relu(x @ (sae.W_enc * sae.r_mag.exp()) + sae.b_mag), scale
    z = x @ sae.W_enc + sae.b_enc
    if sae.architecture == "topk":
        if sae.rescale_acts_by_decoder_norm:
            z = z * sae.W_dec.norm(dim=-1)
        kept = torch.zeros_like(z)
        top = z.topk(sae.k, dim=-1)
        return kept.scatter(-1, top.indices, torch.relu(top.values)), scale
    if sae.architecture == "groupmax":
        f = torch.zeros_like(z)
        size = sae.d_sae // sae.k
        for start in range(0, sae.d_sae, size):
            best = z[:, start : start + size].argmax(-1) + start
            for t, j in enumerate(best.tolist()):
                f[t, j] = torch.relu(z[t, j])
        return f, scale
    f = torch.relu(z)
    if sae.threshold is not None:
        f = f * (z > sae.threshold)
    return f, one if sae.hook_out else scale


def look(sae, hidden, name, into, scales):
    into[name], scales[name] = encode(sae, hidden)


def steer(hidden, features: list[FeatureSteering], saes, seen, scales, ids, prompt):
    """`hidden [T, d]` → the steered state: sums in the encoder's precision, one cast, projections in order."""
    rows = []
    for t in range(hidden.shape[0]):
        acting = [f for f in features if _in_scope(f, t, ids, prompt) and _condition_holds(f, t, seen, prompt)]
        total = torch.zeros(hidden.shape[1], dtype=saes[features[0].sae_id].W_dec.dtype)
        for f in acting:
            if f.op not in ("ablate_direction", "orthogonal"):
                total = total + _delta(f, saes[f.sae_id], t, seen, scales, hidden[t])
        h = hidden[t] + total.to(hidden.dtype)
        for f in acting:
            if f.op in ("ablate_direction", "orthogonal"):
                d = saes[f.sae_id].W_dec[f.index]
                d = d / d.norm()
                c = f.strength if f.op == "orthogonal" else 0.0
                x = h.to(d.dtype)
                h = (x + (c - 1) * (x @ d) * d).to(hidden.dtype)
        rows.append(h)
    return torch.stack(rows)


def _delta(f: FeatureSteering, sae: Sae, t: int, seen, scales, hidden):
    row = sae.W_dec[f.index]
    unit = row / row.norm()
    if f.op == "add":
        return f.strength * row
    if f.op == "norm_add":
        return f.strength * hidden.to(row.dtype).norm() * unit
    value = seen[f.sae_id][t, f.index]
    match f.op:
        case "clamp":
            edited = torch.tensor(f.value)
        case "clamp_range":
            edited = value
            edited = torch.maximum(edited, torch.tensor(f.min, dtype=row.dtype)) if f.min is not None else edited
            edited = torch.minimum(edited, torch.tensor(f.max, dtype=row.dtype)) if f.max is not None else edited
        case "multiply":
            edited = f.value * value
        case "ablate":
            edited = torch.tensor(0.0)
        case _:
            raise NotImplementedError(f.op)
    return scales[f.sae_id][t] * (edited - value) * (unit if sae.rescale_acts_by_decoder_norm else row)


def _in_scope(f: FeatureSteering, t: int, ids, prompt: PromptTokens) -> bool:
    scope, length = f.scope, len(prompt.ids)
    if scope is None:
        return True
    generated = t >= length
    if (scope.phase == "prompt" and generated) or (scope.phase == "generated" and not generated):
        return False
    if scope.positions:
        first, last = (p + length if p < 0 else p for p in scope.positions)
        if not first <= t < last:
            return False
    if not scope.special_tokens and ids[t] in prompt.special_ids:
        return False
    if scope.roles is None:
        return True
    return ("assistant" if generated else prompt.roles[t]) in scope.roles


def _condition_holds(f: FeatureSteering, t: int, seen, prompt: PromptTokens) -> bool:
    if f.when is None:
        return True
    values = seen[f.when.sae_id or f.sae_id][:, f.when.index].tolist()

    def met(u: int) -> bool:
        above = f.when.above is None or values[u] > f.when.above
        return above and (f.when.below is None or values[u] < f.when.below)

    match f.when.mode:
        case "token":
            return met(t)
        case "latched":
            return any(met(u) for u in range(t + 1))
        case "prompt":
            return t >= len(prompt.ids) and any(met(u) for u in range(len(prompt.ids)))


def _readings(request: ActivationsRequest, values, prompt: PromptTokens) -> list[Reading]:
    readings = []
    for t, row in enumerate(values[request.sae_id]):
        if t < len(prompt.ids) and not request.prompt:
            continue
        found = {f.root: float(row[f.root]) for f in request.features}
        strongest = sorted(range(len(row)), key=lambda j: -float(row[j]))[: request.top_k]
        found |= {j: float(row[j]) for j in strongest if row[j] > 0 and j not in found}
        readings.append(Reading(0, t, request.sae_id, tuple(found), tuple(found.values())))
    return readings


def _write_hook(sae: Sae) -> str:
    return sae.hook_out or sae.hook


def naive_site(model, hook: str):
    """The module and its side; TransformerLens names for the families above, else a module's path and its side."""
    if not hook.startswith("blocks."):
        path, _, side = hook.rpartition(".")
        if side not in ("input", "output"):
            path, side = hook, "output"
        return model.get_submodule(path), side
    _, layer, name = hook.split(".", 2)
    family = FAMILIES.get(model.config.model_type, LLAMA)
    block = model.get_submodule(f"{family['blocks']}.{layer}")
    if name in ("hook_resid_pre", "hook_resid_post"):
        return block, "input" if name == "hook_resid_pre" else "output"
    path, side = family[name]
    return block.get_submodule(path), side


def _tap(model, hook: str, function, write: bool = False):
    """Run `function` on `[T, d]` at the hook; what it returns replaces the state when `write`."""
    module, side = naive_site(model, hook)
    in_place = hook.endswith("hook_resid_mid")

    def apply(hidden):
        new = function(hidden.reshape(-1, hidden.shape[-1]))
        if not write:
            return None
        if in_place:  # the block adds this very tensor back later: the residual stream must move too
            hidden.copy_(new.view(hidden.shape))
            return None
        return new.view(hidden.shape)

    def before(module, args, kwargs):
        new = apply(args[0] if args else kwargs["hidden_states"])
        if new is None:
            return None
        return ((new, *args[1:]), kwargs) if args else (args, {**kwargs, "hidden_states": new})

    def behind(module, args, output):
        new = apply(output[0] if isinstance(output, tuple) else output)
        return None if new is None else (new, *output[1:]) if isinstance(output, tuple) else new

    if side == "input":
        return module.register_forward_pre_hook(before, with_kwargs=True)
    return module.register_forward_hook(behind)
