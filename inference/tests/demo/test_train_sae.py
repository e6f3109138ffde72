"""The tiny preset, on activations of a tiny random model with the demo model's architecture."""

from pathlib import Path

import activations
import pytest
import torch
import train_sae
from lm import LAYER
from sae_lens import SAE
from sae_lens.training.sae_trainer import SAETrainer
from transformers import LlamaConfig, LlamaForCausalLM

D_IN = 32


@pytest.fixture(scope="module")
def data(shards: Path) -> torch.Tensor:
    return train_sae.load_activations(shards)


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=128, hidden_size=D_IN, intermediate_size=64, num_hidden_layers=LAYER + 1,
        num_attention_heads=4, num_key_value_heads=2, initializer_range=0.2,
    )  # fmt: skip
    model = LlamaForCausalLM(config).eval()
    sequences = torch.randint(0, 128, (24, 40)).tolist()
    folder = tmp_path_factory.mktemp("activations")
    activations.extract(model, sequences, folder, "free")
    return folder


def test_a_shard_keeps_all_positions_but_learns_from_none_that_is_first(shards: Path) -> None:
    shard = activations.load_shard(next(shards.glob("*.pt")))
    assert shard.activations.shape == (len(shard.tokens), D_IN)
    assert not shard.keep[shard.starts].any()
    assert shard.keep.sum() > 0.8 * len(shard.tokens)


def test_a_prefix_that_all_sequences_share_is_learnt_from_once_in_sixteen(shards: Path, data: torch.Tensor) -> None:
    shard = activations.load_shard(next(shards.glob("*.pt")))
    prefix = shard.tokens[:5].tolist()
    assert len(train_sae.load_activations(shards, prefix)) == len(data)  # the first of sixteen
    second = int(shard.starts[1])
    assert len(train_sae.load_activations(shards, shard.tokens[second : second + 5].tolist())) == len(data) - 4


def test_training_saves_a_jumprelu_sae_that_saelens_loads(data: torch.Tensor, tmp_path: Path) -> None:
    train_sae.train(data, tmp_path / "work", tmp_path / "sae", train_sae.PRESETS["tiny"])
    sae = SAE.load_from_disk(tmp_path / "sae", dtype="float32")
    assert sae.cfg.architecture() == "jumprelu"
    assert sae.cfg.normalize_activations == "none"
    assert sae.cfg.metadata.hook_name == f"blocks.{LAYER}.hook_resid_post"
    torch.testing.assert_close(sae.W_dec.norm(dim=-1), torch.ones(128), atol=2e-3, rtol=0)
    exact = data.float()
    residual = (exact - sae(exact)).pow(2).sum()
    assert residual < 0.7 * (exact - exact.mean(0)).pow(2).sum()


def test_an_interrupted_training_goes_on_and_ends_the_same(
    data: torch.Tensor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    preset = train_sae.PRESETS["tiny"]
    train_sae.train(data, tmp_path / "whole", tmp_path / "whole-sae", preset)

    step = SAETrainer.step
    seen: list[int] = []

    def interrupted(trainer: SAETrainer, batch: torch.Tensor) -> object:
        seen.append(len(batch))
        if len(seen) == 80:
            raise KeyboardInterrupt
        return step(trainer, batch)

    with monkeypatch.context() as patch:
        patch.setattr(SAETrainer, "step", interrupted)
        with pytest.raises(KeyboardInterrupt):
            train_sae.train(data, tmp_path / "parts", tmp_path / "parts-sae", preset)
    resumed_at = train_sae.latest_checkpoint(tmp_path / "parts")
    assert resumed_at is not None
    assert 0 < int(resumed_at.name) < preset.samples
    train_sae.train(data, tmp_path / "parts", tmp_path / "parts-sae", preset)

    whole = SAE.load_from_disk(tmp_path / "whole-sae", dtype="float32")
    parts = SAE.load_from_disk(tmp_path / "parts-sae", dtype="float32")
    torch.testing.assert_close(parts.W_dec, whole.W_dec, atol=1e-2, rtol=0)


def test_the_fast_selection_is_saelens_batch_topk() -> None:
    from sae_lens.saes.batchtopk_sae import BatchTopK

    torch.manual_seed(0)
    x = torch.randn(64, 256)
    torch.testing.assert_close(train_sae.FastBatchTopK(8)(x), BatchTopK(8)(x))
