"""Ed25519 under the strict rule: valid signatures, and the cases on which libraries disagree."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from p2pverify.core.encoding import sign

VECTORS = Path(__file__).parents[3] / "protocol" / "vectors" / "ed25519"
KEY_FAULTS = {"key is not 32 bytes", "key is not the canonical encoding of a point of prime order"}
SEED = bytes(range(32))


def _cases(*names: str) -> list[Any]:
    cases = [case for name in names for case in json.loads((VECTORS / name).read_text(encoding="utf-8"))]
    return [pytest.param(case, id=case["comment"]) for case in cases]


def _triple(case: dict[str, Any]) -> tuple[bytes, bytes, bytes]:
    return (
        bytes.fromhex(case["input"]["key"]),
        bytes.fromhex(case["input"]["message"]),
        bytes.fromhex(case["input"]["signature"]),
    )


@pytest.mark.parametrize("case", _cases("valid.json"))
def test_valid_vectors(case: dict[str, Any]) -> None:
    """Every valid vector is accepted. Signing again gives the same signature if the seed is known."""
    key, message, signature = _triple(case)
    assert case["expect"] is True
    assert sign.is_valid_key(key)
    assert sign.verify(key, message, signature)
    if "seed" in case["input"]:
        seed = bytes.fromhex(case["input"]["seed"])
        assert sign.public_key(seed) == key
        assert sign.sign(seed, message) == signature


@pytest.mark.parametrize("is_exact", [False, sign.is_exact()])
@pytest.mark.parametrize("case", _cases("invalid.json", "speccheck.json"))
def test_invalid_vectors(case: dict[str, Any], is_exact: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every invalid vector is refused. Its key is called invalid if the key is the reason. If the library multiplies by
    the cofactor, R is checked separately."""
    monkeypatch.setattr(sign, "_IS_EXACT", is_exact)
    key, message, signature = _triple(case)
    assert case["expect"] is False
    assert not sign.verify(key, message, signature)
    assert sign.is_valid_key(key) is (case["reason"] not in KEY_FAULTS)


def test_the_probe_of_the_library_is_a_vector() -> None:
    """The module probes the library at its start with the vector whose R has a part of order 8."""
    probes = [p.values[0] for p in _cases("invalid.json") if str(p.id).startswith("R has a part of order 8")]
    assert [_triple(case) for case in probes] == [sign._MIXED_ORDER_R]


@given(st.binary(min_size=32, max_size=32), st.binary(max_size=300))
@settings(deadline=None, max_examples=50)
def test_round_trip(seed: bytes, message: bytes) -> None:
    """A signature verifies under the signer's key and for no other message. Signing twice gives equal bytes."""
    signature = sign.sign(seed, message)
    key = sign.public_key(seed)
    assert sign.verify(key, message, signature)
    assert sign.sign(seed, message) == signature
    assert not sign.verify(key, message + b"\x00", signature)


@given(st.integers(0, 511))
@settings(deadline=None, max_examples=50)
def test_every_bit_counts(bit: int) -> None:
    """A signature with one bit flipped is refused."""
    flipped = int.from_bytes(sign.sign(SEED, b"message"), "little") ^ (1 << bit)
    assert not sign.verify(sign.public_key(SEED), b"message", flipped.to_bytes(64, "little"))


@given(st.binary(max_size=70), st.binary(max_size=70), st.binary(max_size=130))
@settings(deadline=None, max_examples=100)
def test_any_bytes_are_judged(key: bytes, message: bytes, signature: bytes) -> None:
    """Keys and signatures of any bytes and length are refused without an exception."""
    assert not sign.verify(key, message, signature)
    assert not sign.verify(sign.public_key(SEED), message, signature)
    assert not sign.verify(key, message, sign.sign(SEED, message))
