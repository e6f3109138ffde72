"""Text that is certain: whole characters, no part of a stop string, and every token's entry with the text it made."""

from hypothesis import given
from hypothesis import strategies as st

from millm_inference.engine.text_output import TextOutput, TokenRecord
from tests.support.running import TOKEN_BYTES


def feed(output: TextOutput, raw: bytes, *, ends: bool = False):
    """Push bytes as tokens (one byte, one token) until a stop string is found."""
    pieces, tokens = [], []
    for i, byte in enumerate(raw):
        emission = output.push(TokenRecord(byte_id(byte), i))
        pieces.append(emission.text)
        tokens += emission.tokens
        if output.stopped is not None:
            break
    last = output.finish()
    return [*pieces, last.text], tokens + last.tokens


def byte_id(byte: int) -> int:
    return next(i for i in range(3, 259) if TOKEN_BYTES.of(i) == bytes([byte]))


BYTE_ID = {b: byte_id(b) for b in range(256)}
byte_id = BYTE_ID.__getitem__


@given(st.text(max_size=30))
def test_joined_pieces_are_the_whole_text_and_hold_no_half_character(text):
    pieces, tokens = feed(TextOutput(TOKEN_BYTES), text.encode())
    assert "".join(pieces) == text
    assert all("\ufffd" not in p for p in pieces if "\ufffd" not in text)
    assert [TOKEN_BYTES.of(t.token_id) for t in tokens] == [bytes([b]) for b in text.encode()]


@given(st.binary(max_size=20))
def test_bytes_that_are_no_text_come_out_as_python_decodes_them(raw):
    pieces, _ = feed(TextOutput(TOKEN_BYTES), raw)
    assert "".join(pieces) == raw.decode("utf-8", errors="replace")


def test_a_byte_that_can_no_longer_become_a_character_is_released_at_once():
    output = TextOutput(TOKEN_BYTES)
    assert output.push(TokenRecord(byte_id(0xF0), 0)).text == ""
    assert output.push(TokenRecord(byte_id(ord("a")), 1)).text == "\ufffda"


@given(st.text(alphabet="abé€", max_size=25), st.lists(st.text(alphabet="abé€", min_size=1, max_size=4), max_size=3))
def test_a_stop_string_never_leaks_and_cuts_at_its_first_match(text, stops):
    pieces, _ = feed(TextOutput(TOKEN_BYTES, stop=tuple(stops)), text.encode())
    ends = [text.find(s) + len(s) for s in stops if s in text]
    if not ends:
        assert "".join(pieces) == text
        return
    first = min(ends)  # the match that is complete first, character by character
    begin = min(text.find(s) for s in stops if s in text and text.find(s) + len(s) == first)
    assert "".join(pieces) == text[:begin]


def test_a_near_miss_is_released_in_full_and_held_text_survives_the_end():
    pieces, _ = feed(TextOutput(TOKEN_BYTES, stop=("END",)), b"xENyEN")
    assert pieces[:6] == ["x", "", "", "ENy", "", ""]
    assert pieces[-1] == "EN"


def test_include_stop_keeps_the_stop_string():
    pieces, _ = feed(TextOutput(TOKEN_BYTES, stop=("END",), include_stop=True), b"xENDy")
    assert "".join(pieces) == "xEND"


def test_tokens_wait_for_the_chunk_that_shows_their_text_and_those_cut_off_are_marked():
    output = TextOutput(TOKEN_BYTES, stop=("END",))
    assert [t.token_id for t in output.push(TokenRecord(byte_id(ord("x")), 0)).tokens] == [byte_id(ord("x"))]
    assert output.push(TokenRecord(byte_id(ord("E")), 1)).tokens == []
    output.push(TokenRecord(byte_id(ord("N")), 2))
    output.push(TokenRecord(byte_id(ord("D")), 3))
    rest = output.finish()
    assert [t.special for t in rest.tokens] == [True, True, True]
    assert rest.text == ""


def test_special_tokens_have_no_text_unless_asked_for():
    hidden, shown = TextOutput(TOKEN_BYTES), TextOutput(TOKEN_BYTES, skip_special_tokens=False)
    assert hidden.push(TokenRecord(1, 0)).text == ""
    assert shown.push(TokenRecord(1, 0)).text == "<|im_start|>"
    assert shown.push(TokenRecord(2, 1), ends=True).text == ""
