"""Tokens become text: whole characters, and nothing of a stop sequence."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from p2pverify.api.openai.text import TextWriter


def written(data: bytes, stops: tuple[str, ...], sizes: list[int]) -> tuple[list[str], TextWriter]:
    """The parts of a text whose bytes are tokens, fed in pieces of these sizes."""
    writer = TextWriter(lambda token: bytes([token]), stops)
    parts, at = [], 0
    while at < len(data):
        size = sizes[len(parts) % len(sizes)]
        parts.append(writer.feed(data[at : at + size]))
        at += size
    parts.append(writer.end())
    return parts, writer


@given(st.text(alphabet="abé🎉", max_size=30), st.lists(st.text(alphabet="abé", min_size=1, max_size=4), max_size=3),
       st.lists(st.integers(1, 7), min_size=1, max_size=5))  # fmt: skip
def test_the_pieces_do_not_matter(text, stops, sizes):
    """For any division, the parts make up the text before the first stop sequence, and no part breaks a character."""
    parts, writer = written(text.encode(), tuple(stops), sizes)
    ends = [at for stop in stops if (at := text.find(stop)) >= 0]
    # The stop sequence that is complete first ends the text.
    first = min((text.find(stop) + len(stop) for stop in stops if stop in text), default=None)
    expected = text if first is None else text[: min(at for at in ends if _ends_by(text, stops, at, first))]
    assert "".join(parts) == expected
    assert writer.stopped is (first is not None)
    assert "\ufffd" not in "".join(parts)


def _ends_by(text: str, stops: list[str], at: int, first: int) -> bool:
    return any(text.find(stop) == at and at + len(stop) <= first for stop in stops)


def test_what_may_begin_a_stop_sequence_is_held_back():
    parts, writer = written(b"one\nUs two\nUser: x", ("\nUser:",), [1])
    assert parts[:4] == ["o", "n", "e", ""]
    assert "".join(parts) == "one\nUs two"
    assert (writer.stopped, writer.tokens) == (True, 16)


@pytest.mark.parametrize("data", [b"a\xff\xfeb", b"\xe2\x82", b"ok\xf0\x9f\x8e", bytes(3)])
def test_bytes_that_are_no_text_are_replaced(data):
    """An incomplete character is shown at the end, and not before."""
    parts, _ = written(data, (), [1])
    assert "".join(parts) == data.decode(errors="replace")
