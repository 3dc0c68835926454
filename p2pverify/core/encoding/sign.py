"""Ed25519 with one strict rule of acceptance, so that no two peers can disagree about a signature.

Libraries differ on points with a small-order part, on non-canonical encodings and on large S. Here a
signature is good only if the key and R are canonical encodings of points of the prime-order subgroup, S is
below the group order, and the equation of RFC 8032 section 5.1.7 holds. All libraries agree on these signatures,
whether or not they multiply by the cofactor.

The record modules decide what is signed: arrays that begin with a domain string.
"""

from functools import lru_cache

from nacl import bindings
from nacl.exceptions import BadSignatureError

KEY_SIZE = 32
SEED_SIZE = 32
SIGNATURE_SIZE = 64
GROUP_ORDER = 2**252 + 27742317777372353535851937790883648493  # L in RFC 8032


def public_key(seed: bytes) -> bytes:
    """The public key (32 bytes) of a secret seed (32 bytes, RFC 8032 section 5.1.5)."""
    return _keypair(seed)[0]


def sign(seed: bytes, message: bytes) -> bytes:
    """The signature (64 bytes, R then S, RFC 8032 section 5.1.6) of a message."""
    return bindings.crypto_sign(message, _keypair(seed)[1])[:SIGNATURE_SIZE]


@lru_cache(maxsize=256)
def _keypair(seed: bytes) -> tuple[bytes, bytes]:
    """The public key, and libsodium's signing key: the seed followed by the public key."""
    return bindings.crypto_sign_seed_keypair(seed)


def is_valid_key(key: bytes) -> bool:
    """Whether `key` (any bytes) is the canonical encoding of a point of prime order. The identity is none."""
    return len(key) == KEY_SIZE and _is_valid_point_cached(key)


@lru_cache(maxsize=65536)
def _is_valid_point_cached(key: bytes) -> bool:
    return bindings.crypto_core_ed25519_is_valid_point(key)


def verify(key: bytes, message: bytes, signature: bytes) -> bool:
    """Whether `signature` is good for `message` under `key`, by the strict rule. Any bytes are allowed."""
    if len(signature) != SIGNATURE_SIZE or not is_valid_key(key):
        return False
    if int.from_bytes(signature[32:], "little") >= GROUP_ORDER:
        return False
    if int.from_bytes(signature[:32], "little") & _Y_MASK in _NEVER_R:
        return False
    # If the library compares R byte for byte with the result of the equation, R has prime order because the key has.
    return _opens(key, message, signature) and (
        _IS_EXACT or bindings.crypto_core_ed25519_is_valid_point(signature[:32])
    )


def _opens(key: bytes, message: bytes, signature: bytes) -> bool:
    try:
        bindings.crypto_sign_open(signature + message, key)
    except BadSignatureError:
        return False
    return True


def is_exact() -> bool:
    """Whether the library refuses a signature whose R has a part of order 8, which holds only with the cofactor."""
    return not _opens(*_MIXED_ORDER_R)


_Y_MASK = 2**255 - 1
#: Values of y that no good R has: 1 (the identity), and the non-canonical ones (the field's prime and above).
_NEVER_R = frozenset((1, *range(2**255 - 19, 2**255)))
#: A key, a message and a signature from the vectors.
_MIXED_ORDER_R = (
    bytes.fromhex("03a107bff3ce10be1d70dd18e74bc09967e4d6309ba50d5f1ddc8664125531b8"),
    bytes.fromhex("703270766572696679"),
    bytes.fromhex(
        "c891dd2fc0ca87a7460193895e046a914c11b66fdffa8e6b7c3ba83138499c70"
        "cd77f53ab6192b72fe77a573e61a08219ccf844f7599a525afe510e8d9dfc10a"
    ),
)
_IS_EXACT = is_exact()
