"""Sealed boxes: bytes that only the holder of one X25519 key can read (libsodium's `crypto_box_seal`).

A peer's box key is its own key, apart from those of its signatures and of its VRF. It follows from the identity seed,
so a backup of the identity holds it. The sender gives the ephemeral secret, so that equal boxes have equal bytes.
"""

from hashlib import blake2b, sha512

from nacl import bindings
from nacl.exceptions import CryptoError

from p2pverify.core.encoding import sign

#: A box is longer than its content by the ephemeral key (32 bytes) and the authenticator (16 bytes).
OVERHEAD = bindings.crypto_box_SEALBYTES


def derive_secret(identity_seed: bytes) -> bytes:
    """The secret box key (32 bytes) of a peer, from its identity seed (32 bytes)."""
    assert len(identity_seed) == sign.SEED_SIZE
    return sha512(b"p2pverify/box" + identity_seed).digest()[:32]


def public_key(secret: bytes) -> bytes:
    """The public box key (32 bytes, RFC 7748) of a secret one."""
    return bindings.crypto_scalarmult_base(secret)


def seal(content: bytes, to: bytes, ephemeral: bytes) -> bytes | None:
    """A box for the public key `to`. `ephemeral` is a secret (32 bytes) for this content and reader alone.

    None if `to` is a point of small order, which anybody could read.
    """
    own = public_key(ephemeral)
    nonce = blake2b(own + to, digest_size=bindings.crypto_box_NONCEBYTES).digest()
    try:
        return own + bindings.crypto_box(content, nonce, to, ephemeral)
    except CryptoError:
        return None


def unseal(sealed: bytes, secret: bytes) -> bytes | None:
    """The content of a box; None if it is no box for this key."""
    if len(sealed) < OVERHEAD:
        return None
    try:
        return bindings.crypto_box_seal_open(sealed, public_key(secret), secret)
    except CryptoError:
        return None
