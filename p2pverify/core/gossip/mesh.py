"""The meshes of the gossip router: members per topic, and the GRAFTs, PRUNEs and backoffs that shape them.

Follows gossipsub v1.1 (libp2p specs, pubsub/gossipsub): PRUNE backoff, outbound quotas, heartbeat maintenance by
score, opportunistic grafting, spam protection. The router sends the messages; peer exchange is left out.
"""

from dataclasses import dataclass, field

from p2pverify.core.counters import Counters
from p2pverify.core.gossip.dice import Dice
from p2pverify.core.gossip.outbox import RpcOutbox
from p2pverify.core.gossip.params import GossipParams
from p2pverify.core.gossip.peers import PeerState, PeerTable
from p2pverify.core.gossip.score import PeerScores
from p2pverify.core.limits import BoundedDict


@dataclass(frozen=True, slots=True)
class _Backoff:
    since_ms: int
    until_ms: int


@dataclass(slots=True)
class _Members:
    """Members of one mesh; `ordered` is made on demand, because it is read far more often than it changes."""

    peers: set[bytes] = field(default_factory=set)
    ordered: tuple[bytes, ...] | None = None

    def add(self, peer: bytes) -> None:
        self.peers.add(peer)
        self.ordered = None

    def discard(self, peer: bytes) -> bool:
        """True if the peer was a member."""
        if peer not in self.peers:
            return False
        self.peers.remove(peer)
        self.ordered = None
        return True


class Mesh:
    """Members by topic. It holds exactly the topics that we subscribe to."""

    def __init__(
        self,
        params: GossipParams,
        dice: Dice,
        *,
        peers: PeerTable,
        scores: PeerScores,
        outbox: RpcOutbox,
        counters: Counters,
    ) -> None:
        self._params = params
        self._dice = dice
        self._peers = peers
        self._scores = scores
        self._outbox = outbox
        self._counters = counters
        self._members: dict[str, _Members] = {}
        self._backoffs: BoundedDict[tuple[str, bytes], _Backoff] = BoundedDict(params.backoffs_max)
        self._excluded: frozenset[bytes] = frozenset()
        self._beats = 0

    def __contains__(self, topic: str) -> bool:
        return topic in self._members

    @property
    def size(self) -> int:
        """Memberships in all topics."""
        return sum(len(members.peers) for members in self._members.values())

    @property
    def backoffs(self) -> int:
        return len(self._backoffs)

    @property
    def excluded(self) -> frozenset[bytes]:
        return self._excluded

    def topics(self) -> list[str]:
        return sorted(self._members)

    def members(self, topic: str) -> tuple[bytes, ...]:
        """The members of the mesh on a topic, sorted by key."""
        members = self._members.get(topic)
        if members is None:
            return ()
        if members.ordered is None:
            members.ordered = tuple(sorted(members.peers))
        return members.ordered

    def has(self, peer: bytes) -> bool:
        """True if the peer is in our mesh on any topic."""
        return any(peer in members.peers for members in self._members.values())

    def join(self, topic: str, first: tuple[bytes, ...], now_ms: int) -> None:
        """We subscribed: fill the mesh at once, with the peers in `first` (the fanout) before others."""
        self._members[topic] = _Members()
        for state in self._candidates(topic, now_ms):
            if state.peer in first:
                self._graft(state.peer, topic, now_ms)
        self._fill(topic, now_ms)

    def leave(self, topic: str, now_ms: int) -> None:
        for peer in self.members(topic):
            self._prune(peer, topic, self._params.unsubscribe_backoff_ms, now_ms)
        del self._members[topic]

    def forget(self, peer: bytes) -> None:
        """The peer is gone. Its backoffs stay, so that reconnecting does not shorten them."""
        for topic in self._members:
            self.drop(peer, topic)

    def drop(self, peer: bytes, topic: str) -> None:
        """The peer left the mesh without a PRUNE of ours: it unsubscribed, or it pruned us."""
        members = self._members.get(topic)
        if members is not None and members.discard(peer):
            self._scores.left(peer, topic)

    def exclude(self, peers: frozenset[bytes], now_ms: int) -> None:
        """Keep exactly these peers out of every mesh."""
        self._excluded = peers
        for topic in self.topics():
            for peer in self.members(topic):
                if peer in peers:
                    self._prune(peer, topic, self._params.prune_backoff_ms, now_ms)

    def welcome(self, state: PeerState, topic: str, now_ms: int) -> None:
        """The peer subscribed: graft it now if the mesh is thin, without waiting for the heartbeat."""
        members = self._members.get(topic)
        thin = members is not None and len(members.peers) < self._params.degree_low
        if thin and self._eligible(state, topic, now_ms):
            self._graft(state.peer, topic, now_ms)

    def take_graft(self, state: PeerState, topic: str, now_ms: int) -> int:
        """The peer wants to join the mesh. Returns the number of faults in that; a refusal is answered by PRUNE.

        GRAFTs for unknown topics are not answered (gossipsub v1.1, spam protection).
        """
        members = self._members.get(topic)
        if members is None or state.peer in members.peers:
            return 0
        self._peers.subscribe(state, topic)
        backoff = self._backoffs.get((topic, state.peer))
        if backoff is not None and now_ms < backoff.until_ms:
            self._counters.count("grafts_in_backoff")
            self._prune(state.peer, topic, self._params.prune_backoff_ms, now_ms)
            return 2 if now_ms < backoff.since_ms + self._params.graft_flood_ms else 1
        full = len(members.peers) >= self._params.degree_high and not state.outbound
        if full or not self._worthy(state):
            self._counters.count("grafts_refused")
            self._prune(state.peer, topic, self._params.prune_backoff_ms, now_ms)
            return 0
        self._enter(state.peer, topic, now_ms)
        return 0

    def take_prune(self, peer: bytes, topic: str, backoff_s: int | None, now_ms: int) -> None:
        """The peer leaves the mesh and asks for a back-off of `backoff_s` seconds (None or 0: our default)."""
        if topic not in self._members:
            return
        self.drop(peer, topic)
        wish_ms = 1000 * backoff_s if backoff_s else self._params.prune_backoff_ms
        self._back_off(peer, topic, min(wish_ms, self._params.backoff_ms_max), now_ms)

    def maintain(self, now_ms: int) -> None:
        """The heartbeat's part: backoffs end, members with a negative score leave, each mesh returns to its size."""
        params = self._params
        if self._backoffs:
            ended_ms = now_ms - params.backoff_slack_ms
            for key in [key for key, backoff in self._backoffs.items() if backoff.until_ms <= ended_ms]:
                del self._backoffs[key]
        self._beats += 1
        for topic in self.topics():
            members = self._members[topic].peers
            for peer in self.members(topic):
                if self._scores.score(peer) < 0:
                    self._prune(peer, topic, params.prune_backoff_ms, now_ms)
            if len(members) < params.degree_low:
                self._fill(topic, now_ms)
            if len(members) > params.degree_high:
                self._thin(topic, now_ms)
            if len(members) >= params.degree_low:
                self._fill_outbound(topic, now_ms)
            if self._beats % params.opportunistic_graft_heartbeats == 0 and len(members) > 1:
                self._graft_better(topic, now_ms)

    def _fill(self, topic: str, now_ms: int) -> None:
        missing = self._params.degree - len(self._members[topic].peers)
        if missing > 0:
            for state in self._dice.sample(self._candidates(topic, now_ms), missing):
                self._graft(state.peer, topic, now_ms)

    def _fill_outbound(self, topic: str, now_ms: int) -> None:
        missing = self._params.degree_out - sum(map(self._outbound, self._members[topic].peers))
        if missing > 0:
            candidates = [state for state in self._candidates(topic, now_ms) if state.outbound]
            for state in self._dice.sample(candidates, missing):
                self._graft(state.peer, topic, now_ms)

    def _thin(self, topic: str, now_ms: int) -> None:
        """Keep D members: the D_score best, the rest at random; D_out of them are outbound if possible."""
        params, members = self._params, self.members(topic)
        shuffled = self._dice.sample(members, len(members))
        shuffled.sort(key=self._scores.score, reverse=True)
        best, others = shuffled[: params.degree_score], shuffled[params.degree_score :]
        ranked = best + self._dice.sample(others, len(others))
        keep, leave = ranked[: params.degree], ranked[params.degree :]
        spare = [peer for peer in leave if self._outbound(peer)]
        missing = params.degree_out - sum(map(self._outbound, keep))
        for place in reversed(range(len(keep))):
            if missing > 0 and spare and not self._outbound(keep[place]):
                keep[place] = spare.pop(0)
                missing -= 1
        for peer in members:
            if peer not in keep:
                self._prune(peer, topic, params.prune_backoff_ms, now_ms)

    def _graft_better(self, topic: str, now_ms: int) -> None:
        """Opportunistic grafting: if the score of the median member is low, graft peers with a higher one."""
        scores = sorted(map(self._scores.score, self._members[topic].peers))
        median = scores[len(scores) // 2]
        if median >= self._params.score.opportunistic_graft_threshold:
            return
        better = [state for state in self._candidates(topic, now_ms) if state.card.score > median]
        for state in self._dice.sample(better, self._params.opportunistic_graft_peers):
            self._counters.count("grafts_opportunistic")
            self._graft(state.peer, topic, now_ms)

    def _candidates(self, topic: str, now_ms: int) -> list[PeerState]:
        return [state for state in self._peers.on_topic(topic) if self._eligible(state, topic, now_ms)]

    def _worthy(self, state: PeerState) -> bool:
        return state.card.score >= 0 and state.peer not in self._excluded

    def _eligible(self, state: PeerState, topic: str, now_ms: int) -> bool:
        if state.peer in self._members[topic].peers or not self._worthy(state):
            return False
        backoff = self._backoffs.get((topic, state.peer))
        return backoff is None or backoff.until_ms + self._params.backoff_slack_ms <= now_ms

    def _outbound(self, peer: bytes) -> bool:
        state = self._peers.get(peer)
        return state is not None and state.outbound

    def _enter(self, peer: bytes, topic: str, now_ms: int) -> None:
        self._members[topic].add(peer)
        self._scores.grafted(peer, topic, now_ms)

    def _graft(self, peer: bytes, topic: str, now_ms: int) -> None:
        self._enter(peer, topic, now_ms)
        self._outbox.graft(peer, topic, now_ms)
        self._counters.count("grafts_sent")

    def _prune(self, peer: bytes, topic: str, backoff_ms: int, now_ms: int) -> None:
        self.drop(peer, topic)
        self._back_off(peer, topic, backoff_ms, now_ms)
        self._outbox.prune(peer, topic, -(-backoff_ms // 1000), now_ms)
        self._counters.count("prunes_sent")

    def _back_off(self, peer: bytes, topic: str, backoff_ms: int, now_ms: int) -> None:
        """Start or extend a backoff; never shorten one."""
        before = self._backoffs.pop((topic, peer), None)
        until_ms = max(now_ms + backoff_ms, 0 if before is None else before.until_ms)
        self._backoffs[topic, peer] = _Backoff(now_ms, until_ms)
