"""Random SAEs of every architecture: partial = full = SAELens's own class, and its files load as they were saved."""

import pytest
import torch

from millm_inference.interpret.formats import load_sae
from millm_inference.interpret.sae import Sae
from tests.interpret.random_saes import ARCHITECTURES, NORMALIZATIONS, random_sae

sae_lens = pytest.importorskip("sae_lens")

KINDS = [
    pytest.param(kind, normalization, id=f"{kind}-{normalization}")
    for kind in ARCHITECTURES
    for normalization in NORMALIZATIONS
    if kind != "groupmax" and (normalization == "none" or not kind.endswith("transcoder"))
]


def theirs(sae: Sae):
    config = {
        "architecture": sae.architecture,
        "d_in": sae.d_in,
        "d_sae": sae.d_sae,
        "dtype": "float32",
        "device": "cpu",
        "apply_b_dec_to_input": sae.apply_b_dec_to_input,
        "normalize_activations": sae.normalization,
        "metadata": {"hook_name": sae.hook, "model_name": "tiny"},
    }
    if sae.k:
        config |= {"k": sae.k, "rescale_acts_by_decoder_norm": sae.rescale_acts_by_decoder_norm}
    if sae.is_transcoder:
        config |= {"d_out": sae.d_out}
        config["metadata"] |= {"hook_name_out": sae.hook_out}
    other = sae_lens.SAE.from_dict(config)
    names = ("W_enc", "W_dec", "b_enc", "b_dec", "threshold", "b_gate", "b_mag", "r_mag", "W_skip")
    other.load_state_dict({name: t for name in names if (t := getattr(sae, name)) is not None})
    return other


@pytest.mark.parametrize(("kind", "normalization"), KINDS)
@torch.no_grad()
def test_partial_equals_full_equals_theirs(kind, normalization):
    sae = random_sae(kind, normalization=normalization, seed=11)
    other = theirs(sae)
    x = torch.randn(3, 7, sae.d_in, generator=torch.Generator().manual_seed(1)) * 2 + 0.3
    f, state = sae.encode(x)
    expected = other.encode(x)
    torch.testing.assert_close(f, _dense(expected), atol=2e-5, rtol=1e-5)
    assert 0.01 < float((f > 0).float().mean()) < 0.9
    reconstruction = other(x) if "skip" in kind else other.decode(expected)
    torch.testing.assert_close(sae.decode(f, state, x), reconstruction, atol=5e-5, rtol=1e-4)
    chosen = torch.tensor([5, 0, 63, 17, 17, 40])
    torch.testing.assert_close(sae.partial_encode(x, chosen)[0], f[..., chosen], atol=2e-5, rtol=1e-5)


@pytest.mark.parametrize(("kind", "normalization"), KINDS)
@torch.no_grad()
def test_editing_one_feature_is_their_error_preserving_intervention(kind, normalization):
    sae = random_sae(kind, normalization=normalization, seed=12)
    other = theirs(sae)
    x = torch.randn(9, sae.d_in, generator=torch.Generator().manual_seed(2))
    base = torch.randn(9, sae.d_out, generator=torch.Generator().manual_seed(3)) if sae.is_transcoder else x
    f = _dense(other.encode(x))
    edited = f.clone()
    edited[:, 4] = 2.5
    changed = other.decode(edited)
    other.encode(x)  # their decode uses up the norms that their encode left behind
    wanted = changed + (base - other.decode(f))
    ours, state = sae.encode(x)
    scale = 1 if sae.is_transcoder or state.scale is None else state.scale
    delta = scale * (2.5 - ours[:, 4:5]) * sae.activation_rows(torch.tensor([4]))
    torch.testing.assert_close(base + delta, wanted, atol=5e-5, rtol=1e-4)


@pytest.mark.parametrize("kind", [kind for kind in ARCHITECTURES if kind != "groupmax"])
@torch.no_grad()
def test_their_saved_files_load_as_the_same_sae(kind, tmp_path):
    sae = random_sae(kind, seed=13)
    theirs(sae).save_model(tmp_path)
    loaded = load_sae(tmp_path)
    assert (loaded.architecture, loaded.hook, loaded.hook_out, loaded.k) == (
        sae.architecture,
        sae.hook,
        sae.hook_out,
        sae.k,
    )
    assert loaded.unknown_keys == ()
    x = torch.randn(5, sae.d_in)
    torch.testing.assert_close(loaded.encode(x)[0], sae.encode(x)[0], atol=2e-5, rtol=1e-5)


@torch.no_grad()
def test_group_members_compete_in_partial_encodes():
    sae = random_sae("groupmax", seed=14)
    x = torch.randn(4, 5, sae.d_in)
    f, _ = sae.encode(x)
    assert ((f.unflatten(-1, (sae.k, -1)) > 0).sum(-1) <= 1).all()
    chosen = torch.tensor([9, 1, 8, 63])
    torch.testing.assert_close(sae.partial_encode(x, chosen)[0], f[..., chosen], atol=2e-5, rtol=1e-5)


def _dense(f: torch.Tensor) -> torch.Tensor:
    return f.to_dense() if f.is_sparse else f
