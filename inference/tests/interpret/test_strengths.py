"""Strengths measured for features of an SAE are read from the examples beside its weights, if they can be used."""

import json
import shutil
from pathlib import Path

import pytest

from millm_inference.interpret.formats import describe_sae

DEMO = Path(__file__).parents[2] / "demo/sae"


@pytest.fixture
def folder(tmp_path):
    for name in ("cfg.json", "sae_weights.safetensors"):
        shutil.copy(DEMO / name, tmp_path / name)
    return tmp_path


def strengths(folder) -> dict[int, float]:
    return {found.index: found.strength for found in describe_sae(folder).strengths}


def test_the_demo_sae_states_the_strengths_of_its_examples():
    examples = json.loads((DEMO / "examples.json").read_text())
    assert strengths(DEMO) == {example["index"]: example["strength"] for example in examples}
    assert len(examples) >= 5


def test_an_sae_without_examples_states_none(folder):
    assert strengths(folder) == {}
    assert describe_sae(folder).warnings == []


def test_what_cannot_be_used_is_passed_over_and_the_first_for_a_feature_counts(folder):
    unusable = [3, {"index": 4}, {"index": 99_999, "strength": 5}, {"index": 5, "strength": 301}, {"strength": 2}]
    wrong = [{"index": True, "strength": 2}, {"index": 6, "strength": "strong"}, {"index": 7, "strength": 0}]
    usable = [{"index": 8, "strength": -40}, {"index": 8, "strength": 10}, {"index": 9, "strength": 5.5}]
    (folder / "examples.json").write_text(json.dumps([*unusable, *wrong, *usable]))
    assert strengths(folder) == {8: -40.0, 9: 5.5}


@pytest.mark.parametrize("text", ["no JSON", '{"index": 1}'])
def test_a_file_that_holds_no_list_is_said_and_the_sae_is_served(folder, text):
    (folder / "examples.json").write_text(text)
    assert strengths(folder) == {}
    assert any("examples.json" in warning for warning in describe_sae(folder).warnings)


def test_no_more_are_told_than_a_description_can_carry(folder):
    (folder / "examples.json").write_text(json.dumps([{"index": i, "strength": 1} for i in range(400)]))
    assert len(strengths(folder)) == 256
