"""Hook names to modules: the residual identity in every family, and names that have no place."""

from types import SimpleNamespace

import pytest
import torch
from torch import nn
from transformers import AutoModelForCausalLM, Olmo2Config

from millm_inference.errors import SidecarError
from millm_inference.interpret.attachment import fit
from millm_inference.interpret.hooks import installed
from millm_inference.interpret.places import resolve
from millm_inference.interpret.steering import as_read
from tests.interpret.random_saes import random_sae
from tests.support.tiny import COMMON, CONFIGS, tiny_model

IDS = torch.tensor([[5, 17, 99, 42, 7]])
STREAM = ("hook_resid_pre", "hook_attn_out", "hook_mlp_out", "hook_resid_post")


def olmo2():
    torch.manual_seed(0)
    return AutoModelForCausalLM.from_config(Olmo2Config(**COMMON)).eval()


MODELS = {name: (lambda name=name: tiny_model(name)) for name in CONFIGS} | {"olmo2": olmo2}


def values_at(model, hooks: list[str]) -> dict[str, torch.Tensor]:
    seen: dict[str, torch.Tensor] = {}

    def tap(hook: str):
        place = resolve(model, hook)
        module = model.get_submodule(place.module)

        def look(hidden):
            seen[hook] = as_read(place, module, hidden.reshape(*IDS.shape, -1).clone())

        return module, place.side, look

    with torch.no_grad(), installed([tap(hook) for hook in hooks]):
        model(IDS, use_cache=False)
    return seen


@pytest.mark.parametrize("name", MODELS)
def test_what_attention_and_mlp_add_is_what_the_block_adds(name):
    model = MODELS[name]()
    layers = model.config.num_hidden_layers
    seen = values_at(model, [f"blocks.{layer}.{hook}" for layer in range(layers) for hook in STREAM])
    for layer in range(layers):
        pre, attention, mlp, post = (seen[f"blocks.{layer}.{hook}"] for hook in STREAM)
        torch.testing.assert_close(pre + attention + mlp, post, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("name", [name for name in MODELS if name != "gpt_neox"])
def test_the_middle_of_the_block_is_after_attention(name):
    seen = values_at(MODELS[name](), [f"blocks.1.{hook}" for hook in (*STREAM, "hook_resid_mid")])
    pre, attention, mid = (seen[f"blocks.1.{hook}"] for hook in ("hook_resid_pre", "hook_attn_out", "hook_resid_mid"))
    torch.testing.assert_close(pre + attention, mid, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("name", MODELS)
def test_attention_and_mlp_are_linear_in_what_they_are_about_to_project(name):
    model = MODELS[name]()
    for inner in ("attn.hook_z", "mlp.hook_post"):
        place = resolve(model, f"blocks.1.{inner}")
        seen = values_at(model, [f"blocks.1.{inner}"])[f"blocks.1.{inner}"]
        assert place.side == "input"
        assert seen.shape[-1] == place.width
        assert place.order < resolve(model, "blocks.1.hook_resid_post").order


@pytest.mark.parametrize("name", ["llama", "gemma2", "gpt2", "opt"])
def test_the_normalised_input_has_no_gain(name):
    model = MODELS[name]()
    hooks = ["blocks.1.hook_resid_mid", "blocks.1.ln2.hook_normalized"]
    mid, normalized = values_at(model, hooks).values()
    if name in ("gpt2", "opt"):
        mid = mid - mid.mean(-1, keepdim=True)
    expected = mid / mid.square().mean(-1, keepdim=True).sqrt()
    torch.testing.assert_close(normalized, expected, atol=1e-3, rtol=1e-3)


def test_gpt2_embeddings_are_hooked_before_positions_are_added():
    model = tiny_model("gpt2")
    seen = values_at(model, ["hook_embed"])["hook_embed"]
    torch.testing.assert_close(seen, model.transformer.wte(IDS))


def test_the_last_block_is_read_before_the_final_norm():
    model = tiny_model.__wrapped__("llama")
    seen = values_at(model, ["blocks.2.hook_resid_post"])["blocks.2.hook_resid_post"]
    hidden = model(IDS, output_hidden_states=True).hidden_states[-1]
    assert not torch.allclose(seen, hidden)
    torch.testing.assert_close(model.model.norm(seen), hidden)


SAME = {
    "model.layers.1.output": "blocks.1.hook_resid_post",
    "model.layers.1": "blocks.1.hook_resid_post",
    "layers.1.output": "blocks.1.hook_resid_post",
    "layers.1.mlp": "blocks.1.hook_mlp_out",
    "model.language_model.layers.1.output": "blocks.1.hook_resid_post",
    "model.layers.1.input": "blocks.1.hook_resid_pre",
    "model.layers.1.input_layernorm.input": "blocks.1.hook_resid_pre",
    "model.layers.1.post_attention_layernorm.input": "blocks.1.hook_resid_mid",
    "model.layers.1.self_attn.o_proj.input": "blocks.1.attn.hook_z",
    "model.embed_tokens": "hook_embed",
}


@pytest.mark.parametrize("path", [path for path in SAME if "language_model" not in path])
def test_a_modules_path_and_the_hooks_name_are_one_place(path):
    assert resolve(tiny_model("llama"), path) == resolve(tiny_model("llama"), SAME[path])


def test_the_same_name_means_two_things_and_the_modules_decide():
    llama, gemma = (resolve(tiny_model(name), "blocks.1.hook_attn_out") for name in ("llama", "gemma2"))
    assert (llama.module, gemma.module) == ("model.layers.1.self_attn", "model.layers.1.post_attention_layernorm")


UNKNOWN = {
    "blocks.1.hook_mlp_in": "two|another",
    "blocks.1.attn.hook_pattern": "hook_resid_post",
    "blocks.9.hook_resid_post": "0 to 2",
    "layers.1.nonsense": "module",
    "": "module",
}


@pytest.mark.parametrize("hook", UNKNOWN)
def test_hooks_without_a_place_are_refused_naming_what_is_possible(hook):
    with pytest.raises(SidecarError, match=UNKNOWN[hook]) as refused:
        resolve(tiny_model("llama"), hook)
    assert refused.value.code == "SAE_INCOMPATIBLE"


def test_parallel_blocks_have_no_middle():
    with pytest.raises(SidecarError, match="does not exist"):
        resolve(tiny_model("gpt_neox"), "blocks.1.hook_resid_mid")


class TestFit:
    def test_widths_must_match(self):
        with pytest.raises(SidecarError, match="16 values"):
            fit(tiny_model("llama"), "sae", random_sae(d_in=16))

    def test_a_file_without_hook_needs_one(self):
        with pytest.raises(SidecarError, match="give one"):
            fit(tiny_model("llama"), "sae", random_sae(hook=None))

    def test_another_model_or_layer_is_a_warning(self):
        model = tiny_model("llama")
        model.config._name_or_path = "org/some-llama"
        fitted = fit(model, "sae", random_sae(model="google/gemma-2-2b", layer=2))
        model.config._name_or_path = ""
        assert any("gemma" in warning for warning in fitted.warnings)
        assert any("layer 2" in warning for warning in fitted.warnings)

    def test_a_transcoder_needs_both_hooks_in_order(self):
        sae = random_sae("transcoder", hook_out="blocks.0.hook_mlp_out")
        with pytest.raises(SidecarError, match="before it reads"):
            fit(tiny_model("llama"), "sae", sae)

    def test_what_is_computed_can_be_read_but_not_steered(self):
        fitted = fit(tiny_model("llama"), "sae", random_sae(hook="blocks.1.ln2.hook_normalized"))
        assert fitted.operations == ()
        assert fitted.warnings

    def test_a_transcoder_may_read_what_is_computed(self):
        sae = random_sae("jumprelu_transcoder", hook="blocks.1.ln2.hook_normalized")
        assert "clamp" in fit(tiny_model("gemma2"), "sae", sae).operations

    def test_gpt2_small_is_gpt2(self):
        model = tiny_model("gpt2")
        model.config._name_or_path = "openai-community/gpt2"
        fitted = fit(model, "sae", random_sae(model="gpt2-small"))
        model.config._name_or_path = ""
        assert fitted.warnings == ()


def test_a_model_without_recognisable_blocks_still_has_modules():
    model = nn.Sequential(nn.Linear(4, 4))
    model.config = SimpleNamespace(num_hidden_layers=3)
    assert resolve(model, "0.output").width == 4
    with pytest.raises(SidecarError, match="not found"):
        resolve(model, "blocks.0.hook_resid_post")
