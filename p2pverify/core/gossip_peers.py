"""The router's neighbours: who is connected, what they subscribe to, and what they did wrong.

Faults belong to the key, not to the connection, so reconnecting does not wash them off; time does. The scores
P1 to P7 of gossipsub v1.1 are not computed here: fault counters with fixed limits stand in for P4 and P7.
"""

from dataclasses import dataclass, field

from p2pverify.core.gossip_params import GossipParams
from p2pverify.core.gossip_types import topic_bytes


@dataclass(slots=True)
class Faults:
    """What a peer did wrong lately; each counter is forgiven one by one."""

    invalid: int = 0  # rejected messages
    misbehaviour: int = 0  # abuse of the protocol
    broken_promises: int = 0  # heartbeats in which an IHAVE proved empty

    @property
    def total(self) -> int:
        """What counts against membership and connection. Broken promises do not: queues overflow, too."""
        return self.invalid + self.misbehaviour

    def forgive(self) -> bool:
        """Forgive one of each kind; True if nothing is left."""
        self.invalid = max(0, self.invalid - 1)
        self.misbehaviour = max(0, self.misbehaviour - 1)
        self.broken_promises = max(0, self.broken_promises - 1)
        return not (self.invalid or self.misbehaviour or self.broken_promises)


@dataclass(slots=True)
class PeerState:
    """One connected peer; the quotas are those of the current heartbeat."""

    peer: bytes
    outbound: bool
    connected_ms: int
    told_ms: dict[str, int] = field(default_factory=dict)  # the last IHAVE, by topic
    topics: set[str] = field(default_factory=set)
    ihave_messages: int = 0
    ihave_ids: int = 0
    iwant_ids: int = 0
    iwant_bytes: int = 0

    def add_topic(self, topic: str, params: GossipParams) -> bool:
        """Note a subscription; False if the topic is too long or one too many."""
        if topic in self.topics:
            return True
        if len(self.topics) >= params.topics_per_peer_max or topic_bytes(topic) > params.topic_bytes_max:
            return False
        self.topics.add(topic)
        return True

    def reset_quotas(self) -> None:
        self.ihave_messages = self.ihave_ids = self.iwant_ids = self.iwant_bytes = 0


class PeerTable:
    """Connected peers and remembered faults. Iteration is always in order of the key."""

    def __init__(self, params: GossipParams) -> None:
        self._params = params
        self._connected: dict[bytes, PeerState] = {}
        self._faults: dict[bytes, Faults] = {}
        self._forgive_at_ms: int | None = None

    def __len__(self) -> int:
        return len(self._connected)

    def __contains__(self, peer: bytes) -> bool:
        return peer in self._connected

    def get(self, peer: bytes) -> PeerState | None:
        return self._connected.get(peer)

    def add(self, peer: bytes, *, outbound: bool, now_ms: int) -> PeerState:
        state = PeerState(peer, outbound, now_ms)
        self._connected[peer] = state
        return state

    def remove(self, peer: bytes) -> None:
        self._connected.pop(peer, None)

    def connected(self) -> list[PeerState]:
        return [self._connected[peer] for peer in sorted(self._connected)]

    def on_topic(self, topic: str) -> list[PeerState]:
        """Connected peers that subscribe to the topic."""
        return [state for state in self.connected() if topic in state.topics]

    def faults(self, peer: bytes) -> Faults:
        """To be read only: for an innocent peer it is a new object each time."""
        return self._faults.get(peer) or Faults()

    def blame(self, peer: bytes) -> Faults:
        """The peer's faults, to be raised. The oldest faulty peer is forgotten when there are too many."""
        faults = self._faults.setdefault(peer, Faults())
        while len(self._faults) > self._params.faulty_peers_max:
            del self._faults[next(iter(self._faults))]
        return faults

    def mesh_worthy(self, peer: bytes) -> bool:
        return self.faults(peer).total <= self._params.faults_mesh_max

    def tolerable(self, peer: bytes) -> bool:
        return self.faults(peer).total <= self._params.faults_max

    def keeps_promises(self, peer: bytes) -> bool:
        return self.faults(peer).broken_promises <= self._params.broken_promises_max

    @property
    def faulty(self) -> int:
        return len(self._faults)

    def begin_heartbeat(self, now_ms: int) -> None:
        """Quotas start again, and what time has washed off is forgiven."""
        for state in self._connected.values():
            state.reset_quotas()
        if self._forgive_at_ms is None:
            self._forgive_at_ms = now_ms + self._params.forgive_ms
        if now_ms < self._forgive_at_ms:
            return
        self._forgive_at_ms = now_ms + self._params.forgive_ms
        for peer in list(self._faults):
            if self._faults[peer].forgive():
                del self._faults[peer]
