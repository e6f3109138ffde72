"""Prompts: templates, roles per token, and errors a person can act on."""

import pytest

from millm_inference import contract as c
from millm_inference.engine.token_bytes import TokenBytes
from millm_inference.errors import SidecarError
from millm_inference.prompt import encode, opens_reasoning
from tests.support.tiny import VOCAB, byte_tokenizer


@pytest.fixture
def tokenizer():
    return byte_tokenizer()


def chat(*messages, **options):
    return c.ChatPrompt(type="chat", messages=[{"role": r, "content": t} for r, t in messages], **options)


def run(prompt, tokenizer):
    return encode(prompt, tokenizer, TokenBytes(tokenizer), VOCAB)


def text_of(prompt, tokenizer, role):
    ids = [i for i, r in zip(prompt.ids, prompt.roles, strict=True) if r == role]
    return b"".join(TokenBytes(tokenizer).of(i) for i in ids).decode()


def test_every_token_of_a_message_has_its_role_and_the_templates_own_tokens_have_none(tokenizer):
    prompt = run(chat(("system", "Be brief."), ("user", "Héllo <|im_start|>"), ("assistant", "Hi")), tokenizer)
    assert text_of(prompt, tokenizer, "system") == "Be brief."
    assert text_of(prompt, tokenizer, "user") == "Héllo <|im_start|>"
    assert text_of(prompt, tokenizer, "assistant") == "Hi"
    assert "im_start" in text_of(prompt, tokenizer, None)


def test_roles_are_unknown_where_the_template_changes_the_content(tokenizer):
    tokenizer.chat_template = "{% for m in messages %}{{ m['content'] | upper | length }}{% endfor %}"
    assert run(chat(("user", "hello")), tokenizer).roles is None


def test_a_template_that_trims_hides_the_spans_rather_than_guessing(tokenizer):
    tokenizer.chat_template = "{% for m in messages %}{{ m['content'] | trim }}{% endfor %}"
    assert run(chat(("user", " padded ")), tokenizer).roles is None
    assert run(chat(("user", "tight")), tokenizer).roles == ("user",) * 5


def test_a_continued_message_has_no_end_marker(tokenizer):
    prompt = run(chat(("user", "a"), ("assistant", "The answer is"), continue_final_message=True), tokenizer)
    text = b"".join(TokenBytes(tokenizer).of(i) for i in prompt.ids).decode()
    assert text.endswith("The answer is")
    assert text_of(prompt, tokenizer, "assistant") == "The answer is"


def test_text_parts_are_joined_and_developer_becomes_system(tokenizer):
    parts = [{"type": "text", "text": "one"}, {"type": "text", "text": "two"}]
    prompt = run(
        c.ChatPrompt(type="chat", messages=[{"role": "developer", "content": "x"}, {"role": "user", "content": parts}]),
        tokenizer,
    )
    assert text_of(prompt, tokenizer, "user") == "one\ntwo"
    assert text_of(prompt, tokenizer, "system") == "x"


TURN = "<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n"
THINKING = (
    "{% for m in messages %}"
    + TURN
    + "{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n<think>\n{% endif %}"
)


@pytest.mark.parametrize(
    ("template", "messages", "options", "opened"),
    [
        (THINKING, [("user", "a")], {}, True),
        (THINKING + "\n</think>\n\n", [("user", "a")], {}, False),
        (THINKING, [("user", "a")], {"add_generation_prompt": False}, False),
        (None, [("user", "Say <think>")], {}, False),
        (None, [("assistant", "<think>old"), ("user", "a")], {}, False),
        (None, [("user", "a"), ("assistant", "<think>\nIt is")], {"continue_final_message": True}, True),
        (None, [("user", "a"), ("assistant", "<think>x</think>y")], {"continue_final_message": True}, False),
        ("{% for m in messages %}{{ m['content'] | upper }}{% endfor %}<think>\n", [("user", "a")], {}, True),
        ("{% for m in messages %}{{ m['content'] | lower }}{% endfor %}.", [("user", "X <think> y")], {}, False),
    ],
)
def test_a_prompt_that_ends_inside_reasoning_is_known(tokenizer, template, messages, options, opened):
    if template is not None:
        tokenizer.chat_template = template
    prompt = run(chat(*messages, **{"add_generation_prompt": True, **options}), tokenizer)
    assert opens_reasoning(prompt, TokenBytes(tokenizer)) is opened


def test_a_template_that_refuses_says_why(tokenizer):
    tokenizer.chat_template = "{{ raise_exception('Roles must alternate') }}"
    with pytest.raises(SidecarError, match="Roles must alternate") as refused:
        run(chat(("user", "a")), tokenizer)
    assert refused.value.code == "INVALID_CHAT_TEMPLATE_INPUT"


@pytest.mark.parametrize(
    ("prompt", "message"),
    [
        (
            c.TokensPrompt(type="tokens", token_ids=[3, 320]),
            r"Token id 320 is out of vocabulary \(vocabulary size 320\)",
        ),
        (c.TokensPrompt(type="tokens", token_ids=[-1]), "Token id -1 is out of vocabulary"),
        (c.TokensPrompt(type="tokens", token_ids=[]), "non-empty"),
        (c.TextPrompt(type="text", text=""), "non-empty"),
    ],
)
def test_prompts_that_cannot_be_fed(tokenizer, prompt, message):
    with pytest.raises(SidecarError, match=message):
        run(prompt, tokenizer)


def test_no_template_names_the_other_door(tokenizer):
    tokenizer.chat_template = None
    with pytest.raises(SidecarError, match="/v1/completions"):
        run(chat(("user", "a")), tokenizer)
