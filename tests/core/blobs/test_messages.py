"""Requests for blobs and their answers."""

import pytest

from p2pverify.core.blobs.messages import (
    BLOB_REQUEST_BYTES_MAX,
    PIECE_BYTES_MAX,
    BlobRefused,
    BlobRequest,
    BlobStatus,
    decode_blob_answer,
    decode_blob_request,
)
from p2pverify.core.contract.history.files import FILE_BYTES_MAX
from p2pverify.core.encoding.canon import encode
from p2pverify.core.errors import DecodeError


def test_the_longest_request_fits() -> None:
    longest = BlobRequest(b"\xff" * 32, FILE_BYTES_MAX, PIECE_BYTES_MAX)
    assert len(longest.encode()) <= BLOB_REQUEST_BYTES_MAX
    assert decode_blob_request(longest.encode()) == longest


@pytest.mark.parametrize(
    "value",
    [
        [bytes(31), 0, 1],
        [bytes(32), 0, 0],
        [bytes(32), 0, PIECE_BYTES_MAX + 1],
        [bytes(32), FILE_BYTES_MAX + 1, 1],
        [bytes(32), -1, 1],
        [bytes(32), 0],
        ["/etc/passwd", 0, 1],
    ],
)
def test_requests_that_are_none(value: list[object]) -> None:
    with pytest.raises(DecodeError):
        decode_blob_request(encode(value))


def test_answers() -> None:
    """A status alone refuses; bytes are exactly as many as were asked for."""
    assert decode_blob_answer(b"\0abc", 3) == b"abc"
    for status in list(BlobStatus)[1:]:
        with pytest.raises(BlobRefused) as caught:
            decode_blob_answer(bytes([status]), 3)
        assert caught.value.status is status


@pytest.mark.parametrize("data", [b"", b"\0", b"\0ab", b"\0abcd", b"\1x", b"\x63", b"\xffabc"])
def test_answers_that_are_none(data: bytes) -> None:
    with pytest.raises(DecodeError):
        decode_blob_answer(data, 3)
