"""The rules of the gossip router, one at a time, by hand."""

from dataclasses import replace
from hashlib import sha256

import pytest

from p2pverify.core.errors import LocalProtocolError
from p2pverify.core.gossip import Router
from p2pverify.core.gossip_params import GossipParams
from p2pverify.core.gossip_types import (
    Deliver,
    Disconnect,
    Effect,
    Event,
    GossipMessage,
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
    records_topic,
)

TOPIC = records_topic(bytes(32))
OWN = b"\xff" * 32
ALICE, BOB, CAROL = (sha256(name).digest() for name in (b"alice", b"bob", b"carol"))
PARAMS = GossipParams()


def peer(number: int) -> bytes:
    return number.to_bytes(32, "big")


class Bench:
    """A router, its clock, and its last effects."""

    def __init__(self, params: GossipParams = PARAMS, *, topic: str | None = TOPIC) -> None:
        self.router = Router(params, own=OWN, seed=1)
        self.params = params
        self.now_ms = 1_000
        self.effects: list[Effect] = []
        if topic is not None:
            self(Subscribe(topic))

    def __call__(self, event: Event) -> list[Effect]:
        self.effects = self.router.handle(event, self.now_ms)
        return self.effects

    def rpc(self, source: bytes, **parts: object) -> list[Effect]:
        return self(RpcReceived(source, Rpc(**parts)))  # type: ignore[arg-type]

    def message(self, source: bytes, data: bytes, topic: str = TOPIC) -> list[Effect]:
        return self.rpc(source, publish=(GossipMessage(topic, data),))

    def judge(self, data: bytes, verdict: VerdictWord = "accept") -> list[Effect]:
        return self(Verdict(message_id(data), verdict))

    def join(self, *peers: bytes, outbound: bool = False) -> None:
        for one in peers:
            self(PeerConnected(one, outbound))
            self.rpc(one, subscriptions=((True, TOPIC),))

    def beat(self) -> list[Effect]:
        """Run until the next heartbeat is done."""
        before = self.stat("heartbeats")
        while self.stat("heartbeats") == before:
            self.now_ms = max(self.now_ms, self.router.next_wakeup_ms())
            self(Tick())
        return self.effects

    def stat(self, name: str) -> int:
        return self.router.statistics()[name]

    def sent(self, to: bytes) -> list[Rpc]:
        return [e.rpc for e in self.effects if isinstance(e, SendRpc) and e.peer == to]

    def data_sent(self, to: bytes) -> list[bytes]:
        return [message.data for rpc in self.sent(to) for message in rpc.publish]

    def delivered(self) -> list[bytes]:
        return [e.data for e in self.effects if isinstance(e, Deliver)]

    def ended(self) -> list[bytes]:
        return [e.peer for e in self.effects if isinstance(e, Disconnect)]

    @property
    def mesh(self) -> tuple[bytes, ...]:
        return self.router.mesh_peers(TOPIC)


def test_hello_announces_subscriptions() -> None:
    """A new peer hears at once which topics we are on, and all peers hear of a new one."""
    bench = Bench()
    bench(PeerConnected(ALICE, outbound=True))
    assert bench.sent(ALICE) == [Rpc(subscriptions=((True, TOPIC),))]
    bench(Subscribe("other"))
    assert bench.sent(ALICE) == [Rpc(subscriptions=((True, "other"),))]
    assert bench(Subscribe("other")) == []


def test_message_is_judged_before_it_is_forwarded() -> None:
    """A message goes to the application first, and to the mesh but its sources only after accept."""
    bench = Bench()
    bench.join(ALICE, BOB, CAROL)
    assert set(bench.mesh) == {ALICE, BOB, CAROL}
    assert bench.message(ALICE, b"m") == [Deliver(TOPIC, b"m", message_id(b"m"), ALICE)]
    assert bench.message(BOB, b"m") == []  # a second source while pending
    bench.judge(b"m")
    assert (bench.data_sent(ALICE), bench.data_sent(BOB), bench.data_sent(CAROL)) == ([], [], [b"m"])
    assert bench.message(CAROL, b"m") == []
    assert bench.stat("messages_duplicate") == 2


@pytest.mark.parametrize("verdict", ["ignore", "reject"])
def test_only_accepted_messages_spread(verdict: VerdictWord) -> None:
    """What was ignored or rejected is neither forwarded, nor advertised, nor delivered again."""
    bench = Bench()
    bench.join(ALICE, BOB, *(peer(i) for i in range(10)))
    bench.message(ALICE, b"m")
    assert bench.judge(b"m", verdict) == []
    assert bench.message(BOB, b"m") == []
    bench.rpc(BOB, iwant=(message_id(b"m"),))
    assert bench.data_sent(BOB) == []
    bench.beat()
    assert not any(rpc.ihave for e in bench.effects if isinstance(e, SendRpc) for rpc in (e.rpc,))


def test_unjudged_message_is_not_seen() -> None:
    """An id enters the seen cache with its verdict only: after the wait it can be delivered again."""
    bench = Bench()
    bench.join(ALICE, BOB)
    bench.message(ALICE, b"m")
    assert bench.stat("size_seen") == 0
    bench.now_ms += PARAMS.pending_ms
    bench.beat()
    assert bench.stat("pending_expired") == 1
    assert bench.judge(b"m") == []
    assert bench.stat("verdicts_late") == 1
    bench.message(BOB, b"m")
    assert bench.delivered() == [b"m"]


def test_seen_messages_are_forgotten_in_time() -> None:
    """After its time to live a message counts as new."""
    bench = Bench()
    bench.join(ALICE)
    bench.message(ALICE, b"m")
    bench.judge(b"m")
    bench.now_ms += PARAMS.seen_ttl_ms
    bench.beat()
    bench.message(ALICE, b"m")
    assert bench.delivered() == [b"m"]


def test_own_messages_are_flooded() -> None:
    """Publishing sends to every peer on the topic, mesh or not, once, and delivers nothing to us."""
    bench = Bench()
    peers = [peer(i) for i in range(20)]
    bench.join(*peers)
    bench(PeerConnected(ALICE, outbound=False))  # not on the topic
    bench(Publish(TOPIC, b"mine"))
    assert len(bench.mesh) < 20
    assert all(bench.data_sent(one) == [b"mine"] for one in peers)
    assert bench.data_sent(ALICE) == []
    assert bench.delivered() == []
    assert bench(Publish(TOPIC, b"mine")) == []
    assert bench.message(peers[0], b"mine") == []


def test_publishing_settles_what_is_pending() -> None:
    """An own message that others sent before needs no verdict and does not return to them."""
    bench = Bench()
    bench.join(ALICE, BOB)
    bench.message(ALICE, b"m")
    bench(Publish(TOPIC, b"m"))
    assert (bench.data_sent(ALICE), bench.data_sent(BOB)) == ([], [b"m"])
    assert bench.judge(b"m", "reject") == []
    assert bench.stat("faults_invalid") == 0


def test_publish_needs_no_subscription() -> None:
    """Who is not on a topic floods to those who are."""
    bench = Bench(topic=None)
    bench.join(ALICE)
    bench(Publish(TOPIC, b"m"))
    assert bench.data_sent(ALICE) == [b"m"]


def test_own_faults_are_raised() -> None:
    """Topics and messages beyond the limits are our programmer's fault and change nothing."""
    bench = Bench()
    bench.join(ALICE)
    for event in (
        Publish(TOPIC, bytes(PARAMS.message_bytes_max + 1)),
        Publish("t" * (PARAMS.topic_bytes_max + 1), b"m"),
        Subscribe("t" * (PARAMS.topic_bytes_max + 1)),
    ):
        with pytest.raises(LocalProtocolError):
            bench(event)
    assert bench.beat() == []


@pytest.mark.parametrize(
    "message",
    [
        GossipMessage(TOPIC, b"good in itself", extra_fields=True),
        GossipMessage(TOPIC, bytes(PARAMS.message_bytes_max + 1)),
    ],
    ids=["signed", "oversized"],
)
def test_strict_no_sign_and_size(message: GossipMessage) -> None:
    """Signed or oversized messages are a fault of the sender, and do not hide the same data sent rightly."""
    bench = Bench()
    bench.join(ALICE, BOB)
    assert bench.rpc(ALICE, publish=(message,)) == []
    assert bench.stat("faults_invalid") == 1
    bench.message(BOB, b"good in itself")
    assert bench.delivered() == [b"good in itself"]


def test_rejected_on_one_topic_is_not_hidden_on_another() -> None:
    """Data that was rejected on a wrong topic is still delivered on the right one."""
    bench = Bench()
    bench(Subscribe("other"))
    bench.join(ALICE, BOB)
    bench.message(ALICE, b"m", "other")
    assert bench.message(BOB, b"m") == []  # pending elsewhere, and no source of that
    bench.judge(b"m", "reject")
    assert bench.stat("faults_invalid") == 1
    bench.message(BOB, b"m")
    assert bench.delivered() == [b"m"]


def test_faulty_peer_leaves_the_mesh_and_then_the_connection() -> None:
    """Rejected messages cost the mesh, then the connection; only time washes them off."""
    bench = Bench()
    bench.join(ALICE, BOB)
    for number in range(PARAMS.faults_mesh_max + 1):
        bench.message(ALICE, b"%d" % number)
        bench.judge(b"%d" % number, "reject")
    assert ALICE in bench.mesh
    bench.beat()
    assert bench.mesh == (BOB,)
    assert bench.sent(ALICE)[0].prune == ((TOPIC, 15),)
    while bench.stat("peers_ended") == 0:
        bench.message(ALICE, b"0")  # rejected before: known to be wrong
    assert bench.effects == [Disconnect(ALICE, "too many faults")]
    assert bench.stat("faults_invalid") == PARAMS.faults_max + 1
    assert bench.message(ALICE, b"new") == []
    assert bench.stat("rpcs_of_strangers") == 1
    assert bench(PeerConnected(ALICE, outbound=False)) == [Disconnect(ALICE, "too many faults")]
    bench.now_ms += PARAMS.forgive_ms + PARAMS.heartbeat_ms
    bench.beat()
    bench(PeerConnected(ALICE, outbound=False))
    assert bench.ended() == []


def test_every_source_of_a_rejected_message_is_blamed() -> None:
    """Who forwarded a message that is wrong in any context should have known."""
    bench = Bench()
    bench.join(ALICE, BOB)
    bench.message(ALICE, b"m")
    bench.message(BOB, b"m")
    bench.judge(b"m", "reject")
    assert bench.stat("faults_invalid") == 2


def test_malformed_frames_end_the_connection() -> None:
    """Frames that are no RPC count as misbehaviour."""
    bench = Bench()
    bench.join(ALICE)
    for _ in range(PARAMS.faults_max):
        assert bench(RpcMalformed(ALICE)) == []
    assert bench(RpcMalformed(ALICE)) == [Disconnect(ALICE, "too many faults")]


def test_a_second_connection_starts_afresh() -> None:
    """A peer that connects again is out of the mesh and hears our subscriptions again."""
    bench = Bench()
    bench.join(ALICE)
    bench(PeerConnected(ALICE, outbound=False))
    assert bench.mesh == ()
    assert bench.sent(ALICE) == [Rpc(subscriptions=((True, TOPIC),))]


def test_own_key_and_too_many_peers_are_refused() -> None:
    """The router never talks to itself, nor to more peers than it can remember."""
    bench = Bench(replace(PARAMS, peers_max=2))
    assert bench(PeerConnected(OWN, outbound=True)) == [Disconnect(OWN, "own key")]
    bench.join(ALICE, BOB)
    assert bench(PeerConnected(CAROL, outbound=True)) == [Disconnect(CAROL, "too many peers")]
    bench(PeerDisconnected(ALICE))
    bench(PeerConnected(CAROL, outbound=True))
    assert bench.ended() == []


def test_mesh_is_filled_and_thinned() -> None:
    """A thin mesh grows to D, one beyond D_hi shrinks to D, and both are told to the peers."""
    bench = Bench()
    peers = [peer(i) for i in range(20)]
    bench.join(*peers)
    assert len(bench.mesh) == PARAMS.degree_low
    for one in peers[: PARAMS.degree_high]:
        bench.rpc(one, graft=(TOPIC,))
    for one in peers[PARAMS.degree_high :]:
        bench(PeerConnected(one, outbound=True))
        bench.rpc(one, subscriptions=((True, TOPIC),), graft=(TOPIC,))
    grown = set(bench.mesh)
    assert len(grown) > PARAMS.degree_high
    bench.beat()
    assert len(bench.mesh) == PARAMS.degree
    assert set(bench.mesh) < grown
    assert list(bench.mesh) == sorted(bench.mesh)
    pruned = {e.peer for e in bench.effects if isinstance(e, SendRpc) and e.rpc.prune}
    assert pruned == grown - set(bench.mesh)


def test_join_fills_the_mesh_at_once() -> None:
    """Subscribing late grafts D of the peers that are there already."""
    bench = Bench(topic=None)
    bench.join(*(peer(i) for i in range(10)))
    bench(Subscribe(TOPIC))
    assert len(bench.mesh) == PARAMS.degree
    grafted = {e.peer for e in bench.effects if isinstance(e, SendRpc) and e.rpc.graft == (TOPIC,)}
    assert grafted == set(bench.mesh)


def test_mesh_keeps_outbound_peers() -> None:
    """However many dial us, D_out members are peers that we dialled, after growing and after thinning."""
    bench = Bench()
    inbound = [peer(i) for i in range(30)]
    bench.join(*inbound)
    for one in inbound[: PARAMS.degree_high]:
        bench.rpc(one, graft=(TOPIC,))
    bench.join(ALICE, BOB, outbound=True)
    assert ALICE not in bench.mesh
    bench.beat()
    assert {ALICE, BOB} <= set(bench.mesh)
    for one in inbound:
        bench.rpc(one, graft=(TOPIC,))
    for _ in range(5):
        bench.beat()
        assert {ALICE, BOB} <= set(bench.mesh)


def test_full_mesh_refuses_inbound_grafts() -> None:
    """At D_hi a peer that dialled us is pruned with the backoff; one that we dialled gets in."""
    bench = Bench()
    bench.join(*(peer(i) for i in range(PARAMS.degree_high)))
    for i in range(PARAMS.degree_high):
        bench.rpc(peer(i), graft=(TOPIC,))
    bench.join(ALICE)
    bench.join(BOB, outbound=True)
    bench.rpc(ALICE, graft=(TOPIC,))
    assert bench.sent(ALICE) == [Rpc(prune=((TOPIC, 15),))]
    assert bench.rpc(BOB, graft=(TOPIC,)) == []
    assert (ALICE in bench.mesh, BOB in bench.mesh) == (False, True)
    assert bench.stat("faults_misbehaviour") == 0


def test_graft_on_an_unknown_topic_is_not_answered() -> None:
    """GRAFT and PRUNE for topics that we are not on leave no trace."""
    bench = Bench()
    bench.join(ALICE)
    assert bench.rpc(ALICE, graft=("unknown",), prune=(("unknown", 60),)) == []
    assert bench.stat("size_backoffs") == 0


def test_backoff_of_a_prune_is_respected() -> None:
    """After a PRUNE we do not graft that peer before its backoff and the slack are over."""
    bench = Bench()
    bench.join(ALICE)
    bench.rpc(ALICE, prune=((TOPIC, 20),))
    pruned_ms = bench.now_ms
    assert bench.mesh == ()
    bench.rpc(ALICE, subscriptions=((True, TOPIC),))
    while bench.mesh == ():
        bench.beat()
    assert 20_000 + PARAMS.backoff_slack_ms <= bench.now_ms - pruned_ms <= 22_000 + PARAMS.heartbeat_ms


@pytest.mark.parametrize(("wish_s", "backoff_ms"), [(None, 15_000), (0, 15_000), (2**64 - 1, 3_600_000)])
def test_backoff_wishes_have_a_default_and_a_limit(wish_s: int | None, backoff_ms: int) -> None:
    """A PRUNE without backoff means ours, and one until doomsday is cut."""
    bench = Bench()
    bench.join(ALICE)
    bench.rpc(ALICE, prune=((TOPIC, wish_s),))
    bench.now_ms += backoff_ms
    bench.beat()
    assert ALICE not in bench.mesh
    bench.now_ms += PARAMS.backoff_slack_ms
    bench.beat()
    assert ALICE in bench.mesh


def test_backoff_is_never_shortened() -> None:
    """A second PRUNE with a smaller wish leaves the first one's backoff as it is."""
    bench = Bench()
    bench.join(ALICE)
    bench.rpc(ALICE, prune=((TOPIC, 60),))
    bench.rpc(ALICE, prune=((TOPIC, 1),))
    bench.now_ms += 50_000
    bench.beat()
    assert ALICE not in bench.mesh


def test_backoffs_are_bounded() -> None:
    """However many come and prune us, only the newest backoffs are remembered."""
    bench = Bench(replace(PARAMS, backoffs_max=3))
    for number in range(10):
        bench.join(peer(number))
        bench.rpc(peer(number), prune=((TOPIC, None),))
        bench(PeerDisconnected(peer(number)))
    assert bench.stat("size_backoffs") == 3


def test_graft_in_backoff_is_punished() -> None:
    """A GRAFT within the backoff is pruned again and counts, twice if at once, reconnected or not."""
    bench = Bench()
    bench.join(ALICE)
    bench.rpc(ALICE, prune=((TOPIC, None),))
    bench(PeerDisconnected(ALICE))
    bench(PeerConnected(ALICE, outbound=False))
    bench.rpc(ALICE, graft=(TOPIC,))
    assert bench.sent(ALICE) == [Rpc(prune=((TOPIC, 15),))]
    assert bench.stat("faults_misbehaviour") == 2
    bench.now_ms += PARAMS.graft_flood_ms
    bench.rpc(ALICE, graft=(TOPIC,))
    assert bench.stat("faults_misbehaviour") == 3
    bench.now_ms += PARAMS.prune_backoff_ms
    assert bench.rpc(ALICE, graft=(TOPIC,)) == []
    assert bench.mesh == (ALICE,)


def test_graft_flood_ends_the_connection() -> None:
    """Grafting against a backoff again and again is abuse, even within one RPC."""
    bench = Bench()
    bench.join(ALICE)
    bench.rpc(ALICE, prune=((TOPIC, None),))
    assert bench.rpc(ALICE, graft=(TOPIC,) * 20) == [Disconnect(ALICE, "too many faults")]


def test_leaving_a_topic() -> None:
    """Unsubscribing prunes the mesh with the short backoff, tells everybody, and ends deliveries."""
    bench = Bench()
    bench.join(ALICE)
    bench(PeerConnected(BOB, outbound=True))
    bench(Unsubscribe(TOPIC))
    assert bench.sent(ALICE) == [Rpc(subscriptions=((False, TOPIC),), prune=((TOPIC, 10),))]
    assert bench.sent(BOB) == [Rpc(subscriptions=((False, TOPIC),))]
    assert bench.message(ALICE, b"m") == []
    assert bench.stat("messages_unsubscribed") == 1
    assert bench(Unsubscribe(TOPIC)) == []


def test_peers_leave_the_mesh_with_their_subscription() -> None:
    """Who unsubscribes or disconnects gets nothing more."""
    bench = Bench()
    bench.join(ALICE, BOB)
    bench.rpc(ALICE, subscriptions=((False, TOPIC),))
    assert bench.mesh == (BOB,)
    bench(PeerDisconnected(BOB))
    assert bench(Publish(TOPIC, b"m")) == []


def test_lazy_gossip_reaches_peers_outside_the_mesh() -> None:
    """IHAVE goes to D_lazy peers outside the mesh for three heartbeats, IWANT is answered for five."""
    bench = Bench()
    bench.join(*(peer(i) for i in range(20)))
    bench(Publish(TOPIC, b"m"))
    mid = message_id(b"m")
    for _ in range(PARAMS.gossip_windows):
        bench.beat()
        told = {e.peer for e in bench.effects if isinstance(e, SendRpc) and e.rpc.ihave}
        assert len(told) == PARAMS.degree_lazy
        assert not told & set(bench.mesh)
        assert all(bench.sent(one)[0].ihave == ((TOPIC, (mid,)),) for one in told)
    bench.beat()
    assert not [e for e in bench.effects if isinstance(e, SendRpc) and e.rpc.ihave]
    bench.rpc(ALICE, iwant=(mid,))
    assert bench.data_sent(ALICE) == []  # no stranger is served
    bench.rpc(peer(0), iwant=(mid,))
    assert bench.data_sent(peer(0)) == [b"m"]
    bench.beat()
    bench.rpc(peer(1), iwant=(mid,))
    assert bench.data_sent(peer(1)) == []


def test_gossip_factor() -> None:
    """With many peers a quarter of those outside the mesh hears of each message, instead of D_lazy."""
    bench = Bench()
    bench.join(*(peer(i) for i in range(100)))
    bench(Publish(TOPIC, b"m"))
    bench.beat()
    told = [e.peer for e in bench.effects if isinstance(e, SendRpc) and e.rpc.ihave]
    assert len(told) == 24  # of 96


def test_peers_in_backoff_hear_gossip() -> None:
    """A pruned peer is outside the mesh and therefore told what there is: hubs do not starve their leaves."""
    bench = Bench()
    bench.join(ALICE)
    bench.rpc(ALICE, prune=((TOPIC, None),))
    bench(Publish(TOPIC, b"m"))
    bench.beat()
    assert bench.sent(ALICE) == [Rpc(ihave=((TOPIC, (message_id(b"m"),)),))]


def test_ihave_asks_for_what_is_unknown() -> None:
    """IWANT names what is neither seen, nor pending, nor asked of enough others."""
    bench = Bench()
    bench.join(*(peer(i) for i in range(6)))
    bench.message(peer(0), b"pending")
    bench.message(peer(0), b"seen")
    bench.judge(b"seen", "ignore")
    new = message_id(b"new")
    offer = ((TOPIC, (message_id(b"pending"), message_id(b"seen"), new, new)),)
    for one in range(PARAMS.iwant_parallel_max):
        bench.rpc(peer(one), ihave=offer)
        assert bench.sent(peer(one)) == [Rpc(iwant=(new,))]
        assert bench.rpc(peer(one), ihave=offer) == []
    assert bench.rpc(peer(5), ihave=offer) == []
    bench.message(peer(5), b"new")
    assert bench.stat("size_promises") == 0


def test_broken_promises_are_counted() -> None:
    """Who offers and does not deliver is counted, can be replaced, and in the end is not believed."""
    bench = Bench(replace(PARAMS, broken_promises_max=1))
    bench.join(ALICE)
    for number in range(2):
        bench.rpc(ALICE, ihave=((TOPIC, (peer(number), peer(number + 100))),))
        assert bench.stat("size_promises") == 2
        bench.now_ms += PARAMS.iwant_followup_ms
        bench.beat()
    assert bench.stat("promises_broken") == 4
    assert bench.rpc(ALICE, ihave=((TOPIC, (peer(5),)),)) == []
    assert bench.stat("ihaves_ignored") == 1
    assert ALICE in bench.mesh


def test_promises_end_with_the_connection() -> None:
    """A peer that is gone owes nothing, so that the next can be asked."""
    bench = Bench(replace(PARAMS, iwant_parallel_max=1))
    bench.join(ALICE, BOB)
    offer = ((TOPIC, (peer(1),)),)
    bench.rpc(ALICE, ihave=offer)
    assert bench.rpc(BOB, ihave=offer) == []
    bench(PeerDisconnected(ALICE))
    bench.rpc(BOB, ihave=offer)
    assert bench.sent(BOB) == [Rpc(iwant=(peer(1),))]


def test_ihave_flood_is_limited() -> None:
    """Per heartbeat a peer gets ten IHAVEs read and a bounded number of ids asked."""
    bench = Bench(replace(PARAMS, ihave_ids_max=50))
    bench.join(ALICE)
    ids = tuple(peer(i) for i in range(200))
    bench.rpc(ALICE, ihave=tuple((TOPIC, ids[i : i + 10]) for i in range(0, 200, 10)))
    assert sum(len(rpc.iwant) for rpc in bench.sent(ALICE)) == 50
    assert bench.stat("ihaves_ignored") == 20 - PARAMS.ihave_messages_max
    bench.beat()
    bench.rpc(ALICE, ihave=((TOPIC, ids),))  # cut after 50, all of them asked already
    assert bench.sent(ALICE) == []
    bench.rpc(ALICE, ihave=((TOPIC, ids[100:]),))
    assert len(bench.sent(ALICE)[0].iwant) == 50


def test_foreign_ids_are_misbehaviour() -> None:
    """Ids that are no SHA-256 show another protocol or malice."""
    bench = Bench()
    bench.join(ALICE)
    assert bench.rpc(ALICE, ihave=((TOPIC, (b"short",)),)) == []
    assert bench.stat("faults_misbehaviour") == 1


def test_iwant_is_answered_three_times() -> None:
    """One message goes to one peer on demand at most three times."""
    bench = Bench()
    bench.join(ALICE)
    bench(Publish(TOPIC, b"m"))
    answers = 0
    for _ in range(5):
        bench.rpc(ALICE, iwant=(message_id(b"m"),))
        answers += len(bench.data_sent(ALICE))
    assert answers == PARAMS.retransmissions_max
    assert bench.stat("iwant_ids_unanswered") == 2


def test_iwant_answers_have_a_byte_quota() -> None:
    """Small requests do not buy unlimited answers within a heartbeat."""
    bench = Bench(replace(PARAMS, iwant_bytes_max=250_000))
    bench.join(ALICE)
    datas = [bytes([i]) * 100_000 for i in range(4)]
    for data in datas:
        bench(Publish(TOPIC, data))
    wanted = tuple(message_id(data) for data in datas)
    bench.rpc(ALICE, iwant=wanted)
    assert bench.data_sent(ALICE) == datas[:2]
    bench.beat()
    bench.rpc(ALICE, iwant=wanted[2:])
    assert bench.data_sent(ALICE) == datas[2:]


def test_messages_to_one_peer_share_a_frame() -> None:
    """With a batch time, what accumulates for a peer leaves as one RPC, without what it sent us meanwhile."""
    bench = Bench(replace(PARAMS, batch_ms=10))
    bench.join(ALICE, BOB)
    bench.now_ms += 10
    bench(Tick())
    for number in range(8):
        bench.message(ALICE, b"%d" % number)
        assert bench.judge(b"%d" % number) == []
    bench.message(BOB, b"3")
    bench.now_ms += 10
    assert bench.router.next_wakeup_ms() <= bench.now_ms
    bench(Tick())
    assert [len(rpc.publish) for rpc in bench.sent(BOB)] == [7]
    assert b"3" not in bench.data_sent(BOB)


def test_full_frames_do_not_wait() -> None:
    """Half a frame of data leaves before the batch time is over."""
    bench = Bench(replace(PARAMS, batch_ms=500))
    bench.join(ALICE)
    bench.now_ms += 600
    bench(Tick())
    assert bench(Publish(TOPIC, bytes(PARAMS.message_bytes_max))) == []
    bench(Publish(TOPIC, b"\x01" * PARAMS.message_bytes_max))
    assert len(bench.data_sent(ALICE)) == 2


def test_one_peer_cannot_fill_the_waiting_room() -> None:
    """Unjudged messages are limited per first source, and in bytes; what is dropped can come again."""
    bench = Bench(replace(PARAMS, pending_per_peer_max=2, pending_bytes_max=5))
    bench.join(ALICE, BOB)
    bench.rpc(ALICE, publish=tuple(GossipMessage(TOPIC, b"%d" % i) for i in range(3)))
    assert bench.delivered() == [b"0", b"1"]
    bench.message(BOB, b"long")
    assert bench.delivered() == []
    assert bench.stat("messages_dropped") == 2
    bench.judge(b"0")
    bench.message(BOB, b"long")
    assert bench.delivered() == [b"long"]


def test_subscriptions_are_limited() -> None:
    """A peer is remembered with a bounded number of topics of bounded length."""
    bench = Bench(replace(PARAMS, topics_per_peer_max=2))
    bench(PeerConnected(ALICE, outbound=False))
    topics = ("t" * 300, "a", "b", TOPIC)
    bench.rpc(ALICE, subscriptions=tuple((True, topic) for topic in topics))
    assert bench.stat("subscriptions_refused") == 2
    assert bench(Publish(TOPIC, b"m")) == []
    bench(Publish("a", b"m"))
    assert bench.data_sent(ALICE) == [b"m"]


def test_long_control_lists_are_cut() -> None:
    """Only so many subscriptions, GRAFTs and PRUNEs of an RPC are read, and more are a fault."""
    bench = Bench()
    bench.join(ALICE)
    many = PARAMS.rpc_control_max
    bench.rpc(ALICE, subscriptions=((False, "x"),) * many + ((False, TOPIC),))
    assert ALICE in bench.mesh
    assert bench.stat("faults_misbehaviour") == 1


def test_nothing_is_read_of_an_ended_peer() -> None:
    """The RPC whose length was one fault too many leaves no trace of the peer in the mesh."""
    bench = Bench()
    bench(PeerConnected(ALICE, outbound=False))
    for _ in range(PARAMS.faults_max):
        bench(RpcMalformed(ALICE))
    bench(Subscribe(TOPIC))
    bench.rpc(ALICE, subscriptions=((True, TOPIC),) * 1_000)
    assert bench.effects == [Disconnect(ALICE, "too many faults")]
    assert bench.mesh == ()


def test_clock_never_runs_backwards() -> None:
    """An earlier time than before is taken as no time passed: what starts then lasts as long as ever."""
    bench = Bench()
    bench.join(ALICE)
    bench.beat()
    latest_ms = bench.now_ms
    bench.now_ms = 0
    bench.rpc(ALICE, prune=((TOPIC, None),))
    bench.now_ms = latest_ms + PARAMS.prune_backoff_ms
    bench.beat()
    assert ALICE not in bench.mesh


def test_a_late_heartbeat_comes_once() -> None:
    """After a long pause there is one heartbeat, not one for each that was missed."""
    bench = Bench()
    bench.now_ms += 100 * PARAMS.heartbeat_ms
    bench(Tick())
    bench(Tick())
    assert bench.stat("heartbeats") == 1
    assert bench.router.next_wakeup_ms() == bench.now_ms + PARAMS.heartbeat_ms
