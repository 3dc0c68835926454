"""Pieces of what a peer serves: one stream for one request and one answer, within shares of bytes.

The asker writes one frame. The other side writes one frame: a status byte, and the bytes. What may be served is decided
by the node; this module enforces sizes, times and rates. `blob` and `state` are protocols of this form.
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

import trio

from p2pverify.core.blobs.messages import BlobRefused, BlobStatus
from p2pverify.core.counters import Counters
from p2pverify.core.errors import DecodeError
from p2pverify.core.limits import Rate, Shares
from p2pverify.net.border.framing import FrameTooLargeError, read_frame, write_frame
from p2pverify.net.border.link import Link
from p2pverify.net.border.multistream import NotSupportedError
from p2pverify.net.border.stream import Stream, StreamBrokenError
from p2pverify.net.protocols.fair_queue import CrowdedError, Turns
from p2pverify.node.ports import AskError

R = TypeVar("R")
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class PieceLimits:
    """The limits of serving. Times are in seconds. `own` and `pool` are bytes: see `core.limits.Shares`."""

    own: Rate
    pool: Rate
    per_peer_max: int  # open streams
    open_max: int
    working_per_peer_max: int
    working_max: int
    waiting_max: int
    askers_max: int  # keys with shares
    confirm_seconds_max: float = 10.0
    read_seconds_max: float = 20.0
    pace_seconds_max: float = 10.0  # for a turn, and for the asker's rate to have room
    take_seconds_max: float = 20.0  # for the asker to read an answer


class Pieces(Generic[R]):
    """Serves one kind of request, and sends it to other peers. Members are served before others.

    A protocol names its id, its counters (`refused` is the beginning of a name) and the size of its requests. It reads
    requests with `_decode`, and answers them with `_read`.
    """

    protocol: str
    words: str
    refused: str
    paced: str
    request_bytes_max: int

    def __init__(self, is_member: Callable[[bytes], bool], limits: PieceLimits, counters: Counters) -> None:
        self._is_member = is_member
        self._limits = limits
        self._counters = counters
        self._open: Counter[bytes] = Counter()  # streams per peer, in any state
        self._turns = Turns(limits.working_max, limits.working_per_peer_max, limits.waiting_max)
        self._shares = Shares(limits.own, limits.pool, limits.askers_max)

    def _decode(self, data: bytes) -> R:
        """Read a request. Raises DecodeError."""
        raise NotImplementedError

    async def _read(self, wanted: R, *, is_member: bool) -> bytes:
        """The bytes of the answer. Raises BlobRefused."""
        raise NotImplementedError

    # ------------------------------------------------------------ answering

    async def answer(self, stream: Stream) -> None:
        """Serve one inbound stream. Raises DecodeError for a request that is none, which resets the stream."""
        peer = stream.peer
        if self._open[peer] >= self._limits.per_peer_max or self._open.total() >= self._limits.open_max:
            await self._refuse(stream, BlobStatus.BUSY)
            return
        self._open[peer] += 1
        try:
            await self._answer(stream, await self._receive(stream))
        except BlobRefused as refused:
            await self._refuse(stream, refused.status)
        finally:
            self._open[peer] -= 1
            if not self._open[peer]:
                del self._open[peer]

    async def _receive(self, stream: Stream) -> R:
        with trio.move_on_after(self._limits.confirm_seconds_max):
            await stream.link.confirmed.wait()
        if not stream.link.confirmed.is_set():
            raise BlobRefused(BlobStatus.UNCONFIRMED)
        with trio.fail_after(self._limits.read_seconds_max):
            return self._decode(await read_frame(stream, self.request_bytes_max))

    async def _answer(self, stream: Stream, wanted: R) -> None:
        is_made = False
        try:
            with trio.fail_after(self._limits.pace_seconds_max) as patience:
                is_member = self._is_member(stream.peer)
                async with self._turns.place(stream.peer, is_member=is_member):
                    data = await self._read(wanted, is_member=is_member)
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
        self._counters.count(f"{self.words}_answered")
        self._counters.count(f"{self.words}_served_bytes", len(data))

    async def _pace(self, peer: bytes, size: int) -> None:
        """Wait until the peer's rate and the pool have room for so many bytes."""
        while not self._shares.take(peer, size, now := _now_ms()):
            self._counters.count(self.paced)
            await trio.sleep(self._shares.wait_ms(peer, size, now) / 1000)

    async def _refuse(self, stream: Stream, status: BlobStatus) -> None:
        self._counters.count(f"{self.refused}{status.word}")
        with trio.fail_after(self._limits.take_seconds_max):
            await write_frame(stream, bytes([status]))

    # ------------------------------------------------------------ asking

    async def exchange(self, link: Link, request: bytes, size_max: int, read: Callable[[bytes], T]) -> T:
        """Ask one peer, and read its frame of at most `size_max` bytes. The caller sets the deadline. Raises AskError.

        If cancelled, it resets its stream and leaves the link usable.
        """
        try:
            async with await link.open_stream(self.protocol) as stream:
                await stream.widen(size_max)
                await write_frame(stream, request)
                found = read(await read_frame(stream, size_max))
            if stream.dropped:
                raise AskError("malformed")  # something followed the frame
        except BlobRefused as refused:
            raise AskError(refused.status.word) from None
        except NotSupportedError:
            raise AskError("unsupported", f"the peer does not serve {self.words}") from None
        except FrameTooLargeError:
            raise AskError("too-large") from None
        except DecodeError:
            raise AskError("malformed") from None
        except StreamBrokenError:
            raise AskError("reset") from None
        return found


def _now_ms() -> int:
    return int(trio.current_time() * 1000)
