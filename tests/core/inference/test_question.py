"""Questions, requests, receipts and openings: each digest binds all of its fields."""

import contextlib
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from p2pverify.core.contract.output import Output
from p2pverify.core.contract.shapes import TEMPERATURE_MILLI_MAX
from p2pverify.core.encoding import sign
from p2pverify.core.encoding.canon import TOKEN_MAX, encode, sha256
from p2pverify.core.errors import DecodeError
from p2pverify.core.inference.question import (
    CONTEXT_TOKENS_MAX,
    REQUEST_BYTES_MAX,
    RESPONSE_BYTES_MAX,
    Answer,
    Opening,
    Question,
    Receipt,
    Request,
    RequestRefused,
    decode_request,
    decode_response,
    encode_answer,
    encode_refusal,
    encode_request,
    opening_nonce,
    salted_digest,
    sign_request,
)

ALICE = bytes(range(32))
BOB = bytes(range(32, 64))
ALICES = sign.public_key(ALICE)
BOBS = sign.public_key(BOB)
NETWORK = sha256(b"network")
QUESTION = Question(sha256(b"model"), (1, 2, 3), 16, 800, bytes(16), ALICES)
REQUEST = Request(NETWORK, ALICES, BOBS, QUESTION.id, sha256(b"nonce"), 9)
TOKENS = (7, 8, 9)
LOGITS = sha256(b"logits")

digests = st.binary(min_size=32, max_size=32)
questions = st.builds(
    Question,
    digests,
    st.lists(st.integers(0, TOKEN_MAX), min_size=1, max_size=9).map(tuple),
    st.integers(0, CONTEXT_TOKENS_MAX - 9),
    st.integers(0, TEMPERATURE_MILLI_MAX),
    st.binary(min_size=16, max_size=16),
    st.just(ALICES),
)


def _receipt(tokens: tuple[int, ...] = TOKENS, finish: str = "stop", request: Request = REQUEST) -> Receipt:
    output = Output(tokens, finish, LOGITS).digest(request.question)
    fields = (NETWORK, BOBS, request.id, 0, salted_digest(request.id, BOBS, 0, output), len(tokens), 1, 2, 3)
    unsigned = Receipt(*fields, bytes(64))
    return Receipt(*fields, sign.sign(BOB, encode(unsigned.signed_value())))


@given(questions, digests, st.integers(0, 2**63 - 1))
@settings(deadline=None, max_examples=60)
def test_request_round_trip(question: Question, nonce: bytes, expiry: int) -> None:
    """A signed request and its question are read back."""
    request = Request(NETWORK, ALICES, BOBS, question.id, nonce, expiry)
    data = encode_request(request, question, sign_request(ALICE, request))
    assert decode_request(data) == (request, question)


@given(st.data())
@settings(deadline=None, max_examples=100)
def test_mutated_requests(data: st.DataObject) -> None:
    """Every changed request is refused with a code and a sentence."""
    good = encode_request(REQUEST, QUESTION, sign_request(ALICE, REQUEST))
    at = data.draw(st.integers(0, len(good) - 1))
    mutated = good[:at] + data.draw(st.binary(max_size=2)) + good[at + data.draw(st.integers(0, 2)) :]
    if mutated != good:
        with pytest.raises(RequestRefused) as caught:
            decode_request(mutated)
        assert caught.value.code in {"malformed", "bad-signature"}
        assert caught.value.detail


@given(st.binary(max_size=100))
@settings(deadline=None, max_examples=100)
def test_any_bytes(data: bytes) -> None:
    """Any bytes are refused as requests and invalid as responses, without other errors."""
    with pytest.raises(RequestRefused):
        decode_request(data)
    with contextlib.suppress(RequestRefused, DecodeError):
        decode_response(data, REQUEST)


def test_request_size_limit() -> None:
    """A request above the size limit is refused before it is decoded."""
    with pytest.raises(RequestRefused, match=r"^too-large: "):
        decode_request(bytes(REQUEST_BYTES_MAX + 1))


@pytest.mark.parametrize("prompt", [1, 4097, CONTEXT_TOKENS_MAX])
def test_the_longest_questions_and_answers(prompt: int) -> None:
    """Prompt and answer fill the greatest context, with the longest tokens, and fit their byte limits."""
    question = replace(QUESTION, prompt=(TOKEN_MAX,) * prompt, tokens_max=CONTEXT_TOKENS_MAX - prompt)
    request = replace(REQUEST, question=question.id)
    data = encode_request(request, question, sign_request(ALICE, request))
    assert len(data) <= REQUEST_BYTES_MAX
    assert decode_request(data) == (request, question)
    tokens = (TOKEN_MAX,) * question.tokens_max
    answer = Answer(Output(tokens, "length", LOGITS), _receipt(tokens, "length", request))
    assert len(encode_answer(answer)) <= RESPONSE_BYTES_MAX
    assert decode_response(encode_answer(answer), request) == answer
    longer = replace(question, tokens_max=question.tokens_max + 1)
    request = replace(REQUEST, question=longer.id)
    with pytest.raises(RequestRefused, match=r"^malformed: "):
        decode_request(encode_request(request, longer, sign_request(ALICE, request)))


def test_response_round_trip() -> None:
    """An answer is read back with its receipt, a refusal with its code."""
    answer = Answer(Output(TOKENS, "stop", LOGITS), _receipt())
    assert decode_response(encode_answer(answer), REQUEST) == answer
    with pytest.raises(RequestRefused, match=r"^busy: later$"):
        decode_response(encode_refusal(RequestRefused("busy", "later")), REQUEST)


@given(st.data())
@settings(deadline=None, max_examples=100)
def test_mutated_responses(data: st.DataObject) -> None:
    """Every changed answer is invalid."""
    good = encode_answer(Answer(Output(TOKENS, "stop", LOGITS), _receipt()))
    at = data.draw(st.integers(0, len(good) - 1))
    mutated = good[:at] + data.draw(st.binary(max_size=2)) + good[at + data.draw(st.integers(0, 2)) :]
    if mutated != good:
        with pytest.raises((DecodeError, RequestRefused)):
            decode_response(mutated, REQUEST)


@pytest.mark.parametrize(
    "request_changes",
    [
        {"network": bytes(32)},
        {"requester": BOBS},
        {"responder": ALICES},
        {"question": bytes(32)},
        {"nonce": bytes(32)},
        {"expiry_epoch": 10},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_receipt_is_for_one_request(request_changes: dict[str, bytes | int]) -> None:
    """A receipt does not hold for a request that differs in any field."""
    other = replace(REQUEST, **request_changes)  # type: ignore[arg-type]  # field names
    assert other.id != REQUEST.id
    with pytest.raises(DecodeError):
        decode_response(encode_answer(Answer(Output(TOKENS, "stop", LOGITS), _receipt())), other)


@pytest.mark.parametrize(
    "changes",
    [
        {"manifest": bytes(32)},
        {"prompt": (1, 2)},
        {"tokens_max": 17},
        {"temperature_milli": 0},
        {"seed": bytes(15) + b"\1"},
        {"requester": BOBS},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_question_id_binds_every_field(changes: dict[str, object]) -> None:
    """A question that differs in any field has another id, and so do its answers."""
    other = replace(QUESTION, **changes)  # type: ignore[arg-type]  # field names
    assert other.id != QUESTION.id
    assert Output(TOKENS, "stop", LOGITS).digest(other.id) != Output(TOKENS, "stop", LOGITS).digest(QUESTION.id)


def test_sampler_key_depends_on_seed_and_requester() -> None:
    """A question forwarded under another name has another sampler key, and so has a question with another seed."""
    assert replace(QUESTION, requester=BOBS).sampler_key != QUESTION.sampler_key
    assert replace(QUESTION, seed=b"\1" * 16).sampler_key != QUESTION.sampler_key
    assert replace(QUESTION, prompt=(9,)).sampler_key == QUESTION.sampler_key


def test_salted_digests_hide_equal_answers() -> None:
    """Two peers with equal answers to one question sign different digests. So does one peer that is asked twice."""
    output = Output(TOKENS, "stop", LOGITS).digest(QUESTION.id)
    twice = replace(REQUEST, nonce=bytes(32))
    found = {
        salted_digest(REQUEST.id, BOBS, 0, output),
        salted_digest(REQUEST.id, ALICES, 0, output),
        salted_digest(twice.id, BOBS, 0, output),
        salted_digest(REQUEST.id, BOBS, 1, output),
    }
    assert len(found) == 4


def test_nonce_binds_the_challengers_answer() -> None:
    """Another class, output, salt, slot, responder or question gives another nonce."""
    output = Output(TOKENS, "stop", LOGITS).digest(QUESTION.id)
    opening = Opening(3, 0, output, (sha256(b"salt"),))
    where = (NETWORK, ALICES, BOBS, 9, QUESTION.id)
    others = [
        replace(opening, slot=4),
        replace(opening, class_index=None),
        replace(opening, output=bytes(32)),
        replace(opening, salts=(bytes(32),)),
    ]
    nonces = {opening_nonce(*where, each, 0) for each in (opening, *others)}
    nonces |= {
        opening_nonce(NETWORK, ALICES, ALICES, 9, QUESTION.id, opening, 0),
        opening_nonce(NETWORK, ALICES, BOBS, 10, QUESTION.id, opening, 0),
        opening_nonce(NETWORK, ALICES, BOBS, 9, bytes(32), opening, 0),
    }
    assert len(nonces) == 8


@given(st.binary(max_size=40), digests, st.integers(0, 2**63 - 1), st.integers(0, 31), st.integers(0, 2**32))
def test_digests_and_signatures_are_over_the_whole_values(
    key: bytes, nonce: bytes, expiry: int, class_index: int, milliseconds: int
) -> None:
    """The bytes equal the encoding of the arrays on the protocol pages, even if they are built in parts."""
    request = Request(NETWORK, ALICES, key, QUESTION.id, nonce, expiry)
    assert request.id == sha256(encode(request.to_value()))
    receipt = replace(_receipt(request=request), responder=key, class_index=class_index, queue_ms=milliseconds)
    assert receipt.signed_bytes() == encode(receipt.signed_value())
    answer = ["p2pverify/answer/1", request.id, key, class_index, nonce]
    assert salted_digest(request.id, key, class_index, nonce) == sha256(encode(answer))
    for opened in (None, class_index):
        opening = Opening(3, opened, nonce, (QUESTION.id, key))
        where = ["p2pverify/open/1", NETWORK, ALICES, key, expiry, 3, QUESTION.id, opened, nonce, key]
        found = opening_nonce(NETWORK, ALICES, key, expiry, QUESTION.id, opening, 1)
        assert found == sha256(encode(where))
