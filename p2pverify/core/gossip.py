"""The gossip router: a sans-IO state machine that speaks gossipsub v1.1, StrictNoSign, content-hash ids.

Its only door is `handle(event, now_ms) -> effects`; time comes in, frames and wishes go out. It leaves bytes
and streams to the network adapter, and the judgement of messages to the application. Gossip is best effort:
what it loses, sync repairs. Own messages are flooded, so there is no fanout; peer scores P1 to P7 are not
computed, see `gossip_peers` for what stands in their place. Equal seeds and events give equal effects.
"""

from collections import Counter
from collections.abc import Sequence
from typing import TypeVar

from p2pverify.core.errors import LocalProtocolError
from p2pverify.core.gossip_cache import PendingMessages, SeenCache
from p2pverify.core.gossip_dice import Dice
from p2pverify.core.gossip_lazy import LazyGossip
from p2pverify.core.gossip_mesh import Mesh
from p2pverify.core.gossip_outbox import Outbox
from p2pverify.core.gossip_params import GossipParams
from p2pverify.core.gossip_peers import PeerState, PeerTable
from p2pverify.core.gossip_types import (
    COUNTERS,
    Deliver,
    Disconnect,
    Effect,
    Event,
    GossipMessage,
    NetworkEvent,
    PeerConnected,
    PeerDisconnected,
    Publish,
    Rpc,
    RpcMalformed,
    RpcReceived,
    SendRpc,
    Subscribe,
    Tick,
    Unsubscribe,
    Verdict,
    VerdictWord,
    message_id,
    topic_bytes,
)

T = TypeVar("T")


class Router:
    """One peer's router. `own` is its key (32 B); `seed` starts the dice and need not be secret."""

    def __init__(self, params: GossipParams, *, own: bytes, seed: int) -> None:
        self._params = params
        self._own = own
        self._now_ms = 0
        self._heartbeat_due_ms: int | None = None
        self._effects: list[Effect] = []
        self._counts: Counter[str] = Counter(dict.fromkeys(COUNTERS, 0))
        dice = Dice(own + str(seed).encode())
        self._first_heartbeat_ms = 1 + dice.below(max(1, params.heartbeat_ms))
        self._peers = PeerTable(params)
        self._outbox = Outbox(params)
        self._mesh = Mesh(params, dice, self._peers, self._outbox, self._counts)
        self._seen = SeenCache(params)
        self._pending = PendingMessages(params)
        self._lazy = LazyGossip(
            params, dice, self._peers, self._outbox, self._mesh, counts=self._counts, known=self._known
        )

    def handle(self, event: Event, now_ms: int) -> list[Effect]:
        """Take one event and return what to do, in order. Time is milliseconds of any steady clock.

        Never raises for what strangers send. Raises LocalProtocolError, and changes nothing, for an own topic
        or message beyond the limits.
        """
        self._now_ms = max(self._now_ms, now_ms)
        if self._heartbeat_due_ms is None:
            # At random, as routers that start together should not beat together.
            self._heartbeat_due_ms = self._now_ms + self._first_heartbeat_ms
        if isinstance(event, NetworkEvent):
            self._from_network(event)
        else:
            self._from_here(event, self._heartbeat_due_ms)
        due_ms = self._outbox.due_ms
        if due_ms is not None and due_ms <= self._now_ms:
            rpcs = self._outbox.flush()
            self._counts["rpcs_sent"] += len(rpcs)
            self._effects.extend(SendRpc(peer, rpc) for peer, rpc in rpcs)
        effects, self._effects = self._effects, []
        return effects

    def next_wakeup_ms(self) -> int:
        """When the next Tick is due, on the clock of `handle`; any event may move it to an earlier time."""
        if self._heartbeat_due_ms is None:
            return 0
        due_ms = self._outbox.due_ms
        return self._heartbeat_due_ms if due_ms is None else min(due_ms, self._heartbeat_due_ms)

    def mesh_peers(self, topic: str) -> tuple[bytes, ...]:
        """The members of our mesh on a topic, in order of their keys."""
        return tuple(self._mesh.members(topic))

    def statistics(self) -> dict[str, int]:
        """Counters since the start, and the present sizes of everything that is bounded."""
        sizes = {
            "size_peers": len(self._peers),
            "size_mesh": self._mesh.size,
            "size_backoffs": self._mesh.backoffs,
            "size_faulty_peers": self._peers.faulty,
            "size_seen": len(self._seen),
            "size_pending": len(self._pending),
            "size_pending_bytes": self._pending.size_bytes,
            "size_mcache": len(self._lazy.mcache),
            "size_mcache_bytes": self._lazy.mcache.size_bytes,
            "size_promises": len(self._lazy.promises),
        }
        return dict(sorted({**self._counts, **sizes}.items()))

    def _from_network(self, event: NetworkEvent) -> None:
        match event:
            case RpcReceived(peer, rpc):
                self._rpc(peer, rpc)
            case PeerConnected(peer, outbound):
                self._connected(peer, outbound=outbound)
            case PeerDisconnected(peer):
                self._forget(peer)
            case RpcMalformed(peer):
                self._counts["rpcs_malformed"] += 1
                self._misbehaved(peer)

    def _from_here(self, event: Subscribe | Unsubscribe | Publish | Verdict | Tick, heartbeat_due_ms: int) -> None:
        match event:
            case Verdict(mid, verdict):
                self._verdict(mid, verdict)
            case Publish(topic, data):
                self._publish(topic, data)
            case Tick():
                if heartbeat_due_ms <= self._now_ms:
                    self._heartbeat()
            case Subscribe(topic):
                self._subscribe(topic)
            case Unsubscribe(topic):
                self._unsubscribe(topic)

    # Peers come and go.

    def _connected(self, peer: bytes, *, outbound: bool) -> None:
        self._forget(peer)  # a second connection starts afresh
        if peer == self._own:
            self._refuse(peer, "own key")
        elif not self._peers.tolerable(peer):
            self._refuse(peer, "too many faults")
        elif len(self._peers) >= self._params.peers_max:
            self._refuse(peer, "too many peers")
        else:
            self._peers.add(peer, outbound=outbound, now_ms=self._now_ms)
            for topic in self._mesh.topics():
                self._outbox.subscription(peer, subscribe=True, topic=topic, now_ms=self._now_ms)

    def _refuse(self, peer: bytes, reason: str) -> None:
        self._counts["peers_refused"] += 1
        self._effects.append(Disconnect(peer, reason))

    def _forget(self, peer: bytes) -> None:
        self._peers.remove(peer)
        self._mesh.forget(peer)
        self._outbox.forget(peer)
        self._lazy.promises.forget(peer)

    def _invalid(self, peer: bytes) -> None:
        self._counts["faults_invalid"] += 1
        self._peers.blame(peer).invalid += 1
        self._end_if_intolerable(peer)

    def _misbehaved(self, peer: bytes) -> None:
        self._counts["faults_misbehaviour"] += 1
        self._peers.blame(peer).misbehaviour += 1
        self._end_if_intolerable(peer)

    def _end_if_intolerable(self, peer: bytes) -> None:
        if peer in self._peers and not self._peers.tolerable(peer):
            self._counts["peers_ended"] += 1
            self._forget(peer)
            self._effects.append(Disconnect(peer, "too many faults"))

    # Our own wishes.

    def _subscribe(self, topic: str) -> None:
        self._require_topic(topic)
        if topic in self._mesh:
            return
        if len(self._mesh.topics()) >= self._params.topics_per_peer_max:
            raise LocalProtocolError("too many topics")
        for state in self._peers.connected():
            self._outbox.subscription(state.peer, subscribe=True, topic=topic, now_ms=self._now_ms)
        self._mesh.join(topic, self._now_ms)

    def _unsubscribe(self, topic: str) -> None:
        if topic not in self._mesh:
            return
        self._mesh.leave(topic, self._now_ms)
        for state in self._peers.connected():
            self._outbox.subscription(state.peer, subscribe=False, topic=topic, now_ms=self._now_ms)

    def _publish(self, topic: str, data: bytes) -> None:
        self._require_topic(topic)
        if len(data) > self._params.message_bytes_max:
            raise LocalProtocolError("message too large")
        mid = message_id(data)
        if self._seen.get(topic, mid) == "accept":
            self._counts["publish_repeated"] += 1
            return
        self._counts["messages_published"] += 1
        self._lazy.promises.fulfil(mid)
        entry = self._pending.get(mid)
        sources: set[bytes] = set()
        if entry is not None and entry.topic == topic:
            self._pending.pop(mid)
            sources = set(entry.sources)
        everybody = [state.peer for state in self._peers.on_topic(topic)]
        self._spread(mid, GossipMessage(topic, data), everybody, sources)

    def _spread(self, mid: bytes, message: GossipMessage, peers: Sequence[bytes], sources: set[bytes]) -> None:
        """A message is good: remember it, offer it to all, send it to these peers except its sources."""
        self._seen.add(message.topic, mid, "accept", self._now_ms)
        self._lazy.mcache.put(mid, message)
        for peer in peers:
            if peer not in sources:
                self._counts["messages_sent"] += 1
                self._outbox.message(peer, mid, message, self._now_ms)

    def _verdict(self, mid: bytes, verdict: VerdictWord) -> None:
        entry = self._pending.pop(mid)
        if entry is None:
            self._counts["verdicts_late"] += 1
            return
        self._counts["verdicts_" + verdict] += 1
        if verdict == "accept":
            message = GossipMessage(entry.topic, entry.data)
            self._spread(mid, message, self._mesh.members(entry.topic), set(entry.sources))
            return
        self._seen.add(entry.topic, mid, verdict, self._now_ms)
        if verdict == "reject":
            for peer in entry.sources:
                self._invalid(peer)

    def _heartbeat(self) -> None:
        self._counts["heartbeats"] += 1
        self._peers.begin_heartbeat(self._now_ms)
        self._lazy.break_promises(self._now_ms)
        self._seen.expire(self._now_ms)
        self._counts["pending_expired"] += self._pending.expire(self._now_ms)
        self._mesh.maintain(self._now_ms)
        self._lazy.emit(self._now_ms)
        self._heartbeat_due_ms = self._now_ms + self._params.heartbeat_ms

    # What strangers send.

    def _rpc(self, peer: bytes, rpc: Rpc) -> None:
        state = self._peers.get(peer)
        if state is None:
            self._counts["rpcs_of_strangers"] += 1
            return
        self._counts["rpcs_received"] += 1
        steps = (
            self._take_subscriptions,
            self._take_messages,
            self._take_ihave,
            self._take_iwant,
            self._take_grafts,
            self._take_prunes,
        )
        for step in steps:
            step(state, rpc)
            if peer not in self._peers:
                return

    def _take_subscriptions(self, state: PeerState, rpc: Rpc) -> None:
        for subscribe, topic in self._readable(state, rpc.subscriptions):
            if not subscribe:
                state.topics.discard(topic)
                self._mesh.drop(state.peer, topic)
            elif state.add_topic(topic, self._params):
                self._mesh.welcome(state, topic, self._now_ms)
            else:
                self._counts["subscriptions_refused"] += 1

    def _take_messages(self, state: PeerState, rpc: Rpc) -> None:
        for message in rpc.publish:
            self._take_message(state.peer, message)
            if state.peer not in self._peers:
                return

    def _take_message(self, peer: bytes, message: GossipMessage) -> None:
        self._counts["messages_received"] += 1
        # StrictNoSign. The data may be good in itself, so its id stays unseen.
        if message.extra_fields or len(message.data) > self._params.message_bytes_max:
            self._invalid(peer)
            return
        mid = message_id(message.data)
        self._lazy.promises.fulfil(mid)
        self._outbox.discard(peer, mid)
        if message.topic not in self._mesh:
            self._counts["messages_unsubscribed"] += 1
        elif self._known(message.topic, mid):
            self._counts["messages_duplicate"] += 1
            self._take_duplicate(peer, mid, message.topic)
        elif self._pending.add(mid, message, peer, self._now_ms):
            self._counts["messages_delivered"] += 1
            self._effects.append(Deliver(message.topic, message.data, mid, peer))
        else:
            self._counts["messages_dropped"] += 1

    def _take_duplicate(self, peer: bytes, mid: bytes, topic: str) -> None:
        verdict = self._seen.get(topic, mid)
        entry = self._pending.get(mid)
        if verdict == "reject":
            self._invalid(peer)
        elif verdict is None and entry is not None and entry.topic == topic:
            entry.add_source(peer, self._params)

    def _known(self, topic: str, mid: bytes) -> bool:
        return self._seen.get(topic, mid) is not None or self._pending.get(mid) is not None

    def _take_ihave(self, state: PeerState, rpc: Rpc) -> None:
        for topic, ids in rpc.ihave:
            if not self._lazy.take_ihave(state, topic, ids, self._now_ms):
                self._misbehaved(state.peer)
            if state.peer not in self._peers:
                return

    def _take_iwant(self, state: PeerState, rpc: Rpc) -> None:
        self._lazy.take_iwant(state, rpc.iwant, self._now_ms)

    def _take_grafts(self, state: PeerState, rpc: Rpc) -> None:
        for topic in self._readable(state, rpc.graft):
            for _ in range(self._mesh.take_graft(state, topic, self._now_ms)):
                self._misbehaved(state.peer)
            if state.peer not in self._peers:
                return

    def _take_prunes(self, state: PeerState, rpc: Rpc) -> None:
        for topic, backoff_s in self._readable(state, rpc.prune):
            self._mesh.take_prune(state.peer, topic, backoff_s, self._now_ms)

    def _readable(self, state: PeerState, items: Sequence[T]) -> Sequence[T]:
        """The first items of an RPC's list; more of them are a fault, after which the peer may be gone."""
        if len(items) > self._params.rpc_control_max:
            self._misbehaved(state.peer)
        return items[: self._params.rpc_control_max] if state.peer in self._peers else ()

    def _require_topic(self, topic: str) -> None:
        if topic_bytes(topic) > self._params.topic_bytes_max:
            raise LocalProtocolError("topic too long")
