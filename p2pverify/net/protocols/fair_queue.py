"""Decides whose request is served next under load: peers take turns, and members come before non-members.

So non-members keep the engine busy only while no member wants it, and a peer waits for the turns of other peers, not
for their whole queues. The caller does the work.
"""

from collections import Counter, OrderedDict, deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import trio

#: After this many turns of members in a row, a waiting non-member gets one.
MEMBERS_IN_A_ROW_MAX = 3


class CrowdedError(Exception):
    """There is no room to wait, or a member has taken the place of this request."""


@dataclass(eq=False, slots=True)
class _Ticket:
    """One waiting request. Once `settled`, it has its turn or was refused."""

    peer: bytes
    has_turn: bool = False
    settled: trio.Event = field(default_factory=trio.Event)


class _Ring:
    """Tickets by peer; the peers are in the order of their next turns."""

    def __init__(self) -> None:
        self._tickets: OrderedDict[bytes, deque[_Ticket]] = OrderedDict()

    def __len__(self) -> int:
        return sum(len(tickets) for tickets in self._tickets.values())

    def add(self, ticket: _Ticket) -> None:
        self._tickets.setdefault(ticket.peer, deque()).append(ticket)

    def next(self, working: Counter[bytes], per_peer_max: int) -> _Ticket | None:
        """Take out the next ticket, from a peer that is below its limit of requests at work."""
        peer = next((peer for peer in self._tickets if working[peer] < per_peer_max), None)
        if peer is None:
            return None
        ticket = self._tickets[peer].popleft()
        self._tickets.move_to_end(peer)
        self._clear(peer)
        return ticket

    def newest_of_the_longest(self) -> _Ticket | None:
        """Take out the last ticket of the peer with the most tickets."""
        peer = max(self._tickets, key=lambda each: len(self._tickets[each]), default=None)
        if peer is None:
            return None
        ticket = self._tickets[peer].pop()
        self._clear(peer)
        return ticket

    def discard(self, ticket: _Ticket) -> None:
        tickets = self._tickets.get(ticket.peer, deque())
        if ticket in tickets:
            tickets.remove(ticket)
            self._clear(ticket.peer)

    def _clear(self, peer: bytes) -> None:
        if not self._tickets[peer]:
            del self._tickets[peer]


class Turns:
    """A fair queue: `places` requests at work, `per_peer_max` of one peer, and `waiting_max` that wait."""

    def __init__(self, places: int, per_peer_max: int, waiting_max: int) -> None:
        self._places = places
        self._per_peer_max = per_peer_max
        self._waiting_max = waiting_max
        self._working: Counter[bytes] = Counter()
        self._members = _Ring()
        self._strangers = _Ring()
        self._members_in_a_row = 0

    @property
    def working(self) -> int:
        return self._working.total()

    @property
    def waiting(self) -> int:
        return len(self._members) + len(self._strangers)

    @asynccontextmanager
    async def place(self, peer: bytes, *, is_member: bool) -> AsyncIterator[None]:
        """Wait for a turn and hold a place. Raises CrowdedError, at once or when a member needs the room."""
        ticket = _Ticket(peer)
        ring = self._members if is_member else self._strangers
        self._enter(ticket, ring, is_member=is_member)
        try:
            await ticket.settled.wait()
            if not ticket.has_turn:
                raise CrowdedError
            yield
        finally:
            if ticket.has_turn:
                self._working[peer] -= 1
                if not self._working[peer]:
                    del self._working[peer]
            else:
                ring.discard(ticket)
            self._give_turns()

    def _enter(self, ticket: _Ticket, ring: _Ring, *, is_member: bool) -> None:
        ring.add(ticket)
        self._give_turns()
        if ticket.has_turn or self.waiting <= self._waiting_max:
            return
        ring.discard(ticket)
        evicted = self._strangers.newest_of_the_longest() if is_member else None
        if evicted is None:
            raise CrowdedError
        evicted.settled.set()
        ring.add(ticket)

    def _give_turns(self) -> None:
        while self.working < self._places:
            ticket = self._next()
            if ticket is None:
                return
            self._working[ticket.peer] += 1
            ticket.has_turn = True
            ticket.settled.set()

    def _next(self) -> _Ticket | None:
        rings = (self._members, self._strangers)
        if self._members_in_a_row >= MEMBERS_IN_A_ROW_MAX:
            rings = (self._strangers, self._members)
        for ring in rings:
            ticket = ring.next(self._working, self._per_peer_max)
            if ticket is not None:
                self._members_in_a_row = self._members_in_a_row + 1 if ring is self._members else 0
                return ticket
        return None
