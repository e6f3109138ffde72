"""Every file layout, written to disk and loaded, equals the SAE it stands for."""

import json

import pytest
import torch
from safetensors.torch import save_file

from millm_inference.contract import SaeOverrides
from millm_inference.errors import SidecarError
from millm_inference.interpret.folds import fold_activation_norm
from millm_inference.interpret.formats import describe_sae, load_sae
from tests.interpret.folders import V6, standard, write_folder
from tests.interpret.layouts import write_layout
from tests.interpret.oracles import case, close, load_oracles, sae_of

LAYOUTS = {layout["name"]: layout for layout in load_oracles()["layouts"]}
HOOKS = {
    "sparsify-topk": "layers.1.output",
    "mistudio-community-standard": "blocks.1.hook_resid_post",
    "mistudio-native-topk": "blocks.1.hook_resid_post",
    "gemma-scope-npz": "blocks.1.hook_resid_post",
    "gemma-scope-2-affine-transcoder": "model.layers.1.pre_feedforward_layernorm.output",
}
TENSORS = ("W_enc", "W_dec", "b_enc", "b_dec", "threshold", "b_gate", "b_mag", "r_mag", "W_skip")


@pytest.mark.parametrize("name", LAYOUTS)
def test_a_layout_on_disk_equals_the_case_it_names(name, tmp_path):
    folder = write_layout(LAYOUTS[name], tmp_path)
    same_as = case(LAYOUTS[name]["same_as"])
    loaded, expected = load_sae(folder), sae_of(same_as, torch.float32)
    if expected.normalization == "expected_average_only_in":
        expected = fold_activation_norm(expected)
    for tensor in TENSORS:
        ours, theirs = getattr(loaded, tensor), getattr(expected, tensor)
        assert (ours is None) == (theirs is None), tensor
        if ours is not None:
            torch.testing.assert_close(ours, theirs, atol=2e-5, rtol=1e-5)
    for flag in ("architecture", "apply_b_dec_to_input", "normalization", "k"):
        assert getattr(loaded, flag) == getattr(expected, flag), flag
    x = torch.tensor(same_as["input"])
    f, state = loaded.encode(x)
    close(f, same_as["expected"]["post"], torch.float32)
    close(loaded.decode(f, state, x), same_as["expected"]["reconstruction"], torch.float32)
    if name in HOOKS:
        assert loaded.hook == HOOKS[name]
        assert loaded.layer == 1


@pytest.mark.parametrize("name", LAYOUTS)
def test_a_description_tells_what_loading_gives(name, tmp_path):
    folder = write_layout(LAYOUTS[name], tmp_path)
    description, sae = describe_sae(folder), load_sae(folder)
    assert (description.d_in, description.d_sae, description.d_out) == (sae.d_in, sae.d_sae, sae.d_out)
    assert description.content_hash == sae.content_hash != ""
    assert description.size_bytes == sum(f.stat().st_size for f in folder.rglob("*") if f.is_file())


def test_saelens_version_6_reads_flags_and_metadata(tmp_path):
    sae = load_sae(write_folder(tmp_path / "sae", V6, standard()))
    assert (sae.format, sae.hook, sae.layer, sae.model) == ("saelens", "blocks.3.hook_resid_pre", 3, "gpt2")
    assert sae.apply_b_dec_to_input
    assert sae.unknown_keys == ()


def test_half_precision_files_are_served_in_float32(tmp_path):
    halves = {name: t.half() for name, t in standard().items()}
    sae = load_sae(write_folder(tmp_path / "sae", V6, halves))
    assert {t.dtype for t in (sae.W_enc, sae.W_dec, sae.b_enc, sae.b_dec)} == {torch.float32}


def test_the_module_named_beside_an_ambiguous_hook_wins(tmp_path):
    metadata = {"hook_name": "blocks.3.hook_mlp_in", "hf_hook_name": "model.layers.3.pre_feedforward_layernorm.output"}
    sae = load_sae(write_folder(tmp_path / "sae", {**V6, "metadata": metadata}, standard()))
    assert sae.hook == "model.layers.3.pre_feedforward_layernorm.output"


def test_before_version_6_defaults_and_old_names_hold(tmp_path):
    config = {
        "hook_point": "blocks.8.hook_resid_pre",
        "hook_point_layer": 8,
        "model_name": "gpt2-small",
        "activation_fn_str": "topk",
        "activation_fn_kwargs": {"k": 2},
        "normalize_activations": False,
        "l1_coefficient": 8e-5,
    }
    sae = load_sae(write_folder(tmp_path / "sae", config, {**standard(), "scaling_factor": torch.ones(6)}))
    assert (sae.format, sae.architecture, sae.k, sae.hook, sae.layer) == (
        "saelens",
        "topk",
        2,
        "blocks.8.hook_resid_pre",
        8,
    )
    assert sae.apply_b_dec_to_input
    assert sae.unknown_keys == ("l1_coefficient",)


@pytest.mark.parametrize("suffix", ["res", "mlp", "att", "transcoders"])
def test_gemma_scope_takes_hook_and_model_from_the_folders(tmp_path, suffix):
    layout = LAYOUTS["gemma-scope-npz"]
    source = write_layout(layout, tmp_path / "a")
    folder = tmp_path / f"gemma-scope-9b-it-{suffix}" / "layer_20" / "width_16k" / "average_l0_71"
    folder.mkdir(parents=True)
    (source / "params.npz").rename(folder / "params.npz")
    sae = load_sae(folder)
    hooks = {
        "res": "hook_resid_post",
        "mlp": "hook_mlp_out",
        "att": "attn.hook_z",
        "transcoders": "ln2.hook_normalized",
    }
    assert sae.hook == f"blocks.20.{hooks[suffix]}"
    assert sae.hook_out == ("blocks.20.hook_mlp_out" if suffix == "transcoders" else None)
    assert sae.model == "google/gemma-2-9b-it"


def test_gemma_scope_embedding_saes_move_the_scale_of_the_embedding(tmp_path):
    folder = tmp_path / "gemma-scope-2b-pt-res" / "embedding" / "width_4k" / "average_l0_6"
    folder.mkdir(parents=True)
    source = write_layout(LAYOUTS["gemma-scope-npz"], tmp_path / "a")
    plain = load_sae(source)
    (source / "params.npz").rename(folder / "params.npz")
    sae = load_sae(folder)
    assert sae.hook == "hook_embed"
    torch.testing.assert_close(sae.W_enc, plain.W_enc / 2)
    torch.testing.assert_close(sae.W_dec, plain.W_dec * 2)


def test_gemma_scope_2_without_config_reads_the_folder(tmp_path):
    layout = {**LAYOUTS["gemma-scope-2-affine-transcoder"]}
    folder = write_layout(layout, tmp_path)
    (folder / "config.json").unlink()
    sae = load_sae(folder)
    assert sae.architecture == "jumprelu_skip_transcoder"
    assert sae.hook_out == "model.layers.1.post_feedforward_layernorm.output"


def test_sparsify_transcoders_read_and_write_one_module(tmp_path):
    tensors = standard()
    file = {
        "encoder.weight": tensors["W_enc"].T,
        "encoder.bias": tensors["b_enc"],
        "W_dec": tensors["W_dec"],
        "b_dec": tensors["b_dec"],
        "W_skip": torch.eye(4),
    }
    config = {"d_in": 4, "k": 2, "num_latents": 6, "transcode": True, "skip_connection": True}
    sae = load_sae(write_folder(tmp_path / "layers.3.mlp", config, file, "sae.safetensors"))
    assert (sae.hook, sae.hook_out, sae.layer) == ("layers.3.mlp.input", "layers.3.mlp.output", 3)
    assert sae.is_transcoder
    x = torch.randn(5, 4)
    f, state = sae.encode(x)
    z = x @ tensors["W_enc"] + tensors["b_enc"]
    torch.testing.assert_close(f, torch.relu(z) * (z >= z.topk(2).values[:, -1:]))
    torch.testing.assert_close(sae.decode(f, state, x), f @ tensors["W_dec"] + tensors["b_dec"] + x)


def test_a_bare_file_is_read_by_its_tensor_names(tmp_path):
    folder = tmp_path / "layer_7"
    folder.mkdir()
    save_file({**standard(), "log_threshold": torch.zeros(6)}, folder / "anything.safetensors")
    sae = load_sae(folder / "anything.safetensors")
    assert (sae.format, sae.architecture, sae.hook) == ("plain", "jumprelu", "blocks.7.hook_resid_post")
    assert sae.threshold.eq(1).all()
    assert sae.warnings


@pytest.mark.parametrize("prefix", ["encoder_linear decoder_linear", "encoder decoder"])
def test_single_torch_files_of_linear_layers(tmp_path, prefix):
    encoder, decoder = prefix.split()
    t = standard()
    state = {f"{encoder}.weight": t["W_enc"].T, f"{encoder}.bias": t["b_enc"]}
    state |= {f"{decoder}.weight": t["W_dec"].T, f"{decoder}.bias": t["b_dec"]}
    torch.save(state, tmp_path / "Llama-SAE-l19.pth")
    sae = load_sae(tmp_path / "Llama-SAE-l19.pth")
    assert (sae.architecture, sae.hook) == ("standard", "blocks.19.hook_resid_post")
    torch.testing.assert_close(sae.W_enc, t["W_enc"])


MISTUDIO = {
    "architecture": "standard",
    "d_in": 4,
    "d_sae": 6,
    "hook_point": "blocks.5.hook_resid_post",
    "hook_name": "blocks.5.hook_resid_post",
    "hook_point_layer": 5,
    "normalize_activations": "constant_norm_rescale",
    "apply_b_dec_to_input": False,
    "dtype": "torch.float32",
    "extra_metadata": {"hf_model_name": "org/model"},
}


def test_attention_saes_of_gpt2_name_their_hook_beside_the_file(tmp_path):
    torch.save(standard(), tmp_path / "gpt2-small_L5_Hcat_z.pt")
    config = {"act_name": "blocks.5.attn.hook_z", "act_size": 4, "dict_size": 6}
    (tmp_path / "gpt2-small_L5_Hcat_z_cfg.json").write_text(json.dumps(config))
    sae = load_sae(tmp_path / "gpt2-small_L5_Hcat_z.pt")
    assert (sae.hook, sae.layer, sae.apply_b_dec_to_input) == ("blocks.5.attn.hook_z", 5, True)


def test_qwen_scope_files_are_transposed_top_k(tmp_path):
    folder = tmp_path / "SAE-Res-Qwen3-1.7B-Base-W32K-L0_50"
    folder.mkdir()
    t = standard(4, 64)
    torch.save({**t, "W_enc": t["W_enc"].T, "W_dec": t["W_dec"].T}, folder / "layer3.sae.pt")
    sae = load_sae(folder / "layer3.sae.pt")
    assert (sae.architecture, sae.k, sae.hook) == ("topk", 50, "blocks.3.hook_resid_post")
    torch.testing.assert_close(sae.W_dec, t["W_dec"])


def test_bare_transcoders_are_known_by_their_path(tmp_path):
    folder = tmp_path / "qwen3-0.6b-transcoders"
    folder.mkdir()
    t = standard()
    save_file({**t, "W_enc": t["W_enc"].T.contiguous()}, folder / "layer_5.safetensors")
    sae = load_sae(folder / "layer_5.safetensors")
    assert (sae.architecture, sae.hook, sae.hook_out) == (
        "transcoder",
        "blocks.5.mlp.hook_in",
        "blocks.5.hook_mlp_out",
    )
    torch.testing.assert_close(sae.W_enc, t["W_enc"])


def test_the_distillations_of_llama_scope_keep_thresholds_as_logarithms(tmp_path):
    t = standard()
    file = {"encoder.weight": t["W_enc"].T, "encoder.bias": t["b_enc"], "decoder.weight": t["W_dec"].T}
    file |= {"decoder.bias": t["b_dec"], "log_jumprelu_threshold": torch.full((6,), -1.0)}
    save_file({name: x.contiguous() for name, x in file.items()}, tmp_path / "sae_weights.safetensors")
    config = {"d_model": 4, "expansion_factor": 1.5, "hook_point_in": "blocks.7.hook_resid_post"}
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(SidecarError, match="norm_scaling_factor"):
        load_sae(tmp_path)
    sae = load_sae(tmp_path, SaeOverrides(norm_scaling_factor=2.0))
    assert (sae.format, sae.layer) == ("llama-scope", 7)
    torch.testing.assert_close(sae.threshold, torch.full((6,), -1.0).exp())
    torch.testing.assert_close(sae.W_dec, t["W_dec"] / 2)


@pytest.mark.parametrize(
    ("submodule", "hook"),
    [
        ("resid_post_layer_3", "hook_resid_post"),
        ("mlp_layer_3", "hook_mlp_out"),
        ("attention_layer_3", "hook_attn_out"),
    ],
)
def test_dictionary_learning_takes_the_hook_from_its_trainer(tmp_path, submodule, hook):
    layout = LAYOUTS["dictionary_learning-AutoEncoderTopK"]
    trainer = {**layout["config"]["trainer"], "submodule_name": submodule, "lm_name": "org/model"}
    sae = load_sae(write_layout({**layout, "config": {"trainer": trainer}}, tmp_path))
    assert (sae.hook, sae.layer, sae.model) == (f"blocks.3.{hook}", 3, "org/model")


def test_an_unset_threshold_is_refused(tmp_path):
    layout = LAYOUTS["dictionary_learning-BatchTopKSAE"]
    unset = {**layout, "tensors": {**layout["tensors"], "threshold": -1}}
    with pytest.raises(SidecarError, match="unset"):
        load_sae(write_layout(unset, tmp_path))


def test_several_files_need_a_choice(tmp_path):
    for name in ("a", "b"):
        save_file(standard(), tmp_path / f"{name}.safetensors")
    with pytest.raises(SidecarError, match="name one"):
        load_sae(tmp_path)
    assert load_sae(tmp_path / "a.safetensors").d_sae == 6


def test_keys_nobody_knows_are_listed(tmp_path):
    sae = load_sae(write_folder(tmp_path / "sae", {**V6, "novel_option": 1}, standard()))
    assert sae.unknown_keys == ("novel_option",)


class TestMiStudio:
    def test_the_folder_tells_the_hook(self, tmp_path):
        sae = load_sae(write_folder(tmp_path / "layer_5_mlp", MISTUDIO, standard()))
        assert (sae.format, sae.hook, sae.layer, sae.model) == ("mistudio", "blocks.5.hook_mlp_out", 5, "org/model")

    def test_the_era_of_b_dec_is_guessed_and_can_be_overridden(self, tmp_path):
        config = {**MISTUDIO, "extra_metadata": {"top_k": 16}}
        folder = write_folder(tmp_path / "layer_5_residual", config, standard())
        assert load_sae(folder).apply_b_dec_to_input
        assert not load_sae(folder, SaeOverrides(apply_b_dec_to_input=False)).apply_b_dec_to_input
        assert any("b_dec" in warning for warning in load_sae(folder).warnings)

    def test_a_top_k_export_lost_its_bias(self, tmp_path):
        tensors = {name: t for name, t in standard().items() if name != "b_dec"}
        config = {**MISTUDIO, "architecture": "topk", "extra_metadata": {"top_k_sparsity": 50.0}}
        sae = load_sae(write_folder(tmp_path / "layer_5_residual", config, tensors))
        assert sae.k == 3
        assert not sae.encodes_exactly
        assert sae.b_dec.eq(0).all()

    def test_transposed_weights_are_turned_by_the_declared_sizes(self, tmp_path):
        t = standard()
        turned = {**t, "W_enc": t["W_enc"].T, "W_dec": t["W_dec"].T}
        sae = load_sae(write_folder(tmp_path / "layer_5_residual", MISTUDIO, turned))
        torch.testing.assert_close(sae.W_enc, t["W_enc"])

    def test_square_weights_are_not_guessed_at(self, tmp_path):
        config = {**MISTUDIO, "d_sae": 4}
        with pytest.raises(SidecarError, match="transposed"):
            load_sae(write_folder(tmp_path / "layer_5_residual", config, standard(4, 4)))

    def test_tied_native_weights_decode_with_the_encoder(self, tmp_path):
        t = standard()
        file = {"model.encoder.weight": t["W_enc"].T.contiguous(), "model.encoder.bias": t["b_enc"]}
        file["model.decoder_bias"] = t["b_dec"]
        file["optimizer.step"] = torch.ones(1)
        save_file(file, tmp_path / "checkpoint.safetensors", metadata={"architecture": "SparseAutoencoder"})
        sae = load_sae(tmp_path)
        torch.testing.assert_close(sae.W_dec, t["W_enc"].T)


class TestOverrides:
    def test_hook_layer_and_k(self, tmp_path):
        config = {**V6, "architecture": "topk", "k": 3}
        folder = write_folder(tmp_path / "sae", config, standard())
        assert load_sae(folder, SaeOverrides(k=2)).k == 2
        assert load_sae(folder, SaeOverrides(hook="blocks.1.hook_mlp_out")).hook == "blocks.1.hook_mlp_out"
        moved = load_sae(folder, SaeOverrides(layer=9))
        assert (moved.hook, moved.layer) == ("blocks.9.hook_resid_pre", 9)

    def test_a_scale_that_is_in_no_file_must_be_given(self, tmp_path):
        folder = write_folder(tmp_path / "sae", {**V6, "normalize_activations": "expected_average_only_in"}, standard())
        with pytest.raises(SidecarError, match="norm_scaling_factor"):
            load_sae(folder)
        sae = load_sae(folder, SaeOverrides(norm_scaling_factor=2.0))
        assert sae.normalization == "none"
        torch.testing.assert_close(sae.W_enc, standard()["W_enc"] * 2)

    def test_the_hash_names_what_is_computed_not_where_it_lies(self, tmp_path):
        a, b = (write_folder(tmp_path / name, V6, standard()) for name in ("a", "b"))
        assert load_sae(a).content_hash == load_sae(b, SaeOverrides(layer=1)).content_hash
        assert load_sae(a).content_hash != load_sae(b, SaeOverrides(apply_b_dec_to_input=False)).content_hash
