"""What is refused, with which code, at which field; and what names a cache."""

import math
from dataclasses import replace

import pytest
import torch

from millm_inference.contract import (
    ActivationsRequest,
    Feature,
    FeatureSteering,
    SteeringCondition,
    SteeringScope,
    SteeringSpec,
)
from millm_inference.engine.interpreter import PromptTokens
from millm_inference.errors import SidecarError
from millm_inference.interpret.plan import CompiledPlan
from tests.interpret.agreement import every_operation, feature
from tests.interpret.probe import spec_of
from tests.interpret.random_saes import random_sae
from tests.interpret.serving import prompt_of, session_with
from tests.support.tiny import tiny_model

INFINITE, NOT_A_NUMBER = math.inf, math.nan


def when(**more) -> SteeringCondition:
    return SteeringCondition(**{"index": 3, "above": 1.0, **more})


def scoped(**more) -> FeatureSteering:
    return feature("add", 1, 1.0, scope=SteeringScope(**more))


BAD = {
    "an index past the end": (feature("add", 64, 1.0), "INVALID_FEATURE_INDEX", "index", "0 to 63"),
    "an SAE that is not attached": (feature("add", 1, 1.0, "other"), "SAE_NOT_ATTACHED", "sae_id", "sae, later"),
    "a strength past 300": (feature("add", 1, 300.5), "VALIDATION_ERROR", "strength", "300"),
    "a strength below −300": (feature("norm_add", 1, -301.0), "VALIDATION_ERROR", "strength", "300"),
    "a strength that is no number": (feature("add", 1, NOT_A_NUMBER), "VALIDATION_ERROR", "strength", "finite"),
    "an infinite value": (feature("clamp", 1, INFINITE), "VALIDATION_ERROR", "value", "finite"),
    "no strength": (feature("add", 1), "VALIDATION_ERROR", "strength", "needs strength"),
    "no value": (feature("multiply", 1), "VALIDATION_ERROR", "value", "needs value"),
    "no range": (feature("clamp_range", 1), "VALIDATION_ERROR", "min", "min, max"),
    "a number of another operation": (
        FeatureSteering(sae_id="sae", index=1, op="ablate", value=2.0),
        "VALIDATION_ERROR",
        "value",
        "nothing to 'ablate'",
    ),
    "an empty range": (
        FeatureSteering(sae_id="sae", index=1, op="clamp_range", min=2.0, max=1.0),
        "VALIDATION_ERROR",
        "min",
        "empty",
    ),
    "an unknown operation": (
        FeatureSteering.model_construct(sae_id="sae", index=1, op="amplify"),
        "VALIDATION_ERROR",
        "op",
        "clamp_range",
    ),
    "a condition without bound": (
        feature("ablate", 1, when=when(above=None)),
        "VALIDATION_ERROR",
        "when.above",
        "above, below",
    ),
    "a condition nothing can meet": (
        feature("ablate", 1, when=when(below=0.5)),
        "VALIDATION_ERROR",
        "when.above",
        "Nothing",
    ),
    "a condition's index past the end": (
        feature("ablate", 1, when=when(index=64)),
        "INVALID_FEATURE_INDEX",
        "when.index",
        "64 features",
    ),
    "a condition's bound that is no number": (
        feature("ablate", 1, when=when(above=NOT_A_NUMBER)),
        "VALIDATION_ERROR",
        "when.above",
        "finite",
    ),
    "a condition that is computed later": (
        feature("ablate", 1, when=when(sae_id="later")),
        "VALIDATION_ERROR",
        "when.sae_id",
        "earlier or the same",
    ),
    "a condition on an SAE that is not attached": (
        feature("ablate", 1, when=when(sae_id="other")),
        "SAE_NOT_ATTACHED",
        "when.sae_id",
        "other",
    ),
    "one position": (scoped(positions=[3]), "VALIDATION_ERROR", "scope.positions", "pair"),
    "positions back to front": (scoped(positions=[5, 2]), "VALIDATION_ERROR", "scope.positions", "empty"),
    "positions that end before they begin": (
        scoped(positions=[-2, 0]),
        "VALIDATION_ERROR",
        "scope.positions",
        "9 tokens",
    ),
    "a role nobody has": (scoped(roles=["narrator"]), "VALIDATION_ERROR", "scope.roles", "assistant"),
    "no role": (scoped(roles=[]), "VALIDATION_ERROR", "scope.roles", "empty"),
    "a row without direction": (feature("ablate_direction", 0), "VALIDATION_ERROR", "index", "no direction"),
    "a row without length": (feature("norm_add", 0, 1.0), "VALIDATION_ERROR", "index", "no direction"),
}


@pytest.fixture
def session():
    sae = random_sae()
    rows = sae.W_dec.clone()
    rows[0] = 0
    saes = {"sae": replace(sae, W_dec=rows), "later": random_sae(hook="blocks.2.hook_resid_post")}
    return session_with(tiny_model("llama"), saes)


@pytest.mark.parametrize("what", BAD)
def test_bad_requests_are_refused_at_the_field_that_is_wrong(session, what):
    wrong, code, field, words = BAD[what]
    steering = SteeringSpec.model_construct(fingerprint="x", features=[feature("add", 5, 1.0), wrong])
    with pytest.raises(SidecarError) as refused:
        session.compile(steering, None, prompt_of())
    assert refused.value.code == code
    assert refused.value.param == f"steering.features[1].{field}"
    assert words in refused.value.message


@pytest.mark.parametrize("op", [f for f in every_operation() if f.op != "add"])
def test_two_operations_on_one_feature_have_no_order(session, op):
    first = feature("add", op.index, 1.0)
    with pytest.raises(SidecarError, match="only 'add'") as refused:
        session.compile(spec_of(first, op), None, prompt_of())
    assert refused.value.param == "steering.features[1]"


def test_adding_twice_is_a_sum(session):
    plan = session.compile(spec_of(feature("add", 5, 1.0), feature("add", 5, 2.0)), None, prompt_of())
    (vector,) = plan.adds.values()
    torch.testing.assert_close(vector, 3 * session.sae("sae").W_dec[5])


def test_roles_need_a_chat(session):
    with pytest.raises(SidecarError, match="chat") as refused:
        session.compile(spec_of(scoped(roles=["user"])), None, PromptTokens((5, 6, 7)))
    assert refused.value.param == "steering.features[0].scope.roles"


@pytest.mark.parametrize(
    ("request_", "code", "param"),
    [
        (ActivationsRequest(sae_id="other", top_k=1), "SAE_NOT_ATTACHED", "activations.sae_id"),
        (
            ActivationsRequest(sae_id="sae", features=[Feature(1), Feature(64)]),
            "INVALID_FEATURE_INDEX",
            "activations.features[1]",
        ),
        (ActivationsRequest(sae_id="sae"), "VALIDATION_ERROR", "activations.top_k"),
    ],
)
def test_bad_readings_are_refused(session, request_, code, param):
    with pytest.raises(SidecarError) as refused:
        session.compile(None, request_, prompt_of())
    assert (refused.value.code, refused.value.param) == (code, param)


class TestOperationsAnSaeCannotServe:
    def test_an_encoder_that_lost_a_tensor_only_adds_and_projects(self, session):
        session.attach("lossy", random_sae(encodes_exactly=False, warnings=("The export lost b_pre.",)))
        assert session.attached()[-1].operations == ["add", "ablate_direction", "orthogonal", "norm_add"]
        with pytest.raises(SidecarError, match="lost tensors") as refused:
            session.compile(spec_of(feature("clamp", 1, 1.0, "lossy")), None, prompt_of())
        assert (refused.value.code, refused.value.param) == ("SAE_INCOMPATIBLE", "steering.features[0].op")
        with pytest.raises(SidecarError, match="exactly"):
            session.compile(spec_of(feature("add", 1, 1.0, "sae", when=when(sae_id="lossy"))), None, prompt_of())

    def test_a_computed_place_only_reads(self, session):
        session.attach("norm", random_sae(hook="blocks.1.ln2.hook_normalized"))
        with pytest.raises(SidecarError, match="only reading"):
            session.compile(spec_of(feature("add", 1, 1.0, "norm")), None, prompt_of())
        assert session.compile(None, ActivationsRequest(sae_id="norm", top_k=1), prompt_of()).reads


def test_one_name_is_attached_once(session):
    with pytest.raises(SidecarError) as refused:
        session.attach("sae", random_sae())
    assert refused.value.code == "CONFLICT"
    with pytest.raises(SidecarError) as refused:
        session.detach("nobody")
    assert refused.value.code == "SAE_NOT_ATTACHED"


def test_attached_saes_say_what_they_are(session):
    attached = session.attached()[0]
    assert (attached.d_in, attached.d_sae, attached.hook, attached.layer) == (32, 64, "blocks.1.hook_resid_post", 1)
    assert session.memory_bytes == sum(a.memory_bytes for a in session.attached()) > 0


def salt(session, *features, prompt: PromptTokens | None = None) -> str:
    plan = session.compile(spec_of(*features), None, prompt or prompt_of())
    assert isinstance(plan, CompiledPlan)
    return plan.salt


class TestSalt:
    def test_sums_commute_and_projections_do_not(self, session):
        a, b = feature("add", 1, 1.0), feature("clamp", 2, 1.0)
        assert salt(session, a, b) == salt(session, b, a)
        a, b = feature("orthogonal", 1, 2.0), feature("ablate_direction", 2)
        assert salt(session, a, b) != salt(session, b, a)

    @pytest.mark.parametrize(
        "other",
        [
            feature("add", 1, 1.5),
            feature("add", 2, 1.0),
            feature("add", 1, 1.0, "later"),
            feature("add", 1, 1.0, when=when()),
            scoped(positions=[0, 4]),
            feature("multiply", 1, 2.0),
        ],
    )
    def test_everything_that_changes_a_state_changes_the_salt(self, session, other):
        assert salt(session, other) != salt(session, feature("add", 1, 1.0))

    def test_what_changes_nothing_does_not(self, session):
        assert salt(session, feature("add", 1, 1.0), feature("add", 2, 0.0)) == salt(session, feature("add", 1, 1.0))

    def test_it_names_contents_not_names(self, session):
        before = salt(session, feature("add", 1, 1.0))
        sae = session.sae("sae")
        session.attach("renamed", sae)
        assert salt(session, feature("add", 1, 1.0, "renamed")) == before
        session.attach("changed", random_sae("gated"))
        assert salt(session, feature("add", 1, 1.0, "changed")) != before

    @pytest.mark.parametrize(
        "scope",
        [{"roles": ["user"]}, {"phase": "prompt"}, {"phase": "generated"}, {"positions": [-2, 20]}],
    )
    def test_what_depends_on_where_the_prompt_ends_names_it(self, session, scope):
        longer = prompt_of(length=11)
        assert salt(session, scoped(**scope)) != salt(session, scoped(**scope), prompt=longer)
        assert salt(session, scoped(positions=[1, 4])) == salt(session, scoped(positions=[1, 4]), prompt=longer)

    def test_a_condition_on_the_prompt_names_its_end(self, session):
        asked = feature("add", 1, 1.0, when=when(mode="prompt"))
        assert salt(session, asked) != salt(session, asked, prompt=prompt_of(length=11))


@pytest.mark.parametrize(("mode", "needs"), [("token", False), ("latched", True), ("prompt", True)])
def test_conditions_with_memory_need_every_prompt_token(session, mode, needs):
    plan = session.compile(spec_of(feature("add", 1, 1.0, when=when(mode=mode))), None, prompt_of())
    assert plan.needs_prompt is needs
    assert plan.reads is False


def test_a_scope_that_leaves_nothing_out_costs_nothing(session):
    plan = session.compile(spec_of(scoped(phase="both", positions=[0, 10**6])), None, prompt_of())
    assert plan.ops  # a range that could end is kept
    plan = session.compile(spec_of(scoped(phase="both")), None, prompt_of())
    assert not plan.ops
    assert plan.adds
