"""Encode, decode, partial encode and folds against numbers computed elsewhere, in float64 and float32."""

import pytest
import torch

from millm_inference.interpret.folds import fold_activation_norm, fold_decoder_norm
from millm_inference.interpret.sae import Sae
from tests.interpret.oracles import case, case_names, close, folded_sae, sae_of

DTYPES = pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=["float64", "float32"])


@DTYPES
@pytest.mark.parametrize("name", case_names("expected"))
def test_encode_and_decode_give_the_expected_numbers(name, dtype):
    expected, sae = case(name)["expected"], sae_of(case(name), dtype)
    x = torch.tensor(case(name)["input"], dtype=dtype)
    f, state = sae.encode(x)
    close(f, expected["post"], dtype)
    close(sae.decode(f, state, x), expected["reconstruction"], dtype)
    if "norm_factor" in expected:
        close(state.scale.squeeze(-1), expected["norm_factor"], dtype)
    if "mean" in expected:
        close(state.mean.squeeze(-1), expected["mean"], dtype)


@DTYPES
@pytest.mark.parametrize("name", [n for n in case_names("expected") if case(n)["architecture"] != "gated"])
def test_pre_activations_are_those_that_are_ranked(name, dtype):
    expected, sae = case(name)["expected"], sae_of(case(name), dtype)
    prepared, _ = sae.prepare(torch.tensor(case(name)["input"], dtype=dtype))
    close(sae.preactivations(prepared), expected.get("pre_scaled", expected["pre"]), dtype)


@DTYPES
@pytest.mark.parametrize("name", case_names("partial"))
def test_partial_encode_gives_the_expected_columns(name, dtype):
    partial, sae = case(name)["partial"], sae_of(case(name), dtype)
    x = torch.tensor(case(name)["input"], dtype=dtype)
    f, _ = sae.partial_encode(x, torch.tensor(partial["features"]))
    close(f, partial["post"], dtype)
    wrong = partial.get("wrong_if_column_local", partial["post"])
    if wrong != partial["post"]:
        assert not torch.allclose(f, torch.tensor(wrong, dtype=dtype))


@DTYPES
@pytest.mark.parametrize("name", case_names("folded"))
def test_folds_rewrite_the_tensors_and_keep_what_they_promise(name, dtype):
    folded, sae = case(name)["folded"], sae_of(case(name), dtype)
    ours = fold_activation_norm(sae) if folded["kind"] == "activation_norm" else fold_decoder_norm(sae)
    for tensor, values in folded["tensors"].items():
        close(getattr(ours, tensor), values, dtype)
    x = torch.tensor(case(name)["input"], dtype=dtype)
    for one in (ours, folded_sae(case(name), dtype)):
        f, state = one.encode(x)
        close(f, folded["expected"]["post"], dtype)
        close(one.decode(f, state, x), folded["expected"]["reconstruction"], dtype)
    if wrong := folded.get("wrong_if_not_folded"):
        assert not torch.allclose(f, torch.tensor(wrong["post"], dtype=dtype))


def test_folding_the_decoder_norm_is_refused_where_it_would_change_the_selection():
    with pytest.raises(ValueError, match="selects"):
        fold_decoder_norm(sae_of(case("topk-k2"), torch.float32))


def test_a_zero_decoder_row_survives_the_fold():
    sae = sae_of(case("standard-b_dec-on"), torch.float32)
    rows = sae.W_dec.clone()
    rows[2] = 0
    folded = fold_decoder_norm(Sae(**{**_fields(sae), "W_dec": rows}))
    assert torch.isfinite(folded.W_enc).all()
    assert folded.W_dec[2].abs().sum() == 0


def test_encoder_weights_stay_float32_even_for_bfloat16_inputs():
    name = "precision-keep-float32-encoder"
    sae = sae_of(case(name), torch.float32)
    x = torch.tensor(case(name)["input"], dtype=torch.bfloat16)
    close(sae.encode(x)[0], case(name)["expected"]["post"], torch.float32)
    rounded = sae.to(dtype=torch.bfloat16).to(dtype=torch.float32)
    close(rounded.encode(x)[0], case(name)["wrong_if_bfloat16_weights"]["post"], torch.float32)


def test_hook_z_is_flattened_head_by_head():
    name = "hook_z-flatten"
    heads = torch.tensor(case(name)["input_heads"], dtype=torch.float64)
    f, _ = sae_of(case(name), torch.float64).encode(heads.flatten(-2))
    close(f, case(name)["expected"]["post"], torch.float64)


def _fields(sae: Sae) -> dict:
    names = ("architecture", "W_enc", "W_dec", "b_dec", "b_enc", "apply_b_dec_to_input")
    return {name: getattr(sae, name) for name in names}
