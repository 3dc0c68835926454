"""IHAVE and IWANT of the gossip router, one rule at a time."""

from dataclasses import replace

from p2pverify.core.errors import GossipVerdict
from p2pverify.core.gossip.types import Appraise, PeerDisconnected, PublishMessage, Rpc, SendRpc, message_id
from tests.support.router import ALICE, BOB, CAROL, PARAMS, TOPIC, Bench, peer


def test_lazy_gossip_reaches_peers_outside_the_mesh() -> None:
    """IHAVE goes to D_lazy peers outside the mesh for three heartbeats. IWANT is answered for five heartbeats."""
    bench = Bench()
    bench.join(*(peer(i) for i in range(20)))
    bench(PublishMessage(TOPIC, b"m"))
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
    assert bench.data_sent(ALICE) == []  # only known peers are served
    bench.rpc(peer(0), iwant=(mid,))
    assert bench.data_sent(peer(0)) == [b"m"]
    bench.beat()
    bench.rpc(peer(1), iwant=(mid,))
    assert bench.data_sent(peer(1)) == []


def test_gossip_factor() -> None:
    """With many peers, a quarter of the peers outside the mesh hears of each message, instead of D_lazy."""
    bench = Bench()
    bench.join(*(peer(i) for i in range(100)))
    bench(PublishMessage(TOPIC, b"m"))
    bench.beat()
    told = [e.peer for e in bench.effects if isinstance(e, SendRpc) and e.rpc.ihave]
    assert len(told) == 24  # of 96


def test_peers_in_backoff_hear_gossip() -> None:
    """A pruned peer is outside the mesh, so it gets IHAVEs. Hubs therefore do not starve their leaves."""
    bench = Bench()
    bench.join(ALICE)
    bench.rpc(ALICE, prune=((TOPIC, None),))
    bench(PublishMessage(TOPIC, b"m"))
    bench.beat()
    assert bench.sent(ALICE) == [Rpc(ihave=((TOPIC, (message_id(b"m"),)),))]


def test_ihave_asks_for_what_is_unknown() -> None:
    """IWANT names ids that are not seen, not pending, and not asked of enough other peers."""
    bench = Bench()
    bench.join(*(peer(i) for i in range(6)))
    bench.message(peer(0), b"pending")
    bench.message(peer(0), b"seen")
    bench.judge(b"seen", GossipVerdict.IGNORE)
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
    """A peer that advertises and does not deliver is counted, once per heartbeat, and another peer can be asked."""
    bench = Bench(replace(PARAMS, iwant_parallel_max=1))
    bench.join(ALICE, BOB)
    offer = ((TOPIC, (peer(1), peer(2))),)
    bench.rpc(ALICE, ihave=offer)
    assert bench.rpc(BOB, ihave=offer) == []
    bench.now_ms += PARAMS.iwant_followup_ms
    bench.beat()
    assert (bench.stat("promises_broken"), bench.stat("faults_misbehaviour")) == (2, 1)
    assert bench.rpc(BOB, ihave=offer) == [SendRpc(BOB, Rpc(iwant=(peer(1), peer(2))))]


def test_one_promise_of_many_decides() -> None:
    """One of a hundred ids is tracked. So a peer that sends most of them is seldom blamed, and one that sends none
    always."""
    bench = Bench()
    bench.join(ALICE, BOB)
    for number in range(40):
        datas = [b"%d %d" % (number, place) for place in range(20)]
        bench.rpc(ALICE, ihave=((TOPIC, tuple(map(message_id, datas))),))
        for data in datas[1:]:
            bench.message(ALICE, data)
            bench.judge(data, GossipVerdict.IGNORE)
        bench.now_ms += PARAMS.iwant_followup_ms
        bench.beat()
    assert bench.stat("promises_broken") == 40
    assert 0 < bench.stat("faults_misbehaviour") < 10


def test_most_peers_are_not_to_blame() -> None:
    """If more than half of the peers are late at once, the router itself is late."""
    bench = Bench()
    bench.join(ALICE, BOB, CAROL)
    for count, blamed in ((1, 1), (2, 1), (3, 1)):
        for place, one in enumerate((ALICE, BOB, CAROL)[:count]):
            bench.rpc(one, ihave=((TOPIC, (peer(10 * count + place),)),))
        bench.now_ms += PARAMS.iwant_followup_ms
        bench.beat()
        assert bench.stat("faults_misbehaviour") == blamed
    assert bench.stat("promises_excused") == 5


def test_an_ihave_flood_is_misbehaviour() -> None:
    """IHAVEs beyond the limit are ignored. Ten times as many are misbehaviour."""
    bench = Bench()
    bench.join(ALICE)
    bench.rpc(ALICE, ihave=((TOPIC, (peer(1),)),) * PARAMS.ihave_flood_max)
    assert bench.stat("faults_misbehaviour") == 0
    bench.rpc(ALICE, ihave=((TOPIC, (peer(1),)),))
    assert bench.stat("faults_misbehaviour") == 1


def test_promises_end_with_the_connection() -> None:
    """The promises of a disconnected peer end, so that another peer can be asked."""
    bench = Bench(replace(PARAMS, iwant_parallel_max=1))
    bench.join(ALICE, BOB)
    offer = ((TOPIC, (peer(1),)),)
    bench.rpc(ALICE, ihave=offer)
    assert bench.rpc(BOB, ihave=offer) == []
    bench(PeerDisconnected(ALICE))
    bench.rpc(BOB, ihave=offer)
    assert bench.sent(BOB) == [Rpc(iwant=(peer(1),))]


def test_ihave_flood_is_limited() -> None:
    """Per heartbeat, the router reads ten IHAVEs of a peer and asks for a bounded number of ids."""
    bench = Bench(replace(PARAMS, ihave_ids_max=50))
    bench.join(ALICE)
    ids = tuple(peer(i) for i in range(200))
    bench.rpc(ALICE, ihave=tuple((TOPIC, ids[i : i + 10]) for i in range(0, 200, 10)))
    assert sum(len(rpc.iwant) for rpc in bench.sent(ALICE)) == 50
    assert bench.stat("ihaves_ignored") == 20 - PARAMS.ihave_messages_max
    bench.beat()
    bench.rpc(ALICE, ihave=((TOPIC, ids),))  # cut after 50 ids, all of which are already asked
    assert bench.sent(ALICE) == []
    bench.rpc(ALICE, ihave=((TOPIC, ids[100:]),))
    assert len(bench.sent(ALICE)[0].iwant) == 50


def test_foreign_ids_are_misbehaviour() -> None:
    """Ids that are no SHA-256 show another protocol or malice. They count even if the peer's IHAVEs are ignored."""
    bench = Bench()
    bench.join(ALICE)
    assert bench.rpc(ALICE, ihave=((TOPIC, (b"short",)),)) == []
    assert bench.stat("faults_misbehaviour") == 1
    bench(Appraise(ALICE, PARAMS.score.gossip_threshold - 1))
    bench.rpc(ALICE, ihave=((TOPIC, (peer(1),)), (TOPIC, (b"short",))))
    assert (bench.stat("ihaves_ignored"), bench.stat("faults_misbehaviour")) == (1, 2)


def test_iwant_is_answered_three_times() -> None:
    """One message is sent to one peer on request at most three times."""
    bench = Bench()
    bench.join(ALICE)
    bench(PublishMessage(TOPIC, b"m"))
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
        bench(PublishMessage(TOPIC, data))
    wanted = tuple(message_id(data) for data in datas)
    bench.rpc(ALICE, iwant=wanted)
    assert bench.data_sent(ALICE) == datas[:2]
    bench.beat()
    bench.rpc(ALICE, iwant=wanted[2:])
    assert bench.data_sent(ALICE) == datas[2:]
