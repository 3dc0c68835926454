"""The meshes of the gossip router and their backoffs, one rule at a time."""

from dataclasses import replace

import pytest

from p2pverify.core.gossip.types import (
    Disconnect,
    PeerConnected,
    PeerDisconnected,
    PublishMessage,
    Rpc,
    SendRpc,
    Subscribe,
    Unsubscribe,
)
from tests.support.router import ALICE, BOB, PARAMS, TOPIC, Bench, peer


def test_mesh_is_filled_and_thinned() -> None:
    """A small mesh grows to D, and a mesh above D_hi shrinks to D. The peers are told in both cases."""
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
    """A late subscription grafts D of the present peers."""
    bench = Bench(topic=None)
    bench.join(*(peer(i) for i in range(10)))
    bench(Subscribe(TOPIC))
    assert len(bench.mesh) == PARAMS.degree
    grafted = {e.peer for e in bench.effects if isinstance(e, SendRpc) and e.rpc.graft == (TOPIC,)}
    assert grafted == set(bench.mesh)


def test_mesh_keeps_outbound_peers() -> None:
    """After growing and after thinning, D_out members are peers that the router dialled, however many peers dial it."""
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
    """At D_hi, a GRAFT of a peer that dialled the router is pruned with the backoff. A peer that the router dialled
    gets in."""
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
    """GRAFT and PRUNE for topics without a subscription have no effect."""
    bench = Bench()
    bench.join(ALICE)
    assert bench.rpc(ALICE, graft=("unknown",), prune=(("unknown", 60),)) == []
    assert bench.stat("size_backoffs") == 0


def test_backoff_of_a_prune_is_respected() -> None:
    """After a PRUNE, the router does not graft that peer before its backoff and the slack are over."""
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
    """A PRUNE without a backoff gets the router's own, and a very long backoff is cut."""
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
    """A second PRUNE with a shorter backoff does not change the first backoff."""
    bench = Bench()
    bench.join(ALICE)
    bench.rpc(ALICE, prune=((TOPIC, 60),))
    bench.rpc(ALICE, prune=((TOPIC, 1),))
    bench.now_ms += 50_000
    bench.beat()
    assert ALICE not in bench.mesh


def test_backoffs_are_bounded() -> None:
    """Only the newest backoffs are remembered, however many peers come and prune."""
    bench = Bench(replace(PARAMS, backoffs_max=3))
    for number in range(10):
        bench.join(peer(number))
        bench.rpc(peer(number), prune=((TOPIC, None),))
        bench(PeerDisconnected(peer(number)))
    assert bench.stat("size_backoffs") == 3


def test_graft_in_backoff_is_punished() -> None:
    """A GRAFT within the backoff is pruned again and counts as misbehaviour, twice if it comes at once, even after a
    reconnection."""
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
    """Repeated GRAFTs against a backoff are misbehaviour, even within one RPC."""
    bench = Bench()
    bench.join(ALICE)
    bench.rpc(ALICE, prune=((TOPIC, None),))
    assert bench.rpc(ALICE, graft=(TOPIC,) * 20) == [Disconnect(ALICE, "too many faults")]


def test_leaving_a_topic() -> None:
    """Unsubscribing prunes the mesh with the short backoff, tells all peers, and ends deliveries."""
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
    """A peer that unsubscribes or disconnects gets no more messages."""
    bench = Bench()
    bench.join(ALICE, BOB)
    bench.rpc(ALICE, subscriptions=((False, TOPIC),))
    assert bench.mesh == (BOB,)
    bench(PeerDisconnected(BOB))
    assert bench(PublishMessage(TOPIC, b"m")) == []


def test_long_control_lists_are_cut() -> None:
    """The numbers of SUBSCRIBEs, GRAFTs and PRUNEs that are read of an RPC are limited. More are a fault."""
    bench = Bench()
    bench.join(ALICE)
    many = PARAMS.rpc_control_max
    bench.rpc(ALICE, subscriptions=((False, "x"),) * many + ((False, TOPIC),))
    assert ALICE in bench.mesh
    assert bench.stat("faults_misbehaviour") == 1
