"""How this peer is reached, as a whole: dial-back, relays, its own service as a relay, and ports of the router."""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import trio

from p2pverify.core.counters import Counters
from p2pverify.net.border.connection_limits import group_of
from p2pverify.net.border.host import Host
from p2pverify.net.border.link import Link
from p2pverify.net.circuit.client import Circuits
from p2pverify.net.circuit.server import RelayServer, register
from p2pverify.net.peers.signed_addresses import OwnAddresses
from p2pverify.net.reach.clocks import PeerClocks
from p2pverify.net.reach.dialback import Dialback
from p2pverify.net.reach.reachability import Reachability
from p2pverify.net.reach.relays import RelayReservations
from p2pverify.net.reach.upnp import MapPort, PortMapping, map_port
from p2pverify.node.endpoints.address import Address
from p2pverify.node.endpoints.reach import Reach


@dataclass(frozen=True, slots=True)
class ReachSettings:
    """`relay`: serve as a relay for peers that nobody can dial. `map_port` asks the router; None leaves it alone."""

    relay: bool = True
    map_port: MapPort | None = None


def reach_settings(*, relay: bool, upnp: bool) -> ReachSettings:
    """The settings that an operator chooses."""
    return ReachSettings(relay, map_port if upnp else None)


class Reaching:
    """The parts of one host. `links` are its connections to peers of our network.

    `tell` is called when our addresses have changed, and `clock` gives Unix milliseconds.
    """

    def __init__(
        self,
        host: Host,
        seed: bytes,
        own: OwnAddresses,
        links: Callable[[], Sequence[Link]],
        is_member: Callable[[bytes], bool],
        counters: Counters,
        dice: random.Random,
        settings: ReachSettings,
        *,
        clock: Callable[[], int],
        tell: Callable[[], None],
        loopback_counts: bool,
    ) -> None:
        self._host = host
        self._own = own
        self._tell = tell
        self._settings = settings
        self._circuits = Circuits(host, counters)
        self._circuits.serve()
        self._relays = RelayReservations(
            host.peer, self._circuits, links, is_member, counters, clock=clock, changed=self._relays_have_changed
        )
        self._clocks = PeerClocks()
        self._dialback = Dialback(host, counters, clock=clock, told=self._note_clock)
        self._reachability = Reachability(host, own, self._dialback, self._relays, links, counters, dice, tell)
        self._server = RelayServer(
            host,
            seed,
            is_member,
            self._direct,
            counters,
            clock=clock,
            serves=self._can_relay,
            loopback_counts=loopback_counts,
        )
        self._mapping = PortMapping(settings.map_port, counters) if settings.map_port is not None else None
        if settings.relay:
            register(host, self._server)

    async def run(self) -> None:
        """Find out and keep up to date until cancelled."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._relays.run)
            nursery.start_soon(self._reachability.run)
            if self._mapping is not None:
                nursery.start_soon(self._mapping.run, self._host.addresses, self._is_mapped)

    def wake(self) -> None:
        """Connections have changed."""
        self._reachability.wake()

    def report(self) -> Reach:
        """What is known now."""
        clocks, ahead_ms = self._clocks.report()
        found = replace(
            self._reachability.report(), serves=len(self._server.reserved), clocks=clocks, clock_ahead_ms=ahead_ms
        )
        if self._mapping is None:
            return found
        return replace(found, mapped=self._mapping.told, mapping_failed=self._mapping.failed)

    def _note_clock(self, link: Link, ahead_ms: int) -> None:
        self._clocks.note(group_of(link.remote, loopback_counts=True), ahead_ms)

    def _can_relay(self) -> bool:
        return self._settings.relay and self._reachability.can_relay and bool(self._direct())

    def _direct(self) -> tuple[Address, ...]:
        return self._own.direct(self._host.addresses)

    def _relays_have_changed(self) -> None:
        self._own.relay(self._relays.addresses())
        self._tell()

    def _is_mapped(self, addresses: Sequence[Address]) -> None:
        self._own.map(addresses)
        self._tell()
        self._reachability.check_again()
