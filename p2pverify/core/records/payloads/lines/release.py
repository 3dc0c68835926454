"""The record of a release: a version of a line, and the signatures of its publishers.

Protocol page: protocol/release.md.
"""

from dataclasses import dataclass

from p2pverify.core.contract.history.release import Release, read_release
from p2pverify.core.encoding.canon import encode
from p2pverify.core.errors import DecodeError
from p2pverify.core.records.envelope import Kind, Record, read_fields
from p2pverify.core.records.kind_rule import KindRule, Rules
from p2pverify.core.records.payloads.lines.signatures import (
    SIGNED_CHECKS,
    Signatures,
    check_statement,
    read_signatures,
    signatures_value,
)

_FIELDS = 9


@dataclass(frozen=True, slots=True)
class SignedRelease:
    """A release with the signatures of at least one publisher."""

    release: Release
    signatures: Signatures

    def encode(self) -> bytes:
        return encode([*self.release.to_value(), signatures_value(self.signatures)])


def decode_signed_release(payload: bytes) -> SignedRelease:
    """Read the payload of a release. Raises DecodeError."""
    *items, signatures = read_fields(payload, "release", _FIELDS)
    found = SignedRelease(read_release(items), read_signatures(signatures))
    if not found.signatures:
        raise DecodeError("nobody signed the release")
    return found


def _check(found: SignedRelease, _record: Record, rules: Rules) -> None:
    check_statement(found.release.line, found.release.statement(rules.network_id), found.signatures, rules)


RELEASE_RULE = KindRule(
    Kind.RELEASE, lambda _header, payload: decode_signed_release(payload), _check, checks=lambda _size: SIGNED_CHECKS
)
