"""The session serves what the reference computes: every architecture, operation, condition, scope and model family."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from millm_inference.contract import FeatureSteering, SteeringCondition, SteeringScope
from millm_inference.engine.interpreter import PromptTokens
from tests.interpret.agreement import WATCH, assert_agrees, every_operation, feature, row_of
from tests.interpret.naive import naive_generate
from tests.interpret.random_saes import ARCHITECTURES, NORMALIZATIONS, random_sae
from tests.interpret.serving import Row, prompt_of
from tests.support.tiny import tiny_model


def test_the_reference_is_moved_by_what_is_asked():
    model, saes, prompt = tiny_model("llama"), {"sae": random_sae()}, prompt_of()
    plain, _ = naive_generate(model, prompt, saes, None, max_tokens=5)
    steered, _ = naive_generate(model, prompt, saes, row_of(prompt, every_operation()).steering, max_tokens=5)
    assert plain != steered


@pytest.mark.parametrize("normalization", NORMALIZATIONS)
@pytest.mark.parametrize("kind", ARCHITECTURES)
def test_every_architecture_and_normalisation(kind, normalization):
    saes = {"sae": random_sae(kind, normalization=normalization)}
    assert_agrees(tiny_model("llama"), saes, [row_of(prompt_of(), every_operation()), Row(prompt_of(1))])


@pytest.mark.parametrize("op", [f.op for f in every_operation()])
def test_every_operation_alone(op):
    features = [f for f in every_operation() if f.op == op]
    assert_agrees(tiny_model("llama"), {"sae": random_sae("topk-rescaled")}, [row_of(prompt_of(2), features)])


HOOKS = {
    "blocks.1.hook_resid_pre": 32,
    "blocks.1.hook_resid_mid": 32,
    "blocks.1.hook_resid_post": 32,
    "blocks.2.hook_resid_post": 32,
    "blocks.1.hook_attn_out": 32,
    "blocks.1.hook_mlp_out": 32,
    "blocks.1.attn.hook_z": 32,
    "blocks.1.mlp.hook_in": 32,
    "blocks.1.mlp.hook_post": 64,
}


@pytest.mark.parametrize("hook", HOOKS)
@pytest.mark.parametrize("family", ["llama", "gpt2", "gemma2", "opt"])
def test_every_hook_of_the_families_that_differ(family, hook):
    width = 128 if family == "gpt2" and hook.endswith("hook_post") else HOOKS[hook]
    saes = {"sae": random_sae(d_in=width, hook=hook)}
    assert_agrees(tiny_model(family), saes, [row_of(prompt_of(3), every_operation())], max_tokens=3)


@pytest.mark.parametrize("family", ["mistral", "qwen2", "qwen3", "gemma3", "phi3", "gpt_neox"])
def test_every_family_at_the_block_output(family):
    assert_agrees(tiny_model(family), {"sae": random_sae("gated")}, [row_of(prompt_of(4), every_operation())], 3)


CONDITIONS = {
    "above": {"above": 0.2},
    "below": {"below": 0.1},
    "between": {"above": 0.05, "below": 0.6},
}


@pytest.mark.parametrize("mode", ["token", "latched", "prompt"])
@pytest.mark.parametrize("bound", CONDITIONS)
@pytest.mark.parametrize("elsewhere", [None, "early"])
def test_conditions_on_this_and_on_an_earlier_sae(mode, bound, elsewhere):
    saes = {"sae": random_sae(), "early": random_sae("topk", seed=5, hook="blocks.0.hook_mlp_out")}
    features = [
        f.model_copy(update={"when": SteeringCondition(index=20 + n, sae_id=elsewhere, mode=mode, **CONDITIONS[bound])})
        for n, f in enumerate(every_operation())
    ]
    assert_agrees(tiny_model("llama"), saes, [row_of(prompt_of(5), features), row_of(prompt_of(6), features[:3])])


SCOPES = {
    "assistant": {"roles": ["assistant"]},
    "system and user": {"roles": ["system", "user"]},
    "a range": {"positions": [2, 5]},
    "a range into the answer": {"positions": [7, 11]},
    "from the end of the prompt": {"positions": [-3, 12]},
    "the prompt": {"phase": "prompt"},
    "the answer": {"phase": "generated"},
    "no special tokens": {"special_tokens": False},
    "everything at once": {"roles": ["user", "assistant"], "positions": [1, 12], "special_tokens": False},
}


@pytest.mark.parametrize("name", SCOPES)
def test_scopes(name):
    features = [f.model_copy(update={"scope": SteeringScope(**SCOPES[name])}) for f in every_operation()]
    assert_agrees(tiny_model("llama"), {"sae": random_sae()}, [row_of(prompt_of(7), features), Row(prompt_of(8))])


def test_special_tokens_are_left_alone_when_they_are_generated_too():
    prompt = prompt_of(7)
    prompt = PromptTokens(prompt.ids, prompt.roles, frozenset(range(0, 320, 2)))
    scope = SteeringScope(special_tokens=False)
    features = [f.model_copy(update={"scope": scope}) for f in every_operation()]
    (row,) = assert_agrees(tiny_model("llama"), {"sae": random_sae()}, [row_of(prompt, features)])
    assert {token in prompt.special_ids for token in row.tokens} == {True, False}


def test_eight_different_requests_share_a_batch():
    saes = {
        "sae": random_sae("jumprelu"),
        "same": random_sae("gated", seed=1),
        "late": random_sae("topk", seed=2, hook="blocks.2.hook_resid_mid"),
        "cross": random_sae("skip_transcoder", seed=3),
    }
    when = SteeringCondition(index=3, sae_id="sae", above=0.1, mode="latched")
    scope = SteeringScope(roles=["user", "assistant"])
    rows = [
        row_of(prompt_of(10), []),
        row_of(prompt_of(11), every_operation()),
        row_of(prompt_of(12), every_operation("same") + every_operation("late")),
        row_of(prompt_of(13), [feature("add", 9, 3.0, when=when), feature("clamp", 10, 2.0, "late", when=when)]),
        row_of(prompt_of(14), [f.model_copy(update={"scope": scope}) for f in every_operation("late")]),
        row_of(
            prompt_of(15),
            [feature("add", 3, -4.0), feature("add", 3, 2.0, "same")],
            WATCH.model_copy(update={"stage": "after", "prompt": False}),
        ),
        Row(prompt_of(16)),
        row_of(prompt_of(17), every_operation("cross"), WATCH.model_copy(update={"sae_id": "late", "top_k": 0})),
    ]
    rows = assert_agrees(tiny_model("llama"), saes, rows)
    assert [row.steered for row in rows] == [0, 14, 14, 14, 14, 14, 0, 14]


NUMBERS = st.sampled_from([-3.0, -0.5, 0.25, 1.5, 4.0])


@st.composite
def requested(draw, index: int) -> FeatureSteering:
    op = draw(st.sampled_from([f.op for f in every_operation()]))
    sae_id = draw(st.sampled_from(["sae", "late"]))
    more = {}
    if draw(st.booleans()):
        more["when"] = SteeringCondition(
            index=draw(st.integers(0, 63)),
            sae_id="sae",
            above=0.1,
            mode=draw(st.sampled_from(["token", "latched", "prompt"])),
        )
    if draw(st.booleans()):
        first = draw(st.integers(-9, 8))
        more["scope"] = SteeringScope(positions=[first, draw(st.integers(9, 14))], special_tokens=draw(st.booleans()))
    if op == "clamp_range":
        return FeatureSteering(
            sae_id=sae_id, index=index, op=op, min=0.1, max=draw(st.sampled_from([0.3, 2.0])), **more
        )
    number = None if op in ("ablate", "ablate_direction") else draw(NUMBERS)
    return feature(op, index, number, sae_id, **more)


@settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
@given(st.data())
def test_any_request_among_others(data):
    rows = [
        row_of(prompt_of(20 + n), [data.draw(requested(index)) for index in range(data.draw(st.integers(0, 5)))])
        for n in range(3)
    ]
    saes = {"sae": random_sae("topk"), "late": random_sae("gated", seed=4, hook="blocks.2.hook_mlp_out")}
    assert_agrees(tiny_model("llama"), saes, rows, max_tokens=3)
