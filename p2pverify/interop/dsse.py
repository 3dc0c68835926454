"""DSSE envelopes around in-toto statements: https://github.com/secure-systems-lab/dsse, version 1.0.0."""

import base64
import binascii
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from p2pverify.interop.foreign import FOREIGN_BYTES_MAX, ForeignError, Json, member, parse_json

PAYLOAD_TYPE = "application/vnd.in-toto+json"
STATEMENT_TYPE = "https://in-toto.io/Statement/v1"
SIGNATURES_MAX = 16
_SIGNATURE_BYTES_MAX = 1024


@dataclass(frozen=True, slots=True)
class Envelope:
    """An envelope: the payload's bytes, and pairs of a key id (may be "") and a signature."""

    payload: bytes
    signatures: tuple[tuple[str, bytes], ...]

    def to_json(self) -> Json:
        return {
            "payload": _base64(self.payload),
            "payloadType": PAYLOAD_TYPE,
            "signatures": [{"keyid": keyid, "sig": _base64(signature)} for keyid, signature in self.signatures],
        }

    @property
    def signed(self) -> bytes:
        """What the signatures are over."""
        return signed_bytes(self.payload)


def signed_bytes(payload: bytes) -> bytes:
    """DSSE's pre-authentication encoding of a payload."""
    return b"DSSEv1 %d %s %d %s" % (len(PAYLOAD_TYPE), PAYLOAD_TYPE.encode(), len(payload), payload)


def seal(statement: Json, signers: Sequence[tuple[str, Callable[[bytes], bytes]]]) -> Envelope:
    """Sign a statement. A signer is a key id and the function that signs bytes."""
    payload = json.dumps(statement, separators=(",", ":")).encode()
    return Envelope(payload, tuple((keyid, sign(signed_bytes(payload))) for keyid, sign in signers))


def read_envelope(value: Json) -> Envelope:
    """Read an envelope. Whether its signatures hold is not checked. Raises ForeignError."""
    if member(value, "payloadType") != PAYLOAD_TYPE:
        raise ForeignError(f"a DSSE envelope whose payload is not {PAYLOAD_TYPE}")
    signatures = member(value, "signatures")
    if not isinstance(signatures, list) or not 0 < len(signatures) <= SIGNATURES_MAX:
        raise ForeignError(f"a DSSE envelope without signatures, or with more than {SIGNATURES_MAX}")
    read = []
    for item in signatures:
        keyid = member(item, "keyid")
        if keyid is not None and not isinstance(keyid, str):
            raise ForeignError("a DSSE signature whose keyid is no text")
        read.append((keyid or "", _bytes(member(item, "sig"), _SIGNATURE_BYTES_MAX)))
    return Envelope(_bytes(member(value, "payload"), FOREIGN_BYTES_MAX), tuple(read))


def read_statement(payload: bytes, predicate_type: str) -> tuple[list[Json], Json]:
    """The subjects and the predicate of an in-toto statement v1. Raises ForeignError."""
    statement = parse_json(payload)
    if member(statement, "_type") != STATEMENT_TYPE:
        raise ForeignError("not an in-toto statement of version 1")
    found = member(statement, "predicateType")
    if found != predicate_type:
        raise ForeignError(f"a statement of predicate {str(found)[:120]}, and {predicate_type} is expected")
    subjects = member(statement, "subject")
    if not isinstance(subjects, list) or not subjects:
        raise ForeignError("an in-toto statement without subjects")
    return subjects, member(statement, "predicate")


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def _bytes(value: Json, size_max: int) -> bytes:
    if not isinstance(value, str):
        raise ForeignError("a DSSE envelope lacks its payload or a signature")
    try:
        data = base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError):
        raise ForeignError("a DSSE envelope is not in base64") from None
    if len(data) > size_max:
        raise ForeignError(f"a part of a DSSE envelope has more than {size_max} bytes")
    return data
