"""Which files of a listing are needed."""

import hashlib

import pytest

from millm_inference.errors import SidecarError
from millm_inference.hub.client import RemoteFile
from millm_inference.hub.files import requires_remote_code, select_model
from millm_inference.hub.room import disk_free, human, memory_free
from millm_inference.hub.sae_listing import find_saes, select_sae

LLAMA = {"model_type": "llama", "architectures": ["LlamaForCausalLM"]}


def listing(*paths):
    return [RemoteFile(path, 10, hashlib.sha256(path.encode()).hexdigest()) for path in paths]


def chosen(paths, path="", documents=None):
    documents = {"config.json": LLAMA, **(documents or {})}
    selection = select_model(listing(*paths), path, lambda file: documents[file.path])
    return sorted(file.path for file in selection.files), selection


def test_the_single_file_is_preferred_to_shards():
    paths = ["config.json", "model.safetensors", "model.safetensors.index.json", "model-00001-of-00002.safetensors"]
    assert chosen(paths)[0] == ["config.json", "model.safetensors"]


def test_shards_are_those_the_index_names():
    index = "model.safetensors.index.json"
    paths = ["config.json", index, "a.safetensors", "b.safetensors", "consolidated.safetensors"]
    weights = {"weight_map": {"x": "a.safetensors", "y": "b.safetensors", "z": "a.safetensors"}}
    assert chosen(paths, documents={index: weights})[0] == ["a.safetensors", "b.safetensors", "config.json", index]
    with pytest.raises(SidecarError, match=r"lacks b\.safetensors"):
        chosen(["config.json", index, "a.safetensors"], documents={index: weights})


def test_tokenizer_and_templates_come_along_and_junk_does_not():
    needed = [
        "additional_chat_templates/tool_use.jinja",
        "chat_template.jinja",
        "config.json",
        "generation_config.json",
        "merges.txt",
        "model.safetensors",
        "special_tokens_map.json",
        "tokenizer.json",
        "tokenizer.model",
        "tokenizer_config.json",
        "vocab.json",
    ]
    junk = ["tf_model.h5", "flax_model.msgpack", "x.onnx", "pytorch_model.bin", "training_args.bin", "m.gguf", "run.py"]
    assert chosen([*needed, *junk])[0] == needed


def test_python_comes_only_when_the_model_needs_it():
    own = {"model_type": "odd", "auto_map": {"AutoModelForCausalLM": "modeling_odd.OddForCausalLM"}}
    paths = ["config.json", "model.safetensors", "modeling_odd.py", "scripts/train.py"]
    assert chosen(paths)[0] == ["config.json", "model.safetensors"]
    assert chosen(paths, documents={"config.json": own})[0] == ["config.json", "model.safetensors", "modeling_odd.py"]
    assert requires_remote_code(own)
    assert not requires_remote_code({**own, "model_type": "llama"})
    elsewhere = {**own, "auto_map": {"AutoModelForCausalLM": "org/code--modeling_odd.Odd"}}
    assert "org/code" in chosen(paths, documents={"config.json": elsewhere})[1].warnings[0]


def test_gguf_is_taken_alone_or_by_name():
    assert chosen(["config.json", "m.gguf", "README.md"])[1].entry == "m.gguf"
    both = ["m.Q4.gguf", "m.Q8.gguf"]
    assert chosen(both)[1].choices == ("m.Q4.gguf", "m.Q8.gguf")
    assert chosen(both, "m.Q8.gguf")[0] == ["m.Q8.gguf"]
    split = ["q/m-00001-of-00002.gguf", "q/m-00002-of-00002.gguf"]
    assert chosen([*split, "m.Q8.gguf"], split[0])[0] == split
    assert chosen(split, "q")[1].entry == split[0]


def test_a_folder_of_a_repository_can_hold_the_model():
    found, selection = chosen(
        ["config.json", "model.safetensors", "small/config.json", "small/model.safetensors"],
        "small",
        {"small/config.json": LLAMA},
    )
    assert (found, selection.entry) == (["small/config.json", "small/model.safetensors"], "small")


@pytest.mark.parametrize(
    ("paths", "words"),
    [
        (["config.json", "pytorch_model.bin"], "pickled files"),
        (["adapter_config.json", "adapter_model.safetensors"], "adapter"),
        (["README.md"], "no config.json with safetensors"),
    ],
)
def test_what_cannot_be_loaded_is_refused_with_the_reason(paths, words):
    with pytest.raises(SidecarError, match=words) as refused:
        chosen(paths)
    assert refused.value.code == "MODEL_INCOMPATIBLE"


def test_an_sae_comes_with_the_small_files_that_state_its_quality():
    names = ("cfg.json", "sae_weights.safetensors", "quality.json", "sparsity.safetensors")
    files = listing(*(f"a/{name}" for name in (*names, "README.md", "labels.json")))
    assert [f.path for f in select_sae(files, "a").files] == [f"a/{name}" for name in names]
    (found,) = find_saes(listing("b/ae.pt", "b/eval_results.json"))
    assert (found.config, [f.path for f in found.files]) == (None, ["b/ae.pt", "b/eval_results.json"])


def test_an_sae_is_named_by_folder_file_or_being_the_only_one():
    files = listing("a/layer_1/params.npz", "a/layer_2/params.npz", "README.md")
    assert [f.path for f in select_sae(files, "a/layer_2").files] == ["a/layer_2/params.npz"]
    assert select_sae(files, "a").choices == ("a/layer_1", "a/layer_2")
    assert select_sae(files[:1], "").entry == "a/layer_1"
    with pytest.raises(SidecarError, match="holds 2, the first at a/layer_1"):
        select_sae(files, "b")


def test_lone_files_are_saes_of_their_own():
    files = listing(
        "l1.pt", "l1_cfg.json", "l2.pt", "model.safetensors", "sparsity.safetensors", "x/params_layer_3.safetensors"
    )
    assert [(s.path, len(s.files)) for s in find_saes(files)] == [("l1.pt", 2), ("l2.pt", 1)]


def test_room(tmp_path):
    assert disk_free(tmp_path / "not" / "yet") > 0
    (tmp_path / "memory.max").write_text("max")
    assert memory_free(tmp_path) > 1 << 20
    (tmp_path / "memory.max").write_text("3000000")
    (tmp_path / "memory.current").write_text("1000000")
    assert memory_free(tmp_path) == 2_000_000
    (tmp_path / "memory.stat").write_text("anon 1\ninactive_file 500000\n")
    assert memory_free(tmp_path) == 2_500_000
    assert [human(n) for n in (0, 999, 1500, 12_345_678, 2 * 10**9, 3 * 10**14)] == [
        "0 bytes", "999 bytes", "1.5 kB", "12.3 MB", "2.0 GB", "300 TB",
    ]  # fmt: skip
