"""What an SAE's own files say of its quality is told as they say it; what they do not say stays unsaid."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from millm_inference.interpret.formats import describe_sae, load_sae
from tests.interpret.layouts import write_layout
from tests.interpret.oracles import load_oracles

sae_lens = pytest.importorskip("sae_lens")

DEMO = Path(__file__).parents[2] / "demo/sae"
LAYOUTS = {layout["name"]: layout for layout in load_oracles()["layouts"]}


@pytest.fixture
def folder(tmp_path):
    config = {"architecture": "standard", "d_in": 4, "d_sae": 6, "dtype": "float32", "device": "cpu"}
    sae_lens.SAE.from_dict({**config, "metadata": {"hook_name": "blocks.1.hook_resid_post"}}).save_model(tmp_path)
    return tmp_path


def _sparsity(folder, log10):
    save_file({"sparsity": torch.tensor(log10)}, folder / "sparsity.safetensors")


def test_the_demo_sae_states_what_its_evaluation_measured():
    quality = describe_sae(DEMO).quality
    assert (quality.l0, quality.explained_variance, quality.loss_recovered) == (36.78, 0.8571, 0.9707)
    assert quality.dead_features == 16
    assert quality.sources == ["quality.json"]


def test_without_that_file_densities_and_configuration_say_what_they_can(tmp_path):
    for name in ("cfg.json", "sae_weights.safetensors", "sparsity.safetensors"):
        shutil.copy(DEMO / name, tmp_path / name)
    quality = describe_sae(tmp_path).quality
    assert quality.l0 == pytest.approx(40, abs=0.01)  # what batch top-k was trained with
    assert quality.dead_features == json.loads((DEMO / "cfg.json").read_text())["metadata"]["num_dead_features"] == 7
    assert (quality.explained_variance, quality.loss_recovered) == (None, None)
    assert quality.sources == ["cfg.json", "sparsity.safetensors"]


def test_densities_add_up_to_l0_and_count_what_never_fired(folder):
    _sparsity(folder, [-1.0, -2.0, *[-10.0] * 4])
    quality = describe_sae(folder).quality
    assert quality.l0 == pytest.approx(0.11)
    assert quality.dead_features == 4


def test_an_sae_whose_files_state_nothing_has_no_quality(folder):
    assert describe_sae(folder).quality is None
    assert describe_sae(folder).warnings == []


def test_the_evaluation_of_dictionary_learning_is_read_by_its_names(tmp_path):
    folder = write_layout(next(x for n, x in LAYOUTS.items() if n.startswith("dictionary_learning")), tmp_path)
    figures = {"l0": 1.5, "frac_variance_explained": 0.89, "frac_recovered": 0.98, "frac_alive": 0.75}
    (folder / "eval_results.json").write_text(json.dumps(figures))
    quality = describe_sae(folder).quality
    assert (quality.l0, quality.explained_variance, quality.loss_recovered) == (1.5, 0.89, 0.98)
    assert quality.dead_features == round(0.25 * load_sae(folder).d_sae)


def test_gemma_scope_states_its_l0_in_the_folders_name(tmp_path):
    quality = describe_sae(write_layout(LAYOUTS["gemma-scope-npz"], tmp_path)).quality
    assert (quality.l0, quality.sources) == (71, ["average_l0_71"])


@pytest.mark.parametrize(
    ("name", "text"),
    [("quality.json", "{not json"), ("quality.json", "[1]"), ("eval_results.json", '{"l0": -3}')]
    + [("quality.json", json.dumps({"explained_variance": v})) for v in (1.5, "0.9", True, None)]
    + [("quality.json", '{"l0": NaN}'), ("quality.json", '{"dead_features": 1.5}'), ("quality.json", '{"all": 3}')],
)
def test_a_figure_that_cannot_be_is_left_out_and_the_sae_still_loads(folder, name, text):
    (folder / name).write_text(text)
    assert describe_sae(folder).quality is None


@pytest.mark.parametrize("log10", [[-1.0, -2.0], [[-1.0] * 6], [-1.0] * 5 + [float("nan")], [1.0] * 6])
def test_densities_that_are_not_one_number_per_feature_are_left_out(folder, log10):
    _sparsity(folder, log10)
    assert describe_sae(folder).quality is None


def test_a_file_of_figures_that_cannot_be_read_is_warned_of(folder):
    (folder / "quality.json").write_text("{not json")
    assert "quality.json" in describe_sae(folder).warnings[0]


def test_an_sae_on_another_device_or_in_another_precision_keeps_its_quality(folder):
    (folder / "quality.json").write_text('{"l0": 2.25}')
    assert load_sae(folder).to(dtype=torch.float16).quality.l0 == 2.25
