"""A verifiable random function: ECVRF-EDWARDS25519-SHA512-TAI of RFC 9381 (suite 0x03).

For each key and input there is one output. Only the owner of the key can compute it, and everybody can check it.
So a peer cannot choose its duties, and others cannot foresee them. The key must not be a signing key: both schemes
derive their nonces from the same secret, and using one key for both would reveal it. `derive_seed` makes a separate
one.

One rule is stricter than the RFC: the key and Gamma must have prime order. Those of an honest prover always do.
The inputs and the use of the outputs are left to `contract/sortition`.
"""

import hashlib
from functools import lru_cache
from typing import Final

from nacl import bindings
from nacl.exceptions import RuntimeError as PointError

from p2pverify.core.encoding import sign
from p2pverify.core.errors import DecodeError

PROOF_SIZE = 80  # Gamma 32, c 16, s 32

_SUITE: Final = b"\x03"
_FIELD_PRIME = 2**255 - 19
_IDENTITY = (1).to_bytes(32, "little")


def derive_seed(identity_seed: bytes) -> bytes:
    """The secret VRF seed (32 bytes) of a peer, from its identity seed (32 bytes)."""
    assert len(identity_seed) == sign.SEED_SIZE
    return hashlib.sha512(b"p2pverify/vrf" + identity_seed).digest()[:32]


def public_key(seed: bytes) -> bytes:
    """The VRF public key (32 bytes) of a secret seed (32 bytes), formed as in RFC 8032 section 5.1.5."""
    return _expand(seed)[2]


def prove(seed: bytes, alpha: bytes) -> bytes:
    """The proof pi (80 bytes: Gamma, c, s) for an input (RFC 9381 section 5.1). Equal inputs give equal proofs."""
    scalar, nonce_key, key = _expand(seed)
    point = _hash_to_curve(key, alpha)
    gamma = bindings.crypto_scalarmult_ed25519_noclamp(scalar, point)
    nonce = bindings.crypto_core_ed25519_scalar_reduce(hashlib.sha512(nonce_key + point).digest())
    challenge = _challenge(
        key,
        point,
        gamma,
        bindings.crypto_scalarmult_ed25519_base_noclamp(nonce),
        bindings.crypto_scalarmult_ed25519_noclamp(nonce, point),
    )
    reduced = bindings.crypto_core_ed25519_scalar_reduce(scalar + bytes(32))
    product = bindings.crypto_core_ed25519_scalar_mul(challenge + bytes(16), reduced)
    return gamma + challenge + bindings.crypto_core_ed25519_scalar_add(nonce, product)


def verify(key: bytes, alpha: bytes, proof: bytes) -> bytes | None:
    """The output beta (64 bytes) if `proof` is good for `alpha` under `key`, else None. Any bytes are allowed.

    Follows RFC 9381 section 5.3 with validate_key (section 5.4.5). The key and Gamma must also have prime order.
    """
    if not sign.is_valid_key(key) or not _has_form(proof):
        return None
    gamma, challenge, response = proof[:32], proof[32:48], proof[48:]
    if not (_IS_STRICT or bindings.crypto_core_ed25519_is_valid_point(gamma)):
        return None
    wide = challenge + bytes(16)
    multiply, subtract = bindings.crypto_scalarmult_ed25519_noclamp, bindings.crypto_core_ed25519_sub
    try:
        gamma_part = multiply(wide, gamma)
        key_part = multiply(wide, key)
        point = _hash_to_curve(key, alpha)
        u = subtract(bindings.crypto_scalarmult_ed25519_base_noclamp(response), key_part)
        v = subtract(multiply(response, point), gamma_part)
    except PointError:  # Gamma is not of prime order, or c or s is zero; no prover can make such a proof hold
        return None
    if _challenge(key, point, gamma, u, v) != challenge:
        return None
    return _beta(gamma)


def proof_to_beta(proof: bytes) -> bytes:
    """The output beta (64 bytes) that a proof carries (RFC 9381 section 5.2), without checking the proof.

    Raises DecodeError if the proof is malformed. Use it only for own proofs and verified ones.
    """
    if not _is_well_formed(proof):
        raise DecodeError("malformed VRF proof")
    return _beta(proof[:32])


@lru_cache(maxsize=256)
def _expand(seed: bytes) -> tuple[bytes, bytes, bytes]:
    """The clamped secret scalar, the nonce key and the public key (RFC 8032 section 5.1.5), 32 bytes each."""
    assert len(seed) == sign.SEED_SIZE
    hashed = hashlib.sha512(seed).digest()
    scalar = bytes([hashed[0] & 0xF8]) + hashed[1:31] + bytes([hashed[31] & 0x7F | 0x40])
    return scalar, hashed[32:], bindings.crypto_scalarmult_ed25519_base_noclamp(scalar)


def _has_form(proof: bytes) -> bool:
    """Whether a proof is well-formed; Gamma is not checked."""
    return len(proof) == PROOF_SIZE and int.from_bytes(proof[48:], "little") < sign.GROUP_ORDER


def _is_well_formed(proof: bytes) -> bool:
    return _has_form(proof) and bindings.crypto_core_ed25519_is_valid_point(proof[:32])


def _hash_to_curve(key: bytes, alpha: bytes) -> bytes:
    """ECVRF_encode_to_curve_try_and_increment (RFC 9381 section 5.4.1.1) with the key as the salt."""
    for counter in range(256):
        candidate = hashlib.sha512(_SUITE + b"\x01" + key + alpha + bytes([counter, 0])).digest()[:32]
        y = int.from_bytes(candidate, "little") & (2**255 - 1)
        # libsodium's addition does not refuse these; decoding by RFC 8032 section 5.1.3 does.
        if y >= _FIELD_PRIME or (y in (1, _FIELD_PRIME - 1) and candidate[31] >> 7):
            continue
        try:
            point = _times_cofactor(candidate)
        except PointError:  # not on the curve, like half of all candidates
            continue
        if point != _IDENTITY:
            return point
    raise AssertionError("no point in 256 attempts, which has probability 2**-256")


def _times_cofactor(point: bytes) -> bytes:
    for _ in range(3):
        point = bindings.crypto_core_ed25519_add(point, point)
    return point


def _challenge(*points: bytes) -> bytes:
    """ECVRF_challenge_generation (RFC 9381 section 5.4.3): 16 bytes."""
    return hashlib.sha512(_SUITE + b"\x02" + b"".join(points) + b"\x00").digest()[:16]


def _beta(gamma: bytes) -> bytes:
    return hashlib.sha512(_SUITE + b"\x03" + _times_cofactor(gamma) + b"\x00").digest()


def is_strict() -> bool:
    """Whether the library multiplies only points of prime order, so that Gamma needs no check of its own."""
    mixed = bindings.crypto_core_ed25519_add(bindings.crypto_scalarmult_ed25519_base_noclamp(_ONE), _ORDER_2)
    return not any(_multiplies(point) for point in (mixed, _ORDER_2, _IDENTITY))


def _multiplies(point: bytes) -> bool:
    try:
        bindings.crypto_scalarmult_ed25519_noclamp(_ONE, point)
    except PointError:
        return False
    return True


_ONE: Final = (1).to_bytes(32, "little")
_ORDER_2: Final = (_FIELD_PRIME - 1).to_bytes(32, "little")  # y is -1
#: No point with a y below 19 has prime order, so this covers non-canonical encodings, too.
_IS_STRICT = is_strict()
