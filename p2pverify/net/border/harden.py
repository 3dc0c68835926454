"""The border to libp2p: every name of it that we use, and what makes its version 0.8.1 safe to use.

We take its Noise handshake and session, its Yamux, its keys and its protobufs. We do not use its swarm, host and
pubsub: there, an exception in a stream handler or one malformed gossip frame ends the process. The rest is changed by
subclassing only:

- A write that has begun is finished even if its task is cancelled. Half a Noise message on the wire would make the
  connection useless while it still looks connected.
- A write that fails, or that a peer stalls, ends the connection. (The library goes on with each frame that it has
  buffered, at 100 a second.)
- Unread bytes beyond a peer's windows end the connection. (The library only logs them.)
- A finished stream can be forgotten, with its unread bytes. (The library keeps it for a minute, so a peer that opens
  streams with one byte in each could fill the memory.)

Streams and their errors are in `stream`, connections in `link`.
"""

import logging
from importlib.metadata import version

import trio

from p2pverify.net.border import lazy_import

LIBRARY_VERSION = "0.8.1"
if version("libp2p") != LIBRARY_VERSION:
    raise ImportError(
        f"libp2p {version('libp2p')} is installed, and net/border/harden.py was written for {LIBRARY_VERSION}"
    )

lazy_import.defer_packages()

from libp2p.abc import IRawConnection  # noqa: E402  # the deferral above must come first
from libp2p.crypto.ed25519 import create_new_key_pair  # noqa: E402  # as above
from libp2p.crypto.x25519 import create_new_key_pair as create_noise_key_pair  # noqa: E402  # as above
from libp2p.exceptions import BaseLibp2pError  # noqa: E402  # as above
from libp2p.identity.identify.pb.identify_pb2 import Identify  # noqa: E402  # as above
from libp2p.io.exceptions import ConnectionClosedError  # noqa: E402  # as above
from libp2p.peer.id import ID  # noqa: E402  # as above
from libp2p.pubsub.pb import rpc_pb2  # noqa: E402  # as above
from libp2p.relay.circuit_v2.pb import circuit_pb2  # noqa: E402  # as above
from libp2p.security.noise.transport import Transport as NoiseTransport  # noqa: E402  # as above
from libp2p.stream_muxer.exceptions import (  # noqa: E402  # as above
    MuxedConnUnavailable,
    MuxedStreamEOF,
    MuxedStreamError,
)
from libp2p.stream_muxer.yamux.yamux import Yamux, YamuxStream  # noqa: E402  # as above

__all__ = [
    "ID",
    "BaseLibp2pError",
    "ConnectionClosedError",
    "IRawConnection",
    "Identify",
    "MuxedConnUnavailable",
    "MuxedStreamEOF",
    "MuxedStreamError",
    "Muxer",
    "NoiseTransport",
    "YamuxStream",
    "circuit_pb2",
    "create_key_pair",
    "create_noise_key_pair",
    "rpc_pb2",
]

WRITE_SECONDS_MAX = 10.0
CLOSE_SECONDS_MAX = 0.5
#: Over all streams of one connection. A well-behaved stream holds 256 KiB, and with a piece of a file 1 MiB more.
UNREAD_BYTES_MAX = 8 * 1024 * 1024

# The library logs misbehaviour of peers at WARNING and ERROR, several lines each time. We count and log it ourselves.
logging.getLogger("libp2p").setLevel(logging.CRITICAL)

create_key_pair = create_new_key_pair


class UnreadOverflowError(trio.TooSlowError):
    """A peer filled our buffers. The library's read loop closes only on the base class, TooSlowError."""


class Muxer(Yamux):  # type: ignore[misc]  # the library is not followed by the type checker
    """Yamux on one secured connection: its writes are atomic under cancellation, its buffers bounded."""

    write_seconds_max = WRITE_SECONDS_MAX
    _write_scope: trio.CancelScope | None = None

    async def _write_frame(self, data: bytes) -> None:
        async with self._write_lock:
            deadline = trio.current_time() + self.write_seconds_max
            try:
                with trio.CancelScope(shield=True, deadline=deadline) as scope:
                    self._write_scope = scope
                    await self.secured_conn.write(data)
            except Exception:
                await self._give_up()
                raise
            finally:
                self._write_scope = None
            if scope.cancelled_caught:
                await self._give_up()
                raise MuxedStreamError("the peer does not read: the connection was closed")

    async def _give_up(self) -> None:
        """Close after a failed write. The read loop ends at once; otherwise it would first process its buffer."""
        self.event_shutting_down.set()
        await self.secured_conn.close()

    def hurry(self) -> None:
        """Limit present and future writes to a short time, because the connection is about to close."""
        self.write_seconds_max = CLOSE_SECONDS_MAX
        if self._write_scope is not None:
            deadline = trio.current_time() + CLOSE_SECONDS_MAX
            self._write_scope.deadline = min(self._write_scope.deadline, deadline)

    async def _read_data_body(self, length: int) -> bytes:
        if length + sum(map(len, self.stream_buffers.values())) > UNREAD_BYTES_MAX:
            raise UnreadOverflowError("the peer sends more than its window allows")
        body: bytes = await super()._read_data_body(length)
        return body

    async def forget(self, stream: YamuxStream) -> None:
        """Drop a stream that is closed both ways, with its unread bytes."""
        with trio.CancelScope(shield=True):
            async with self.streams_lock:
                if self.streams.get(stream.stream_id) is stream:
                    self.stream_buffers.pop(stream.stream_id, None)
                    self._finalize_stream_locked(stream, fully_closed=True)

    async def close_soon(self) -> None:
        """Close the connection properly, within twice CLOSE_SECONDS_MAX, in any state. For use in cleanup."""
        self.hurry()
        with trio.CancelScope(shield=True, deadline=trio.current_time() + 2 * CLOSE_SECONDS_MAX):
            if self.event_shutting_down.is_set():  # in this state `close` would leave readers of streams waiting
                await self._cleanup_on_error()
            else:
                await self.close()
