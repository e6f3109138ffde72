"""What weights say of a feature, and which features tell texts apart."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from millm_inference.interpret.contrast import MAX_EFFECT, auroc, contrast, effect_sizes, mean_activations
from millm_inference.interpret.geometry import describe_feature
from tests.interpret.naive import encode
from tests.interpret.random_saes import random_sae
from tests.interpret.serving import hook_count
from tests.support.tiny import tiny_model


def unembedded(model, vector: torch.Tensor) -> torch.Tensor:
    """By the definition: the final norm's gain on the direction, then the output embedding."""
    family = model.config.model_type
    if family == "gpt2":
        gained = (vector - vector.mean()) * model.transformer.ln_f.weight
    elif family == "gemma2":
        gained = vector * (1 + model.model.norm.weight)
    else:
        gained = vector * model.model.norm.weight
    return model.lm_head.weight @ gained


@pytest.mark.parametrize("family", ["llama", "gpt2", "gemma2"])
def test_promoted_and_suppressed_tokens_are_the_unembedded_row(family):
    model, sae = tiny_model(family), random_sae()
    with torch.no_grad():
        norm = model.transformer.ln_f if family == "gpt2" else model.model.norm
        norm.weight.copy_(torch.linspace(0.5, 1.5, 32))
        logits = unembedded(model, sae.W_dec[7] / sae.W_dec[7].norm())
        found = describe_feature(model, sae, 7, top_k=5)
        norm.weight.fill_(0.0 if family == "gemma2" else 1.0)
    assert [token for token, _ in found.promoted] == logits.topk(5).indices.tolist()
    assert [token for token, _ in found.suppressed] == (-logits).topk(5).indices.tolist()
    assert [value for _, value in found.promoted] == pytest.approx(logits.topk(5).values.tolist(), abs=1e-5)
    assert all(value < 0 for _, value in found.suppressed)
    assert found.decoder_norm == pytest.approx(float(sae.W_dec[7].norm()))


def test_rows_written_before_a_projection_are_taken_through_it():
    model, sae = tiny_model("llama"), random_sae(hook="blocks.1.attn.hook_z")
    unit = sae.W_dec[3] / sae.W_dec[3].norm()
    with torch.no_grad():
        logits = unembedded(model, model.model.layers[1].self_attn.o_proj.weight @ unit)
    assert [token for token, _ in describe_feature(model, sae, 3, 4).promoted] == logits.topk(4).indices.tolist()


def test_nearest_features_point_the_same_way():
    sae = random_sae()
    rows = sae.W_dec.clone()
    rows[20] = rows[5] * 3 + 0.01
    rows[30] = 0
    sae = type(sae)(
        architecture="standard", W_enc=sae.W_enc, W_dec=rows, b_enc=sae.b_enc, b_dec=sae.b_dec, hook=sae.hook
    )
    nearest = describe_feature(tiny_model("llama"), sae, 5, 100).nearest
    assert nearest[0][0] == 20
    assert nearest[0][1] == pytest.approx(1.0, abs=1e-2)
    assert 5 not in [index for index, _ in nearest]
    assert len(nearest) == sae.d_sae - 1
    assert all(-1.001 < cosine < 1.001 for _, cosine in nearest)


def test_mean_activations_are_means_over_tokens_and_leave_no_hook():
    model, sae = tiny_model("llama"), random_sae("topk", hook="blocks.1.hook_mlp_out")
    ids, before = [5, 6, 7, 8], hook_count(model)
    hidden = []
    handle = model.model.layers[1].mlp.register_forward_hook(lambda *a: hidden.append(a[2].detach()[0]))
    with torch.no_grad():
        model(torch.tensor([ids]))
        handle.remove()
        f, _ = encode(sae, hidden[0])
    torch.testing.assert_close(mean_activations(model, sae, ids), f.mean(0), atol=1e-5, rtol=1e-4)
    skipped = mean_activations(model, sae, ids, skip=frozenset({5}))
    torch.testing.assert_close(skipped, f[1:].mean(0), atol=1e-5, rtol=1e-4)
    assert hook_count(model) == before


def by_pairs(a: torch.Tensor, b: torch.Tensor) -> float:
    wins = [1.0 if x > y else 0.5 if x == y else 0.0 for x in a.tolist() for y in b.tolist()]
    return sum(wins) / len(wins)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(
    a=st.lists(st.integers(0, 4), min_size=1, max_size=8),
    b=st.lists(st.integers(0, 4), min_size=1, max_size=8),
)
def test_auroc_counts_pairs_and_halves_ties(a, b):
    left, right = (torch.tensor(values, dtype=torch.float64).unsqueeze(1) for values in (a, b))
    assert float(auroc(left, right)) == pytest.approx(by_pairs(left[:, 0], right[:, 0]))
    assert float(auroc(right, left)) == pytest.approx(1 - float(auroc(left, right)))


def test_effect_sizes_are_cohens_d_and_stay_finite():
    a = torch.tensor([[1.0, 0.0, 2.0], [3.0, 0.0, 2.0]], dtype=torch.float64)
    b = torch.tensor([[0.0, 0.0, 1.0], [1.0, 0.0, 1.0]], dtype=torch.float64)
    pooled = ((2.0 + 0.5) / 2) ** 0.5
    assert effect_sizes(a, b).tolist() == pytest.approx([1.5 / pooled, 0.0, MAX_EFFECT])
    assert effect_sizes(a[:1], b[:1]).tolist() == [MAX_EFFECT, 0.0, MAX_EFFECT]


def test_the_clearest_features_come_first_and_silent_ones_do_not():
    generator = torch.Generator().manual_seed(0)
    a, b = torch.rand(6, 10, generator=generator), torch.rand(5, 10, generator=generator)
    a[:, 4] += 5
    b[:, 2] += 3
    a[:, 7] = b[:, 7] = 0
    found = contrast(list(a), list(b), limit=9)
    assert [f.index for f in found[:2]] == [4, 2]
    assert 7 not in [f.index for f in found]
    assert (found[0].auroc, found[1].auroc) == (1.0, 0.0)
    assert found[0].mean_a == pytest.approx(float(a[:, 4].mean()))
    assert found[1].effect_size < 0 < found[0].effect_size
    assert len(contrast(list(a), list(b), limit=3)) == 3
