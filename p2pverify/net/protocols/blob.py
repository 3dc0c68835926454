"""Blobs, /p2pverify/blob/1: a piece of a file or of a chunk list per stream.

The asker names a blob and at most 1 MiB of it. Protocol page: protocol/blob.md.
"""

from collections.abc import Callable
from dataclasses import dataclass

from p2pverify.core.blobs.messages import (
    BLOB_REQUEST_BYTES_MAX,
    STATUS_BYTES,
    BlobRequest,
    decode_blob_answer,
    decode_blob_request,
)
from p2pverify.core.counters import Counters
from p2pverify.core.limits import Rate
from p2pverify.net.border.link import Link
from p2pverify.net.protocols.pieces import PieceLimits, Pieces
from p2pverify.node.ports import BlobSource

PROTOCOL = "/p2pverify/blob/1"
_MIB = 1024 * 1024
#: Bytes that each neighbour gets whatever the others take, and that all share beyond that.
BLOB_RATE = Rate(per_second=_MIB, burst=4 * _MIB)
BLOB_POOL = Rate(per_second=32 * _MIB, burst=64 * _MIB)
BLOB_ASKERS_MAX = 256


@dataclass(frozen=True, slots=True)
class BlobLimits(PieceLimits):
    """The limits of serving files."""

    own: Rate = BLOB_RATE
    pool: Rate = BLOB_POOL
    per_peer_max: int = 4
    open_max: int = 64
    working_per_peer_max: int = 2
    working_max: int = 16
    waiting_max: int = 48
    askers_max: int = BLOB_ASKERS_MAX


def limits_at(bytes_per_second: int) -> BlobLimits:
    """The limits for a pool of so many bytes a second, at least 1 MB."""
    own = Rate(bytes_per_second // 32, BLOB_RATE.burst)
    return BlobLimits(own=own, pool=Rate(bytes_per_second, max(2 * bytes_per_second, 2 * _MIB)))


class BlobProtocol(Pieces[BlobRequest]):
    """Serves pieces of blobs from `source`, and asks other peers for pieces. Without a source it only asks."""

    protocol, request_bytes_max = PROTOCOL, BLOB_REQUEST_BYTES_MAX
    words, refused, paced = "blobs", "blobs_refused_", "blobs_paced"

    def __init__(
        self,
        source: BlobSource | None,
        is_member: Callable[[bytes], bool],
        limits: BlobLimits,
        counters: Counters,
    ) -> None:
        super().__init__(is_member, limits, counters)
        self._source = source

    def _decode(self, data: bytes) -> BlobRequest:
        return decode_blob_request(data)

    async def _read(self, wanted: BlobRequest, *, is_member: bool) -> bytes:
        assert self._source is not None
        return await self._source.read(wanted.sha256, wanted.offset, wanted.length, is_member=is_member)

    async def fetch(self, link: Link, wanted: BlobRequest) -> bytes:
        """Ask one peer for a piece. The caller sets the deadline, and checks the bytes. Raises AskError."""
        size = STATUS_BYTES + wanted.length
        return await self.exchange(link, wanted.encode(), size, lambda data: decode_blob_answer(data, wanted.length))
