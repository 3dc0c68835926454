"""How the node of a home is told from whatever else answers at an address: by a proof that costs one hash.

The asker sends a fresh nonce in one header. Whoever has read the home's token and its identity answers with the
HMAC-SHA-256 of the nonce in another. Neither secret travels, so a stranger that took over the port learns nothing.
"""

import hashlib
import hmac

NONCE_HEADER = "P2pverify-Nonce"
PROOF_HEADER = "P2pverify-Proof"
NONCE_BYTES = 32
_DOMAIN = b"p2pverify/home/1\0"


def home_key(token: str, seed: bytes) -> bytes:
    """The key of a home's proofs (32 B), from its token and its identity's seed."""
    return hmac.digest(token.encode(), _DOMAIN + seed, hashlib.sha256)


def prove(key: bytes, nonce: bytes) -> bytes:
    """The answer to a nonce, 32 B."""
    return hmac.digest(key, nonce, hashlib.sha256)


def answer(key: bytes, header: bytes) -> bytes | None:
    """The value of PROOF_HEADER for that of NONCE_HEADER; None if it is not 64 hex digits."""
    if len(header) != 2 * NONCE_BYTES or not header.isalnum():
        return None
    try:
        return prove(key, bytes.fromhex(header.decode())).hex().encode()
    except ValueError:
        return None
