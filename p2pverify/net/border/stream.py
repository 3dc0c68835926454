"""A stream to one peer: bytes in both directions, and one error for everything that can break it.

Reads are buffered, and open the peer's window in batches; the library would send a frame after each read. If the `async
with` block ends by an error or by cancellation, the stream is reset, so that the peer never waits for the rest of a
half-written frame. Otherwise it is closed.
"""

import struct
from types import TracebackType
from typing import Any, Protocol, Self

import trio

from p2pverify.net.border.harden import BaseLibp2pError, MuxedStreamEOF

READ_BYTES = 64 * 1024
WINDOW_BATCH_BYTES = 64 * 1024  # a quarter of the window that a peer starts with
CLOSE_SECONDS_MAX = 3.0
CLOSE_BYTES_MAX = 256 * 1024  # the window that a peer starts with
RESET_SECONDS_MAX = 1.0
FRAME_DATA_BYTES_MAX = 64 * 1024 - 12
_DATA_HEADER = struct.Struct("!BBHII")  # of Yamux: version 0, type 0 (data), flags, stream id, length
_BROKEN = (BaseLibp2pError, OSError, EOFError, trio.BrokenResourceError, trio.ClosedResourceError)


class StreamBrokenError(Exception):
    """The stream ended early: it was reset, its connection closed, or the peer stalled."""


class Lifeline(Protocol):
    """What a stream needs from its connection."""

    @property
    def peer(self) -> bytes: ...

    @property
    def confirmed(self) -> trio.Event: ...

    @property
    def remote(self) -> tuple[str, int] | None: ...

    @property
    def relay(self) -> bytes | None: ...

    @property
    def gossiping(self) -> trio.Event: ...

    @property
    def subscribed(self) -> trio.Event: ...


class Stream:
    """One stream of one connection. One task reads, one writes. Methods raise StreamBrokenError."""

    def __init__(self, muxed: Any, link: Lifeline) -> None:
        self._muxed = muxed
        self._buffer = bytearray()
        self._unacknowledged = 0
        self._ended = False
        self.dropped = 0  # bytes that came while we closed
        self.link = link

    @property
    def peer(self) -> bytes:
        """The key (32 B) that the peer has proven to hold."""
        return self.link.peer

    async def read_some(self, size_max: int = READ_BYTES) -> bytes:
        """Wait for bytes. Returns at least one, or none at the proper end of the stream."""
        if not self._buffer and not self._ended:
            self._buffer += await self._receive()
        chunk = bytes(self._buffer[:size_max])
        del self._buffer[:size_max]
        return chunk

    async def read_exact(self, size: int) -> bytes:
        """Wait for exactly `size` bytes. It is an error if the stream ends before."""
        while len(self._buffer) < size:
            chunk = b"" if self._ended else await self._receive()
            if not chunk:
                raise StreamBrokenError("the stream ended in the middle")
            self._buffer += chunk
        with memoryview(self._buffer) as view:  # a slice of the buffer itself would be one more copy
            data = bytes(view[:size])
        del self._buffer[:size]
        return data

    async def widen(self, size: int) -> None:
        """Let the peer send so many bytes before we read any, beside the window that it starts with.

        Without it the peer stops at the end of the window, and the library looks for more only every 10 ms.
        """
        try:
            self._muxed.recv_window += size
            await self._muxed.send_window_update(size)
        except _BROKEN as error:
            raise StreamBrokenError(f"cannot write: {error}") from error

    def has_buffered(self) -> bool:
        return bool(self._buffer) or bool(self._muxed.conn.stream_buffers.get(self._muxed.stream_id))

    async def write(self, data: bytes) -> None:
        muxed = self._muxed
        try:
            if len(data) > min(muxed.send_window, FRAME_DATA_BYTES_MAX) or muxed.send_closed or muxed.closed:
                await muxed.write(data)
                return
            # A write that fits into the window goes out at once; the library would take two locks first.
            muxed.send_window -= len(data)
            header = _DATA_HEADER.pack(0, 0, 0, muxed.stream_id, len(data))
            await muxed.conn._write_frame(header + data)  # noqa: SLF001  # overridden in `harden.Muxer`
        except _BROKEN as error:
            raise StreamBrokenError(f"cannot write: {error}") from error

    async def finish(self) -> None:
        """End our side of the stream; the peer can still write."""
        try:
            await self._muxed.close()
        except _BROKEN as error:
            raise StreamBrokenError(f"cannot close: {error}") from error

    async def reset(self) -> None:
        """Abort the stream in both directions. Never raises StreamBrokenError; cannot be cancelled."""
        with trio.CancelScope(shield=True, deadline=trio.current_time() + RESET_SECONDS_MAX):
            try:
                await self._muxed.reset()
            except _BROKEN:
                return

    async def close(self) -> None:
        """End our side and wait for the peer to end its own; reset after CLOSE_SECONDS_MAX.

        Bytes that the peer still sends are dropped. A reset at this point could overtake our last bytes.
        """
        with trio.move_on_after(CLOSE_SECONDS_MAX):
            await self.finish()
            while self.dropped < CLOSE_BYTES_MAX:
                chunk = await self.read_some()
                if not chunk:
                    return
                self.dropped += len(chunk)
        await self.reset()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if error is not None:
            await self.reset()
            return
        try:
            await self.close()
        except StreamBrokenError:
            await self.reset()
        except BaseException:
            await self.reset()
            raise

    async def _receive(self) -> bytes:
        try:
            data = self._take() or await self._wait()
            self._unacknowledged += len(data)
            if self._unacknowledged >= WINDOW_BATCH_BYTES and not self._muxed.recv_closed:
                granted, self._unacknowledged = self._unacknowledged, 0
                self._muxed.recv_window += granted
                await self._muxed.send_window_update(granted)
        except MuxedStreamEOF as error:
            if self._muxed.reset_received or not self._muxed.recv_closed:
                raise StreamBrokenError(f"cannot read: {error}") from error
            self._ended = True
            return b""
        except _BROKEN as error:
            raise StreamBrokenError(f"cannot read: {error}") from error
        return data

    def _take(self) -> bytes:
        """Take the bytes that the muxer holds for an open stream; the library would take a lock first."""
        muxed = self._muxed
        buffer: bytearray | None = muxed.conn.stream_buffers.get(muxed.stream_id)
        if not buffer or muxed.recv_closed or muxed.closed or muxed.conn.event_shutting_down.is_set():
            return b""
        data = bytes(buffer[:READ_BYTES])
        del buffer[: len(data)]
        return data

    async def _wait(self) -> bytes:
        """Let the library wait for bytes, because it knows every way in which a stream can end."""
        data: bytes = await self._muxed.conn.read_stream(self._muxed.stream_id, READ_BYTES)
        return data
