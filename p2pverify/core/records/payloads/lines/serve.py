"""The serve record: the author serves another version of the model of its class.

Protocol page: protocol/serve.md.
"""

from dataclasses import dataclass

from p2pverify.core.encoding.canon import as_bytes, encode
from p2pverify.core.records.envelope import Kind, Record, read_fields
from p2pverify.core.records.kind_rule import KindRule, Rules


@dataclass(frozen=True, slots=True)
class Serve:
    """The manifest (digest, 32 B) of the version that the author serves from now on."""

    manifest: bytes

    def encode(self) -> bytes:
        return encode([self.manifest])


def decode_serve(payload: bytes) -> Serve:
    """Read the payload of a serve record. Raises DecodeError."""
    (manifest,) = read_fields(payload, "serve", 1)
    return Serve(as_bytes(manifest, "manifest", size=32))


def _check(_serve: Serve, _record: Record, _rules: Rules) -> None:
    """Nothing to check: whether there is such a version depends on other records."""


SERVE_RULE = KindRule(Kind.SERVE, lambda _header, payload: decode_serve(payload), _check)
