"""A circuit at its two ends, and in the relay.

At an end, a stream to the relay stands where a TCP connection would: Noise and Yamux run inside, so the relay sees
neither requests nor answers, and cannot answer for a peer. In the relay, bytes go from one stream to the other within
limits.
"""

import trio

from p2pverify.core.limits import Bucket
from p2pverify.net.border.stream import Stream, StreamBrokenError

WRITE_BYTES_MAX = 60_000
READ_BYTES_MAX = 16 * 1024  # at once in a relay, so that circuits take turns


class Pipe(trio.abc.Stream):
    """A stream to a relay in the form of a connection."""

    def __init__(self, stream: Stream) -> None:
        self._stream = stream

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        view = bytes(data)
        try:
            for at in range(0, len(view), WRITE_BYTES_MAX):
                await self._stream.write(view[at : at + WRITE_BYTES_MAX])
        except StreamBrokenError as error:
            raise trio.BrokenResourceError(str(error)) from error

    async def wait_send_all_might_not_block(self) -> None:
        await trio.lowlevel.checkpoint()

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        try:
            return await self._stream.read_some(max_bytes or WRITE_BYTES_MAX)
        except StreamBrokenError as error:
            raise trio.BrokenResourceError(str(error)) from error

    async def aclose(self) -> None:
        await self._stream.reset()
        await trio.lowlevel.checkpoint()


class OverBytesError(Exception):
    """One side of a circuit has sent more than a circuit may carry."""


class Joint:
    """Two streams of a relay that are one circuit. `pace` is the rate of all circuits together, in bytes."""

    def __init__(self, one: Stream, other: Stream, pace: Bucket, bytes_max: int) -> None:
        self._one = one
        self._other = other
        self._pace = pace
        self._bytes_max = bytes_max
        self.carried = 0

    async def run(self) -> None:
        """Carry bytes both ways until both sides have ended. Raises OverBytesError, StreamBrokenError."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._carry, self._one, self._other)
            nursery.start_soon(self._carry, self._other, self._one)

    async def _carry(self, source: Stream, target: Stream) -> None:
        left = self._bytes_max
        while data := await source.read_some(READ_BYTES_MAX):
            left -= len(data)
            if left < 0:
                raise OverBytesError
            await self._keep_pace(len(data))
            await target.write(data)
            self.carried += len(data)
        await target.finish()

    async def _keep_pace(self, size: int) -> None:
        """Wait until the rate of all circuits has room. Whoever comes first takes its part, even if it must wait."""
        now = int(trio.current_time() * 1000)
        wait_ms = self._pace.wait_ms(size, now)
        self._pace.owe(size, now)
        await trio.sleep(wait_ms / 1000)
