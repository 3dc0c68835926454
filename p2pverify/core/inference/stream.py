"""How an answer travels: its tokens in frames, as they are made, and at last the rest of the response.

A frame of tokens goes on with the answer. The last frame is the response without its tokens, or a refusal, and its
receipt covers all tokens. Writer and reader are state machines without I/O; `net` carries the frames. Protocol page:
protocol/request.md.
"""

from collections.abc import Sequence

from p2pverify.core.encoding.canon import begin_array, decode, encode, encode_uint, read_tokens
from p2pverify.core.errors import DecodeError, LocalProtocolError
from p2pverify.core.inference.question import REST_BYTES_MAX, TOKEN_BYTES_MAX

FRAME_TOKENS_MAX = 1024
FRAME_BYTES_MAX = 3 + TOKEN_BYTES_MAX * FRAME_TOKENS_MAX
LAST_BYTES_MAX = REST_BYTES_MAX

_ANSWER = begin_array(5, "ok")
_NO_TOKENS = b"\x80"


class AnswerWriter:
    """Cuts one answer into frames."""

    def __init__(self) -> None:
        self._count = 0
        self._items = bytearray()  # the encoded tokens so far

    def frames(self, tokens: Sequence[int]) -> list[bytes]:
        """The frames that go on with the answer by these tokens."""
        found = []
        for first in range(0, len(tokens), FRAME_TOKENS_MAX):
            part = tokens[first : first + FRAME_TOKENS_MAX]
            frame = encode(list(part))
            self._count += len(part)
            self._items += frame[len(_array_head(len(part))) :]
            found.append(frame)
        return found

    def last(self, response: bytes) -> bytes:
        """The last frame: a response of which all tokens have been sent, or anything else as it is.

        Raises LocalProtocolError if the response has other tokens than those that were sent.
        """
        if not response.startswith(_ANSWER):
            return response
        sent = _ANSWER + _array_head(self._count) + self._items
        if not response.startswith(sent):
            raise LocalProtocolError("the response has other tokens than its stream")
        self._items.clear()
        return _ANSWER + _NO_TOKENS + response[len(sent) :]


class AnswerReader:
    """Joins the frames of one answer of at most `tokens_max` tokens; raises DecodeError for any that do not fit.

    After a broken stream the same request can be sent again: `restart`. The tokens that came before must come again,
    and are not returned a second time.
    """

    def __init__(self, tokens_max: int) -> None:
        self._tokens_max = tokens_max
        self._known: list[int] = []  # of all tries
        self._count = 0  # of this try
        self._items = bytearray()
        self._is_over = False

    def restart(self) -> None:
        """Expect the answer from its beginning, on another stream."""
        self._count = 0
        self._items.clear()
        self._is_over = False

    def tokens(self, frame: bytes) -> tuple[int, ...]:
        """Take a frame of tokens. Returns the tokens that have not come before."""
        self._go_on()
        tokens = read_tokens(decode(frame, size_max=FRAME_BYTES_MAX, depth_max=1), "tokens", FRAME_TOKENS_MAX)
        if not tokens:
            raise DecodeError("a frame without tokens")
        if self._count + len(tokens) > self._tokens_max:
            raise DecodeError("more tokens than were asked for")
        known = self._known[self._count : self._count + len(tokens)]
        fresh = tokens[len(known) :]
        if tokens != (*known, *fresh):
            raise DecodeError("the repeated answer is another one")
        self._known += fresh
        self._count += len(tokens)
        self._items += frame[len(_array_head(len(tokens))) :]
        return fresh

    def last(self, frame: bytes) -> bytes:
        """Take the last frame. Returns the whole response, which `question.decode_response` checks."""
        self._go_on()
        self._is_over = True
        if not frame.startswith(_ANSWER):
            return frame
        if not frame.startswith(_ANSWER + _NO_TOKENS):
            raise DecodeError("the last frame has tokens")
        if self._count < len(self._known):
            raise DecodeError("the repeated answer is another one")
        return _ANSWER + _array_head(self._count) + self._items + frame[len(_ANSWER) + 1 :]

    def _go_on(self) -> None:
        if self._is_over:
            raise DecodeError("a frame after the last one")


def _array_head(length: int) -> bytes:
    """The bytes before the items of an array."""
    number = encode_uint(length)
    return bytes([0x80 | number[0]]) + number[1:]
