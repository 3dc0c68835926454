"""The network between peers: links with latency, jitter, loss, duplication and reordering, and requests.

A link is a connection between two peers; one of them dialled it. Gossip frames and sync frames travel on links.
Requests go directly to any peer, because a node dials the peer that it asks. Nothing passes between the sides of a
partition.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from p2pverify.core.events import FetchEvidence, Respond, Send
from p2pverify.core.gossip.types import Rpc
from p2pverify.core.settle.exchange import Pay
from p2pverify.testnet.world import items
from p2pverify.testnet.world.simulation import Simulation

MILLION = 1_000_000


class End(Protocol):
    """The part of a peer that links use. `links` are its links by the key of the other end."""

    number: int
    key: bytes
    skew_ms: int
    is_up: bool
    life: int
    links: "dict[bytes, SimulatedLink]"

    @property
    def ip(self) -> str:
        """The peer's address. Gossip scores peers by it."""
        ...


@dataclass(slots=True, eq=False)
class SimulatedLink:
    """A connection. `base_ms` is its latency without jitter."""

    number: int
    one: End
    two: End
    dialler: int
    base_ms: int
    is_open: bool = True

    def other(self, number: int) -> End:
        return self.two if number == self.one.number else self.one


class Links:
    """All links of a world, and their loss and duplication (ppm). `closed` is called with each link that ends."""

    def __init__(self, simulation: Simulation, closed: Callable[[SimulatedLink], None]) -> None:
        plan = simulation.plan
        self._simulation = simulation
        self._closed = closed
        self._jitter = max(1, plan.jitter_ms + 1)
        self.loss_ppm = plan.loss_ppm
        self.duplicate_ppm = plan.duplicate_ppm
        self.sides: dict[int, int] = {}  # the side of the partition by peer; a peer that is not listed has side 0
        self.opened = 0
        self.frames = self.lost = self.duplicated = 0

    # ------------------------------------------------------------ connections

    def may_reach(self, one: int, two: int) -> bool:
        """Whether no partition separates two peers."""
        return not self.sides or self.sides.get(one, 0) == self.sides.get(two, 0)

    def open(self, dialler: End, other: End) -> bool:
        """Connect two peers that run and are not connected yet; False if this is impossible."""
        if dialler is other or other.key in dialler.links or dialler.key in other.links:
            return False
        if not (dialler.is_up and other.is_up and self.may_reach(dialler.number, other.number)):
            return False
        self.opened += 1
        link = SimulatedLink(
            self.opened, dialler, other, dialler.number, self._simulation.latency_ms(dialler.number, other.number)
        )
        # Both ends have the link from now on. Their routers learn of it after the handshake.
        dialler.links[other.key] = other.links[dialler.key] = link
        at_ms = self._simulation.now_ms + 2 * link.base_ms
        for end in (dialler, other):
            self._simulation.post(at_ms, end.number, (items.UP, link))
        return True

    def close(self, link: SimulatedLink, *, by: int | None = None) -> None:
        """End a connection. `by` is the number of the peer that ended it; this peer gets no DOWN item."""
        if not link.is_open:
            return
        link.is_open = False
        for end in (link.one, link.two):
            if end.number != by:
                self._simulation.post(self._simulation.now_ms + link.base_ms, end.number, (items.DOWN, link))
        self._closed(link)

    def close_all(self, peer: End) -> None:
        """End all connections of a peer that ended."""
        for link in list(peer.links.values()):
            self.close(link, by=peer.number)
        peer.links.clear()

    def split(self, sides: dict[int, int], peers: Sequence[End]) -> None:
        """Start a partition: nothing passes between sides."""
        self.sides = sides
        for one in peers:
            for link in list(one.links.values()):
                if not self.may_reach(link.one.number, link.two.number):
                    self.close(link)

    def heal(self) -> None:
        """End the partition."""
        self.sides = {}

    # ------------------------------------------------------------ frames

    def send_rpc(self, link: SimulatedLink, sender: int, rpc: Rpc) -> None:
        """Send a gossip frame. It can be lost, duplicated or overtaken by a later frame.

        Subscriptions always arrive, because they are sent only once, at the start of a connection's stream.
        """
        self.frames += 1
        receiver, source = (link.two, link.one) if sender == link.one.number else (link.one, link.two)
        bits = self._simulation.chance.bits()
        late_ms = link.base_ms + (bits >> 48) % self._jitter
        schedule = self._simulation.schedule
        if (bits & 0xFFFFFF) * MILLION >> 24 < self.loss_ppm:
            self.lost += 1
            if not rpc.subscriptions:
                return
            rpc = Rpc(subscriptions=rpc.subscriptions)
        schedule.post(schedule.now_ms + late_ms, receiver.number, (items.RPC, link, source.key, rpc))
        if (bits >> 24 & 0xFFFFFF) * MILLION >> 24 < self.duplicate_ppm:
            self.duplicated += 1
            late_ms += 1 + self._simulation.chance.below(2 * self._jitter)
            schedule.post(schedule.now_ms + late_ms, receiver.number, (items.RPC, link, source.key, rpc))

    def send_frame(self, link: SimulatedLink, sender: int, frame: Any) -> None:
        """Send a frame on a stream. The stream loses nothing but ends with its link."""
        late_ms = link.base_ms + self._simulation.chance.below(self._jitter)
        receiver = link.other(sender)
        self._simulation.post(self._simulation.now_ms + late_ms, receiver.number, (items.SYNC_FRAME, link, frame))

    def is_lost(self) -> bool:
        """Draw whether a message of a request is lost."""
        return self._simulation.chance.below(MILLION) < self.loss_ppm


#: What arrives at the other end.
_ITEMS = {Send: items.REQUEST, FetchEvidence: items.EVIDENCE, Pay: items.CHEQUE}


@dataclass(frozen=True, slots=True)
class _Ticket:
    asker: int
    life: int
    ask: int
    responder: int
    sent_ms: int


class SimulatedRequests:
    """Requests in flight, and their responses."""

    def __init__(self, simulation: Simulation, links: Links, by_key: Mapping[bytes, End]) -> None:
        self._simulation = simulation
        self._links = links
        self._by_key = by_key
        self._tickets: dict[int, _Ticket] = {}
        self._last = 0

    def send(self, asker: End, effect: Send | FetchEvidence | Pay) -> None:
        """Send a request for an answer or for evidence, or a cheque. Without a response it fails at its deadline."""
        world = self._simulation
        post = world.post
        other = self._by_key.get(effect.peer)
        life = asker.life
        if other is None or not other.is_up or not self._links.may_reach(asker.number, other.number):
            late_ms = 40 if other is None else 2 * world.latency_ms(asker.number, other.number)
            post(world.now_ms + late_ms, asker.number, (items.FAILED, life, effect.ask, "unreachable"))
            return
        post(effect.deadline_ms - asker.skew_ms, asker.number, (items.FAILED, life, effect.ask, "timeout"))
        if self._links.is_lost():
            return
        self._last += 1
        self._tickets[self._last] = _Ticket(asker.number, life, effect.ask, other.number, world.now_ms)
        at_ms = world.now_ms + world.latency_ms(asker.number, other.number)
        post(at_ms, other.number, (_ITEMS[type(effect)], other.life, self._last, effect.data, asker.key))

    def respond(self, responder: End, effect: Respond) -> None:
        """Send a response back. It is ignored unless the ticket belongs to this responder."""
        ticket = self._tickets.get(effect.ticket)
        if ticket is None or ticket.responder != responder.number:
            return
        del self._tickets[effect.ticket]
        world = self._simulation
        if self._links.is_lost() or not self._links.may_reach(ticket.asker, responder.number):
            return
        latency_ms = world.latency_ms(ticket.asker, responder.number)
        elapsed_ms = max(1, world.now_ms - ticket.sent_ms - latency_ms)
        item = (items.RESPONSE, ticket.life, ticket.ask, effect.data, elapsed_ms)
        world.post(world.now_ms + latency_ms, ticket.asker, item)

    def forget(self, peer: End) -> None:
        """Fail the requests to a peer that ended. The peer's own requests are dropped, because its life has ended."""
        for number, ticket in list(self._tickets.items()):
            if ticket.responder == peer.number:
                del self._tickets[number]
                at_ms = self._simulation.now_ms + self._simulation.latency_ms(ticket.asker, peer.number)
                item = (items.FAILED, ticket.life, ticket.ask, "disconnected")
                self._simulation.post(at_ms, ticket.asker, item)
            elif ticket.asker == peer.number:
                del self._tickets[number]
