"""The SAE that the repository ships: it loads, it is small, and everything that names its features names real ones."""

import json
from pathlib import Path

import pytest
import torch
from sae_lens import SAE
from safetensors.torch import load_file

SIZE_LIMIT_BYTES = 12_000_000
LABELS_LIMIT_BYTES = 4_200_000


@pytest.fixture(scope="module")
def sae(sae_folder: Path) -> SAE:
    return SAE.load_from_disk(sae_folder, dtype="float32")


def read(path: Path) -> object:
    return json.loads(path.read_text("utf-8"))


def test_it_has_the_shape_the_demo_promises(sae: SAE) -> None:
    assert sae.cfg.d_in == 576
    assert sae.cfg.d_sae >= 4096
    assert sae.cfg.normalize_activations == "none"
    assert sae.cfg.metadata.model_name == "HuggingFaceTB/SmolLM2-135M-Instruct"
    assert sae.cfg.metadata.hook_name == "blocks.15.hook_resid_post"


def test_it_is_small_and_in_float16(sae_folder: Path) -> None:
    weights = [*sae_folder.glob("*.safetensors"), sae_folder / "cfg.json"]
    assert sum(path.stat().st_size for path in weights) <= SIZE_LIMIT_BYTES
    assert (sae_folder / "labels.json").stat().st_size <= LABELS_LIMIT_BYTES
    assert {tensor.dtype for tensor in load_file(sae_folder / "sae_weights.safetensors").values()} == {torch.float16}


def test_it_encodes_as_the_formula_says_and_saves_what_it_loaded(sae: SAE, sae_folder: Path, tmp_path: Path) -> None:
    torch.manual_seed(0)
    x = torch.randn(8, 576) * 7
    before = (x - sae.b_dec) @ sae.W_enc + sae.b_enc
    torch.testing.assert_close(sae.encode(x), before.relu() * (before > sae.threshold))
    SAE.load_from_disk(sae_folder).save_model(tmp_path)
    again = SAE.load_from_disk(tmp_path, dtype="float32")
    assert torch.equal(again.encode(x), sae.encode(x))


def test_its_measured_quality_is_what_was_asked(sae: SAE, sae_folder: Path) -> None:
    quality = read(sae_folder / "quality.json")
    assert quality["features"] == sae.cfg.d_sae
    assert quality["all"]["explained_variance"] >= 0.7
    assert quality["all"]["loss_recovered"] >= 0.85


def test_labels_describe_each_live_feature_once(sae: SAE, sae_folder: Path) -> None:
    features = read(sae_folder / "labels.json")["features"]
    indices = [feature["index"] for feature in features]
    assert indices == sorted(set(indices))
    assert set(indices) <= set(range(sae.cfg.d_sae))
    assert len(indices) > 0.85 * sae.cfg.d_sae
    for feature in features:
        assert feature["label"].strip()
        assert 0 < feature["density"] <= 1
        assert 0 < feature["mean_activation"] <= feature["max_activation"]
        for context in feature["contexts"]:
            assert len(context["tokens"]) == len(context["values"])
            assert context["values"][context["peak"]] > 0


def test_examples_are_at_least_five_real_features_that_change_the_answer(sae_folder: Path) -> None:
    examples = read(sae_folder / "examples.json")
    labels = {feature["index"]: feature["label"] for feature in read(sae_folder / "labels.json")["features"]}
    assert len({example["index"] for example in examples}) >= 5
    for example in examples:
        assert example["label"] == labels[example["index"]]
        assert example["strength"] != 0
        assert example["default"] != example["steered"]


@pytest.mark.demo
def test_the_first_example_steers_the_real_model(sae: SAE, sae_folder: Path, gguf: Path) -> None:
    import steer
    from lm import load_model, load_tokenizer

    example = read(sae_folder / "examples.json")[0]
    trials = [steer.Trial(example["index"], strength, example["prompt"]) for strength in (0.0, example["strength"])]
    default, steered = steer.answers(load_model(), load_tokenizer(), sae, trials, max_new_tokens=12)
    assert default[:20] == example["default"][:20]
    assert steered[:20] == example["steered"][:20]
