"""Packed weights are a layout: the same products, for any number of rows, in place of whatever held them."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from transformers import GPT2Config, GPT2LMHeadModel, LlamaConfig, LlamaForCausalLM, PreTrainedModel
from transformers.pytorch_utils import Conv1D

from millm_inference.packed_linear import PackedLinear, pack_linears

pytestmark = pytest.mark.skipif(not torch.backends.mkldnn.is_available(), reason="this torch has no oneDNN")


@pytest.mark.parametrize("rows", [(1,), (8,), (3, 5), (33,), (2, 1)])
@pytest.mark.parametrize("has_bias", [True, False])
def test_equals_a_linear_layer(rows: tuple[int, ...], has_bias: bool) -> None:
    torch.manual_seed(0)
    plain = nn.Linear(48, 200, bias=has_bias)
    packed = PackedLinear(plain.weight, plain.bias)
    x = torch.randn(*rows, 48)
    torch.testing.assert_close(packed(x), plain(x), rtol=1e-5, atol=1e-5)
    assert torch.equal(packed.weight, plain.weight)


def _models() -> list[PreTrainedModel]:
    torch.manual_seed(1)
    llama = LlamaConfig(
        vocab_size=96, hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, tie_word_embeddings=True,
    )  # fmt: skip
    gpt2 = GPT2Config(vocab_size=96, n_embd=32, n_layer=2, n_head=4)
    return [LlamaForCausalLM(llama).eval(), GPT2LMHeadModel(gpt2).eval()]


@pytest.mark.parametrize("model", _models(), ids=lambda m: type(m).__name__)
def test_a_packed_model_is_the_same_model(model: PreTrainedModel) -> None:
    ids = torch.randint(0, 96, (2, 7))
    with torch.inference_mode():
        before = model(ids).logits
    count = pack_linears(model)
    assert count > 8
    left = [m for m in model.modules() if type(m) in (nn.Linear, Conv1D)]
    assert not left
    with torch.inference_mode():
        torch.testing.assert_close(model(ids).logits, before, rtol=1e-4, atol=1e-5)
    embedding = model.get_input_embeddings().weight
    torch.testing.assert_close(model.get_output_embeddings().weight, embedding)


def test_other_precisions_stay_as_they_are() -> None:
    model = nn.Sequential(nn.Linear(8, 8).to(torch.bfloat16))
    assert pack_linears(model) == 0
    assert type(model[0]) is nn.Linear
