"""Our end of the network: it listens, dials, and keeps at most one connection per peer.

The transport is TCP + Noise + Yamux from py-libp2p; accepting, limits and lifetimes are our own. Protocols are
registered by name with `handle`. The `attend` argument of `run` is the work for each new connection.
"""

import ipaddress
import logging
from collections.abc import Awaitable, Callable, Sequence
from functools import partial

import trio

from p2pverify.core.counters import Counters
from p2pverify.net.border import identify_ping
from p2pverify.net.border.connection_limits import INBOUND_PER_ADDRESS_MAX, HalfOpen, group_of
from p2pverify.net.border.link import Link, StreamHandler
from p2pverify.net.border.noise_yamux import OwnKeyError, UpgradeError, Upgrader, remote_of
from p2pverify.net.border.roundtrip import RoundTrips, tcp_round_trip
from p2pverify.net.border.sockets import bind_all, keep_alive
from p2pverify.node.endpoints.accepting import PatientListener
from p2pverify.node.endpoints.address import Address, parse_address

UPGRADE_SECONDS_MAX = 10.0
DIAL_SECONDS_MAX = 15.0
OUTBOUND_RESERVE = 8  # connections that we may dial beyond peers_max, so that inbound ones cannot take every place
#: Inbound connections of members beyond peers_max. Their duties and ours lead to requests between us.
WANTED_INBOUND_MAX = 16

log = logging.getLogger(__name__)


#: Opens a circuit to the peer of an address that names a relay. Raises DialError.
OpenCircuit = Callable[[Address], Awaitable[trio.abc.Stream]]


class DialError(Exception):
    """No connection could be made; the reason is for people."""


class Host:
    """One identity (32-byte seed), some listening addresses, many links. Without an address it only dials.

    `met_twin` is called with an address when another process there has proven to hold this identity. `is_wanted` says
    which inbound peers get a place when the others have none.
    """

    def __init__(
        self,
        identity_seed: bytes,
        listen: Sequence[str],
        counters: Counters,
        *,
        peers_max: int = 64,
        loopback_counts: bool = False,
        met_twin: Callable[[str], None] = lambda _where: None,
        is_wanted: Callable[[bytes], bool] = lambda _peer: False,
    ) -> None:
        self._upgrader = Upgrader(identity_seed)
        self._met_twin = met_twin
        self._is_wanted = is_wanted
        self.open_circuit: OpenCircuit | None = None  # set by what can open one
        self.peer = self._upgrader.peer
        self._listen = tuple(map(parse_address, listen))
        self._peers_max = peers_max
        self._counters = counters
        self._handlers: dict[str, StreamHandler] = {}
        self._links: dict[bytes, Link] = {}
        self._dialling: dict[bytes, trio.Event] = {}
        self._loopback_counts = loopback_counts
        self._half_open = HalfOpen()
        self._fresh_send, self._fresh_receive = trio.open_memory_channel[Link](0)
        self.addresses = tuple(address.with_peer(self.peer) for address in self._listen)
        identify_ping.register(self, self._upgrader.public_key_protobuf)

    @property
    def protocols(self) -> tuple[str, ...]:
        return tuple(self._handlers)

    def handle(self, protocol: str, handler: StreamHandler) -> None:
        """Serve a protocol; an exception of the handler resets only its own stream."""
        assert protocol not in self._handlers
        self._handlers[protocol] = handler

    def link(self, peer: bytes) -> Link | None:
        """The live link to a peer."""
        link = self._links.get(peer)
        return None if link is None or link.closed.is_set() else link

    def links(self) -> tuple[Link, ...]:
        return tuple(self._links.values())

    @property
    def has_room(self) -> bool:
        return len(self._links) < self._peers_max

    def listen(self) -> list[trio.SocketListener]:
        """Bind the listening addresses; from now on our own addresses are known. Raises ListenError."""
        listeners = bind_all(self._listen)
        names = [listener.socket.getsockname() for listener in listeners]
        self.addresses = tuple(
            Address(wanted.kind, str(name[0]), int(name[1]), self.peer)
            for wanted, name in zip(self._listen, names, strict=True)
        )
        return listeners

    async def run(
        self,
        listeners: Sequence[trio.SocketListener],
        attend: Callable[[Link], Awaitable[None]],
        ended: Callable[[Link], None],
    ) -> None:
        """Serve connections until cancelled. `attend` runs beside each link; `ended` is called after it."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._run_links, attend, ended)
            for listener in listeners:
                nursery.start_soon(self._serve, listener, nursery)

    async def _serve(self, listener: trio.SocketListener, nursery: trio.Nursery) -> None:
        """Accept the connections of one listening address."""
        patient = PatientListener(listener, lambda: self._counters.count("accepts_failed"))
        while True:
            nursery.start_soon(self._accept, await patient.accept())

    async def dial(self, address: Address) -> Link:
        """The link to the peer at an address, or the existing link to that peer. Raises DialError."""
        if address.peer is None:
            return await self._dial(address)
        while address.peer in self._dialling:
            await self._dialling[address.peer].wait()
        existing = self.link(address.peer)
        if existing is not None and (existing.relay is None or address.relay is not None):
            return existing
        done = self._dialling[address.peer] = trio.Event()
        try:
            return await self._dial(address)
        finally:
            del self._dialling[address.peer]
            done.set()

    async def _dial(self, address: Address) -> Link:
        if len(self._links) >= self._peers_max + OUTBOUND_RESERVE:
            raise DialError("there are too many connections")
        try:
            with trio.fail_after(DIAL_SECONDS_MAX):
                stream = await self._open(address)
                link = await self._introduce(stream, outbound=True, expected=address.peer, relay=address.relay)
                await wait_either(link.ready, link.closed)
        except trio.TooSlowError:
            raise DialError("the peer does not answer in time") from None
        except OwnKeyError as error:
            self._met_twin(f"at {address.without_peer_text()}")
            raise DialError(str(error)) from error
        except (OSError, UpgradeError) as error:
            raise DialError(str(error)) from error
        if not link.closed.is_set():
            return link
        winner = self.link(link.peer)
        if winner is None:
            raise DialError(link.close_reason)
        return winner

    async def _open(self, address: Address) -> trio.abc.Stream:
        """Raises OSError, and DialError for a circuit that cannot be opened."""
        if address.relay is None:
            source = _source(self._listen, address)
            return await trio.open_tcp_stream(address.host, address.port, local_address=source)
        if self.open_circuit is None:
            raise DialError("no circuit can be opened from here")
        return await self.open_circuit(address)

    async def accept_circuit(self, stream: trio.abc.Stream, relay: bytes, expected: bytes) -> None:
        """Take a connection that a peer has opened through a relay; returns at its end."""
        link = await self._accept(stream, relay=relay, expected=expected)
        if link is not None:
            await link.closed.wait()

    async def _accept(
        self, stream: trio.abc.Stream, *, relay: bytes | None = None, expected: bytes | None = None
    ) -> Link | None:
        """Upgrade an inbound connection. If too many are half open, the oldest one is cancelled."""
        scope = trio.move_on_after(UPGRADE_SECONDS_MAX)
        remote = remote_of(stream)
        number, has_evicted = self._half_open.enter(self._group(remote, relay), scope)
        if has_evicted:
            self._counters.count("half_open_evicted")
        try:
            with scope:
                return await self._introduce(stream, outbound=False, expected=expected, relay=relay)
        except OwnKeyError:
            self._met_twin("which dialled us" if remote is None else f"which dialled us from {remote[0]}")
        except (UpgradeError, OSError) as error:
            self._counters.count("handshakes_failed")
            log.debug("a handshake failed: %s", error)
        finally:
            self._half_open.leave(number)
        if scope.cancelled_caught:
            self._counters.count("handshakes_timed_out")
        return None

    async def _introduce(
        self,
        stream: trio.abc.Stream,
        *,
        outbound: bool,
        expected: bytes | None = None,
        relay: bytes | None = None,
    ) -> Link:
        """Upgrade a connection and pass it to the task that runs links. Closes it if that fails."""
        try:
            round_trips = RoundTrips()
            if isinstance(stream, trio.SocketStream):
                keep_alive(stream)
                round_trips = RoundTrips(partial(tcp_round_trip, stream))
            remote = remote_of(stream)
            peer, muxer = await self._upgrader.upgrade(stream, outbound=outbound, expected=expected)
            link = Link(
                peer,
                muxer,
                self._handlers,
                self._counters,
                outbound=outbound,
                remote=remote,
                round_trips=round_trips,
                relay=relay,
            )
            await self._fresh_send.send(link)
        except BaseException:
            await trio.aclose_forcefully(stream)
            raise
        return link

    async def _run_links(self, attend: Callable[[Link], Awaitable[None]], ended: Callable[[Link], None]) -> None:
        async with trio.open_nursery() as nursery:
            async for link in self._fresh_receive:
                existing = self.link(link.peer)
                reason = self._refuse(link, existing)
                if not reason:
                    self._links[link.peer] = link
                    nursery.start_soon(self._run_link, link, attend, ended)
                    continue
                link.close_nowait(reason)
                nursery.start_soon(link.run, attend)
                if existing is not None:
                    nursery.start_soon(existing.check, identify_ping.PING)

    def _refuse(self, link: Link, existing: Link | None) -> str:
        """Why a fresh link is refused, "" if it is not. Of two links to one peer, both sides keep the same one.

        They keep a direct link rather than a relayed one, and of two of one sort the older. But if these two were
        dialled from different sides, they keep the link that the peer with the lesser key dialled. Of two circuits that
        one side has opened through different relays they keep the newer, because the first relay may have failed.
        """
        if existing is None:
            if not link.outbound and not self._has_place(link):
                self._counters.count("links_refused")
                return "there are too many connections"
            if not link.outbound and self._is_crowded(self._group(link.remote, link.relay)):
                self._counters.count("links_refused_by_address")
                return "there are too many connections from one address"
        elif existing.relay is not None and link.relay is None:
            existing.close_nowait("replaced by a direct connection")
        elif existing.relay is None and link.relay is not None:
            self._counters.count("links_doubled")
            return "there is a direct connection already"
        elif existing.relay != link.relay and existing.outbound == link.outbound:
            existing.close_nowait("replaced by another circuit")
        elif existing.outbound == link.outbound or link.outbound != (self.peer < link.peer):
            self._counters.count("links_doubled")
            return "there is a connection already"
        else:
            existing.close_nowait("replaced by another connection")
        return ""

    def _has_place(self, link: Link) -> bool:
        """Whether an inbound link fits. Members get places of their own, so that strangers cannot take them all."""
        if self.has_room:
            return True
        is_wanted = len(self._links) < self._peers_max + WANTED_INBOUND_MAX and self._is_wanted(link.peer)
        if is_wanted:
            self._counters.count("links_of_members_kept")
        return is_wanted

    def _group(self, remote: tuple[str, int] | None, relay: bytes | None = None) -> str:
        """The address under which a connection counts; circuits count under their relay."""
        if relay is not None:
            return f"relay {relay.hex()}"
        return group_of(remote, loopback_counts=self._loopback_counts)

    def _is_crowded(self, group: str) -> bool:
        groups = [self._group(link.remote, link.relay) for link in self._links.values() if not link.outbound]
        inbound = groups.count(group)
        return group != "" and inbound >= INBOUND_PER_ADDRESS_MAX

    async def _run_link(
        self, link: Link, attend: Callable[[Link], Awaitable[None]], ended: Callable[[Link], None]
    ) -> None:
        self._counters.count("links_opened")
        try:
            await link.run(attend)
        finally:
            if self._links.get(link.peer) is link:
                del self._links[link.peer]
            self._counters.count("links_closed")
            ended(link)


def _source(listen: Sequence[Address], target: Address) -> str | None:
    """The local address to dial from; None leaves it to the system.

    If several peers run on one machine, each dials from the loopback address on which it listens.
    """
    if not is_loopback(target):
        return None
    return next((own.host for own in listen if own.kind == target.kind and is_loopback(own)), None)


def is_loopback(address: Address) -> bool:
    """Whether an address is one of this machine alone."""
    return address.kind in ("ip4", "ip6") and ipaddress.ip_address(address.host).is_loopback


async def wait_either(first: trio.Event, second: trio.Event) -> None:
    """Wait until one of two events has happened."""
    async with trio.open_nursery() as nursery:

        async def wait(event: trio.Event) -> None:
            await event.wait()
            nursery.cancel_scope.cancel()

        nursery.start_soon(wait, first)
        nursery.start_soon(wait, second)
