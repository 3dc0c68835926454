"""Lazy gossip: the IHAVE and IWANT by which messages reach peers outside the mesh.

Follows gossipsub v1.1 with its limits against IHAVE and IWANT floods. Every asked id is a promise by the peer
that offered it; what a broken one costs is decided in `gossip_peers`.
"""

from collections import Counter
from collections.abc import Callable

from p2pverify.core.gossip_cache import MessageCache, Promises
from p2pverify.core.gossip_dice import Dice
from p2pverify.core.gossip_mesh import Mesh
from p2pverify.core.gossip_outbox import Outbox
from p2pverify.core.gossip_params import GossipParams
from p2pverify.core.gossip_peers import PeerState, PeerTable
from p2pverify.core.gossip_types import MESSAGE_ID_BYTES


class LazyGossip:
    """Owns the message cache and the promises. `known(topic, id)` tells what need not be asked for."""

    def __init__(
        self,
        params: GossipParams,
        dice: Dice,
        peers: PeerTable,
        outbox: Outbox,
        mesh: Mesh,
        *,
        counts: Counter[str],
        known: Callable[[str, bytes], bool],
    ) -> None:
        self._params = params
        self._dice = dice
        self._peers = peers
        self._outbox = outbox
        self._mesh = mesh
        self._counts = counts
        self._known = known
        self.mcache = MessageCache(params)
        self.promises = Promises(params)

    def take_ihave(self, state: PeerState, topic: str, ids: tuple[bytes, ...], now_ms: int) -> bool:
        """The peer offers messages: ask for those we lack. False if the ids are not of our kind."""
        state.ihave_messages += 1
        spent = state.ihave_messages > self._params.ihave_messages_max
        if spent or not self._peers.keeps_promises(state.peer):
            self._counts["ihaves_ignored"] += 1
            return True
        if topic not in self._mesh:
            return True
        offered = dict.fromkeys(ids[: self._params.ihave_ids_max])
        if any(len(mid) != MESSAGE_ID_BYTES for mid in offered):
            return False
        lacking = [mid for mid in offered if not self._known(topic, mid)]
        wanted = [mid for mid in lacking if self.promises.wanted(mid, state.peer)]
        room = min(self._params.ihave_ids_max - state.ihave_ids, self.promises.room(state.peer))
        # A random choice, so that nobody decides which ids fit.
        chosen = wanted if len(wanted) <= room else self._dice.sample(wanted, room)
        state.ihave_ids += len(chosen)
        self._counts["iwant_ids_sent"] += len(chosen)
        for mid in chosen:
            self.promises.add(mid, state.peer, now_ms)
            self._outbox.iwant(state.peer, mid, now_ms)
        return True

    def take_iwant(self, state: PeerState, ids: tuple[bytes, ...], now_ms: int) -> None:
        """The peer asks for messages: answer from the cache, within its quotas."""
        for mid in ids:
            message = self.mcache.peek(mid)
            size = 0 if message is None else len(message.data)
            spent = state.iwant_ids >= self._params.iwant_ids_max
            if spent or state.iwant_bytes + size > self._params.iwant_bytes_max:
                self._counts["iwants_ignored"] += 1
                return
            state.iwant_ids += 1
            if message is None or self.mcache.take(mid, state.peer) is None:
                self._counts["iwant_ids_unanswered"] += 1
                continue
            state.iwant_bytes += size
            self._counts["iwant_ids_answered"] += 1
            self._outbox.message(state.peer, mid, message, now_ms)

    def break_promises(self, now_ms: int) -> None:
        """Count what was asked for and never came, once per peer and heartbeat against the peer."""
        for peer, broken in sorted(self.promises.expire(now_ms).items()):
            self._counts["promises_broken"] += broken
            self._peers.blame(peer).broken_promises += 1

    def emit(self, now_ms: int) -> None:
        """The heartbeat's part: IHAVE to some peers outside each mesh, then a new window.

        A backoff keeps a peer out of the mesh, not from hearing what there is.
        """
        limit = self._params.ihave_ids_max
        for topic in self._mesh.topics():
            ids = self.mcache.ids(topic)
            if not ids:
                continue
            for state in self._listeners(topic):
                chosen = ids if len(ids) <= limit else self._dice.sample(ids, limit)
                state.told_ms[topic] = now_ms
                self._counts["ihave_ids_sent"] += len(chosen)
                self._outbox.ihave(state.peer, topic, tuple(chosen), now_ms)
        self.mcache.shift()

    def _listeners(self, topic: str) -> list[PeerState]:
        """Peers outside the mesh to tell now: D_lazy or the gossip factor, those first that waited longest.

        Taking turns reaches three times D_lazy peers in the three heartbeats of a message, where independent
        throws would leave out some of ten. Reconnecting does not bring a turn forward.
        """
        members = set(self._mesh.members(topic))
        others = [state for state in self._peers.on_topic(topic) if state.peer not in members]
        shuffled = self._dice.sample(others, len(others))
        shuffled.sort(key=lambda state: state.told_ms.get(topic, state.connected_ms))
        share = -(-len(others) * self._params.gossip_percent // 100)
        return shuffled[: max(self._params.degree_lazy, share)]
