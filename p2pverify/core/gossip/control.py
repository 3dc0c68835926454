"""The control parts of RPCs from other peers: subscriptions, IHAVE, IWANT, GRAFT, PRUNE, IDONTWANT.

Decides how much of an RPC is read, and what is misbehaviour. The rest is left to the mesh and to lazy gossip.
"""

from collections.abc import Callable, Sequence
from typing import TypeVar

from p2pverify.core.counters import Counters
from p2pverify.core.gossip.lazy import LazyGossip
from p2pverify.core.gossip.mesh import Mesh
from p2pverify.core.gossip.outbox import RpcOutbox
from p2pverify.core.gossip.params import GossipParams
from p2pverify.core.gossip.peers import PeerState, PeerTable
from p2pverify.core.gossip.types import MESSAGE_ID_BYTES, Rpc

T = TypeVar("T")


class Control:
    """Takes the control parts of RPCs. `misbehaved(peer)` may disconnect the peer; then nothing more is read."""

    def __init__(
        self,
        params: GossipParams,
        *,
        peers: PeerTable,
        mesh: Mesh,
        lazy: LazyGossip,
        outbox: RpcOutbox,
        counters: Counters,
        misbehaved: Callable[[bytes], None],
    ) -> None:
        self._params = params
        self._peers = peers
        self._mesh = mesh
        self._lazy = lazy
        self._outbox = outbox
        self._counters = counters
        self._misbehaved = misbehaved

    def take_subscriptions(self, state: PeerState, rpc: Rpc, now_ms: int) -> None:
        for subscribe, topic in self._readable(state, rpc.subscriptions):
            if not subscribe:
                self._peers.unsubscribe(state, topic)
                self._mesh.drop(state.peer, topic)
            elif self._peers.subscribe(state, topic):
                self._mesh.welcome(state, topic, now_ms)
            else:
                self._counters.count("subscriptions_refused")

    def take_the_rest(self, state: PeerState, rpc: Rpc, now_ms: int) -> None:
        """Take IHAVE, IWANT, GRAFT, PRUNE and IDONTWANT, in the order of the protocol."""
        if rpc.ihave:
            self._take_ihave(state, rpc, now_ms)
        if rpc.iwant and state.peer in self._peers:
            self._lazy.take_iwant(state, rpc.iwant, now_ms)
        if rpc.graft and state.peer in self._peers:
            self._take_grafts(state, rpc, now_ms)
        if rpc.prune and state.peer in self._peers:
            for topic, backoff_s in self._readable(state, rpc.prune):
                self._mesh.take_prune(state.peer, topic, backoff_s, now_ms)
        if rpc.idontwant and state.peer in self._peers:
            self._take_idontwant(state, rpc.idontwant, now_ms)

    def _take_idontwant(self, state: PeerState, ids: Sequence[bytes], now_ms: int) -> None:
        """The peer has these messages. Only members of the mesh are sent messages, so only theirs are noted."""
        room = self._params.idontwant_ids_max - len(state.unwanted) if self._mesh.has(state.peer) else 0
        taken = [mid for mid in ids[:room] if len(mid) == MESSAGE_ID_BYTES]
        self._counters.count("idontwant_ids_received", len(taken))
        self._counters.count("idontwant_ids_ignored", len(ids) - len(taken))
        topics = self._mesh.topics()
        for mid in taken:
            state.unwanted.add(mid)
            for topic in topics:
                if self._outbox.discard(state.peer, (topic, mid), now_ms):
                    self._counters.count("messages_spared")

    def _take_ihave(self, state: PeerState, rpc: Rpc, now_ms: int) -> None:
        for topic, ids in rpc.ihave:
            if not self._lazy.take_ihave(state, topic, ids, now_ms):
                self._misbehaved(state.peer)
            if state.peer not in self._peers:
                return

    def _take_grafts(self, state: PeerState, rpc: Rpc, now_ms: int) -> None:
        for topic in self._readable(state, rpc.graft):
            for _ in range(self._mesh.take_graft(state, topic, now_ms)):
                self._misbehaved(state.peer)
            if state.peer not in self._peers:
                return

    def _readable(self, state: PeerState, items: Sequence[T]) -> Sequence[T]:
        """The first items of an RPC's list. A longer list is a fault; if that ends the peer, nothing is read."""
        if len(items) > self._params.rpc_control_max:
            self._misbehaved(state.peer)
        return items[: self._params.rpc_control_max] if state.peer in self._peers else ()
