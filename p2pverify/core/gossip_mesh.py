"""The meshes of the gossip router: members per topic, and the GRAFTs, PRUNEs and backoffs that shape them.

Follows gossipsub v1.1 (libp2p specs, pubsub/gossipsub): PRUNE backoff, outbound quotas, spam protection. How
messages pass the mesh stands in `gossip`; peer exchange and opportunistic grafting are left out.
"""

from collections import Counter
from dataclasses import dataclass

from p2pverify.core.gossip_dice import Dice
from p2pverify.core.gossip_outbox import Outbox
from p2pverify.core.gossip_params import GossipParams
from p2pverify.core.gossip_peers import PeerState, PeerTable


@dataclass(frozen=True, slots=True)
class _Backoff:
    since_ms: int
    until_ms: int


class Mesh:
    """Members by topic; a topic is here exactly while we subscribe to it."""

    def __init__(
        self, params: GossipParams, dice: Dice, peers: PeerTable, outbox: Outbox, counts: Counter[str]
    ) -> None:
        self._params = params
        self._dice = dice
        self._peers = peers
        self._outbox = outbox
        self._counts = counts
        self._members: dict[str, set[bytes]] = {}
        self._backoffs: dict[tuple[str, bytes], _Backoff] = {}

    def __contains__(self, topic: str) -> bool:
        return topic in self._members

    @property
    def size(self) -> int:
        """Memberships in all topics."""
        return sum(len(members) for members in self._members.values())

    @property
    def backoffs(self) -> int:
        return len(self._backoffs)

    def topics(self) -> list[str]:
        return sorted(self._members)

    def members(self, topic: str) -> list[bytes]:
        return sorted(self._members.get(topic, ()))

    def join(self, topic: str, now_ms: int) -> None:
        """We subscribed: fill the mesh at once from the peers that are known on the topic."""
        self._members[topic] = set()
        self._fill(topic, now_ms)

    def leave(self, topic: str, now_ms: int) -> None:
        for peer in self.members(topic):
            self._prune(peer, topic, self._params.unsubscribe_backoff_ms, now_ms)
        del self._members[topic]

    def forget(self, peer: bytes) -> None:
        """The peer is gone; its backoffs stay, or reconnecting would shorten them."""
        for members in self._members.values():
            members.discard(peer)

    def drop(self, peer: bytes, topic: str) -> None:
        """The peer unsubscribed."""
        self._members.get(topic, set()).discard(peer)

    def welcome(self, state: PeerState, topic: str, now_ms: int) -> None:
        """The peer subscribed: graft it now if the mesh is thin, without waiting for the heartbeat."""
        members = self._members.get(topic)
        if members is not None and len(members) < self._params.degree_low and self._eligible(state, topic, now_ms):
            self._graft(state.peer, topic, now_ms)

    def take_graft(self, state: PeerState, topic: str, now_ms: int) -> int:
        """The peer wants in. Returns how many faults that was; a refusal is answered by PRUNE.

        GRAFTs for topics that we do not know are not answered (gossipsub v1.1, spam protection).
        """
        members = self._members.get(topic)
        if members is None or state.peer in members:
            return 0
        state.add_topic(topic, self._params)
        backoff = self._backoffs.get((topic, state.peer))
        if backoff is not None and now_ms < backoff.until_ms:
            self._counts["grafts_in_backoff"] += 1
            self._prune(state.peer, topic, self._params.prune_backoff_ms, now_ms)
            return 2 if now_ms < backoff.since_ms + self._params.graft_flood_ms else 1
        full = len(members) >= self._params.degree_high and not state.outbound
        if full or not self._peers.mesh_worthy(state.peer):
            self._counts["grafts_refused"] += 1
            self._prune(state.peer, topic, self._params.prune_backoff_ms, now_ms)
            return 0
        members.add(state.peer)
        return 0

    def take_prune(self, peer: bytes, topic: str, backoff_s: int | None, now_ms: int) -> None:
        """The peer wants out, and to be left alone for so many seconds (None or 0: our default)."""
        if topic not in self._members:
            return
        self._members[topic].discard(peer)
        wish_ms = 1000 * backoff_s if backoff_s else self._params.prune_backoff_ms
        self._back_off(peer, topic, min(wish_ms, self._params.backoff_ms_max), now_ms)

    def maintain(self, now_ms: int) -> None:
        """The heartbeat's part: backoffs end, the unworthy leave, each mesh returns to its size."""
        slack = self._params.backoff_slack_ms
        for key in [key for key, backoff in self._backoffs.items() if backoff.until_ms + slack <= now_ms]:
            del self._backoffs[key]
        for topic in self.topics():
            for peer in self.members(topic):
                if not self._peers.mesh_worthy(peer):
                    self._prune(peer, topic, self._params.prune_backoff_ms, now_ms)
            if len(self._members[topic]) < self._params.degree_low:
                self._fill(topic, now_ms)
            if len(self._members[topic]) > self._params.degree_high:
                self._thin(topic, now_ms)
            if len(self._members[topic]) >= self._params.degree_low:
                self._fill_outbound(topic, now_ms)

    def _fill(self, topic: str, now_ms: int) -> None:
        candidates = self._candidates(topic, now_ms)
        missing = self._params.degree - len(self._members[topic])
        for state in self._dice.sample(candidates, missing):
            self._graft(state.peer, topic, now_ms)

    def _fill_outbound(self, topic: str, now_ms: int) -> None:
        missing = self._params.degree_out - sum(map(self._outbound, self._members[topic]))
        if missing > 0:
            candidates = [state for state in self._candidates(topic, now_ms) if state.outbound]
            for state in self._dice.sample(candidates, missing):
                self._graft(state.peer, topic, now_ms)

    def _thin(self, topic: str, now_ms: int) -> None:
        """Keep D members at random, but D_out of them outbound as far as there are so many."""
        members = self.members(topic)
        shuffled = self._dice.sample(members, len(members))
        kept_outbound = [peer for peer in shuffled if self._outbound(peer)][: self._params.degree_out]
        others = [peer for peer in shuffled if peer not in kept_outbound]
        keep = {*kept_outbound, *others[: self._params.degree - len(kept_outbound)]}
        for peer in members:
            if peer not in keep:
                self._prune(peer, topic, self._params.prune_backoff_ms, now_ms)

    def _candidates(self, topic: str, now_ms: int) -> list[PeerState]:
        return [state for state in self._peers.on_topic(topic) if self._eligible(state, topic, now_ms)]

    def _eligible(self, state: PeerState, topic: str, now_ms: int) -> bool:
        backoff = self._backoffs.get((topic, state.peer))
        rested = backoff is None or backoff.until_ms + self._params.backoff_slack_ms <= now_ms
        return rested and state.peer not in self._members[topic] and self._peers.mesh_worthy(state.peer)

    def _outbound(self, peer: bytes) -> bool:
        state = self._peers.get(peer)
        return state is not None and state.outbound

    def _graft(self, peer: bytes, topic: str, now_ms: int) -> None:
        self._members[topic].add(peer)
        self._outbox.graft(peer, topic, now_ms)
        self._counts["grafts_sent"] += 1

    def _prune(self, peer: bytes, topic: str, backoff_ms: int, now_ms: int) -> None:
        self._members[topic].discard(peer)
        self._back_off(peer, topic, backoff_ms, now_ms)
        self._outbox.prune(peer, topic, -(-backoff_ms // 1000), now_ms)
        self._counts["prunes_sent"] += 1

    def _back_off(self, peer: bytes, topic: str, backoff_ms: int, now_ms: int) -> None:
        """Start or extend a backoff; never shorten one."""
        before = self._backoffs.pop((topic, peer), None)
        until_ms = max(now_ms + backoff_ms, 0 if before is None else before.until_ms)
        self._backoffs[topic, peer] = _Backoff(now_ms, until_ms)
        while len(self._backoffs) > self._params.backoffs_max:
            del self._backoffs[next(iter(self._backoffs))]
