"""Canonical CBOR: each value has one encoding, and everything else is refused with a reason."""

import json
from pathlib import Path
from typing import Any

import cbor2
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from p2pverify.core.encoding import canon
from p2pverify.core.errors import DecodeError, LocalProtocolError

VECTORS = Path(__file__).parents[3] / "protocol" / "vectors" / "canon"
SIZE_MAX = 4096

scalars = (
    st.none()
    | st.booleans()
    | st.integers(-(2**64), 2**64 - 1)
    | st.binary(max_size=40)
    | st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
)
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.integers(0, 2**64 - 1), inner, max_size=5),
    max_leaves=15,
)


def _cases(name: str) -> list[Any]:
    cases = json.loads((VECTORS / name).read_text(encoding="utf-8"))
    return [pytest.param(case, id=case["comment"]) for case in cases]


def _value(tagged: Any) -> canon.Value:
    """A value from its form in the vectors, which name the type of every number, string and container."""
    if tagged is None or isinstance(tagged, bool):
        return tagged
    [(kind, content)] = tagged.items()
    match kind:
        case "int":
            return int(content)
        case "bytes":
            return bytes.fromhex(content)
        case "text":
            return str(content)
        case "array":
            return [_value(item) for item in content]
        case _:
            assert kind == "map"
            return {int(key): _value(item) for key, item in content}


def _decode_or_reason(data: bytes) -> canon.Value | DecodeError:
    try:
        return canon.decode(data, size_max=SIZE_MAX)
    except DecodeError as error:
        return error


@pytest.mark.parametrize("case", _cases("valid.json"))
def test_valid_vectors(case: dict[str, Any]) -> None:
    """Every valid vector decodes to its value, and the value encodes to the same bytes."""
    data = bytes.fromhex(case["input"])
    value = canon.decode(data, size_max=SIZE_MAX)
    expected = _value(case["expect"])
    assert value == expected
    assert type(value) is type(expected)
    assert canon.encode(value) == data


@pytest.mark.parametrize("case", _cases("invalid.json"))
def test_invalid_vectors(case: dict[str, Any]) -> None:
    """Every invalid vector is refused for its own reason."""
    with pytest.raises(DecodeError) as caught:
        canon.decode(bytes.fromhex(case["input"]), size_max=SIZE_MAX)
    assert caught.value.reason == case["reason"]


@given(values)
@settings(deadline=None, max_examples=100)
def test_round_trip(value: canon.Value) -> None:
    """An encoded value decodes to the same value, here and with another library."""
    data = canon.encode(value)
    assert canon.decode(data, size_max=len(data)) == value
    assert cbor2.loads(data) == value


@given(st.binary(max_size=80))
@settings(deadline=None, max_examples=100)
def test_any_bytes(data: bytes) -> None:
    """Any bytes are the only encoding of a value or raise DecodeError, and no other error."""
    value = _decode_or_reason(data)
    if not isinstance(value, DecodeError):
        assert canon.encode(value) == data


@given(values, st.data())
@settings(deadline=None, max_examples=100)
def test_mutated_encodings(value: canon.Value, data: st.DataObject) -> None:
    """Bytes near a valid encoding are the only encoding of another value, or are refused with a reason."""
    encoded = canon.encode(value)
    at = data.draw(st.integers(0, len(encoded)))
    removed = data.draw(st.integers(0, 3))
    mutated = encoded[:at] + data.draw(st.binary(max_size=4)) + encoded[at + removed :]
    assume(mutated != encoded)
    other = _decode_or_reason(mutated)
    if isinstance(other, DecodeError):
        assert other.reason
    else:
        assert canon.encode(other) == mutated


@given(st.binary(max_size=40) | st.lists(st.sampled_from(b"\x00\x01\x17\x18\x20\x40\x41\x61\x80\x81\x82\xa1\xf6")))
@settings(deadline=None, max_examples=100)
def test_refuses_nothing_canonical(raw: bytes | list[int]) -> None:
    """Bytes that a lenient library reads as one of our values, and writes again unchanged, are accepted."""
    data = bytes(raw)
    try:
        value = cbor2.loads(data, max_depth=canon.DEPTH_MAX)
        again = canon.encode(value)
    except (cbor2.CBORError, LocalProtocolError):
        return
    if again == data:
        assert canon.decode(data, size_max=SIZE_MAX) == value
    else:
        assert isinstance(_decode_or_reason(data), DecodeError)


def test_size_limit() -> None:
    """The limit itself is accepted."""
    data = canon.encode([1, b"abc"])
    assert canon.decode(data, size_max=len(data)) == [1, b"abc"]
    with pytest.raises(DecodeError, match=r"^too long$"):
        canon.decode(data, size_max=len(data) - 1)


def test_depth_limit_is_the_same_both_ways() -> None:
    """The deepest value that can be encoded can be decoded. One level more can be neither."""
    value: canon.Value = []
    for _ in range(canon.DEPTH_MAX - 1):
        value = [value]
    data = canon.encode(value)
    assert canon.decode(data, size_max=SIZE_MAX) == value
    with pytest.raises(LocalProtocolError, match="too deep"):
        canon.encode([value])
    with pytest.raises(DecodeError, match=r"^too deep$"):
        canon.decode(b"\x81" + data, size_max=SIZE_MAX)
    with pytest.raises(DecodeError, match=r"^too deep$"):
        canon.decode(b"\x81\x80", size_max=SIZE_MAX, depth_max=1)


@pytest.mark.parametrize(
    "value",
    [
        1.0,
        2**64,
        -(2**64) - 1,
        {"a": 1},
        {-1: 1},
        {True: 1},
        {2**64: 1},
        "\ud800",
        {1, 2},
        bytearray(b"x"),
        pytest.param(object(), id="an object"),
    ],
    ids=repr,
)
def test_refuses_to_write(value: object) -> None:
    """Values that could not be decoded are refused as a fault of the caller, at the top and inside a tuple."""
    for each in (value, (0, value)):
        with pytest.raises(LocalProtocolError, match="cannot encode"):
            canon.encode(each)


def test_cycle_is_refused() -> None:
    """A list that contains itself is refused as too deep."""
    loop: list[object] = []
    loop.append(loop)
    with pytest.raises(LocalProtocolError, match="too deep"):
        canon.encode(loop)


def test_tuples_are_arrays_and_maps_are_sorted() -> None:
    """Tuples decode as lists. Maps are encoded in the order of their encoded keys."""
    assert canon.decode(canon.encode((1, (b"", "x"))), size_max=64) == [1, [b"", "x"]]
    assert canon.encode({256: 0, 24: 0, 23: 0, 2**32: 0}).hex() == "a41700181800190100001b000000010000000000"


def test_digest_is_the_hash_of_the_encoding() -> None:
    """The digest of an empty array is the SHA-256 of the byte 80."""
    assert canon.digest([]) == canon.sha256(b"\x80")
    assert canon.sha256(b"abc").hex() == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


def test_fields_are_returned_as_they_are() -> None:
    """Each helper returns a value within its limits, including the limits."""
    assert canon.as_uint(2**63 - 1, "epoch") == 2**63 - 1
    assert canon.as_uint(7, "epoch", maximum=7) == 7
    assert canon.as_bytes(b"ab", "salt", size=2) == b"ab"
    assert canon.as_bytes(b"ab", "salt", size_max=2) == b"ab"
    assert canon.as_text("üb", "name", 3) == "üb"
    assert canon.as_bool(False, "abstain") is False
    assert canon.as_array([1], "receipts", length=1) == [1]
    assert canon.as_array([1], "receipts", length_max=1) == [1]


@pytest.mark.parametrize(
    ("check", "reason"),
    [
        (lambda: canon.as_uint(-1, "epoch"), "epoch: not an unsigned integer"),
        (lambda: canon.as_uint(True, "epoch"), "epoch: not an unsigned integer"),
        (lambda: canon.as_uint(b"", "epoch"), "epoch: not an unsigned integer"),
        (lambda: canon.as_uint(8, "epoch", maximum=7), "epoch: above 7"),
        (lambda: canon.as_uint(2**63, "epoch"), "epoch: above 9223372036854775807"),
        (lambda: canon.as_bytes("ab", "salt", size=2), "salt: not a byte string"),
        (lambda: canon.as_bytes(b"abc", "salt", size=2), "salt: not 2 bytes"),
        (lambda: canon.as_bytes(b"abc", "salt", size_max=2), "salt: longer than 2 bytes"),
        (lambda: canon.as_text(b"ab", "name", 2), "name: not text"),
        (lambda: canon.as_text("üb", "name", 2), "name: longer than 2 bytes"),
        (lambda: canon.as_bool(1, "abstain"), "abstain: not a boolean"),
        (lambda: canon.as_array({}, "receipts"), "receipts: not an array"),
        (lambda: canon.as_array([1], "receipts", length=2), "receipts: not 2 items"),
        (lambda: canon.as_array([1, 2], "receipts", length_max=1), "receipts: more than 1 items"),
    ],
)
def test_fields_name_their_fault(check: Any, reason: str) -> None:
    """A field of another type or beyond its limit is refused with its name."""
    with pytest.raises(DecodeError) as caught:
        check()
    assert caught.value.reason == reason


@given(
    st.integers(0, 2**64 - 1) | st.sampled_from([0, 23, 24, 255, 256]),
    st.binary(max_size=40) | st.integers(0, 300).map(bytes),
    st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=30) | st.binary(max_size=40), max_size=4),
)
def test_parts_are_written_as_the_whole(number: int, data: bytes, first: list[str | bytes]) -> None:
    """Encoding in parts gives the bytes of encoding the whole."""
    whole = canon.encode([*first, number, data])
    begin = canon.begin_array(len(first) + 2, *first)
    assert begin + canon.encode_uint(number) + canon.encode_bytes(data) == whole
