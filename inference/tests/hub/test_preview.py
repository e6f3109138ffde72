"""What a repository holds, told from its listing and small files, and whether it would fit."""

import json

import pytest

from millm_inference import contract as c
from millm_inference.errors import SidecarError
from millm_inference.hub.client import Hub
from millm_inference.hub.preview import Room, preview
from tests.hub.fake_hub import COMMIT, GOOD_TOKEN

GIGABYTE = 10**9
# SmolLM2-135M
SMOL = {
    "architectures": ["LlamaForCausalLM"],
    "model_type": "llama",
    "hidden_size": 576,
    "num_hidden_layers": 30,
    "num_attention_heads": 9,
    "num_key_value_heads": 3,
    "vocab_size": 49152,
    "max_position_embeddings": 8192,
    "tie_word_embeddings": True,
    "torch_dtype": "bfloat16",
}
PARAMETERS = 134_515_008
KV = 2 * 30 * 3 * 64 * 8192
SAE = 2 * 16_384 * 576 * 4


@pytest.fixture
def look(hub, tmp_path):
    def look_(repo_id="org/model", kind="model", memory=16 * GIGABYTE, on_cpu=True, max_context=0, token=None, **more):
        request = c.PreviewRepositoryRequest(repo_id=repo_id, kind=kind, **more)
        room = Room(memory, on_cpu, lambda _: 123, max_context)
        return preview(Hub(hub.endpoint, token), request, tmp_path, room)

    return look_


def add_smol(hub, **more):
    hub.add(
        "org/model",
        {"config.json": json.dumps(SMOL).encode(), "model.safetensors": b"w" * 50_000, "model.bin": b"b" * 50_000},
        safetensors={"parameters": {"BF16": PARAMETERS}, "total": PARAMETERS},
        cardData={"license": "apache-2.0"},
        **more,
    )


def test_a_model_is_described_without_its_weights(hub, look):
    add_smol(hub)
    seen = look()
    assert (seen.revision, seen.license, seen.gated) == (COMMIT, "apache-2.0", False)
    assert (seen.architecture, seen.parameters, seen.context_length) == ("LlamaForCausalLM", PARAMETERS, 8192)
    assert [f.path for f in seen.files] == ["config.json", "model.safetensors"]
    assert seen.size_bytes == sum(f.size_bytes for f in seen.files)
    assert (seen.disk_free_bytes, seen.requires_trust_remote_code) == (123, False)
    assert set(hub.served) == {"config.json"}


def test_memory_is_weights_keys_and_values_and_work(hub, look):
    add_smol(hub)
    memory = {m.quantization: m.memory_bytes for m in look().memory}
    assert list(memory) == ["Q4", "Q8", "FP16", "BF16", "FP32"]
    assert memory["FP32"] == pytest.approx(4 * PARAMETERS + 4 * KV + SAE, rel=0.15, abs=300 << 20)
    assert memory["BF16"] == memory["FP16"]
    assert memory["FP32"] - memory["BF16"] == pytest.approx(2 * PARAMETERS + 2 * KV, rel=0.02)
    on_gpu = {m.quantization: m.memory_bytes for m in look(on_cpu=False).memory}
    embedding = 49152 * 576
    assert on_gpu["BF16"] - on_gpu["Q8"] == pytest.approx(PARAMETERS - embedding, rel=0.03)
    assert on_gpu["Q4"] < on_gpu["Q8"] < on_gpu["BF16"] == memory["BF16"]


def test_memory_says_what_of_it_are_keys_and_values_and_an_sae(hub, look):
    add_smol(hub)
    memory = {m.quantization: m for m in look().memory}
    assert {m.sae_bytes for m in memory.values()} == {SAE}
    assert (memory["FP32"].kv_bytes, memory["BF16"].kv_bytes) == (4 * KV, 2 * KV)
    for m in memory.values():
        assert m.memory_bytes > m.kv_bytes + m.sae_bytes
    short = {m.quantization: m for m in look(max_context=1024).memory}
    saved = memory["FP32"].memory_bytes - short["FP32"].memory_bytes
    assert saved == memory["FP32"].kv_bytes - short["FP32"].kv_bytes > 0


def test_what_does_not_fit_is_said_with_the_context_that_would(hub, look):
    add_smol(hub)
    seen = look(memory=1_100_000_000)
    assert {m.quantization: m.fits for m in seen.memory} == {
        "Q4": True, "Q8": True, "FP16": True, "BF16": True, "FP32": False,
    }  # fmt: skip
    assert any("does not fit with the full context, but does with about" in w for w in seen.warnings)
    assert all(m.fits for m in look(memory=1_100_000_000, max_context=1024).memory)


def test_a_gated_model_is_described_as_far_as_its_listing_goes(hub, look):
    add_smol(hub, gated=True)
    seen = look()
    assert (seen.gated, seen.parameters, seen.architecture, seen.memory) == (True, PARAMETERS, None, [])
    assert "ask for access at" in seen.warnings[0]
    assert len(look(hf_token=GOOD_TOKEN).memory) == len(look(token=GOOD_TOKEN).memory) == 5


def test_gguf_files_are_offered_by_name(hub, look):
    files = {"m.Q4_0.gguf": b"4" * 400, "m.Q8_0.gguf": b"8" * 800}
    hub.add("org/model", files, gguf={"total": 10**9, "architecture": "llama", "context_length": 4096})
    seen = look()
    assert [f.path for f in seen.files] == list(files)
    assert (seen.architecture, seen.parameters, seen.context_length) == ("llama", 10**9, 4096)
    assert any("name one" in warning for warning in seen.warnings)
    assert {m.quantization: m.fits for m in look(memory=3 * GIGABYTE).memory}["FP32"] is False
    hub.add("org/model", {**files, "config.json": json.dumps(SMOL).encode()})
    assert look().context_length == 8192


def test_parameters_are_counted_from_sizes_where_the_hub_did_not(hub, look):
    hub.add("org/model", {"config.json": json.dumps(SMOL).encode(), "model.safetensors": b"w" * 50_000})
    assert look().parameters == 25_000


def test_a_missing_repository_is_an_error(look):
    with pytest.raises(SidecarError, match="no repository org/model"):
        look()


def test_gemma_scope_is_read_from_its_paths_and_sizes(hub, look, monkeypatch):
    n, d = 1024, 16
    size = 4 * (2 * n * d + 2 * n + d) + 1200
    paths = [f"layer_{layer}/width_1k/average_l0_71/params.npz" for layer in (10, 2)]
    hub.add("google/gemma-scope-2b-pt-res", {path: bytes(size) for path in paths})
    seen = look("google/gemma-scope-2b-pt-res", "sae")
    assert [s.path for s in seen.saes] == [f"layer_{layer}/width_1k/average_l0_71" for layer in (2, 10)]
    assert seen.saes[0] == c.SaeListing(
        path="layer_2/width_1k/average_l0_71",
        size_bytes=size,
        format="gemma-scope",
        architecture="jumprelu",
        d_in=d,
        d_sae=n,
        hook="blocks.2.hook_resid_post",
        layer=2,
    )
    assert hub.served.total() == 0


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        (
            {
                "blocks.8.hook_resid_pre/cfg.json": {
                    "architecture": "standard",
                    "d_in": 768,
                    "d_sae": 24576,
                    "hook_name": "blocks.8.hook_resid_pre",
                    "hook_layer": 8,
                },
                "blocks.8.hook_resid_pre/sae_weights.safetensors": 500,
                "blocks.8.hook_resid_pre/sparsity.safetensors": 100,
            },
            ("blocks.8.hook_resid_pre", "saelens", "standard", 768, 24576, "blocks.8.hook_resid_pre", 8),
        ),
        (
            {
                "cfg.json": {
                    "architecture": "topk",
                    "d_in": 4,
                    "d_sae": 8,
                    "metadata": {"hook_name": "blocks.3.hook_mlp_out"},
                },
                "sae_weights.safetensors": 500,
            },
            ("", "saelens", "topk", 4, 8, "blocks.3.hook_mlp_out", 3),
        ),
        (
            {
                "layer_5_mlp/cfg.json": {
                    "d_in": 4,
                    "d_sae": 8,
                    "hook_name": "blocks.5.hook_resid_post",
                    "activation_fn_str": "topk",
                    "extra_metadata": {},
                },
                "layer_5_mlp/sae_weights.safetensors": 500,
            },
            ("layer_5_mlp", "mistudio", "topk", 4, 8, "blocks.5.hook_mlp_out", 5),
        ),
        (
            {
                "layers.5.mlp/cfg.json": {"d_in": 4, "expansion_factor": 32, "k": 8},
                "layers.5.mlp/sae.safetensors": 500,
            },
            ("layers.5.mlp", "sparsify", "topk", 4, 128, "layers.5.mlp.output", 5),
        ),
        (
            {
                "L9R/hyperparams.json": {"d_model": 4, "d_sae": 8, "hook_point_in": "blocks.9.hook_resid_post"},
                "L9R/checkpoints/final.safetensors": 500,
                "L9R/lm_config.json": {},
            },
            ("L9R", "llama-scope", "jumprelu", 4, 8, "blocks.9.hook_resid_post", 9),
        ),
        (
            {
                "resid_post_layer_3/trainer_0/config.json": {
                    "trainer": {"dict_class": "BatchTopKSAE", "activation_dim": 4, "dict_size": 8, "layer": 3}
                },
                "resid_post_layer_3/trainer_0/ae.pt": 500,
            },
            ("resid_post_layer_3/trainer_0", "dictionary-learning", "jumprelu", 4, 8, None, 3),
        ),
        (
            {
                "resid_post/L2_width_16k/config.json": {"width": 16384, "hf_hook_point_in": "model.layers.2.output"},
                "resid_post/L2_width_16k/params.safetensors": 500,
            },
            ("resid_post/L2_width_16k", "gemma-scope-2", "jumprelu", None, 16384, "model.layers.2.output", 2),
        ),
        (
            {"layer_20.npz": 500, "README.md": {}},
            ("layer_20.npz", "plain", None, None, None, None, 20),
        ),
    ],
)  # fmt: skip
def test_each_format_is_recognised_and_only_its_files_are_listed(hub, look, files, expected):
    stored = {path: bytes(v) if isinstance(v, int) else json.dumps(v).encode() for path, v in files.items()}
    hub.add("org/saes", stored)
    seen = look("org/saes", "sae")
    (sae,) = seen.saes
    assert (sae.path, sae.format, sae.architecture, sae.d_in, sae.d_sae, sae.hook, sae.layer) == expected
    assert not [f.path for f in seen.files if f.path.endswith(("lm_config.json", "README.md"))]
    assert sae.size_bytes == seen.size_bytes == sum(f.size_bytes for f in seen.files)


def test_a_broken_description_costs_only_its_own_details(hub, look):
    hub.add(
        "org/saes",
        {
            "layer_1/cfg.json": b"{",
            "layer_1/sae_weights.safetensors": bytes(10),
            "layer_2/cfg.json": b'{"d_sae": 8}',
            "layer_2/sae_weights.safetensors": bytes(10),
        },
    )
    seen = look("org/saes", "sae")
    assert [(s.layer, s.d_sae) for s in seen.saes] == [(1, None), (2, 8)]
    assert "1 descriptions could not be read" in seen.warnings[0]


def test_only_so_many_descriptions_are_read(hub, look):
    files = {}
    for n in range(70):
        files[f"layer_{n}/cfg.json"] = json.dumps({"d_sae": n}).encode()
        files[f"layer_{n}/sae_weights.safetensors"] = n.to_bytes(2)
    hub.add("org/saes", files)
    seen = look("org/saes", "sae")
    assert [s.d_sae for s in seen.saes] == [*range(64), *[None] * 6]
    assert seen.warnings == ["Only the first 64 of 70 descriptions were read."]
