"""Cases of requests and responses, which are sent on streams and are no records."""

from dataclasses import replace
from pathlib import Path
from typing import Any

from vectorgen.case import Case, changed
from vectorgen.examples import (
    ALICE,
    BOB,
    DISPUTED,
    LOGITS,
    MANIFEST,
    NETWORK_ID,
    PANEL_SLOT,
    RIGHT,
    WRONG,
    Peer,
    question_of,
    receipt,
)

from p2pverify.core.contract.output import Output
from p2pverify.core.encoding.canon import decode, encode
from p2pverify.core.errors import DecodeError
from p2pverify.core.inference.question import (
    Answer,
    Question,
    Request,
    RequestRefused,
    decode_request,
    decode_response,
    encode_answer,
    encode_refusal,
    encode_request,
    sign_request,
)
from p2pverify.core.inference.stream import AnswerReader, AnswerWriter

TOGETHER = "prompt and answer are not of 1 to 131072 tokens together"
QUESTION = question_of(PANEL_SLOT)
BOBS = next(asked for asked in DISPUTED.asked if asked.responder == BOB.key)
REQUEST = Request(NETWORK_ID, ALICE.key, BOB.key, QUESTION.id, BOBS.nonce, DISPUTED.expiry_epoch)


def signed(request: Request = REQUEST, question: Question = QUESTION, peer: Peer = ALICE) -> bytes:
    return encode_request(request, question, sign_request(peer.seed, request))


DATA = signed()
ANSWER = encode_answer(Answer(Output(RIGHT, "stop", LOGITS), receipt(BOB, REQUEST, RIGHT)))


def _request(comment: str, data: bytes, reason: str | None = None) -> Case:
    try:
        decode_request(data)
        found = None
    except RequestRefused as refused:
        found = f"{refused.code}: {refused.detail}"
    assert found == reason, f"{comment}: {found}"
    expect = "accept" if reason is None else "refuse"
    return {"comment": comment, "input": {"request": data.hex()}, "expect": expect, "reason": reason}


def _asks(question: Question) -> bytes:
    return signed(replace(REQUEST, question=question.id), question)


def requests() -> list[Case]:
    other = replace(QUESTION, tokens_max=7)
    carols = replace(QUESTION, requester=BOB.key)
    value: Any = decode(DATA, size_max=65_536)
    head, asked, signature = value
    empty: Any = replace(QUESTION, prompt=())
    bad: list[tuple[str, bytes, str]] = [
        ("nothing", b"", "malformed: truncated"),
        ("no signature", encode([head, asked]), "malformed: request: not 3 items"),
        ("another domain", encode([changed(head, 0, "x"), asked, signature]), "malformed: not a request"),
        (
            "a question of another domain",
            encode([head, changed(asked, 0, "x"), signature]),
            "malformed: not a question",
        ),
        ("an empty prompt", _asks(empty), f"malformed: {TOGETHER}"),
        (
            "a token more than the greatest context holds",
            _asks(replace(QUESTION, prompt=(1, 2), tokens_max=131_071)),
            f"malformed: {TOGETHER}",
        ),
        ("token 2^31", _asks(replace(QUESTION, prompt=(2**31,))), "malformed: token: above 2147483647"),
        (
            "131,073 tokens wanted",
            _asks(replace(QUESTION, tokens_max=131_073)),
            "malformed: tokens_max: above 131072",
        ),
        (
            "temperature 2.001",
            _asks(replace(QUESTION, temperature_milli=2001)),
            "malformed: temperature_milli: above 2000",
        ),
        ("a seed of 8 bytes", _asks(replace(QUESTION, seed=bytes(8))), "malformed: seed: not 16 bytes"),
        (
            "another question than the signed one",
            encode_request(REQUEST, other, sign_request(ALICE.seed, REQUEST)),
            "malformed: the question is not the one that the request names",
        ),
        (
            "a question passed on under another name",
            _asks(carols),
            "malformed: the question is not the one that the request names",
        ),
        ("a signature of 65 bytes", encode([head, asked, bytes(65)]), "malformed: signature: not 64 bytes"),
        (
            "signed by another key than the requester's",
            signed(peer=BOB),
            "bad-signature: the requester did not sign this request",
        ),
        (
            "another nonce than the signed one",
            encode([changed(head, 5, bytes(32)), asked, signature]),
            "bad-signature: the requester did not sign this request",
        ),
    ]
    good = [
        _request("Alice asks Bob in an owed slot", DATA),
        _request(
            "the same question, asked for another reason: the nonce is random",
            signed(replace(REQUEST, nonce=bytes(range(32)))),
        ),
        _request("greedy, one token", _asks(Question(MANIFEST.digest, (0,), 1, 0, bytes(16), ALICE.key))),
        _request("no token wanted", _asks(replace(QUESTION, tokens_max=0))),
        _request("the greatest token ids", _asks(replace(QUESTION, prompt=(2**31 - 1,) * 64))),
        _request(
            "an answer that fills the greatest context", _asks(replace(QUESTION, prompt=(1,), tokens_max=131_071))
        ),
        _request("expired long ago: that is judged by the clock", signed(replace(REQUEST, expiry_epoch=0))),
    ]
    return good + [_request(comment, data, reason) for comment, data, reason in bad]


def _response(comment: str, data: bytes, expect: str = "answer", reason: str | None = None) -> Case:
    found: tuple[str, str | None]
    try:
        decode_response(data, REQUEST)
        found = ("answer", None)
    except RequestRefused as refused:
        found = ("refusal", f"{refused.code}: {refused.detail}")
    except DecodeError as error:
        found = ("invalid", error.reason)
    assert found == (expect, reason), f"{comment}: {found}"
    inputs = {"request": DATA.hex(), "response": data.hex()}
    return {"comment": comment, "input": inputs, "expect": expect, "reason": reason}


def _says(tokens: tuple[int, ...], finish: str = "stop", class_index: int = 0) -> bytes:
    made = receipt(BOB, REQUEST, tokens, class_index=class_index, finish=finish)
    return encode_answer(Answer(Output(tokens, finish, LOGITS), made))


def responses() -> list[Case]:
    value: Any = decode(ANSWER, size_max=65_536)
    refusal = RequestRefused("busy", "too many questions wait for this peer's engine")
    good = receipt(BOB, REQUEST, RIGHT)
    bad: list[tuple[str, object, str]] = [
        ("null", None, "response: not an array"),
        ("an unknown status", changed(value, 0, "maybe"), "not a response"),
        ("a refusal without a reason", ["error", "busy"], "not a response"),
        ("a finish that there is not", changed(value, 2, "eos"), "unknown finish"),
        (
            "a token fewer than the receipt counts",
            changed(value, 1, list(RIGHT[:3])),
            "the receipt counts other tokens",
        ),
        ("other tokens than the receipt's", changed(value, 1, [*RIGHT[:3], 9]), "the receipt is for another answer"),
        ("another finish than the receipt's", changed(value, 2, "length"), "the receipt is for another answer"),
        ("other logits than the receipt's", changed(value, 3, bytes(32)), "the receipt is for another answer"),
        ("a logits digest of 31 bytes", changed(value, 3, bytes(31)), "logits digest: not 32 bytes"),
        ("without a logits digest", [*value[:3], value[4]], "not a response"),
        ("a refusal whose code is a byte string", ["error", b"busy", ""], "code: not text"),
    ]
    unsigned = encode_answer(Answer(Output(RIGHT, "stop", LOGITS), replace(good, total_ms=1)))
    elsewhere = receipt(BOB, replace(REQUEST, nonce=bytes(32)), RIGHT)
    return [
        _response("four tokens, then the end", ANSWER),
        _response("cut off at the length that was asked for", _says((1,) * 8, "length")),
        _response("no token at all", _says(())),
        _response("another answer: as well-formed as the right one", _says(WRONG)),
        _response("of another class", _says(RIGHT, class_index=1)),
        _response("busy", encode_refusal(refusal), "refusal", f"busy: {refusal.detail}"),
        *[_response(comment, encode(wrong), "invalid", reason) for comment, wrong, reason in bad],
        _response(
            "a receipt for another request",
            encode_answer(Answer(Output(RIGHT, "stop", LOGITS), elsewhere)),
            "invalid",
            "the receipt is for another answer",
        ),
        _response("timings changed after signing", unsigned, "invalid", "the receipt's signature does not hold"),
    ]


def tokens(*items: int) -> bytes:
    """A frame of tokens."""
    return b"\x02" + encode(list(items))


def last(response: bytes) -> bytes:
    """A last frame."""
    return b"\x00" + response


def _stream(
    comment: str,
    frames: list[bytes | None],
    reason: str | None = None,
    *,
    response: bytes = ANSWER,
    tokens_max: int = 8,
) -> Case:
    reader, joined = AnswerReader(tokens_max), b""
    found = None
    try:
        for frame in frames:
            if frame is None:
                reader.restart()
            elif frame[:1] == b"\x02":
                reader.tokens(frame[1:])
            else:
                joined = reader.last(frame[1:])
    except DecodeError as error:
        found = error.reason
    assert found == reason, f"{comment}: {found}"
    assert reason is not None or joined == response, comment
    return {
        "comment": comment,
        "input": {"tokens_max": tokens_max, "frames": [None if each is None else each.hex() for each in frames]},
        "expect": response.hex() if reason is None else "invalid",
        "reason": reason,
    }


def answer_streams() -> list[Case]:
    rest, none = last(LAST), _says(())
    refusal = encode_refusal(RequestRefused("engine", "the engine could not answer this question"))
    thirty = tuple(range(30))
    good = [
        _stream("all tokens in one frame", [tokens(*RIGHT), rest]),
        _stream("a frame for each token", [*[tokens(token) for token in RIGHT], rest]),
        _stream("as the engine made them", [tokens(*RIGHT[:1]), tokens(*RIGHT[1:]), rest]),
        _stream("as many tokens as were asked for", [tokens(*RIGHT), rest], tokens_max=len(RIGHT)),
        _stream("a repeat, after the first stream broke", [tokens(*RIGHT[:2]), None, tokens(*RIGHT), rest]),
        _stream("no token at all", [last(none)], response=none),
        _stream("a refusal", [last(refusal)], response=refusal),
        _stream("a refusal after tokens: they are no answer", [tokens(*RIGHT), last(refusal)], response=refusal),
        _stream(
            "30 tokens: the array of the response begins with two bytes",
            [tokens(*thirty[:7]), tokens(*thirty[7:]), last(AnswerWriter().last(none))],
            response=joined_of(thirty, none),
            tokens_max=30,
        ),
    ]
    bad: list[tuple[str, list[bytes | None], str]] = [
        ("a frame without tokens", [tokens()], "a frame without tokens"),
        ("more tokens than were asked for", [tokens(*range(9))], "more tokens than were asked for"),
        ("more in all", [tokens(*range(5)), tokens(*range(4))], "more tokens than were asked for"),
        ("1,025 tokens", [tokens(*[1] * 1025)], "tokens: more than 1024 items"),
        ("5,124 bytes", [b"\x02" + bytes(5_124)], "too long"),
        ("token 2^31", [tokens(2**31)], "token: above 2147483647"),
        ("an array in the array", [b"\x02\x81\x80"], "too deep"),
        ("a byte string", [b"\x02\x41\x01"], "tokens: not an array"),
        ("a token that is not in its shortest form", [b"\x02\x81\x18\x01"], "not in shortest form"),
        ("bytes after the array", [tokens(1) + b"\x00"], "trailing bytes"),
        ("an empty frame of tokens", [b"\x02"], "truncated"),
        ("the whole response as last frame", [last(ANSWER)], "the last frame has tokens"),
        ("the tokens twice", [tokens(*RIGHT), last(ANSWER)], "the last frame has tokens"),
        ("a second last frame", [tokens(*RIGHT), rest, rest], "a frame after the last one"),
        ("tokens after the last frame", [rest, tokens(*RIGHT)], "a frame after the last one"),
        ("an answer after a refusal", [last(refusal), rest], "a frame after the last one"),
        (
            "another answer in the repeat",
            [tokens(*RIGHT[:2]), None, tokens(9, 9)],
            "the repeated answer is another one",
        ),
        ("a shorter answer in the repeat", [tokens(*RIGHT), None, last(none)], "the repeated answer is another one"),
    ]
    return good + [_stream(comment, frames, reason) for comment, frames, reason in bad]


def joined_of(added: tuple[int, ...], response: bytes) -> bytes:
    """A response without tokens, with these tokens."""
    value: Any = decode(response, size_max=65_536)
    return encode(changed(value, 1, list(added)))


def _last_frame() -> bytes:
    writer = AnswerWriter()
    writer.frames(RIGHT)
    return writer.last(ANSWER)


LAST = _last_frame()


def cases() -> dict[Path, list[Case]]:
    return {
        Path("request"): requests(),
        Path("response"): responses(),
        Path("answer-stream"): answer_streams(),
    }
