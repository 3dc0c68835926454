"""Blobs, /p2pverify/blob/1: a piece of a file or of a chunk list per stream.

The asker writes one frame, which names a blob and at most 1 MiB of it. The other side writes one frame: a status byte,
and the bytes. What may be served is decided by the node; this module enforces sizes, times and rates. Protocol page:
protocol/blob.md.
"""

import logging
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

import trio

from p2pverify.core.blobs.messages import (
    BLOB_REQUEST_BYTES_MAX,
    STATUS_BYTES,
    BlobRefused,
    BlobRequest,
    BlobStatus,
    decode_blob_answer,
    decode_blob_request,
)
from p2pverify.core.counters import Counters
from p2pverify.core.errors import DecodeError
from p2pverify.core.limits import Rate, Shares
from p2pverify.net.border.framing import FrameTooLargeError, read_frame, write_frame
from p2pverify.net.border.link import Link
from p2pverify.net.border.multistream import NotSupportedError
from p2pverify.net.border.stream import Stream, StreamBrokenError
from p2pverify.net.protocols.fair_queue import CrowdedError, Turns
from p2pverify.node.ports import AskError, BlobSource

PROTOCOL = "/p2pverify/blob/1"
_MIB = 1024 * 1024
#: Bytes that each neighbour gets whatever the others take, and that all share beyond that.
BLOB_RATE = Rate(per_second=_MIB, burst=4 * _MIB)
BLOB_POOL = Rate(per_second=32 * _MIB, burst=64 * _MIB)
BLOB_ASKERS_MAX = 256

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class BlobLimits:
    """The limits of serving. Times are in seconds."""

    per_peer_max: int = 4  # open streams
    open_max: int = 64
    working_per_peer_max: int = 2
    working_max: int = 16
    waiting_max: int = 48
    own: Rate = BLOB_RATE
    pool: Rate = BLOB_POOL
    confirm_seconds_max: float = 10.0
    read_seconds_max: float = 20.0
    pace_seconds_max: float = 10.0  # for a turn, and for the asker's rate to have room
    take_seconds_max: float = 20.0  # for the asker to read an answer


def limits_at(bytes_per_second: int) -> BlobLimits:
    """The limits for a pool of so many bytes a second, at least 1 MB."""
    own = Rate(bytes_per_second // 32, BLOB_RATE.burst)
    return BlobLimits(own=own, pool=Rate(bytes_per_second, max(2 * bytes_per_second, 2 * _MIB)))


class BlobProtocol:
    """Serves pieces of blobs from `source`, and asks other peers for pieces. Members are served before others.

    Without a source it only asks.
    """

    def __init__(
        self,
        source: BlobSource | None,
        is_member: Callable[[bytes], bool],
        limits: BlobLimits,
        counters: Counters,
    ) -> None:
        self._source = source
        self._is_member = is_member
        self._limits = limits
        self._counters = counters
        self._open: Counter[bytes] = Counter()  # streams per peer, in any state
        self._turns = Turns(limits.working_max, limits.working_per_peer_max, limits.waiting_max)
        self._shares = Shares(limits.own, limits.pool, BLOB_ASKERS_MAX)

    # ------------------------------------------------------------ answering

    async def answer(self, stream: Stream) -> None:
        """Serve one inbound stream. Raises DecodeError for a request that is none, which resets the stream."""
        peer = stream.peer
        if self._open[peer] >= self._limits.per_peer_max or self._open.total() >= self._limits.open_max:
            await self._refuse(stream, BlobStatus.BUSY)
            return
        self._open[peer] += 1
        try:
            await self._answer(stream, await self._read(stream))
        except BlobRefused as refused:
            await self._refuse(stream, refused.status)
        finally:
            self._open[peer] -= 1
            if not self._open[peer]:
                del self._open[peer]

    async def _read(self, stream: Stream) -> BlobRequest:
        with trio.move_on_after(self._limits.confirm_seconds_max):
            await stream.link.confirmed.wait()
        if not stream.link.confirmed.is_set():
            raise BlobRefused(BlobStatus.UNCONFIRMED)
        with trio.fail_after(self._limits.read_seconds_max):
            return decode_blob_request(await read_frame(stream, BLOB_REQUEST_BYTES_MAX))

    async def _answer(self, stream: Stream, wanted: BlobRequest) -> None:
        assert self._source is not None
        is_made = False
        try:
            with trio.fail_after(self._limits.pace_seconds_max) as patience:
                is_member = self._is_member(stream.peer)
                async with self._turns.place(stream.peer, is_member=is_member):
                    data = await self._source.read(wanted.sha256, wanted.offset, wanted.length, is_member=is_member)
                    await self._pace(stream.peer, len(data))
                    is_made = True
                    patience.deadline = trio.current_time() + self._limits.take_seconds_max
                    await write_frame(stream, bytes([BlobStatus.OK]) + data)
        except CrowdedError:
            raise BlobRefused(BlobStatus.BUSY) from None
        except trio.TooSlowError:
            if is_made:
                raise  # the asker did not read it
            raise BlobRefused(BlobStatus.BUSY) from None
        self._counters.count("blobs_answered")
        self._counters.count("blobs_served_bytes", len(data))

    async def _pace(self, peer: bytes, size: int) -> None:
        """Wait until the peer's rate and the pool have room for so many bytes."""
        while not self._shares.take(peer, size, now := _now_ms()):
            self._counters.count("blobs_paced")
            await trio.sleep(self._shares.wait_ms(peer, size, now) / 1000)

    async def _refuse(self, stream: Stream, status: BlobStatus) -> None:
        self._counters.count(f"blobs_refused_{status.word}")
        with trio.fail_after(self._limits.take_seconds_max):
            await write_frame(stream, bytes([status]))

    # ------------------------------------------------------------ asking

    async def fetch(self, link: Link, wanted: BlobRequest) -> bytes:
        """Ask one peer for a piece. The caller sets the deadline, and checks the bytes. Raises AskError.

        If cancelled, it resets its stream and leaves the link usable.
        """
        try:
            async with await link.open_stream(PROTOCOL) as stream:
                await stream.widen(wanted.length)
                await write_frame(stream, wanted.encode())
                data = decode_blob_answer(await read_frame(stream, STATUS_BYTES + wanted.length), wanted.length)
            if stream.dropped:
                raise AskError("malformed")  # something followed the frame
        except BlobRefused as refused:
            raise AskError(refused.status.word) from None
        except NotSupportedError:
            raise AskError("unsupported", "the peer serves no blobs") from None
        except FrameTooLargeError:
            raise AskError("too-large") from None
        except DecodeError:
            raise AskError("malformed") from None
        except StreamBrokenError:
            raise AskError("reset") from None
        return data


def _now_ms() -> int:
    return int(trio.current_time() * 1000)
