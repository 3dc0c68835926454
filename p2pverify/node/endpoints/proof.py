"""The proof that the node of a home answers at an address, and not another program. It costs one hash.

The asker sends a fresh nonce in one header. Only a process that has read the home's token and its key file can answer,
in another header, with the HMAC-SHA-256 of the nonce. Neither secret travels, so a process that took over the port
learns nothing.
"""

import hashlib
import hmac

NONCE_HEADER = "P2pverify-Nonce"
PROOF_HEADER = "P2pverify-Proof"
NONCE_BYTES = 32
_DOMAIN = b"p2pverify/home/1\0"


def home_key(token: str, identity: str) -> bytes:
    """The HMAC key of a home's proofs (32 B), from its token and the text of its key file, which may be locked."""
    return hmac.digest(token.encode(), _DOMAIN + identity.encode(), hashlib.sha256)


def prove(key: bytes, nonce: bytes) -> bytes:
    """The proof for a nonce, 32 B."""
    return hmac.digest(key, nonce, hashlib.sha256)


def answer(key: bytes, header: bytes) -> bytes | None:
    """The value of PROOF_HEADER for a value of NONCE_HEADER; None if the latter is not 64 hex digits."""
    if len(header) != 2 * NONCE_BYTES or not header.isalnum():
        return None
    try:
        return prove(key, bytes.fromhex(header.decode())).hex().encode()
    except ValueError:
        return None
