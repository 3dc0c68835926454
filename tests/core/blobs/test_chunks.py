"""Chunk lists: lengths that follow from the size, strict reading, and spans that cover the file once."""

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from p2pverify.core.blobs import chunks
from p2pverify.core.blobs.chunks import ChunkList, chunk_bytes, chunk_count, decode_chunk_list, read_chunk_list
from p2pverify.core.contract.history.files import FILE_BYTES_MAX, FileEntry
from p2pverify.core.encoding.canon import encode
from p2pverify.core.errors import DecodeError

MIB = 1024 * 1024
SIZES = st.integers(0, 40 * MIB)


def listed(size: int) -> ChunkList:
    """A list with other hashes in each place."""
    return ChunkList(size, tuple(number.to_bytes(32, "big") for number in range(chunk_count(size))))


def entry(of: ChunkList) -> FileEntry:
    return FileEntry("a", of.size, bytes(32), of.digest)


@given(SIZES)
def test_round_trip(size: int) -> None:
    """The length of a list is known before it is read."""
    found = listed(size)
    data = found.encode()
    assert len(data) == chunks.list_bytes(size)
    assert decode_chunk_list(data) == found == read_chunk_list(entry(found), data)


@given(st.sampled_from([0, 1, 8 * 10**9, 128 * 10**9, FILE_BYTES_MAX]), st.integers(-2, 2))
def test_sizes_of_chunks(near: int, off: int) -> None:
    """At each border the list stays within its bound, and the chunks cover the file."""
    size = min(max(0, near + off), FILE_BYTES_MAX)
    each = chunk_bytes(size)
    assert each == (MIB if size < 8 * 10**9 else 4 * MIB if size < 128 * 10**9 else 16 * MIB)
    count = chunk_count(size)
    assert (count - 1) * each < size <= count * each
    assert count <= chunks.CHUNKS_MAX
    assert chunks.list_bytes(size) <= chunks.CHUNK_LIST_BYTES_MAX


@pytest.mark.parametrize("size", [0, 1, MIB - 1, MIB, MIB + 1, 20 * MIB + 77])
def test_spans_cover_the_file_once(size: int) -> None:
    spans = [listed(size).span(chunk) for chunk in range(chunk_count(size))]
    at = 0
    for offset, length in spans:
        assert offset == at
        assert 0 < length <= MIB
        at += length
    assert at == size


def test_a_chunk_is_told_by_its_hash() -> None:
    data = b"x" * 100
    one = ChunkList(100, (hashlib.sha256(data).digest(),))
    assert one.holds(0, data)
    assert not one.holds(0, data[:-1] + b"y")


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (["p2pverify/chunks/2", 1, MIB, [bytes(32)]], "another domain"),
        ([chunks.DOMAIN, FILE_BYTES_MAX + 1, 16 * MIB, []], "bytes: above"),
        ([chunks.DOMAIN, 1, 2 * MIB, [bytes(32)]], "chunk-bytes: not those"),
        ([chunks.DOMAIN, 1, 0, [bytes(32)]], "chunk-bytes: not those"),
        ([chunks.DOMAIN, 1, MIB, []], "hashes: not 1 items"),
        ([chunks.DOMAIN, MIB, MIB, [bytes(32)] * 2], "hashes: not 1 items"),
        ([chunks.DOMAIN, 1, MIB, [bytes(31)]], "hash: not 32 bytes"),
        ([chunks.DOMAIN, 1, MIB, [bytes(32)], 0], "chunk list: not 4 items"),
        ([chunks.DOMAIN, 1, MIB, [[bytes(32)]]], "too deep"),
    ],
)
def test_lists_that_are_none(value: list[object], reason: str) -> None:
    with pytest.raises(DecodeError, match=reason):
        decode_chunk_list(encode(value))


def test_a_list_of_another_file_is_refused() -> None:
    """By its length, by its digest, and by the size in it."""
    right = listed(3 * MIB)
    for wrong in (listed(2 * MIB), listed(3 * MIB - 1), ChunkList(3 * MIB, (bytes(32),) * 3)):
        with pytest.raises(DecodeError):
            read_chunk_list(entry(right), wrong.encode())
    shorter = listed(3 * MIB - 1)
    with pytest.raises(DecodeError, match="another size"):
        read_chunk_list(FileEntry("a", 3 * MIB, bytes(32), shorter.digest), shorter.encode())


def test_an_oversized_list_is_refused_by_its_length() -> None:
    with pytest.raises(DecodeError, match="too long"):
        decode_chunk_list(bytes(chunks.CHUNK_LIST_BYTES_MAX + 1))
