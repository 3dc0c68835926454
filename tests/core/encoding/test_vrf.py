"""ECVRF-EDWARDS25519-SHA512-TAI: published values, and proofs that must be refused."""

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from p2pverify.core.encoding import sign, vrf
from p2pverify.core.errors import DecodeError

VECTORS = Path(__file__).parents[3] / "protocol" / "vectors" / "vrf"
MALFORMED = {
    "proof is not 80 bytes",
    "Gamma is not the canonical encoding of a point of prime order",
    "s is not below the group order",
}
SEED = bytes(range(32))


def _cases(name: str) -> list[Any]:
    cases = json.loads((VECTORS / name).read_text(encoding="utf-8"))
    return [pytest.param(case, id=case["comment"]) for case in cases]


def _input(case: dict[str, Any]) -> dict[str, bytes]:
    return {name: bytes.fromhex(text) for name, text in case["input"].items()}


@pytest.mark.parametrize("case", _cases("valid.json"))
def test_valid_vectors(case: dict[str, Any]) -> None:
    """Every valid proof gives its output. Proving again gives the same proof if the seed is known."""
    given_ = _input(case)
    assert vrf.verify(given_["key"], given_["alpha"], given_["proof"]) == bytes.fromhex(case["expect"])
    assert vrf.proof_to_beta(given_["proof"]) == bytes.fromhex(case["expect"])
    if "seed" in given_:
        assert vrf.public_key(given_["seed"]) == given_["key"]
        assert vrf._hash_to_curve(given_["key"], given_["alpha"]) == given_["point"]
        assert vrf.prove(given_["seed"], given_["alpha"]) == given_["proof"]


@pytest.mark.parametrize("is_strict", [False, vrf.is_strict()])
@pytest.mark.parametrize("case", _cases("invalid.json"))
def test_invalid_vectors(case: dict[str, Any], is_strict: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every invalid proof is refused, and a malformed proof gives no output. This does not depend on the library's own
    checks."""
    monkeypatch.setattr(vrf, "_IS_STRICT", is_strict)
    given_ = _input(case)
    assert case["expect"] is None
    assert vrf.verify(given_["key"], given_["alpha"], given_["proof"]) is None
    if case["reason"] in MALFORMED:
        with pytest.raises(DecodeError, match="malformed VRF proof"):
            vrf.proof_to_beta(given_["proof"])


@given(st.binary(min_size=32, max_size=32), st.binary(max_size=100))
@settings(deadline=None, max_examples=25)
def test_round_trip(seed: bytes, alpha: bytes) -> None:
    """A proof verifies, gives the output that it carries, and holds for no other input."""
    proof = vrf.prove(seed, alpha)
    key = vrf.public_key(seed)
    assert len(proof) == vrf.PROOF_SIZE
    beta = vrf.verify(key, alpha, proof)
    assert beta == vrf.proof_to_beta(proof)
    assert beta is not None
    assert len(beta) == 64
    assert vrf.verify(key, alpha + b"\x00", proof) is None


@given(st.integers(0, 639))
@settings(deadline=None, max_examples=50)
def test_every_bit_counts(bit: int) -> None:
    """A proof with one bit flipped is refused."""
    flipped = int.from_bytes(vrf.prove(SEED, b"alpha"), "little") ^ (1 << bit)
    assert vrf.verify(vrf.public_key(SEED), b"alpha", flipped.to_bytes(80, "little")) is None


@given(st.binary(max_size=70), st.binary(max_size=20), st.binary(max_size=90))
@settings(deadline=None, max_examples=50)
def test_any_bytes_are_judged(key: bytes, alpha: bytes, proof: bytes) -> None:
    """Keys and proofs of any bytes and length are refused without an exception."""
    assert vrf.verify(key, alpha, proof) is None
    assert vrf.verify(vrf.public_key(SEED), alpha, proof) is None
    assert vrf.verify(key, alpha, vrf.prove(SEED, alpha)) is None


def test_vrf_key_is_another_key() -> None:
    """The VRF key is derived from the identity's seed under its own domain, so it differs from the identity's key."""
    derived = vrf.derive_seed(SEED)
    assert derived == hashlib.sha512(b"p2pverify/vrf" + SEED).digest()[:32]
    assert vrf.public_key(derived) != sign.public_key(SEED)
