"""Lazy gossip: IHAVE and IWANT, which bring messages to peers outside the mesh.

Follows gossipsub v1.1 with its limits against IHAVE and IWANT floods. Every requested id is a promise by the peer
that offered it; a broken one costs score. Peers with a score below the gossip threshold are left out.
"""

from collections.abc import Callable, Iterable

from p2pverify.core.counters import Counters
from p2pverify.core.gossip.cache import MessageCache, Promises
from p2pverify.core.gossip.dice import Dice
from p2pverify.core.gossip.fanout import Fanout
from p2pverify.core.gossip.mesh import Mesh
from p2pverify.core.gossip.outbox import RpcOutbox
from p2pverify.core.gossip.params import GossipParams
from p2pverify.core.gossip.peers import PeerState, PeerTable
from p2pverify.core.gossip.types import MESSAGE_ID_BYTES

_LENGTHS = {MESSAGE_ID_BYTES}


class LazyGossip:
    """Owns the message cache and the promises. `lacking(topic, ids)` returns the ids not received yet."""

    def __init__(
        self,
        params: GossipParams,
        dice: Dice,
        *,
        peers: PeerTable,
        outbox: RpcOutbox,
        mesh: Mesh,
        fanout: Fanout,
        counters: Counters,
        lacking: Callable[[str, Iterable[bytes]], list[bytes]],
    ) -> None:
        self._params = params
        self._dice = dice
        self._peers = peers
        self._outbox = outbox
        self._mesh = mesh
        self._fanout = fanout
        self._counters = counters
        self._lacking = lacking
        self.mcache = MessageCache(params)
        self.promises = Promises(params)

    def take_ihave(self, state: PeerState, topic: str, ids: tuple[bytes, ...], now_ms: int) -> bool:
        """The peer offers messages: ask for those we lack. False if that was abuse: a flood, or malformed ids."""
        state.ihave_messages += 1
        if state.ihave_messages > self._params.ihave_messages_max:
            self._counters.count("ihaves_ignored")
            return state.ihave_messages <= self._params.ihave_flood_max
        if topic not in self._mesh:
            return True
        offered = dict.fromkeys(ids[: self._params.ihave_ids_max])
        if offered and set(map(len, offered)) != _LENGTHS:
            return False
        if state.card.score < self._params.score.gossip_threshold:
            self._counters.count("ihaves_ignored")
            return True
        wanted = [mid for mid in self._lacking(topic, offered) if self.promises.wanted(mid, state.peer)]
        room = min(self._params.ihave_ids_max - state.ihave_ids, self.promises.room(state.peer))
        # The choice is random, so that no peer decides which ids fit.
        chosen = wanted if len(wanted) <= room else self._dice.sample(wanted, room)
        state.ihave_ids += len(chosen)
        self._counters.count("iwant_ids_sent", len(chosen))
        tracked = self._dice.below(len(chosen)) if chosen else 0
        for place, mid in enumerate(chosen):
            self.promises.add(mid, state.peer, now_ms, tracked=place == tracked)
            self._outbox.iwant(state.peer, mid, now_ms)
        return True

    def take_iwant(self, state: PeerState, ids: tuple[bytes, ...], now_ms: int) -> None:
        """The peer asks for messages: answer from the cache, within its quotas."""
        if ids and state.card.score < self._params.score.gossip_threshold:
            self._counters.count("iwants_ignored")
            return
        for mid in ids:
            message = self.mcache.peek(mid)
            size = 0 if message is None else len(message.data)
            spent = state.iwant_ids >= self._params.iwant_ids_max
            if spent or state.iwant_bytes + size > self._params.iwant_bytes_max:
                self._counters.count("iwants_ignored")
                return
            state.iwant_ids += 1
            if message is None or self.mcache.take(mid, state.peer) is None:
                self._counters.count("iwant_ids_unanswered")
                continue
            state.iwant_bytes += size
            self._counters.count("iwant_ids_answered")
            self._outbox.message(state.peer, message, now_ms)

    def break_promises(self, now_ms: int) -> list[bytes]:
        """The peers to blame for not sending a message that they offered, sorted by key.

        One id of each IWANT decides, so a peer that lost a few of many is seldom blamed. If most peers are late, we or
        our network are slow; then no peer is blamed.
        """
        if not self.promises:
            return []
        broken, late = self.promises.expire(now_ms)
        self._counters.count("promises_broken", broken)
        if 2 * len(late) <= len(self._peers):
            return late
        self._counters.count("promises_excused", len(late))
        return []

    def emit(self, now_ms: int) -> None:
        """The heartbeat's part: send IHAVE to some peers outside each mesh or fanout, then begin a new window.

        A peer in back-off is out of the mesh, but still gets IHAVEs.
        """
        limit = self._params.ihave_ids_max
        for topic in sorted({*self._mesh.topics(), *self._fanout.topics()}) if len(self.mcache) else ():
            ids = self.mcache.ids(topic)
            if not ids:
                continue
            for state in self._listeners(topic):
                if len(ids) > limit:
                    start = self._dice.below(len(ids))  # each peer gets a different part
                    chosen = (ids[start:] + ids[:start])[:limit]
                else:
                    chosen = ids
                state.told_ms[topic] = now_ms
                self._counters.count("ihave_ids_sent", len(chosen))
                self._outbox.ihave(state.peer, topic, tuple(chosen), now_ms)
        self.mcache.shift()

    def _listeners(self, topic: str) -> list[PeerState]:
        """The peers outside the mesh that get an IHAVE now: D_lazy of them, or the gossip factor if that is more.

        Peers that waited longest come first. Taking turns reaches three times D_lazy peers in the three heartbeats of a
        message; independent draws would leave out some of ten peers. Reconnecting does not bring a turn forward.
        """
        members = self._mesh.members(topic) or self._fanout.peers(topic)
        threshold = self._params.score.gossip_threshold
        others = [
            state
            for state in self._peers.on_topic(topic)
            if state.peer not in members and state.card.score >= threshold
        ]
        shuffled = self._dice.sample(others, len(others))
        shuffled.sort(key=lambda state: state.told_ms.get(topic, state.connected_ms))
        share = -(-len(others) * self._params.gossip_percent // 100)
        return shuffled[: max(self._params.degree_lazy, share)]
