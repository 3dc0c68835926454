"""The chunk list of a file: the SHA-256 of each of its chunks, so that a false chunk shows before the file is whole.

Everything about a list but its hashes follows from the size of the file, its own length too. So a reader knows how
much to ask for, and nobody can send it more. Protocol page: protocol/blob.md.
"""

from dataclasses import dataclass

from p2pverify.core.contract.history.files import FILE_BYTES_MAX, FileEntry
from p2pverify.core.encoding.canon import as_array, as_bytes, as_uint, decode, encode, sha256
from p2pverify.core.errors import DecodeError

DOMAIN = "p2pverify/chunks/1"
HASH_BYTES = 32
CHUNK_LIST_BYTES_MAX = 2 * 1024 * 1024
CHUNKS_MAX = 60_000
_MIB = 1024 * 1024
#: Files below a size have chunks of so many bytes.
_SIZES = ((8 * 10**9, _MIB), (128 * 10**9, 4 * _MIB), (FILE_BYTES_MAX + 1, 16 * _MIB))
_ENCODED_HASH_BYTES = HASH_BYTES + 2


def chunk_bytes(size: int) -> int:
    """The bytes of each chunk of a file of `size` bytes; the last chunk may have fewer."""
    return next(chunk for below, chunk in _SIZES if size < below)


def chunk_count(size: int) -> int:
    """The chunks of a file of `size` bytes."""
    return -(-size // chunk_bytes(size))


def list_bytes(size: int) -> int:
    """The length in bytes of the chunk list of a file of `size` bytes."""
    count = chunk_count(size)
    head = len(encode([DOMAIN, size, chunk_bytes(size)]))
    return head + len(encode(count)) + count * _ENCODED_HASH_BYTES  # an array's head is as long as its length's number


@dataclass(frozen=True, slots=True)
class ChunkList:
    """The size of a file in bytes, and the SHA-256 of each of its chunks in order (32 B each)."""

    size: int
    hashes: tuple[bytes, ...]

    def encode(self) -> bytes:
        return encode([DOMAIN, self.size, chunk_bytes(self.size), list(self.hashes)])

    @property
    def digest(self) -> bytes:
        return sha256(self.encode())

    def span(self, chunk: int) -> tuple[int, int]:
        """Where a chunk stands in the file: its offset and its length in bytes."""
        offset = chunk * chunk_bytes(self.size)
        return offset, min(chunk_bytes(self.size), self.size - offset)

    def holds(self, chunk: int, data: bytes) -> bool:
        """Whether these bytes are the chunk."""
        return sha256(data) == self.hashes[chunk]


def decode_chunk_list(data: bytes) -> ChunkList:
    """Read a chunk list. Raises DecodeError."""
    items = as_array(decode(data, size_max=CHUNK_LIST_BYTES_MAX, depth_max=2), "chunk list", length=4)
    domain, size, each, hashes = items
    if domain != DOMAIN:
        raise DecodeError("chunk list: another domain")
    size = as_uint(size, "bytes", FILE_BYTES_MAX)
    if as_uint(each, "chunk-bytes") != chunk_bytes(size):
        raise DecodeError("chunk-bytes: not those of a file of this size")
    found = as_array(hashes, "hashes", length=chunk_count(size))
    return ChunkList(size, tuple(as_bytes(item, "hash", size=HASH_BYTES) for item in found))


def read_chunk_list(entry: FileEntry, data: bytes) -> ChunkList:
    """Read the chunk list of a file. Raises DecodeError if it is not the one that the entry names."""
    if len(data) != list_bytes(entry.size) or sha256(data) != entry.chunks:
        raise DecodeError("not the chunk list of this file")
    found = decode_chunk_list(data)
    if found.size != entry.size:
        raise DecodeError("a chunk list of another size")
    return found
