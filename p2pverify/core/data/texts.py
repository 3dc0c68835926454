"""The schema of texts: rows of one column, for rounds of a language model. Protocol page: protocol/data.md.

row = the text in UTF-8
"""

from dataclasses import dataclass
from typing import TypeAlias

from p2pverify.core.data.schema import SCHEMA_BYTES_MAX, Schema, decode_schema, read_name
from p2pverify.core.encoding.canon import as_array, as_uint, decode, encode, sha256
from p2pverify.core.errors import DecodeError

TEXT_DOMAIN = "p2pverify/text-schema/1"
#: Bytes of a text: a row that a round shows has no more.
TEXT_BYTES_MAX = 1024


@dataclass(frozen=True, slots=True)
class TextSchema:
    """Rows are texts of 1 to `bytes_max` bytes. `column` is their name in a table."""

    column: str
    bytes_max: int

    def encode(self) -> bytes:
        """The canonical bytes. Their SHA-256 is the schema's name on the ledger."""
        return encode([TEXT_DOMAIN, self.column, self.bytes_max])

    @property
    def id(self) -> bytes:
        """SHA-256 of the canonical bytes: 32 bytes."""
        return sha256(self.encode())

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns of a table that a row needs."""
        return (self.column,)

    def text(self, row: bytes) -> str:
        """The text of a row. Raises DecodeError if it is no row of this schema."""
        if not 0 < len(row) <= self.bytes_max:
            raise DecodeError(f"text: not 1 to {self.bytes_max} bytes")
        try:
            return row.decode()
        except UnicodeDecodeError:
            raise DecodeError("text: not UTF-8") from None

    def check(self, row: bytes) -> None:
        """Raises DecodeError if it is no row of this schema."""
        self.text(row)


RowSchema: TypeAlias = Schema | TextSchema


def decode_row_schema(data: bytes) -> RowSchema:
    """Read a canonical schema of either kind. Raises DecodeError."""
    top = decode(data, size_max=SCHEMA_BYTES_MAX, depth_max=4)
    if type(top) is not list or not top or top[0] != TEXT_DOMAIN:
        return decode_schema(data)
    _, column, most = as_array(top, "schema", length=3)
    found = TextSchema(read_name(column, "column"), as_uint(most, "bytes_max", TEXT_BYTES_MAX))
    if not found.bytes_max:
        raise DecodeError("bytes_max is below 1")
    return found
