"""The frames of an answer: however it is cut, its reader gives the same response, and takes nothing else."""

from dataclasses import dataclass, field
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from p2pverify.core.contract.output import Output
from p2pverify.core.encoding.canon import TOKEN_MAX, decode, encode, sha256
from p2pverify.core.errors import DecodeError, LocalProtocolError
from p2pverify.core.inference.question import (
    Answer,
    Receipt,
    RequestRefused,
    encode_answer,
    encode_refusal,
)
from p2pverify.core.inference.stream import (
    FRAME_BYTES_MAX,
    FRAME_TOKENS_MAX,
    LAST_BYTES_MAX,
    AnswerReader,
    AnswerWriter,
)

RECEIPT = Receipt(bytes(32), bytes(32), bytes(32), 31, bytes(32), 2**17, 2**32, 2**32, 2**32, bytes(64))
REFUSAL = encode_refusal(RequestRefused("c" * 64, "d" * 512))
tokens_of = st.lists(st.one_of(st.integers(0, 300), st.integers(0, TOKEN_MAX)), max_size=40).map(tuple)


def _response(tokens: tuple[int, ...]) -> bytes:
    return encode_answer(Answer(Output(tokens, "length", sha256(b"logits")), RECEIPT))


def _cuts(tokens: tuple[int, ...], at: list[int]) -> list[tuple[int, ...]]:
    places = sorted({0, len(tokens), *(place % (len(tokens) + 1) for place in at)})
    return [tokens[first:last] for first, last in pairwise(places)]


@given(tokens_of, st.lists(st.integers(0, 1000), max_size=8))
@settings(deadline=None, max_examples=100)
def test_an_answer_arrives_as_it_left(tokens: tuple[int, ...], at: list[int]) -> None:
    """The reader gives the tokens of each frame, and at last the response to the byte."""
    writer, reader = AnswerWriter(), AnswerReader(len(tokens))
    for part in _cuts(tokens, at):
        heard = [token for frame in writer.frames(part) for token in reader.tokens(frame)]
        assert tuple(heard) == part
    last = writer.last(_response(tokens))
    assert len(last) <= LAST_BYTES_MAX
    assert reader.last(last) == _response(tokens)


@pytest.mark.parametrize("count", [0, 1, 23, 24, FRAME_TOKENS_MAX, FRAME_TOKENS_MAX + 1, 70_000])
def test_long_answers_take_many_frames(count: int) -> None:
    """No frame is above its limit, with the longest tokens too."""
    tokens = (TOKEN_MAX,) * count
    writer, reader = AnswerWriter(), AnswerReader(count)
    frames = writer.frames(tokens)
    assert len(frames) == -(-count // FRAME_TOKENS_MAX)
    assert max(map(len, frames), default=0) <= FRAME_BYTES_MAX
    for frame in frames:
        reader.tokens(frame)
    assert reader.last(writer.last(_response(tokens))) == _response(tokens)


@pytest.mark.parametrize("last", [REFUSAL, b"", b"\x85", encode(["ok"]), b"any bytes"])
def test_anything_but_an_answer_is_the_last_frame_as_it_is(last: bytes) -> None:
    """A refusal can come after tokens, when the engine fails. Other bytes are for `decode_response` to judge."""
    writer, reader = AnswerWriter(), AnswerReader(3)
    for frame in writer.frames((1, 2, 3)):
        reader.tokens(frame)
    assert writer.last(last) == last
    assert len(last) <= LAST_BYTES_MAX
    assert reader.last(last) == last


@pytest.mark.parametrize("tokens", [(), (1,), (1, 3), (1, 2, 3)])
def test_a_writer_sends_no_answer_that_its_frames_do_not_hold(tokens: tuple[int, ...]) -> None:
    """An engine that reports other tokens than those of its answer ends in an error of its own side."""
    writer = AnswerWriter()
    writer.frames((1, 2))
    with pytest.raises(LocalProtocolError):
        writer.last(_response(tokens))


@pytest.mark.parametrize(
    ("frame", "reason"),
    [
        (b"", "truncated"),
        (encode([]), "a frame without tokens"),
        (encode([1, 2, 3, 4]), "more tokens than were asked for"),
        (encode([TOKEN_MAX + 1]), "token: above 2147483647"),
        (encode([-1]), "token: not an unsigned integer"),
        (encode([[1]]), "too deep"),
        (encode("1"), "tokens: not an array"),
        (b"\x81\x18\x01", "not in shortest form"),
        (encode([1]) + b"\0", "trailing bytes"),
        (encode([1] * (FRAME_TOKENS_MAX + 1)), f"tokens: more than {FRAME_TOKENS_MAX} items"),
        (bytes(FRAME_BYTES_MAX + 1), "too long"),
    ],
)
def test_wrong_frames_of_tokens(frame: bytes, reason: str) -> None:
    """Each is refused with its reason, after a good frame too."""
    reader = AnswerReader(3)
    with pytest.raises(DecodeError) as caught:
        reader.tokens(frame)
    assert caught.value.reason == reason
    if reason == "more tokens than were asked for":
        assert reader.tokens(encode([1, 2])) == (1, 2)
        with pytest.raises(DecodeError):
            reader.tokens(encode([3, 4]))


def test_a_last_frame_holds_no_tokens() -> None:
    """An answer has one form: its tokens come before the last frame, also if there is room."""
    with pytest.raises(DecodeError, match="the last frame has tokens"):
        AnswerReader(3).last(_response((1, 2, 3)))


def test_nothing_follows_the_last_frame() -> None:
    """Neither tokens nor a second answer."""
    reader = AnswerReader(3)
    reader.last(_response(()))
    for again in (lambda: reader.tokens(encode([1])), lambda: reader.last(_response(()))):
        with pytest.raises(DecodeError, match="a frame after the last one"):
            again()


@given(tokens_of, st.integers(0, 40), st.lists(st.integers(0, 1000), max_size=5))
@settings(deadline=None, max_examples=100)
def test_a_repeat_goes_on_where_the_stream_broke(tokens: tuple[int, ...], broke: int, at: list[int]) -> None:
    """The tokens that came before are not given again, however they are cut."""
    reader = AnswerReader(len(tokens))
    heard: list[int] = []
    for frame in AnswerWriter().frames(tokens[:broke]):
        heard += reader.tokens(frame)
    reader.restart()
    writer = AnswerWriter()
    for part in _cuts(tokens, at):
        for frame in writer.frames(part):
            heard += reader.tokens(frame)
    assert reader.last(writer.last(_response(tokens))) == _response(tokens)
    assert tuple(heard) == tokens


@pytest.mark.parametrize("repeated", [(), (1,), (1, 2), (1, 2, 4), (2, 1, 3), (1, 2, 4, 5)])
def test_a_repeat_with_another_answer_is_refused(repeated: tuple[int, ...]) -> None:
    """A shorter answer too: somebody has already read the tokens."""
    reader = AnswerReader(9)
    reader.tokens(encode([1, 2, 3]))
    reader.restart()
    with pytest.raises(DecodeError, match="the repeated answer is another one"):
        _play(reader, repeated)


def _play(reader: AnswerReader, tokens: tuple[int, ...]) -> None:
    writer = AnswerWriter()
    for frame in writer.frames(tokens):
        reader.tokens(frame)
    reader.last(writer.last(_response(tokens)))


@dataclass
class _Expected:
    """What a reader must know: the answer by the frames that it took."""

    tokens: list[int] = field(default_factory=list)
    known: list[int] = field(default_factory=list)
    is_over: bool = False


class Reading(RuleBasedStateMachine):
    """Frames of any kind in any order: the reader takes exactly those that fit, and its memory is bounded."""

    MAX = 12

    def __init__(self) -> None:
        super().__init__()
        self.reader = AnswerReader(self.MAX)
        self.expected = _Expected()

    @rule(tokens=st.lists(st.integers(0, 2), max_size=6))
    def take_tokens(self, tokens: list[int]) -> None:
        expected = self.expected
        after = [*expected.tokens, *tokens]
        common = min(len(after), len(expected.known))
        fits = not expected.is_over and bool(tokens) and len(after) <= self.MAX
        if not fits or after[:common] != expected.known[:common]:
            with pytest.raises(DecodeError):
                self.reader.tokens(encode(tokens))
            return
        fresh = after[max(len(expected.known), len(expected.tokens)) :]
        assert self.reader.tokens(encode(tokens)) == tuple(fresh)
        expected.tokens = after
        expected.known += fresh

    @rule(data=st.binary(max_size=12))
    def take_garbage(self, data: bytes) -> None:
        before = list(self.expected.tokens)
        try:
            self.reader.tokens(data)
        except DecodeError:
            return
        tokens = decode(data, size_max=12)
        assert isinstance(tokens, list)
        self.expected.tokens += [token for token in tokens if isinstance(token, int)]
        self.expected.known += self.expected.tokens[len(self.expected.known) :]
        assert len(self.expected.tokens) > len(before)

    @rule(response=st.sampled_from([_response(()), REFUSAL, b"", _response((1,))]))
    def take_last(self, response: bytes) -> None:
        expected = self.expected
        is_answer = response == _response(())
        has_tokens = response == _response((1,))
        is_short = len(expected.tokens) < len(expected.known)
        if expected.is_over or has_tokens or (is_answer and is_short):
            with pytest.raises(DecodeError):
                self.reader.last(response)
        else:
            found = self.reader.last(response)
            assert found == (_response(tuple(expected.tokens)) if is_answer else response)
        expected.is_over = True

    @precondition(lambda self: self.expected.tokens)
    @rule()
    def break_off(self) -> None:
        self.reader.restart()
        self.expected.tokens = []
        self.expected.is_over = False

    @invariant()
    def is_bounded(self) -> None:
        assert len(self.reader._known) <= self.MAX
        assert len(self.reader._items) <= 5 * self.MAX


TestReading = Reading.TestCase
TestReading.settings = settings(deadline=None, max_examples=60)
