"""One connection to one peer: its muxer, the streams that we open, and the streams that the peer opens.

A link lives in the nursery of its `run`. An exception of a stream handler ends only that stream.
"""

import logging
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager

import trio

from p2pverify.core.counters import Counters
from p2pverify.core.errors import RemoteProtocolError
from p2pverify.net.border import multistream
from p2pverify.net.border.harden import BaseLibp2pError, MuxedConnUnavailable, Muxer, YamuxStream
from p2pverify.net.border.roundtrip import RoundTrips
from p2pverify.net.border.stream import Stream, StreamBrokenError

StreamHandler = Callable[[Stream], Awaitable[None]]

NEGOTIATE_SECONDS_MAX = 10.0
INBOUND_STREAMS_MAX = 64

log = logging.getLogger(__name__)


class Link:
    """A live connection. `outbound` is True if we dialled it; `remote` is the other end's IP address and port.

    `relay` is the key of the relay through which it goes, None for a direct one. A relayed connection is short: it
    carries requests, and neither gossip nor sync.
    """

    def __init__(
        self,
        peer: bytes,
        muxer: Muxer,
        handlers: Mapping[str, StreamHandler],
        counters: Counters,
        *,
        outbound: bool,
        remote: tuple[str, int] | None,
        round_trips: RoundTrips | None = None,
        relay: bytes | None = None,
    ) -> None:
        self.peer = peer
        self.outbound = outbound
        self.remote = remote
        self.relay = relay
        self._uses = 0
        self._used_s = trio.current_time()
        self.confirmed = trio.Event()  # the peer has shown that it belongs to our network
        self.gossiping = trio.Event()  # our router knows the peer
        self.subscribed = trio.Event()  # the router has also read the peer's first RPC, with its subscriptions
        self.ready = trio.Event()
        self.closed = trio.Event()
        self.close_reason = ""
        self.round_trips = round_trips or RoundTrips()
        self._began_s = trio.current_time()
        self._muxer = muxer
        self._handlers = handlers
        self._counters = counters
        self._scope = trio.CancelScope()
        self._inbound = 0

    @property
    def age_s(self) -> float:
        """How long the connection has lasted, in seconds."""
        return trio.current_time() - self._began_s

    @contextmanager
    def used(self) -> Iterator[None]:
        """Mark a request of ours over this connection."""
        self._uses += 1
        try:
            yield
        finally:
            self._uses -= 1
            self._used_s = trio.current_time()

    @property
    def idle_s(self) -> float:
        """For how many seconds no request of ours has been under way."""
        return 0.0 if self._uses else trio.current_time() - self._used_s

    def close_nowait(self, reason: str) -> None:
        """Begin to close the connection."""
        self.close_reason = self.close_reason or reason
        self._scope.cancel()

    async def run(self, attend: Callable[["Link"], Awaitable[None]]) -> None:
        """Serve the connection until either side closes it; `attend` runs beside and is cancelled with it."""
        try:
            with self._scope:
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(self._muxer.start)
                    await self._muxer.event_started.wait()
                    self.ready.set()
                    nursery.start_soon(self._hurry_at_the_end)
                    nursery.start_soon(attend, self)
                    await self._accept_streams(nursery)
                    nursery.cancel_scope.cancel()
        except* Exception as group:  # noqa: BLE001  # raised in the library's loops; one link must not end the others
            self._counters.count("link_errors")
            log.warning("a connection failed: %r", group.exceptions[0])
        finally:
            self.close_reason = self.close_reason or "closed by the peer"
            self.closed.set()
            try:
                await self._muxer.close_soon()
            except (BaseLibp2pError, OSError, trio.BrokenResourceError, trio.ClosedResourceError):
                self._counters.count("link_close_errors")

    async def open_stream(self, protocol: str) -> Stream:
        """Open a stream for one protocol; use it with `async with`.

        Raises StreamBrokenError, and NotSupportedError if the peer does not speak the protocol.
        """
        if self.closed.is_set() or self._muxer.stream_backlog_semaphore.value == 0:
            raise StreamBrokenError("no further stream can be opened")
        try:
            with trio.CancelScope(shield=True):  # bounded: the muxer limits the time of a write
                muxed = await self._muxer.open_stream()
        except (BaseLibp2pError, OSError) as error:
            raise StreamBrokenError(f"cannot open: {error}") from error
        stream = Stream(muxed, self)
        try:
            began = trio.current_time()
            with trio.fail_after(NEGOTIATE_SECONDS_MAX):
                await multistream.propose(stream, protocol)
            self.round_trips.note(trio.current_time() - began)
        except trio.TooSlowError:
            await stream.reset()
            raise StreamBrokenError("the peer does not answer") from None
        except multistream.NotSupportedError:
            await stream.reset()
            raise
        except RemoteProtocolError as error:
            await stream.reset()
            raise StreamBrokenError(error.reason) from error
        except BaseException:
            await stream.reset()
            raise
        return stream

    async def _hurry_at_the_end(self) -> None:
        """Shorten the writes of a cancelled link, because a peer that does not read must not hold up the others."""
        try:
            await trio.sleep_forever()
        finally:
            self._muxer.hurry()

    async def check(self, protocol: str) -> None:
        """Close the link if the peer no longer agrees to a protocol that every peer must know."""
        try:
            async with await self.open_stream(protocol):
                return
        except (StreamBrokenError, RemoteProtocolError):
            self.close_nowait("the peer no longer answers")

    async def _accept_streams(self, nursery: trio.Nursery) -> None:
        while True:
            try:
                muxed = await self._muxer.accept_stream()
            except MuxedConnUnavailable:
                return
            stream = Stream(muxed, self)
            if self._inbound >= INBOUND_STREAMS_MAX:
                self._counters.count("streams_refused")
                await stream.reset()
                await self._muxer.forget(muxed)
                continue
            self._inbound += 1
            nursery.start_soon(self._serve, stream, muxed)

    async def _serve(self, stream: Stream, muxed: YamuxStream) -> None:
        try:
            async with stream:
                with trio.fail_after(NEGOTIATE_SECONDS_MAX):
                    protocol = await multistream.accept(stream, self._handlers.keys())
                self._counters.count("streams_accepted")
                await self._handlers[protocol](stream)
        except (StreamBrokenError, trio.TooSlowError):
            self._counters.count("streams_broken")
        except RemoteProtocolError as error:
            self._counters.count("streams_malformed")
            log.debug("a peer broke a protocol: %s", error.reason)
        except Exception:  # the last resort of this stream: a bug of ours must not reach other streams
            self._counters.count("handler_errors")
            log.exception("a stream handler failed")
        finally:
            self._inbound -= 1
            await self._muxer.forget(muxed)
