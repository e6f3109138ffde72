"""Random SAEs of every architecture, scaled so that features fire often enough to matter and not all the time."""

import torch

from millm_inference.interpret.sae import Sae

ARCHITECTURES = {
    "standard": {"architecture": "standard", "apply_b_dec_to_input": True},
    "jumprelu": {"architecture": "jumprelu"},
    "topk": {"architecture": "topk", "k": 5, "apply_b_dec_to_input": True},
    "topk-rescaled": {"architecture": "topk", "k": 5, "rescale_acts_by_decoder_norm": True},
    "groupmax": {"architecture": "groupmax", "k": 8, "apply_b_dec_to_input": True},
    "gated": {"architecture": "gated", "apply_b_dec_to_input": True},
    "transcoder": {"architecture": "transcoder"},
    "jumprelu_transcoder": {"architecture": "jumprelu_transcoder"},
    "skip_transcoder": {"architecture": "skip_transcoder"},
    "jumprelu_skip_transcoder": {"architecture": "jumprelu_skip_transcoder"},
}
NORMALIZATIONS = ("none", "constant_norm_rescale", "layer_norm")


def random_sae(
    kind: str = "jumprelu",
    *,
    d_in: int = 32,
    d_out: int | None = None,
    n: int = 64,
    normalization: str = "none",
    seed: int = 0,
    dtype: torch.dtype = torch.float32,
    **more,
) -> Sae:
    """`more` are fields of the SAE: the hook, above all."""
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape: int, scale: float = 1.0) -> torch.Tensor:
        return (torch.randn(*shape, generator=generator, dtype=torch.float64) * scale).to(dtype)

    flags = ARCHITECTURES[kind]
    transcodes = kind.endswith("transcoder")
    d_out = d_out or d_in
    tensors = {"W_enc": normal(d_in, n, scale=d_in**-0.5), "W_dec": normal(n, d_out, scale=0.3)}
    tensors["b_dec"] = normal(d_out, scale=0.2)
    if kind == "gated":
        tensors |= {name: normal(n, scale=0.3) for name in ("b_gate", "b_mag", "r_mag")}
    else:
        tensors["b_enc"] = normal(n, scale=0.2)
    if "jumprelu" in kind:
        tensors["threshold"] = normal(n, scale=0.3).abs()
    if "skip" in kind:
        tensors["W_skip"] = normal(d_out, d_in, scale=0.2)
    if transcodes:
        more.setdefault("hook", "blocks.1.mlp.hook_in")
        more.setdefault("hook_out", "blocks.1.hook_mlp_out")
    more.setdefault("hook", "blocks.1.hook_resid_post")
    return Sae(**flags, **tensors, normalization=normalization, content_hash=f"{kind}-{normalization}-{seed}", **more)
