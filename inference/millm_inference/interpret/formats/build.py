"""From what a reader found to a checked `Sae`: overrides, shapes, finite values, the fold that is due, the hash."""

from __future__ import annotations

import math
import re
from pathlib import Path

import torch
from torch import Tensor

from millm_inference.contract import SaeOverrides
from millm_inference.interpret.content import content_hash
from millm_inference.interpret.folds import fold_activation_norm
from millm_inference.interpret.formats.files import refuse
from millm_inference.interpret.formats.parsed import Parsed
from millm_inference.interpret.formats.quality import read_quality
from millm_inference.interpret.formats.strengths import read_strengths
from millm_inference.interpret.norms import NORMALIZATIONS
from millm_inference.interpret.sae import ARCHITECTURES, Sae

UNSERVABLE = {
    "temporal": "its activations depend on the whole context",
    "matching_pursuit": "it selects features by iterating over the reconstruction",
    "crosscoder": "one feature reads and writes several layers at once",
    "cross_layer_transcoder": "one feature writes several layers at once, so one decoder row cannot stand for it",
}


def build(parsed: Parsed, overrides: SaeOverrides, path: Path, size_bytes: int) -> Sae:
    if reason := UNSERVABLE.get(parsed.architecture):
        refuse(f"A {parsed.architecture} SAE cannot be served exactly: {reason}.", architecture=parsed.architecture)
    if parsed.architecture not in ARCHITECTURES:
        refuse(f"The SAE architecture {parsed.architecture!r} is unknown; known are {', '.join(ARCHITECTURES)}.")
    if parsed.normalization not in NORMALIZATIONS:
        refuse(
            f"The normalisation {parsed.normalization!r} is not served; served are {', '.join(NORMALIZATIONS)}.",
            normalization=parsed.normalization,
        )
    tensors = _checked(parsed)
    d_sae = tensors["W_enc"].shape[1]
    quality = read_quality(path, d_sae, parsed.warnings)
    strengths = read_strengths(path, d_sae, parsed.warnings)
    sae = Sae(
        architecture=parsed.architecture,  # type: ignore[arg-type]
        normalization=parsed.normalization,  # type: ignore[arg-type]
        norm_scaling_factor=_scaling_factor(parsed, overrides),
        k=_k(parsed, overrides, d_sae),
        rescale_acts_by_decoder_norm=parsed.rescale_acts_by_decoder_norm,
        apply_b_dec_to_input=_apply_b_dec(parsed, overrides),
        hook=overrides.hook or _at_layer(parsed.hook, overrides.layer),
        hook_out=_at_layer(parsed.hook_out, overrides.layer),
        layer=parsed.layer if overrides.layer is None else overrides.layer,
        model=parsed.model,
        neuronpedia_id=parsed.neuronpedia_id,
        path=str(path),
        format=parsed.format,
        size_bytes=size_bytes,
        encodes_exactly=parsed.encodes_exactly,
        quality=quality,
        strengths=strengths,
        warnings=tuple(parsed.warnings),
        unknown_keys=tuple(parsed.unknown_keys),
        **tensors,  # type: ignore[arg-type]
    )
    if sae.normalization == "expected_average_only_in":
        sae = fold_activation_norm(sae)
    object.__setattr__(sae, "content_hash", content_hash(sae))
    return sae


def _checked(parsed: Parsed) -> dict[str, Tensor]:
    tensors = {name: t.to(torch.float32) for name, t in parsed.tensors.items()}
    needed = ["W_enc", "W_dec"] + (["b_gate", "b_mag", "r_mag"] if parsed.architecture == "gated" else ["b_enc"])
    if parsed.architecture.startswith("jumprelu"):
        needed.append("threshold")
    if "skip" in parsed.architecture:
        needed.append("W_skip")
    if missing := [name for name in needed if name not in tensors]:
        refuse(f"The file lacks {', '.join(missing)}, which a {parsed.architecture} SAE needs.", missing=missing)
    if tensors["W_enc"].ndim != 2 or tensors["W_dec"].ndim != 2:
        refuse("W_enc and W_dec must be matrices: this looks like an SAE over several layers.")
    d_in, n = tensors["W_enc"].shape
    d_out = tensors["W_dec"].shape[1]
    if n == 0:
        refuse("The SAE has no features.")
    if "b_dec" not in tensors:
        tensors["b_dec"] = torch.zeros(d_out)
        parsed.warnings.append("The file has no b_dec; zeros are used.")
    if (threshold := tensors.get("threshold")) is not None and threshold.numel() == 1:
        tensors["threshold"] = threshold.reshape(1).expand(n).contiguous()
    shapes = {"W_dec": (n, d_out), "b_dec": (d_out,), "W_skip": (d_out, d_in)}
    for name, tensor in tensors.items():
        expected = shapes.get(name, (n,)) if name != "W_enc" else (d_in, n)
        if tuple(tensor.shape) != expected:
            refuse(
                f"{name} has shape {list(tensor.shape)}, but {list(expected)} was expected beside W_enc [{d_in}, {n}]."
            )
        if not torch.isfinite(tensor).all():
            refuse(f"{name} holds values that are not finite numbers.")
    if not _transcodes(parsed) and d_in != d_out:
        refuse(f"The SAE reads {d_in} values and writes {d_out}, which only a transcoder does.")
    return {name: tensor.contiguous() for name, tensor in tensors.items()}


def _k(parsed: Parsed, overrides: SaeOverrides, n: int) -> int | None:
    if parsed.architecture not in ("topk", "groupmax"):
        return None
    k = overrides.k if overrides.k is not None else parsed.k
    if k is None:
        refuse(f"The files do not say k, which a {parsed.architecture} SAE needs; give the override k.")
    if not 1 <= k <= n:
        refuse(f"k is {k}, but must be between 1 and the number of features, {n}.", k=k)
    if parsed.architecture == "groupmax" and n % k:
        refuse(f"{n} features cannot be split into k = {k} equal groups.", k=k)
    return k


def _scaling_factor(parsed: Parsed, overrides: SaeOverrides) -> float | None:
    if parsed.normalization != "expected_average_only_in":
        return None
    factor = overrides.norm_scaling_factor
    factor = parsed.norm_scaling_factor if factor is None else factor
    if factor is None:
        refuse(
            "This SAE was trained on inputs scaled by a constant that is not in its files, and would be silently wrong"
            " without it; give the override norm_scaling_factor (sqrt(d_in) / mean norm of the training inputs)."
        )
    if not (math.isfinite(factor) and factor > 0):
        refuse(f"norm_scaling_factor is {factor}, but must be a positive number.")
    return factor


def _apply_b_dec(parsed: Parsed, overrides: SaeOverrides) -> bool:
    apply = parsed.apply_b_dec_to_input
    apply = apply if overrides.apply_b_dec_to_input is None else overrides.apply_b_dec_to_input
    if apply and _transcodes(parsed):
        refuse("A transcoder's b_dec belongs to its output and cannot be subtracted from its input.")
    return apply


def _transcodes(parsed: Parsed) -> bool:
    return parsed.architecture.endswith("transcoder") or parsed.hook_out is not None


def _at_layer(hook: str | None, layer: int | None) -> str | None:
    """The same hook at the layer a person names."""
    if hook is None or layer is None:
        return hook
    return re.sub(r"((?:^|\.)(?:blocks|layers|h)\.)\d+", rf"\g<1>{layer}", hook, count=1)
