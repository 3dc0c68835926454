"""The effects of a peer's score in the gossip router, one threshold at a time."""

from dataclasses import replace

import pytest

from p2pverify.core.errors import GossipVerdict, LocalProtocolError
from p2pverify.core.gossip.params import ScoreParams
from p2pverify.core.gossip.types import (
    Appraise,
    Deliver,
    Disconnect,
    Exclude,
    GossipMessage,
    PeerConnected,
    PeerDisconnected,
    PublishMessage,
    Rpc,
    RpcMalformed,
    SendRpc,
    Subscribe,
    message_id,
)
from tests.support.router import ALICE, BOB, CAROL, PARAMS, TOPIC, Bench, peer

SCORE = ScoreParams()


def score(bench: Bench, one: bytes) -> int:
    return bench.router.scores()[one].total


def below(threshold: int) -> Bench:
    """Alice, Bob and Carol are on the topic; Alice's score is one thousandth below a threshold."""
    bench = Bench()
    bench.join(ALICE, BOB, CAROL)
    bench(Appraise(ALICE, threshold - 1))
    return bench


def test_rejected_messages_cost_more_each_time() -> None:
    """Rejected messages first cost the place in the mesh, then gossip, then all reading. Ignored messages cost nothing.
    Faults decay with time."""
    bench = Bench()
    bench.join(ALICE, BOB)
    bench.message(BOB, b"early")
    bench.judge(b"early", GossipVerdict.IGNORE)
    assert score(bench, BOB) == 0
    for number in range(6):
        bench.message(ALICE, b"%d" % number)
        bench.judge(b"%d" % number, GossipVerdict.REJECT)
    assert (bench.stat("faults_invalid"), score(bench, ALICE)) == (6, -72_000)
    assert bench.message(ALICE, b"unheard") == []
    assert (bench.stat("rpcs_graylisted"), bench.stat("messages_received")) == (1, 7)
    bench.beat()
    assert bench.mesh == (BOB,)
    assert bench.sent(ALICE)[0].prune == ((TOPIC, 15),)
    while score(bench, ALICE) < 0:
        bench.beat()
    assert 300_000 < bench.now_ms < 600_000
    assert bench.message(ALICE, b"heard") == [Deliver(TOPIC, b"heard", message_id(b"heard"), ALICE)]


def test_what_is_known_to_be_wrong_costs_at_once() -> None:
    """Sending a rejected message again is a fault without a new verdict, for every sender."""
    bench = Bench()
    bench.join(ALICE, BOB)
    bench.message(ALICE, b"m")
    bench.judge(b"m", GossipVerdict.REJECT)
    bench.message(BOB, b"m")
    assert (score(bench, ALICE), score(bench, BOB)) == (-2_000, -2_000)


def test_many_faults_end_the_connection() -> None:
    """A frame of rejected messages disconnects the peer. It cannot reconnect until its score is no longer retained."""
    bench = Bench()
    bench.join(ALICE, BOB)
    bench.rpc(ALICE, publish=tuple(GossipMessage(TOPIC, b"%d" % number) for number in range(10)))
    for number in range(7):
        assert bench.judge(b"%d" % number, GossipVerdict.REJECT) == []
    assert bench.judge(b"7", GossipVerdict.REJECT) == [Disconnect(ALICE, "too many faults")]
    assert (bench.judge(b"8", GossipVerdict.REJECT), bench.stat("faults_invalid")) == ([], 9)
    assert bench.message(ALICE, b"new") == []
    assert bench.stat("rpcs_of_strangers") == 1
    ended_ms = bench.now_ms
    while bench(PeerConnected(ALICE, outbound=False)) == [Disconnect(ALICE, "too many faults")]:
        bench.beat()
    assert SCORE.retain_ms <= bench.now_ms - ended_ms <= SCORE.retain_ms + 2_000
    assert score(bench, ALICE) == 0


def test_reconnecting_washes_nothing_off() -> None:
    """After a reconnection, faults are undiminished and merits are gone."""
    bench = Bench()
    bench.join(ALICE, BOB)
    bench.message(ALICE, b"good")
    bench.judge(b"good")
    bench.message(ALICE, b"bad")
    bench.judge(b"bad", GossipVerdict.REJECT)
    assert score(bench, ALICE) == 250 - 2_000
    bench(PeerDisconnected(ALICE))
    bench.now_ms += SCORE.retain_ms // 2
    bench.beat()
    bench(PeerConnected(ALICE, outbound=True))
    assert score(bench, ALICE) == -2_000
    bench.rpc(ALICE, subscriptions=((True, TOPIC),))
    assert bench.mesh == (BOB,)


def test_malformed_frames_end_the_connection() -> None:
    """Frames that are no RPC count four times."""
    bench = Bench()
    bench.join(ALICE)
    for _ in range(4):
        assert bench(RpcMalformed(ALICE)) == []
    assert bench(RpcMalformed(ALICE)) == [Disconnect(ALICE, "too many faults")]


def test_nothing_is_read_of_an_ended_peer() -> None:
    """The RPC whose length was the last tolerated fault does not bring the peer into the mesh."""
    bench = Bench()
    bench(PeerConnected(ALICE, outbound=False))
    for _ in range(4):
        bench(RpcMalformed(ALICE))
    bench(Subscribe(TOPIC))
    bench.rpc(ALICE, subscriptions=((True, TOPIC),) * 1_000)
    assert bench.effects == [Disconnect(ALICE, "too many faults")]
    assert bench.mesh == ()


def test_negative_is_in_no_mesh() -> None:
    """One thousandth below 0, a peer is pruned at the heartbeat, not grafted, and its GRAFT is refused. It still gets
    gossip."""
    bench = below(0)
    bench.beat()
    assert ALICE not in bench.mesh
    assert bench.sent(ALICE)[0].prune == ((TOPIC, 15),)
    bench.now_ms += PARAMS.prune_backoff_ms + PARAMS.backoff_slack_ms
    bench.beat()
    assert ALICE not in bench.mesh
    assert bench.rpc(ALICE, graft=(TOPIC,)) == [SendRpc(ALICE, Rpc(prune=((TOPIC, 15),)))]
    assert (bench.stat("grafts_refused"), bench.stat("faults_misbehaviour")) == (1, 0)
    bench(PublishMessage(TOPIC, b"m"))
    assert bench.data_sent(ALICE) == [b"m"]
    bench.beat()
    assert bench.sent(ALICE) == [Rpc(ihave=((TOPIC, (message_id(b"m"),)),))]
    bench(Appraise(ALICE, 0))
    bench.now_ms += PARAMS.prune_backoff_ms + PARAMS.backoff_slack_ms
    bench.beat()
    assert ALICE in bench.mesh


def test_below_the_gossip_threshold() -> None:
    """The router sends no IHAVE, reads none and answers no IWANT. It still sends its own messages to the peer."""
    bench = below(SCORE.gossip_threshold)
    bench.beat()
    bench(PublishMessage(TOPIC, b"m"))
    assert bench.data_sent(ALICE) == [b"m"]
    bench.beat()
    assert bench.sent(ALICE) == []
    assert bench.rpc(ALICE, ihave=((TOPIC, (message_id(b"x"),)),), iwant=(message_id(b"m"),)) == []
    assert (bench.stat("ihaves_ignored"), bench.stat("iwants_ignored")) == (1, 1)
    assert bench.message(ALICE, b"still heard") != []


def test_below_the_publish_threshold() -> None:
    """The router does not send its own messages to the peer. It still reads the peer's messages."""
    bench = below(SCORE.publish_threshold)
    bench(PublishMessage(TOPIC, b"m"))
    assert (bench.data_sent(ALICE), bench.data_sent(BOB)) == ([], [b"m"])
    assert bench.message(ALICE, b"still heard") != []


def test_below_the_graylist_threshold() -> None:
    """RPCs are ignored except for subscriptions, because these are not repeated when the score recovers."""
    bench = below(SCORE.graylist_threshold)
    assert bench.rpc(ALICE, subscriptions=((True, "other"),), publish=(GossipMessage(TOPIC, b"m"),)) == []
    assert bench.rpc(ALICE, iwant=(message_id(b"m"),), graft=(TOPIC,)) == []
    assert bench.stat("rpcs_graylisted") == 2
    bench(Appraise(ALICE, 0))
    bench(PublishMessage("other", b"mine"))
    assert bench.data_sent(ALICE) == [b"mine"]


def test_below_the_disconnect_threshold() -> None:
    """The connection ends and is refused while the score is below the threshold."""
    bench = Bench()
    bench.join(ALICE, BOB)
    assert bench(Appraise(ALICE, SCORE.disconnect_threshold)) == []
    assert bench(Appraise(ALICE, SCORE.disconnect_threshold - 1)) == [Disconnect(ALICE, "too many faults")]
    assert bench(PeerConnected(ALICE, outbound=False)) == [Disconnect(ALICE, "too many faults")]
    bench(Appraise(ALICE, 0))
    assert bench(PeerConnected(ALICE, outbound=False)) != [Disconnect(ALICE, "too many faults")]


def test_appraisals_and_exclusions_are_bounded() -> None:
    """Too many remembered peers are an error of the application."""
    bench = Bench(replace(PARAMS, excluded_max=1, score=replace(SCORE, appraised_max=1)))
    bench(Appraise(ALICE, 5))
    bench(Appraise(ALICE, 6))
    with pytest.raises(LocalProtocolError, match="appraised"):
        bench(Appraise(BOB, 5))
    bench(Appraise(ALICE, 0))
    bench(Appraise(BOB, 5))
    with pytest.raises(LocalProtocolError, match="excluded"):
        bench(Exclude(frozenset({ALICE, BOB})))
    assert bench.stat("size_excluded") == 0


def test_excluded_peers_are_in_no_mesh_and_are_heard() -> None:
    """A convicted peer is pruned at once and never grafted. Its messages are still read, because they can be
    evidence."""
    bench = Bench()
    bench.join(ALICE, BOB, CAROL)
    bench(Exclude(frozenset({ALICE})))
    assert bench.sent(ALICE) == [Rpc(prune=((TOPIC, 15),))]
    assert bench.mesh == tuple(sorted((BOB, CAROL)))
    bench.now_ms += PARAMS.prune_backoff_ms + PARAMS.backoff_slack_ms
    bench.beat()
    bench.rpc(ALICE, graft=(TOPIC,))
    assert (bench.stat("grafts_refused"), bench.stat("faults_misbehaviour")) == (1, 0)
    assert ALICE not in bench.mesh
    assert bench.message(ALICE, b"evidence") == [Deliver(TOPIC, b"evidence", message_id(b"evidence"), ALICE)]
    bench.judge(b"evidence")
    assert (bench.data_sent(BOB), bench.data_sent(CAROL)) == ([b"evidence"], [b"evidence"])
    bench(PublishMessage(TOPIC, b"mine"))
    assert bench.data_sent(ALICE) == [b"mine"]
    bench.rpc(ALICE, iwant=(message_id(b"mine"),))
    assert bench.data_sent(ALICE) == [b"mine"]


def test_exclusion_is_what_was_said_last() -> None:
    """An exclusion outlives a reconnection. It ends with the next event that does not name the peer."""
    bench = Bench()
    bench(Exclude(frozenset({ALICE, BOB})))
    bench.join(ALICE, BOB)
    bench.beat()
    assert bench.mesh == ()
    bench(Exclude(frozenset({BOB})))
    bench.beat()
    assert bench.mesh == (ALICE,)  # type: ignore[comparison-overlap]


def test_the_best_stay_in_a_full_mesh() -> None:
    """Of too many members, the D_score best stay, the others are chosen at random, and D_out stay outbound."""
    bench = Bench()
    inbound = [peer(number) for number in range(40)]
    bench.join(*inbound)
    for one in inbound[:12]:
        bench.rpc(one, graft=(TOPIC,))
    bench.join(ALICE, BOB, outbound=True)
    bench.rpc(ALICE, graft=(TOPIC,))
    bench.rpc(BOB, graft=(TOPIC,))
    before = bench.mesh
    best = [one for one in before if one not in (ALICE, BOB)][:4]
    for one in best:
        bench(Appraise(one, 1))
    assert len(before) > PARAMS.degree_high
    bench.beat()
    assert len(bench.mesh) == PARAMS.degree
    assert set(bench.mesh) == {*best, ALICE, BOB}


def test_outbound_members_take_the_places_of_the_worst() -> None:
    """If all the best are inbound and fill the mesh, the lowest of them are replaced by D_out outbound members."""
    bench = Bench(replace(PARAMS, degree_score=6))
    inbound = [peer(number) for number in range(12)]
    bench.join(*inbound)
    for one in inbound:
        bench.rpc(one, graft=(TOPIC,))
    bench.join(ALICE, BOB, outbound=True)
    bench.rpc(ALICE, graft=(TOPIC,))
    bench.rpc(BOB, graft=(TOPIC,))
    for number, one in enumerate(inbound):
        bench(Appraise(one, number + 1))
    bench.beat()
    assert set(bench.mesh) == {*inbound[-4:], ALICE, BOB}


def test_opportunistic_grafting() -> None:
    """With a low median in the mesh, two better peers are grafted once a minute. With a good median nothing changes."""
    bench = Bench()
    bench.join(*(peer(number) for number in range(20)))
    bench.beat()
    before = set(bench.mesh)
    outside = [peer(number) for number in range(20) if peer(number) not in before]
    while bench.stat("heartbeats") < PARAMS.opportunistic_graft_heartbeats - 3:
        bench.beat()
    for number in range(20):
        bench.message(outside[number % 5], b"%d" % number)
        bench.judge(b"%d" % number)
    before = set(bench.mesh)
    while bench.stat("grafts_opportunistic") == 0:
        bench.beat()
    assert bench.stat("heartbeats") == PARAMS.opportunistic_graft_heartbeats
    joined = set(bench.mesh) - before
    assert (len(joined), joined <= set(outside[:5])) == (2, True)
    for one in bench.mesh:
        bench(Appraise(one, SCORE.opportunistic_graft_threshold))
    while bench.stat("heartbeats") < 2 * PARAMS.opportunistic_graft_heartbeats:
        bench.beat()
    assert bench.stat("grafts_opportunistic") == 2


def test_many_peers_of_one_address() -> None:
    """Above the threshold, all peers of one address are out of the mesh. When one leaves, the others can return."""
    bench = Bench()
    crowd = [peer(number) for number in range(11)]
    bench.join(*crowd, ip="192.0.2.1")
    bench.join(ALICE, ip="192.0.2.2")
    assert [score(bench, one) for one in (*crowd, ALICE)] == [-1_000] * 11 + [0]
    bench.beat()
    assert bench.mesh == (ALICE,)
    bench(PeerDisconnected(crowd[0]))
    assert score(bench, crowd[1]) == 0


def test_silent_breach_of_promises() -> None:
    """A peer that advertises and never delivers leaves the mesh, and its advertisements are then ignored."""
    bench = Bench()
    bench.join(ALICE, BOB)
    for number in range(40):
        if bench.stat("ihaves_ignored"):
            break
        bench.rpc(ALICE, ihave=((TOPIC, (peer(number), peer(number + 100))),))
        bench.beat()
    assert bench.stat("ihaves_ignored") == 1
    assert 7 < bench.stat("promises_broken") / 2 < 16
    assert bench.mesh == (BOB,)
    assert bench.stat("peers_ended") == 0


def test_deliveries_count_once_and_in_time() -> None:
    """P3 counts the first sender of a message and every sender until the end of the window, each once."""
    strict = replace(SCORE, delivery_weight=-1_000, delivery_threshold=1_000, delivery_activation_ms=0)
    bench = Bench(replace(PARAMS, score=strict))
    late = peer(1)
    bench.join(ALICE, BOB, CAROL, late)

    def deficits() -> list[int]:
        parts = bench.router.scores()
        return [parts[one].delivery_deficit for one in (ALICE, BOB, CAROL, late)]

    for one in (ALICE, BOB, CAROL, late):
        bench(Appraise(one, 5_000))  # otherwise they would leave the mesh before they can deliver
    bench.beat()
    bench.now_ms += 1_000
    bench.beat()
    assert deficits() == [-1_000] * 4
    for _ in range(2):
        bench.message(ALICE, b"m")
        bench.message(BOB, b"m")
    bench.judge(b"m")
    bench.now_ms += strict.delivery_window_ms
    bench.message(CAROL, b"m")
    bench.now_ms += 1
    bench.message(late, b"m")
    assert deficits() == [0, 0, 0, -1_000]


def test_scores_show_their_parts() -> None:
    """A reader gets every part of each score and the sum."""
    bench = Bench()
    bench.join(ALICE, BOB)
    bench.message(ALICE, b"good")
    bench.judge(b"good")
    bench.message(ALICE, b"bad")
    bench.judge(b"bad", GossipVerdict.REJECT)
    bench(Appraise(ALICE, 70))
    for _ in range(2):
        bench(RpcMalformed(ALICE))
    parts = bench.router.scores()
    assert list(parts) == sorted((ALICE, BOB))
    found = parts[ALICE]
    assert (found.first_deliveries, found.invalid_messages, found.application) == (250, -2_000, 70)
    assert (found.behaviour, found.total) == (-4_000, 250 - 2_000 + 70 - 4_000)
    assert bench.stat("size_peers_negative") == 1
