"""For all inputs from unknown peers, the router raises nothing and keeps its bounds."""

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from p2pverify.core.errors import GossipVerdict
from p2pverify.core.gossip.params import GossipParams, ScoreParams
from p2pverify.core.gossip.router import Router
from p2pverify.core.gossip.types import (
    Appraise,
    Deliver,
    Disconnect,
    Event,
    Exclude,
    GossipMessage,
    GossipTick,
    MessageVerdict,
    PeerConnected,
    PeerDisconnected,
    PublishMessage,
    Rpc,
    RpcMalformed,
    RpcReceived,
    SendRpc,
    Subscribe,
    Unsubscribe,
    message_id,
)

PARAMS = GossipParams(
    peers_max=4,
    topics_per_peer_max=3,
    topic_bytes_max=8,
    message_bytes_max=16,
    seen_max=20,
    mcache_messages_max=10,
    mcache_bytes_max=100,
    pending_max=8,
    pending_per_peer_max=4,
    pending_bytes_max=60,
    backoffs_max=5,
    promises_max=12,
    promises_per_peer_max=6,
    rpc_control_max=5,
    ihave_ids_max=8,
    iwant_ids_max=8,
    iwant_bytes_max=64,
    fanout_ms=2_000,
    flood_publish=False,
    opportunistic_graft_heartbeats=2,
    batch_ms=50,
    score=ScoreParams(
        retained_max=3,
        colocation_threshold=1,
        delivery_weight=-1_000,
        failure_weight=-1_000,
        delivery_activation_ms=2_000,
        retain_ms=10_000,
    ),
)
OWN = b"\xff" * 32

peers = st.sampled_from([bytes([number]) * 32 for number in range(6)] + [OWN])
topics = st.sampled_from(["a", "b", "c", "d", "", "too long for this"]) | st.text(max_size=10)
datas = st.sampled_from([b"%d" % number for number in range(12)]) | st.binary(max_size=20)
ids = datas.map(message_id) | st.binary(max_size=40)
rpcs = st.builds(
    Rpc,
    subscriptions=st.lists(st.tuples(st.booleans(), topics), max_size=7).map(tuple),
    publish=st.lists(st.builds(GossipMessage, topics, datas, st.booleans()), max_size=6).map(tuple),
    ihave=st.lists(st.tuples(topics, st.lists(ids, max_size=12).map(tuple)), max_size=4).map(tuple),
    iwant=st.lists(ids, max_size=12).map(tuple),
    graft=st.lists(topics, max_size=7).map(tuple),
    prune=st.lists(st.tuples(topics, st.none() | st.integers(0, 2**64 - 1)), max_size=7).map(tuple),
)
verdicts = st.sampled_from([GossipVerdict.ACCEPT, GossipVerdict.IGNORE, GossipVerdict.REJECT])
events: st.SearchStrategy[Any] = st.one_of(
    st.builds(RpcReceived, peers, rpcs),
    st.builds(RpcReceived, peers, rpcs),
    st.builds(PeerConnected, peers, st.booleans(), st.sampled_from(["", "192.0.2.1", "2001:db8::1", "?"])),
    st.builds(PeerDisconnected, peers),
    st.builds(RpcMalformed, peers),
    st.builds(Subscribe, st.sampled_from(["a", "b", "c"])),
    st.builds(Unsubscribe, topics),
    st.builds(PublishMessage, st.sampled_from(["a", "b", "c"]), st.binary(max_size=16)),
    st.builds(MessageVerdict, ids, verdicts),
    st.builds(Exclude, st.frozensets(peers, max_size=2)),
    st.builds(Appraise, peers, st.integers(-120_000, 5_000)),
    st.just(GossipTick()),
)


class Strangers(RuleBasedStateMachine):
    """One small router between arbitrary peers. Its invariants are checked after every step."""

    def __init__(self) -> None:
        super().__init__()
        self.router = Router(PARAMS, own=OWN, seed=7)
        self.now_ms = 0
        self.connected: set[bytes] = set()
        self.excluded: frozenset[bytes] = frozenset()
        self.waiting: list[bytes] = []
        self.feed(Subscribe("a"))

    def feed(self, event: Event) -> None:
        if isinstance(event, PeerConnected):
            self.connected.add(event.peer)
        elif isinstance(event, PeerDisconnected):
            self.connected.discard(event.peer)
        elif isinstance(event, Exclude):
            self.excluded = event.peers
        for effect in self.router.handle(event, self.now_ms):
            match effect:
                case SendRpc(peer, rpc):
                    assert peer in self.connected, "sent to a stranger"
                    assert rpc != Rpc(), "sent an empty frame"
                    assert all(len(message.data) <= 16 for message in rpc.publish)
                case Deliver(_, data, mid, source):
                    assert mid == message_id(data)
                    assert source in self.connected | {getattr(event, "peer", b"")}
                    self.waiting.append(mid)
                case Disconnect(peer, reason):
                    assert reason
                    self.connected.discard(peer)

    @rule(event=events, step_ms=st.integers(0, 2_000))
    def anything(self, event: Event, step_ms: int) -> None:
        """Any event at any later time."""
        self.now_ms += step_ms
        self.feed(event)

    @rule(verdict=verdicts)
    def judge(self, verdict: Any) -> None:
        """The application answers the oldest delivery."""
        if self.waiting:
            self.feed(MessageVerdict(self.waiting.pop(0), verdict))
            if verdict is GossipVerdict.ACCEPT:  # the score of its sender would change at the next decay
                scores = self.router._scores
                for card in scores._cards.values():
                    scores._weigh(card)

    @rule()
    def beat(self) -> None:
        """A due Tick schedules the next one."""
        self.now_ms = max(self.now_ms, self.router.next_wakeup_ms())
        self.feed(GossipTick())
        assert self.router.next_wakeup_ms() > self.now_ms

    @invariant()
    def bounded(self) -> None:
        """Every store keeps its limit."""
        sizes = self.router.statistics()
        assert sizes["size_peers"] == len(self.connected)
        assert sizes["size_peers"] <= PARAMS.peers_max
        assert sizes["size_mesh"] <= PARAMS.peers_max * PARAMS.topics_per_peer_max
        assert sizes["size_backoffs"] <= PARAMS.backoffs_max
        assert sizes["size_scores_retained"] <= PARAMS.score.retained_max
        assert sizes["size_fanout"] <= PARAMS.topics_per_peer_max
        assert sizes["size_seen"] <= PARAMS.seen_max
        assert sizes["size_pending"] <= PARAMS.pending_max
        assert sizes["size_pending_bytes"] <= PARAMS.pending_bytes_max
        assert sizes["size_mcache"] <= PARAMS.mcache_messages_max
        assert sizes["size_mcache_bytes"] <= PARAMS.mcache_bytes_max
        assert sizes["size_promises"] <= PARAMS.promises_max
        assert min(sizes.values()) >= 0

    @invariant()
    def mesh_is_connected(self) -> None:
        """Members of a mesh are connected and not excluded."""
        for topic in ("a", "b", "c"):
            assert set(self.router.mesh_peers(topic)) <= self.connected - self.excluded

    @invariant()
    def scores_are_sums(self) -> None:
        """A score is the sum of its parts, with the topics' part capped. A peer below the disconnect threshold is not
        connected."""
        for peer, parts in self.router.scores().items():
            topics = parts.time_in_mesh + parts.first_deliveries + parts.delivery_deficit
            topics += parts.delivery_failures + parts.invalid_messages
            others = parts.application + parts.colocation + parts.behaviour
            assert parts.total == min(topics, PARAMS.score.topic_cap) + others
            assert peer in self.connected or parts.total - parts.application <= 0


Strangers.TestCase.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
TestStrangers = Strangers.TestCase


@settings(deadline=None, max_examples=50)
@given(st.lists(st.tuples(events, st.integers(0, 2_000)), max_size=40))
def test_equal_events_give_equal_effects(script: list[tuple[Event, int]]) -> None:
    """Two routers with equal seeds and scripts give equal effects."""
    one, other = (Router(PARAMS, own=OWN, seed=7) for _ in range(2))
    now_ms = 0
    for event, step_ms in script:
        now_ms += step_ms
        assert one.handle(event, now_ms) == other.handle(event, now_ms)
    assert one.statistics() == other.statistics()
