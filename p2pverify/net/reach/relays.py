"""The relays of a peer that nobody can dial: two reservations in distinct address groups, renewed in time.

A relay that drops or delays can then be passed by, because others try both addresses. A reservation ends with the
connection to its relay, and is made anew after the next one.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import trio

from p2pverify.core.counters import Counters
from p2pverify.core.limits import BoundedDict
from p2pverify.net.border.connection_limits import group_of
from p2pverify.net.border.link import Link
from p2pverify.net.border.multistream import NotSupportedError
from p2pverify.net.circuit.client import Circuits, RelayRefusedError
from p2pverify.node.endpoints.address import Address, address_of

RELAYS_WANTED = 2
RETRY_SECONDS = 60.0  # after a refusal
RENEWAL_SECONDS_MIN = 30.0
RENEWAL_SECONDS_MAX = 1800.0
REFUSALS_KEPT = 256


@dataclass(frozen=True, slots=True)
class _Held:
    """A reservation: the connection on which it lives, the relay's address, and when to renew it."""

    link: Link
    address: Address
    renew_s: float

    @property
    def group(self) -> str:
        return group_of(self.link.remote, loopback_counts=True)


class RelayReservations:
    """Keeps the reservations of one host.

    `links` are the connections to peers of our network, and `clock` gives Unix milliseconds. `changed` is called when
    the addresses have changed.
    """

    def __init__(
        self,
        peer: bytes,
        circuits: Circuits,
        links: Callable[[], Sequence[Link]],
        is_member: Callable[[bytes], bool],
        counters: Counters,
        *,
        clock: Callable[[], int],
        changed: Callable[[], None],
    ) -> None:
        self._peer = peer
        self._circuits = circuits
        self._links = links
        self._is_member = is_member
        self._counters = counters
        self._clock = clock
        self._changed = changed
        self._held: dict[bytes, _Held] = {}
        self._refused: BoundedDict[Link, float] = BoundedDict(REFUSALS_KEPT)  # until when a relay is not asked
        self._woken = trio.Event()
        self.are_needed = False

    def addresses(self) -> tuple[Address, ...]:
        """Where this peer is reached through its relays."""
        return tuple(held.address.through(self._peer) for _, held in sorted(self._held.items()))

    def wake(self) -> None:
        """A connection or the need for relays has changed."""
        self._woken.set()

    async def run(self) -> None:
        """Reserve and renew until cancelled."""
        while True:
            self._woken = trio.Event()
            before = self.addresses()
            self._drop()
            if self.are_needed:
                await self._renew()
                await self._add()
            self._circuits.relays = set(self._held)
            if self.addresses() != before:
                self._changed()
            with trio.move_on_at(self._next_s()):
                await self._woken.wait()

    def _next_s(self) -> float:
        if not self.are_needed:
            return float("inf")
        due = [held.renew_s for held in self._held.values()]
        if len(self._held) < RELAYS_WANTED:
            due += [until_s for link, until_s in self._refused.items() if not link.closed.is_set()]
        return min(due, default=float("inf"))

    def _drop(self) -> None:
        for relay, held in list(self._held.items()):
            if held.link.closed.is_set() or not self.are_needed:
                del self._held[relay]
        for link in [link for link in self._refused if link.closed.is_set()]:
            del self._refused[link]

    async def _renew(self) -> None:
        now_s = trio.current_time()
        for relay, held in list(self._held.items()):
            if held.renew_s <= now_s:
                del self._held[relay]
                await self._reserve(held.link)

    async def _add(self) -> None:
        """Reserve at further relays: in other address groups if there are any, members first, old connections first."""
        now_s = trio.current_time()
        for is_elsewhere in (True, False):
            for link in self._candidates():
                groups = {held.group for held in self._held.values()}
                is_other = group_of(link.remote, loopback_counts=True) not in groups
                if len(self._held) >= RELAYS_WANTED:
                    return
                if is_other is is_elsewhere and link.peer not in self._held and self._refused.get(link, 0.0) <= now_s:
                    await self._reserve(link)

    def _candidates(self) -> list[Link]:
        """A relay must be dialled by others, so only connections that we dialled ourselves show one."""
        links = [link for link in self._links() if link.outbound and link.relay is None and link.remote is not None]
        return sorted(links, key=lambda link: (not self._is_member(link.peer), -link.age_s, link.peer))

    async def _reserve(self, link: Link) -> None:
        try:
            expires_s = await self._circuits.reserve(link)
        except (RelayRefusedError, NotSupportedError):
            self._counters.count("reservations_refused")
            self._refused[link] = trio.current_time() + RETRY_SECONDS
            return
        if link.closed.is_set() or link.remote is None:
            return
        half_s = (expires_s - self._clock() / 1000) / 2
        renew_s = trio.current_time() + min(RENEWAL_SECONDS_MAX, max(RENEWAL_SECONDS_MIN, half_s))
        self._counters.count("reservations_made")
        self._held[link.peer] = _Held(link, address_of(link.remote).with_peer(link.peer), renew_s)
