"""Peer scores of the gossip router: P1 to P7 of gossipsub v1.1, in integers.

Source: libp2p specs, gossipsub-v1.1, "The Score Function" and "Topic Parameter Calculation and Decay". Counters
and scores are thousandths; every division rounds down. The reader of a score decides what follows from it.
A score belongs to the key, not to the connection: its bad part outlives a disconnection.
"""

from dataclasses import dataclass, field
from functools import lru_cache
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Final

from p2pverify.core.errors import LocalProtocolError
from p2pverify.core.gossip.params import ScoreParams

ONE: Final = 1_000
COUNTER_MAX: Final = 1_000 * ONE  # for counters that the specification leaves uncapped
_MILLION: Final = 1_000_000


@dataclass(slots=True)
class TopicCounters:
    """The time of one peer in our mesh on one topic, and its counters there, in thousandths."""

    grafted_ms: int | None = None  # in the mesh since
    mesh_ms: int = 0  # as of the last decay
    first: int = 0
    deliveries: int = 0
    failures: int = 0
    invalid: int = 0


@dataclass(slots=True)
class Card:
    """The counters of one peer; `score` is kept up to date."""

    score: int = 0
    topics: dict[str, TopicCounters] = field(default_factory=dict)
    behaviour: int = 0
    application: int = 0
    surplus: int = 0  # peers above the threshold at its address
    group: str = ""

    def on(self, topic: str) -> TopicCounters:
        counters = self.topics.get(topic)
        if counters is None:
            counters = self.topics[topic] = TopicCounters()
        return counters


@dataclass(frozen=True, slots=True)
class ScoreParts:
    """A score and its parts, weighted, in thousandths; the topic cap holds down P1 to P4 together."""

    total: int
    time_in_mesh: int
    first_deliveries: int
    delivery_deficit: int
    delivery_failures: int
    invalid_messages: int
    application: int
    colocation: int
    behaviour: int


class PeerScores:
    """The cards of connected peers, and of absent peers whose faults are remembered."""

    def __init__(self, params: ScoreParams) -> None:
        self._params = params
        self._cards: dict[bytes, Card] = {}
        self._retained: dict[bytes, Card] = {}
        self._retained_until_ms: dict[bytes, int] = {}
        self._application: dict[bytes, int] = {}
        self._groups: dict[str, set[bytes]] = {}
        self._decayed_ms: int | None = None
        self._now_ms = 0

    @property
    def retained(self) -> int:
        return len(self._retained)

    def score(self, peer: bytes) -> int:
        """The present score, also of a peer that is not connected."""
        card = self._cards.get(peer) or self._retained.get(peer)
        return card.score if card is not None else self._weighted(self._application.get(peer, 0))

    def all_parts(self) -> dict[bytes, ScoreParts]:
        """The parts of every kept score, by key."""
        cards = {**self._retained, **self._cards}
        return {peer: self._parts(cards[peer]) for peer in sorted(cards)}

    # Peers come and go.

    def add(self, peer: bytes, ip: str, now_ms: int) -> Card:
        """A peer connected from an address ("" if unknown). Its remembered faults still count."""
        self._now_ms = now_ms
        card = self._retained.pop(peer, None) or Card()
        self._retained_until_ms.pop(peer, None)
        card.application = self._application.get(peer, 0)
        card.group = ip_group(ip, self._params.colocation_free)
        self._cards[peer] = card
        if card.group:
            self._groups.setdefault(card.group, set()).add(peer)
            self._count_group(card.group)
        self._weigh(card)
        return card

    def remove(self, peer: bytes, now_ms: int) -> None:
        """A peer is gone. Its faults are kept and do not decay while it is away; its merits are not."""
        self._now_ms = now_ms
        card = self._cards.pop(peer, None)
        if card is None:
            return
        if card.group:
            members = self._groups[card.group]
            members.discard(peer)
            self._count_group(card.group)
            if not members:
                del self._groups[card.group]
        card.group, card.surplus = "", 0
        for topic in list(card.topics):
            counters = card.topics[topic]
            self._leave(counters)
            counters.first = counters.deliveries = 0
            if not (counters.failures or counters.invalid):
                del card.topics[topic]
        if card.topics or card.behaviour:
            self._retain(peer, card)

    def appraise(self, peer: bytes, score: int) -> None:
        """P5, from the application, in thousandths. Raises LocalProtocolError if it appraises too many peers."""
        if score == 0:
            self._application.pop(peer, None)
        elif peer not in self._application and len(self._application) >= self._params.appraised_max:
            raise LocalProtocolError("too many peers appraised")
        else:
            self._application[peer] = score
        card = self._cards.get(peer) or self._retained.get(peer)
        if card is not None:
            card.application = score
            self._weigh(card)

    # What they did.

    def grafted(self, peer: bytes, topic: str, now_ms: int) -> None:
        """The peer is in our mesh from now on."""
        counters = self._cards[peer].on(topic)
        counters.grafted_ms, counters.mesh_ms = now_ms, 0

    def left(self, peer: bytes, topic: str) -> None:
        """The peer left our mesh; an active deficit becomes a failure (P3b)."""
        card = self._cards[peer]
        self._leave(card.on(topic))
        self._weigh(card)

    def delivered_first(self, peer: bytes, topic: str) -> None:
        """The peer was the first to send a good message (P2, P3). The score changes at the next decay."""
        card = self._cards.get(peer)
        if card is not None:
            counters = card.on(topic)
            counters.first = min(counters.first + ONE, self._params.first_cap)
            if counters.grafted_ms is not None:
                counters.deliveries = min(counters.deliveries + ONE, self._params.delivery_cap)

    def delivered_near_first(self, peer: bytes, topic: str) -> None:
        """The peer sent a good message while it was judged, or within the window after the verdict (P3)."""
        card = self._cards.get(peer)
        if card is not None:
            counters = card.on(topic)
            if counters.grafted_ms is not None:
                counters.deliveries = min(counters.deliveries + ONE, self._params.delivery_cap)

    def delivered_invalid(self, peer: bytes, topic: str) -> None:
        """The peer sent a message that was rejected (P4)."""
        card = self._known(peer)
        counters = card.on(topic)
        counters.invalid = min(counters.invalid + ONE, COUNTER_MAX)
        self._blame(peer, card)

    def misbehaved(self, peer: bytes, amount: int = ONE) -> None:
        """The peer abused the protocol (P7); `amount` in thousandths."""
        card = self._known(peer)
        card.behaviour = min(card.behaviour + amount, COUNTER_MAX)
        self._blame(peer, card)

    def decay(self, now_ms: int) -> None:
        """Apply the decay intervals that have passed, and forget absent peers after `retain_ms`."""
        self._now_ms = now_ms
        params = self._params
        if self._decayed_ms is None:
            self._decayed_ms = now_ms
        times = (now_ms - self._decayed_ms) // params.decay_ms
        if times <= 0:
            return
        self._decayed_ms += times * params.decay_ms
        for card in self._cards.values():
            self._decay_card(card, times, now_ms)
        if self._retained:
            for peer in [peer for peer, until_ms in self._retained_until_ms.items() if until_ms <= now_ms]:
                del self._retained[peer], self._retained_until_ms[peer]

    def _decay_card(self, card: Card, times: int, now_ms: int) -> None:
        params, zero = self._params, self._params.zero
        for topic, counters in list(card.topics.items()):
            if counters.grafted_ms is not None:
                counters.mesh_ms = now_ms - counters.grafted_ms
            if counters.first:
                counters.first = decayed(counters.first, params.first_decay, times, zero)
            if counters.deliveries:
                counters.deliveries = decayed(counters.deliveries, params.delivery_decay, times, zero)
            if counters.failures:
                counters.failures = decayed(counters.failures, params.failure_decay, times, zero)
            if counters.invalid:
                counters.invalid = decayed(counters.invalid, params.invalid_decay, times, zero)
            if counters.grafted_ms is None and not (counters.first or counters.failures or counters.invalid):
                del card.topics[topic]
        if card.behaviour:
            card.behaviour = decayed(card.behaviour, params.behaviour_decay, times, zero)
        self._weigh(card)

    def _deficit(self, counters: TopicCounters) -> int:
        """The square of a mesh member's missing deliveries, in thousandths; 0 before its activation time."""
        params = self._params
        if counters.grafted_ms is None or counters.mesh_ms <= params.delivery_activation_ms:
            return 0
        missing = max(0, params.delivery_threshold - counters.deliveries)
        return missing * missing // ONE

    def _leave(self, counters: TopicCounters) -> None:
        counters.failures = min(counters.failures + self._deficit(counters), COUNTER_MAX)
        counters.grafted_ms, counters.mesh_ms = None, 0

    def _known(self, peer: bytes) -> Card:
        """The card of a peer, or a new card."""
        card = self._cards.get(peer) or self._retained.get(peer)
        return card or Card(application=self._application.get(peer, 0))

    def _blame(self, peer: bytes, card: Card) -> None:
        """Weigh a fault. An absent peer that had no fault before is remembered from now on."""
        self._weigh(card)
        if peer not in self._cards and peer not in self._retained:
            self._retain(peer, card)

    def _retain(self, peer: bytes, card: Card) -> None:
        """Remember an absent peer; if there are too many, forget the one with the best score."""
        self._weigh(card)
        self._retained[peer] = card
        self._retained_until_ms[peer] = self._now_ms + self._params.retain_ms
        if len(self._retained) > self._params.retained_max:
            best = max(self._retained, key=lambda each: self._retained[each].score)  # the oldest of equals
            del self._retained[best], self._retained_until_ms[best]

    def _count_group(self, group: str) -> None:
        """Compute again the surplus of every peer at an address."""
        members = self._groups[group]
        surplus = max(0, len(members) - self._params.colocation_threshold)
        for peer in members:
            card = self._cards[peer]
            if card.surplus != surplus:
                card.surplus = surplus
                self._weigh(card)

    # From counters to a score.

    def _weighted(self, application: int) -> int:
        return self._params.application_weight * application // ONE

    def _weigh(self, card: Card) -> None:
        params = self._params
        topics = 0
        for counters in card.topics.values():
            topics += sum(self._topic_parts(counters)) * params.topic_weight // ONE
        if params.topic_cap and topics > params.topic_cap:
            topics = params.topic_cap
        card.score = topics + self._others(card)

    def _topic_parts(self, counters: TopicCounters) -> tuple[int, int, int, int, int]:
        params = self._params
        quanta = min(counters.mesh_ms // params.time_quantum_ms, params.time_cap)
        time = params.time_weight * quanta
        first = params.first_weight * counters.first // ONE
        deficit = params.delivery_weight * self._deficit(counters) // ONE if params.delivery_weight else 0
        failures = params.failure_weight * counters.failures // ONE
        invalid = params.invalid_weight * (counters.invalid * counters.invalid // ONE) // ONE if counters.invalid else 0
        return time, first, deficit, failures, invalid

    def _behaviour(self, card: Card) -> int:
        surplus = card.behaviour - self._params.behaviour_threshold
        return self._params.behaviour_weight * (surplus * surplus // ONE) // ONE if surplus > 0 else 0

    def _others(self, card: Card) -> int:
        colocation = self._params.colocation_weight * card.surplus * card.surplus
        return self._weighted(card.application) + colocation + self._behaviour(card)

    def _parts(self, card: Card) -> ScoreParts:
        weight = self._params.topic_weight
        by_topic = [self._topic_parts(counters) for counters in card.topics.values()]
        sums = [sum(part) * weight // ONE for part in zip(*by_topic, strict=True)] or [0] * 5
        colocation = self._params.colocation_weight * card.surplus * card.surplus
        time, first, deficit, failures, invalid = sums
        application = self._weighted(card.application)
        return ScoreParts(
            card.score, time, first, deficit, failures, invalid, application, colocation, self._behaviour(card)
        )


def decayed(counter: int, factor: int, times: int, zero: int) -> int:
    """A counter after `times` decay intervals; `factor` in millionths. A value below `zero` becomes 0."""
    while times and counter:
        counter = counter * factor // _MILLION
        if counter < zero:
            return 0
        times -= 1
    return counter


@lru_cache(maxsize=16)
def _networks(texts: tuple[str, ...]) -> tuple[IPv4Network | IPv6Network, ...]:
    return tuple(ip_network(text) for text in texts)


def ip_group(ip: str, free: tuple[str, ...]) -> str:
    """The group of addresses that count as one: an IPv4 address or an IPv6 /64.

    "" if the address is unknown, or inside one of the networks in `free`.
    """
    try:
        address = ip_address(ip)
    except ValueError:
        return ""
    if isinstance(address, IPv6Address):
        address = address.ipv4_mapped or address
    if any(address in network for network in _networks(free)):
        return ""
    if isinstance(address, IPv6Address):
        return str(IPv6Network((int(address) >> 64 << 64, 64)))
    return str(address)
