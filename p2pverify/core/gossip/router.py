"""The gossip router: a sans-IO state machine that speaks gossipsub v1.2, StrictNoSign, content-hash ids.

Its only entry is `handle(event, now_ms) -> effects`. It leaves bytes and streams to the network adapter, and the
judgement of messages to the application. Gossip is best effort; sync repairs its losses. Peer exchange is neither
sent nor read. Equal seeds and events give equal effects.
"""

from collections.abc import Container, Iterable

from p2pverify.core.counters import Counters
from p2pverify.core.errors import GossipVerdict, LocalProtocolError
from p2pverify.core.gossip.cache import NearFirst, Pending, PendingMessages, SeenCache
from p2pverify.core.gossip.control import Control
from p2pverify.core.gossip.dice import Dice
from p2pverify.core.gossip.fanout import Fanout
from p2pverify.core.gossip.lazy import LazyGossip
from p2pverify.core.gossip.mesh import Mesh
from p2pverify.core.gossip.outbox import RpcOutbox
from p2pverify.core.gossip.params import GossipParams
from p2pverify.core.gossip.peers import PeerState, PeerTable
from p2pverify.core.gossip.score import ONE, PeerScores, ScoreParts
from p2pverify.core.gossip.types import (
    COUNTERS,
    Appraise,
    Deliver,
    Disconnect,
    Effect,
    Event,
    Exclude,
    GossipMessage,
    GossipTick,
    MessageKey,
    MessageVerdict,
    PeerConnected,
    PeerDisconnected,
    PublishMessage,
    Rpc,
    RpcMalformed,
    RpcReceived,
    Subscribe,
    Unsubscribe,
    Verdicts,
    topic_bytes,
)


class Router:
    """One peer's router. `own` is its key (32 B); `seed` starts the dice and need not be secret."""

    def __init__(self, params: GossipParams, *, own: bytes, seed: int) -> None:
        self._params = params
        self._own = own
        self._now_ms = 0
        self._heartbeat_due_ms: int | None = None
        self._effects: list[Effect] = []
        self._counters = counters = Counters(COUNTERS)
        dice = Dice(own + str(seed).encode())
        self._first_heartbeat_ms = 1 + dice.below(max(1, params.heartbeat_ms))
        self._scores = scores = PeerScores(params.score)
        self._peers = peers = PeerTable(params)
        self._outbox = outbox = RpcOutbox(params)
        self._mesh = mesh = Mesh(params, dice, peers=peers, scores=scores, outbox=outbox, counters=counters)
        self._fanout = fanout = Fanout(params, dice, peers)
        self._seen = SeenCache(params)
        self._pending = PendingMessages(params)
        self._near_first = NearFirst(params) if params.score.delivery_weight else None
        self._lazy = lazy = LazyGossip(
            params, dice, peers=peers, outbox=outbox, mesh=mesh, fanout=fanout, counters=counters, lacking=self._lacking
        )
        self._control = Control(
            params,
            peers=peers,
            mesh=mesh,
            lazy=lazy,
            outbox=outbox,
            counters=counters,
            misbehaved=self._misbehaved,
        )

    def handle(self, event: Event, now_ms: int) -> list[Effect]:
        """Take one event and return what to do, in order. `now_ms` is milliseconds of any steady clock.

        Data from other peers never raises. Raises LocalProtocolError, and changes nothing, if an own topic or message
        exceeds a limit, or if too many peers are excluded or appraised.
        """
        self._now_ms = max(self._now_ms, now_ms)
        if self._heartbeat_due_ms is None:
            # At random, so that routers that start together do not have their heartbeats together.
            self._heartbeat_due_ms = self._now_ms + self._first_heartbeat_ms
        # The most frequent events first.
        if type(event) is RpcReceived:
            self._rpc(event.peer, event.rpc)
        elif type(event) is MessageVerdict:
            self._verdict(event.message_id, event.verdict)
        elif type(event) is Verdicts:
            for message_id, verdict in event.verdicts:
                self._verdict(message_id, verdict)
        else:
            self._take(event, self._heartbeat_due_ms)
        due_ms = self._outbox.due_ms
        if due_ms is not None and due_ms <= self._now_ms:
            sent = self._outbox.flush(self._now_ms)
            self._counters.count("rpcs_sent", len(sent))
            self._counters.count("messages_sent", self._outbox.forwarded)
            self._effects += sent
        effects, self._effects = self._effects, []
        return effects

    def next_wakeup_ms(self) -> int:
        """When the next GossipTick is due, on the clock of `handle`; any event may move it to an earlier time."""
        if self._heartbeat_due_ms is None:
            return 0
        due_ms = self._outbox.due_ms
        return self._heartbeat_due_ms if due_ms is None else min(due_ms, self._heartbeat_due_ms)

    def mesh_peers(self, topic: str) -> tuple[bytes, ...]:
        """The members of our mesh on a topic, in order of their keys."""
        return self._mesh.members(topic)

    def scores(self) -> dict[bytes, ScoreParts]:
        """Scores in thousandths, by key, of connected peers and of absent peers whose faults are remembered."""
        return self._scores.all_parts()

    def statistics(self) -> dict[str, int]:
        """Counters since the start, and the present sizes of everything that is bounded."""
        sizes = {
            "size_peers": len(self._peers),
            "size_mesh": self._mesh.size,
            "size_fanout": len(self._fanout),
            "size_backoffs": self._mesh.backoffs,
            "size_excluded": len(self._mesh.excluded),
            "size_peers_negative": sum(state.card.score < 0 for state in self._peers.connected()),
            "size_scores_retained": self._scores.retained,
            "size_seen": len(self._seen),
            "size_pending": len(self._pending),
            "size_pending_bytes": self._pending.size_bytes,
            "size_mcache": len(self._lazy.mcache),
            "size_mcache_bytes": self._lazy.mcache.size_bytes,
            "size_promises": len(self._lazy.promises),
        }
        return dict(sorted({**self._counters, **sizes}.items()))

    def _take(self, event: Event, heartbeat_due_ms: int) -> None:
        match event:
            case PublishMessage(topic, data):
                self._publish(topic, data)
            case GossipTick():
                if heartbeat_due_ms <= self._now_ms:
                    self._heartbeat()
            case PeerConnected():
                self._connected(event)
            case PeerDisconnected(peer):
                self._forget(peer)
            case RpcMalformed(peer):
                self._counters.count("rpcs_malformed")
                self._misbehaved(peer, self._params.score.malformed_penalty)
            case Subscribe(topic):
                self._subscribe(topic)
            case Unsubscribe(topic):
                self._unsubscribe(topic)
            case Exclude(peers):
                if len(peers) > self._params.excluded_max:
                    raise LocalProtocolError("too many peers excluded")
                self._mesh.exclude(peers, self._now_ms)
            case Appraise(peer, score):
                self._scores.appraise(peer, score)
                self._end_if_intolerable(peer)

    # Peers come and go.

    def _connected(self, event: PeerConnected) -> None:
        peer = event.peer
        self._forget(peer)  # a second connection starts afresh
        if peer == self._own:
            self._refuse(peer, "own key")
        elif self._scores.score(peer) < self._params.score.disconnect_threshold:
            self._refuse(peer, "too many faults")
        elif len(self._peers) >= self._params.peers_max:
            self._refuse(peer, "too many peers")
        else:
            card = self._scores.add(peer, event.ip, self._now_ms)
            self._peers.add(event, self._now_ms, card)
            for topic in self._mesh.topics():
                self._outbox.subscription(peer, subscribe=True, topic=topic, now_ms=self._now_ms)

    def _refuse(self, peer: bytes, reason: str) -> None:
        self._counters.count("peers_refused")
        self._effects.append(Disconnect(peer, reason))

    def _forget(self, peer: bytes) -> None:
        if peer in self._peers:
            self._mesh.forget(peer)
            self._peers.remove(peer)
            self._scores.remove(peer, self._now_ms)
            self._outbox.forget(peer)
            self._lazy.promises.forget(peer)

    def _invalid(self, peer: bytes, topic: str) -> None:
        self._counters.count("faults_invalid")
        self._scores.delivered_invalid(peer, topic)
        self._end_if_intolerable(peer)

    def _misbehaved(self, peer: bytes, amount: int = ONE) -> None:
        self._counters.count("faults_misbehaviour")
        self._scores.misbehaved(peer, amount)
        self._end_if_intolerable(peer)

    def _end_if_intolerable(self, peer: bytes) -> None:
        if peer in self._peers and self._scores.score(peer) < self._params.score.disconnect_threshold:
            self._counters.count("peers_ended")
            self._forget(peer)
            self._effects.append(Disconnect(peer, "too many faults"))

    # Our own requests.

    def _subscribe(self, topic: str) -> None:
        self._require_topic(topic)
        if topic in self._mesh:
            return
        if len(self._mesh.topics()) >= self._params.topics_per_peer_max:
            raise LocalProtocolError("too many topics")
        for state in self._peers.connected():
            self._outbox.subscription(state.peer, subscribe=True, topic=topic, now_ms=self._now_ms)
        self._mesh.join(topic, self._fanout.take(topic), self._now_ms)

    def _unsubscribe(self, topic: str) -> None:
        if topic not in self._mesh:
            return
        self._mesh.leave(topic, self._now_ms)
        for state in self._peers.connected():
            self._outbox.subscription(state.peer, subscribe=False, topic=topic, now_ms=self._now_ms)

    def _require_topic(self, topic: str) -> None:
        if topic_bytes(topic) > self._params.topic_bytes_max:
            raise LocalProtocolError("topic too long")

    def _publish(self, topic: str, data: bytes) -> None:
        self._require_topic(topic)
        if len(data) > self._params.message_bytes_max:
            raise LocalProtocolError("message too large")
        message = GossipMessage(topic, data)
        mid = message.key[1]
        if self._seen.get(message.key) is GossipVerdict.ACCEPT:
            self._counters.count("publish_repeated")
            return
        self._counters.count("messages_published")
        self._lazy.promises.fulfil(mid)
        entry = self._pending.get(mid)
        sources: dict[bytes, None] = {}
        if entry is not None and entry.message.topic == topic:
            self._pending.pop(mid)
            sources = entry.sources
        self._spread(message, self._publish_to(topic), sources)

    def _publish_to(self, topic: str) -> tuple[bytes, ...]:
        if self._params.flood_publish:
            threshold = self._params.score.publish_threshold
            return tuple(state.peer for state in self._peers.on_topic(topic) if state.card.score >= threshold)
        if topic in self._mesh:
            return self._mesh.members(topic)
        return self._fanout.targets(topic, self._mesh.excluded, self._now_ms)

    def _spread(self, message: GossipMessage, peers: Iterable[bytes], sources: Container[bytes]) -> None:
        """A message is good: remember it, offer it to all, send it to these peers except its sources."""
        self._seen.add(message.key, GossipVerdict.ACCEPT)
        self._lazy.mcache.put(message)
        self._counters.count("messages_sent", self._outbox.spread(message, peers, sources, self._now_ms))

    def _forward(self, message: GossipMessage, sources: Container[bytes]) -> None:
        """Spread another's message in the mesh. Peers that hear IDONTWANT get it later, if they still want it."""
        members = self._mesh.members(message.topic)
        targets: list[PeerState] = []
        if self._params.batch_ms and len(message.data) >= self._params.idontwant_bytes_min:
            others = (self._peers.get(peer) for peer in members if peer not in sources)
            targets = [state for state in others if state is not None and state.hears_idontwant]
        told = {state.peer for state in targets}
        self._spread(message, [peer for peer in members if peer not in told], sources)
        if targets:
            self._counters.count("idontwant_ids_sent", len(targets))
            self._counters.count("messages_spared", self._outbox.forward(message, targets, self._now_ms))

    def _heartbeat(self) -> None:
        self._counters.count("heartbeats")
        self._peers.begin_heartbeat()
        for peer in self._lazy.break_promises(self._now_ms):
            self._misbehaved(peer)
        self._scores.decay(self._now_ms)
        self._seen.expire(self._now_ms)
        self._counters.count("pending_expired", self._pending.expire(self._now_ms))
        if self._near_first is not None:
            self._near_first.expire(self._now_ms)
        self._mesh.maintain(self._now_ms)
        self._fanout.maintain(self._mesh.excluded, self._now_ms)
        self._lazy.emit(self._now_ms)
        self._heartbeat_due_ms = self._now_ms + self._params.heartbeat_ms

    # What other peers send.

    def _rpc(self, peer: bytes, rpc: Rpc) -> None:
        state = self._peers.get(peer)
        if state is None:
            self._counters.count("rpcs_of_strangers")
            return
        self._counters.count("rpcs_received")
        if rpc.subscriptions:
            # Noted even for a graylisted peer, because it will not repeat them when its score has recovered.
            self._control.take_subscriptions(state, rpc, self._now_ms)
        if state.card.score < self._params.score.graylist_threshold:
            self._counters.count("rpcs_graylisted")
            return
        if rpc.publish:
            self._take_messages(state, rpc.publish)
        if (rpc.ihave or rpc.iwant or rpc.graft or rpc.prune or rpc.idontwant) and peer in self._peers:
            self._control.take_the_rest(state, rpc, self._now_ms)

    def _take_messages(self, state: PeerState, messages: Iterable[GossipMessage]) -> None:
        """Take the messages of one RPC, until one of them gets the peer disconnected."""
        counters, peer, promises, outbox = self._counters, state.peer, self._lazy.promises, self._outbox
        ours: str | None = None  # the last topic that we found ourselves subscribed to
        for message in messages:
            topic = message.topic
            counters.count("messages_received")
            if topic != ours:
                if topic not in self._mesh:
                    counters.count("messages_unsubscribed")
                    continue
                ours = topic
            # StrictNoSign. The data itself may be good, so its id stays unseen.
            if message.extra_fields or len(message.data) > self._params.message_bytes_max:
                self._invalid(peer, topic)
                if peer not in self._peers:
                    return
                continue
            key = message.key
            if promises:
                promises.fulfil(key[1])
            if outbox.due_ms is not None:
                outbox.discard(peer, key, self._now_ms)
            verdict = self._seen.get(key)
            if verdict is None:
                self._take_new(peer, message)
                continue
            counters.count("messages_duplicate")
            if verdict is not GossipVerdict.ACCEPT or self._near_first is not None:
                self._take_duplicate(peer, key, verdict)
                if peer not in self._peers:
                    return

    def _take_new(self, peer: bytes, message: GossipMessage) -> None:
        """Take a message without a verdict; the application may be judging it already."""
        topic, mid = message.key
        entry = self._pending.get(mid)
        if entry is not None:
            self._counters.count("messages_duplicate")
            if entry.message.topic == topic:
                entry.add_source(peer, self._params)
        elif self._pending.add(message, peer, self._now_ms):
            self._counters.count("messages_delivered")
            self._effects.append(Deliver(topic, message.data, mid, peer))
        else:
            self._counters.count("messages_dropped")

    def _take_duplicate(self, peer: bytes, key: MessageKey, verdict: GossipVerdict) -> None:
        if verdict is GossipVerdict.REJECT:
            self._invalid(peer, key[0])
        elif self._near_first is not None and self._near_first.first_of(peer, key, self._now_ms):
            self._scores.delivered_near_first(peer, key[0])

    def _lacking(self, topic: str, mids: Iterable[bytes]) -> list[bytes]:
        """The ids of messages that are neither seen nor being judged."""
        return [mid for mid in self._seen.unseen(topic, mids) if mid not in self._pending]

    def _verdict(self, mid: bytes, verdict: GossipVerdict) -> None:
        entry = self._pending.pop(mid)
        if entry is None:
            self._counters.count("verdicts_late")
            return
        self._counters.count("verdicts_" + verdict)
        message = entry.message
        if verdict is GossipVerdict.ACCEPT:
            self._reward(entry)
            self._forward(message, entry.sources)
            return
        self._seen.add(message.key, verdict)
        if verdict is GossipVerdict.REJECT:
            for peer in entry.sources:
                self._invalid(peer, message.topic)

    def _reward(self, entry: Pending) -> None:
        """Reward the peer that sent a good message first, and the peers that sent it while it was judged."""
        topic = entry.message.topic
        first, *others = entry.sources
        self._scores.delivered_first(first, topic)
        if self._near_first is not None:
            for peer in others:
                self._scores.delivered_near_first(peer, topic)
            self._near_first.add(entry.message.key, entry.sources, self._now_ms)
