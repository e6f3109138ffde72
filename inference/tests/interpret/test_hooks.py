"""Tensors and tuples, positional and keyword, in and out."""

import pytest
import torch
from torch import nn

from millm_inference.interpret.hooks import installed

ONE = torch.ones(1, 2)


class Layer(nn.Module):
    def __init__(self, shape):
        super().__init__()
        self.shape = shape

    def forward(self, hidden_states, scale=1.0):
        return self.shape(hidden_states * scale)


class Model(nn.Module):
    def __init__(self, layer, by_name):
        super().__init__()
        self.layer, self.by_name = layer, by_name

    def forward(self, x):
        return self.layer(hidden_states=x, scale=2.0) if self.by_name else self.layer(x, scale=2.0)


@pytest.mark.parametrize("by_name", [False, True])
@pytest.mark.parametrize(
    "shape", [lambda x: x, lambda x: (x, "weights"), lambda x: [x, None]], ids=["tensor", "tuple", "list"]
)
def test_both_sides_of_every_form(shape, by_name):
    model = Model(Layer(shape), by_name)
    with installed([(model.layer, "input", lambda h: h + 1), (model.layer, "output", lambda h: h * 10)]):
        out = model(ONE)
    first = out if isinstance(out, torch.Tensor) else out[0]
    assert torch.equal(first, (ONE + 1) * 2 * 10)
    if not isinstance(out, torch.Tensor):
        assert type(out) is type(shape(ONE))
        assert out[1] == shape(ONE)[1]


def test_none_leaves_the_state_alone():
    model = Model(Layer(lambda x: (x,)), by_name=False)
    with installed([(model.layer, "input", lambda h: None), (model.layer, "output", lambda h: None)]):
        assert torch.equal(model(ONE)[0], ONE * 2)


@pytest.mark.parametrize("output", [None, ("no tensor",), {"hidden": ONE}])
def test_a_form_nobody_knows_is_an_error_not_a_silence(output):
    model = Model(Layer(lambda x: output), by_name=False)
    with pytest.raises(RuntimeError, match="not a hidden state"), installed([(model.layer, "output", lambda h: h)]):
        model(ONE)


def test_hooks_of_one_place_run_in_order_and_go():
    model = Model(Layer(lambda x: x), by_name=False)
    hooks = [(model.layer, "output", lambda h: h + 1), (model.layer, "output", lambda h: h * 2)]
    with installed(hooks):
        assert torch.equal(model(ONE), (ONE * 2 + 1) * 2)
    assert torch.equal(model(ONE), ONE * 2)
