"""The router's neighbours: which peers are connected, their subscriptions, and the used part of their quotas.

Scores are kept in `gossip/score`; the state of each connected peer refers to its card there.
"""

from dataclasses import dataclass, field

from p2pverify.core.gossip.params import GossipParams
from p2pverify.core.gossip.score import Card
from p2pverify.core.gossip.types import PeerConnected, topic_bytes


@dataclass(slots=True)
class PeerState:
    """One connected peer; the quotas are those of the current heartbeat."""

    peer: bytes
    outbound: bool
    connected_ms: int
    card: Card
    hears_idontwant: bool = False
    told_ms: dict[str, int] = field(default_factory=dict)  # the last IHAVE, by topic
    topics: set[str] = field(default_factory=set)
    ihave_messages: int = 0
    ihave_ids: int = 0
    iwant_ids: int = 0
    iwant_bytes: int = 0
    unwanted: set[bytes] = field(default_factory=set)  # ids that it has, told since the last heartbeat
    unwanted_before: set[bytes] = field(default_factory=set)  # told between the last two heartbeats

    def wants(self, mid: bytes) -> bool:
        """False if the peer said lately that it has the message."""
        return mid not in self.unwanted and mid not in self.unwanted_before


class PeerTable:
    """Connected peers by key; and by topic, sorted by key."""

    def __init__(self, params: GossipParams) -> None:
        self._params = params
        self._connected: dict[bytes, PeerState] = {}
        self._on_topic: dict[str, tuple[PeerState, ...]] = {}  # made on demand, dropped at each change
        self.get = self._connected.get

    def __len__(self) -> int:
        return len(self._connected)

    def __contains__(self, peer: bytes) -> bool:
        return peer in self._connected

    def add(self, event: PeerConnected, now_ms: int, card: Card) -> PeerState:
        peer = event.peer
        state = PeerState(peer, event.outbound, now_ms, card, event.hears_idontwant)
        self._connected[peer] = state
        return state

    def remove(self, peer: bytes) -> None:
        if self._connected.pop(peer, None) is not None:
            self._on_topic.clear()

    def connected(self) -> list[PeerState]:
        return [self._connected[peer] for peer in sorted(self._connected)]

    def on_topic(self, topic: str) -> tuple[PeerState, ...]:
        """Connected peers that subscribe to the topic."""
        found = self._on_topic.get(topic)
        if found is None:
            found = tuple(state for state in self.connected() if topic in state.topics)
            if len(self._on_topic) >= self._params.topics_per_peer_max:
                self._on_topic.clear()
            self._on_topic[topic] = found
        return found

    def subscribe(self, state: PeerState, topic: str) -> bool:
        """Note a subscription; False if the topic is too long, or the peer has too many."""
        if topic in state.topics:
            return True
        limits = self._params
        if len(state.topics) >= limits.topics_per_peer_max or topic_bytes(topic) > limits.topic_bytes_max:
            return False
        state.topics.add(topic)
        self._on_topic.pop(topic, None)
        return True

    def unsubscribe(self, state: PeerState, topic: str) -> None:
        state.topics.discard(topic)
        self._on_topic.pop(topic, None)

    def begin_heartbeat(self) -> None:
        """Reset the quotas, and forget which messages peers did not want before the last heartbeat."""
        for state in self._connected.values():
            state.ihave_messages = state.ihave_ids = state.iwant_ids = state.iwant_bytes = 0
            if state.unwanted or state.unwanted_before:
                state.unwanted_before, state.unwanted = state.unwanted, set()
