"""The messages of /p2pverify/blob/1: which bytes of which blob a peer asks for, and the answer.

A blob is a file or a chunk list, named by its SHA-256. Protocol page: protocol/blob.md.
"""

from dataclasses import dataclass
from enum import IntEnum

from p2pverify.core.contract.history.files import FILE_BYTES_MAX
from p2pverify.core.encoding.canon import as_array, as_bytes, as_uint, decode, encode
from p2pverify.core.errors import DecodeError

PIECE_BYTES_MAX = 1024 * 1024
BLOB_REQUEST_BYTES_MAX = 64
STATUS_BYTES = 1


class BlobStatus(IntEnum):
    """The first byte of an answer. After OK follow exactly the bytes that were asked for, after the others nothing."""

    OK = 0
    UNKNOWN = 1  # no counted record names it
    NOT_SERVED = 2  # it is named, and this peer has no whole copy
    BUSY = 3
    BEYOND = 4  # it is shorter than that
    UNCONFIRMED = 5  # the asker has not shown its network

    @property
    def word(self) -> str:
        return self.name.lower().replace("_", "-")


class BlobRefused(Exception):
    """A request for a blob is answered with a status other than OK."""

    def __init__(self, status: BlobStatus) -> None:
        super().__init__(status.word)
        self.status = status


@dataclass(frozen=True, slots=True)
class BlobRequest:
    """`length` bytes, at least 1, from `offset` of the blob with this SHA-256 (32 B)."""

    sha256: bytes
    offset: int
    length: int

    def encode(self) -> bytes:
        return encode([self.sha256, self.offset, self.length])


def decode_blob_request(data: bytes) -> BlobRequest:
    """Read a request. Raises DecodeError."""
    digest, offset, length = as_array(decode(data, size_max=BLOB_REQUEST_BYTES_MAX), "blob request", length=3)
    wanted = BlobRequest(
        as_bytes(digest, "sha256", size=32),
        as_uint(offset, "offset", FILE_BYTES_MAX),
        as_uint(length, "length", PIECE_BYTES_MAX),
    )
    if wanted.length == 0:
        raise DecodeError("length: 0")
    return wanted


def decode_blob_answer(data: bytes, length: int) -> bytes:
    """The bytes in an answer to a request for `length` bytes. Raises BlobRefused, DecodeError."""
    if not data:
        raise DecodeError("blob answer: empty")
    try:
        status = BlobStatus(data[0])
    except ValueError:
        raise DecodeError("blob answer: no such status") from None
    if len(data) - STATUS_BYTES != (length if status is BlobStatus.OK else 0):
        raise DecodeError("blob answer: another length")
    if status is not BlobStatus.OK:
        raise BlobRefused(status)
    return data[STATUS_BYTES:]
