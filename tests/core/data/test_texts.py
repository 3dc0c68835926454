"""Schemas of texts: what is read, and what is refused."""

import pytest

from p2pverify.core.data.schema import decode_schema
from p2pverify.core.data.texts import TEXT_BYTES_MAX, TEXT_DOMAIN, TextSchema, decode_row_schema
from p2pverify.core.encoding.canon import encode, sha256
from p2pverify.core.errors import DecodeError
from tests.support.datasets import SCHEMA

NOTES = TextSchema("note", 12)


def test_either_schema_is_read() -> None:
    """By its domain. The name of a schema is the digest of its bytes."""
    assert decode_row_schema(NOTES.encode()) == NOTES
    assert NOTES.id == sha256(NOTES.encode())
    assert decode_row_schema(SCHEMA.encode()) == SCHEMA == decode_schema(SCHEMA.encode())


@pytest.mark.parametrize(
    "value",
    [
        [TEXT_DOMAIN, "note"],
        [TEXT_DOMAIN, "note", 12, 0],
        [TEXT_DOMAIN, "", 12],
        [TEXT_DOMAIN, "a\nb", 12],
        [TEXT_DOMAIN, "note", 0],
        [TEXT_DOMAIN, "note", TEXT_BYTES_MAX + 1],
        ["p2pverify/text-schema/2", "note", 12],
        [],
        TEXT_DOMAIN,
    ],
)
def test_faults(value: object) -> None:
    with pytest.raises(DecodeError):
        decode_row_schema(encode(value))


def test_rows() -> None:
    """A row is 1 to `bytes_max` bytes of UTF-8."""
    assert NOTES.text("Gr\u00fc\u00dfe".encode()) == "Gr\u00fc\u00dfe"
    for wrong in (b"", b"a" * 13, b"\xff", "\u00fc".encode()[:1]):
        with pytest.raises(DecodeError, match="text"):
            NOTES.check(wrong)
