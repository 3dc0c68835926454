"""How the gossip router takes, judges, publishes and forgets messages, one rule at a time."""

from dataclasses import replace

import pytest

from p2pverify.core.errors import GossipVerdict, LocalProtocolError
from p2pverify.core.gossip.types import (
    Deliver,
    Disconnect,
    GossipMessage,
    GossipTick,
    MessageVerdict,
    PeerConnected,
    PeerDisconnected,
    PublishMessage,
    Rpc,
    SendRpc,
    Subscribe,
    Verdicts,
    message_id,
)
from tests.support.router import ALICE, BOB, CAROL, OWN, PARAMS, TOPIC, Bench, peer


def test_hello_announces_subscriptions() -> None:
    """A new peer gets the router's subscriptions at once, and all peers get a new subscription."""
    bench = Bench()
    bench(PeerConnected(ALICE, outbound=True))
    assert bench.sent(ALICE) == [Rpc(subscriptions=((True, TOPIC),))]
    bench(Subscribe("other"))
    assert bench.sent(ALICE) == [Rpc(subscriptions=((True, "other"),))]
    assert bench(Subscribe("other")) == []


def test_message_is_judged_before_it_is_forwarded() -> None:
    """A message goes to the application first. Only after `accept` it goes to the mesh, except to its sources."""
    bench = Bench()
    bench.join(ALICE, BOB, CAROL)
    assert set(bench.mesh) == {ALICE, BOB, CAROL}
    assert bench.message(ALICE, b"m") == [Deliver(TOPIC, b"m", message_id(b"m"), ALICE)]
    assert bench.message(BOB, b"m") == []  # a second source while pending
    bench.judge(b"m")
    assert (bench.data_sent(ALICE), bench.data_sent(BOB), bench.data_sent(CAROL)) == ([], [], [b"m"])
    assert bench.message(CAROL, b"m") == []
    assert bench.stat("messages_duplicate") == 2


@pytest.mark.parametrize("verdict", [GossipVerdict.IGNORE, GossipVerdict.REJECT])
def test_only_accepted_messages_spread(verdict: GossipVerdict) -> None:
    """An ignored or rejected message is not forwarded, not advertised, and not delivered again."""
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
    """An id enters the seen cache only with its verdict, so it can be delivered again after the wait."""
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
    """A message counts as seen for its time to live, and as new after twice this time."""
    bench = Bench()
    bench.join(ALICE)
    bench.beat()
    bench.message(ALICE, b"m")
    bench.judge(b"m")
    bench.now_ms += PARAMS.seen_ttl_ms
    bench.beat()
    bench.message(ALICE, b"m")
    assert bench.delivered() == []
    bench.now_ms += PARAMS.seen_ttl_ms
    bench.beat()
    bench.message(ALICE, b"m")
    assert bench.delivered() == [b"m"]


def test_own_messages_are_flooded() -> None:
    """An own message is sent once to every peer on the topic, mesh or not, and is not delivered to the application."""
    bench = Bench()
    peers = [peer(i) for i in range(20)]
    bench.join(*peers)
    bench(PeerConnected(ALICE, outbound=False))  # not on the topic
    bench(PublishMessage(TOPIC, b"mine"))
    assert len(bench.mesh) < 20
    assert all(bench.data_sent(one) == [b"mine"] for one in peers)
    assert bench.data_sent(ALICE) == []
    assert bench.delivered() == []
    assert bench(PublishMessage(TOPIC, b"mine")) == []
    assert bench.message(peers[0], b"mine") == []


def test_publishing_settles_what_is_pending() -> None:
    """An own message that others sent before needs no verdict and is not sent back to them."""
    bench = Bench()
    bench.join(ALICE, BOB)
    bench.message(ALICE, b"m")
    bench(PublishMessage(TOPIC, b"m"))
    assert (bench.data_sent(ALICE), bench.data_sent(BOB)) == ([], [b"m"])
    assert bench.judge(b"m", GossipVerdict.REJECT) == []
    assert bench.stat("faults_invalid") == 0


def test_publish_needs_no_subscription() -> None:
    """A router without a subscription floods to the peers on the topic."""
    bench = Bench(topic=None)
    bench.join(ALICE)
    bench(PublishMessage(TOPIC, b"m"))
    assert bench.data_sent(ALICE) == [b"m"]


def test_own_faults_are_raised() -> None:
    """Topics and messages beyond the limits are faults of the caller and change nothing."""
    bench = Bench()
    bench.join(ALICE)
    for event in (
        PublishMessage(TOPIC, bytes(PARAMS.message_bytes_max + 1)),
        PublishMessage("t" * (PARAMS.topic_bytes_max + 1), b"m"),
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
    """Signed or oversized messages are faults of the sender and do not hide the same data in a valid message."""
    bench = Bench()
    bench.join(ALICE, BOB)
    assert bench.rpc(ALICE, publish=(message,)) == []
    assert bench.stat("faults_invalid") == 1
    bench.message(BOB, b"good in itself")
    assert bench.delivered() == [b"good in itself"]


def test_rejected_on_one_topic_is_not_hidden_on_another() -> None:
    """Data that was rejected on a wrong topic is delivered on the right topic."""
    bench = Bench()
    bench(Subscribe("other"))
    bench.join(ALICE, BOB)
    bench.message(ALICE, b"m", "other")
    assert bench.message(BOB, b"m") == []  # pending elsewhere, and no source of that
    bench.judge(b"m", GossipVerdict.REJECT)
    assert bench.stat("faults_invalid") == 1
    bench.message(BOB, b"m")
    assert bench.delivered() == [b"m"]


def test_every_source_of_a_rejected_message_is_blamed() -> None:
    """Every peer that forwarded a message that is wrong in any context is blamed."""
    bench = Bench()
    bench.join(ALICE, BOB)
    bench.message(ALICE, b"m")
    bench.message(BOB, b"m")
    bench.judge(b"m", GossipVerdict.REJECT)
    assert bench.stat("faults_invalid") == 2


def test_a_second_connection_starts_afresh() -> None:
    """A peer that connects again is out of the mesh and gets the subscriptions again."""
    bench = Bench()
    bench.join(ALICE)
    bench(PeerConnected(ALICE, outbound=False))
    assert bench.mesh == ()
    assert bench.sent(ALICE) == [Rpc(subscriptions=((True, TOPIC),))]


def test_own_key_and_too_many_peers_are_refused() -> None:
    """The router refuses its own key, and more peers than it can remember."""
    bench = Bench(replace(PARAMS, peers_max=2))
    assert bench(PeerConnected(OWN, outbound=True)) == [Disconnect(OWN, "own key")]
    bench.join(ALICE, BOB)
    assert bench(PeerConnected(CAROL, outbound=True)) == [Disconnect(CAROL, "too many peers")]
    bench(PeerDisconnected(ALICE))
    bench(PeerConnected(CAROL, outbound=True))
    assert bench.ended() == []


def test_messages_to_one_peer_share_a_frame() -> None:
    """With a batch time, all messages for a peer leave as one RPC, without messages that this peer has sent
    meanwhile."""
    bench = Bench(replace(PARAMS, batch_ms=10))
    bench.join(ALICE, BOB)
    bench.now_ms += 10
    bench(GossipTick())
    for number in range(8):
        bench.message(ALICE, b"%d" % number)
        assert bench.judge(b"%d" % number) == []
    bench.message(BOB, b"3")
    bench.now_ms += 10
    assert bench.router.next_wakeup_ms() <= bench.now_ms
    bench(GossipTick())
    assert [len(rpc.publish) for rpc in bench.sent(BOB)] == [7]
    assert b"3" not in bench.data_sent(BOB)


def test_after_a_pause_the_first_message_does_not_wait() -> None:
    """With this option, only a busy router delays messages: messages within the batch time of the first leave
    together."""
    bench = Bench(replace(PARAMS, batch_ms=10, batch_at_rest=False))
    bench.join(ALICE)
    bench.now_ms += 50
    bench(PublishMessage(TOPIC, b"first"))
    assert b"first" in bench.data_sent(ALICE)
    bench.now_ms += 1
    assert bench(PublishMessage(TOPIC, b"second")) == bench(PublishMessage(TOPIC, b"third")) == []
    bench.now_ms = bench.router.next_wakeup_ms()
    bench(GossipTick())
    assert [len(rpc.publish) for rpc in bench.sent(ALICE)][-1] == 2


def test_full_frames_do_not_wait() -> None:
    """Half a frame of data leaves before the batch time is over."""
    bench = Bench(replace(PARAMS, batch_ms=500))
    bench.join(ALICE)
    bench.now_ms += 600
    bench(GossipTick())
    assert bench(PublishMessage(TOPIC, bytes(PARAMS.message_bytes_max))) == []
    bench(PublishMessage(TOPIC, b"\x01" * PARAMS.message_bytes_max))
    assert len(bench.data_sent(ALICE)) == 2


def test_one_peer_cannot_fill_the_waiting_room() -> None:
    """Unjudged messages are limited per first source, in number and bytes. A dropped message can come again."""
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
    """The number and the length of a peer's remembered topics are bounded."""
    bench = Bench(replace(PARAMS, topics_per_peer_max=2))
    bench(PeerConnected(ALICE, outbound=False))
    topics = ("t" * 300, "a", "b", TOPIC)
    bench.rpc(ALICE, subscriptions=tuple((True, topic) for topic in topics))
    assert bench.stat("subscriptions_refused") == 2
    assert bench(PublishMessage(TOPIC, b"m")) == []
    bench(PublishMessage("a", b"m"))
    assert bench.data_sent(ALICE) == [b"m"]


def test_clock_never_runs_backwards() -> None:
    """A time earlier than before counts as no time passed, so later durations do not change."""
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
    """After a long pause there is only one heartbeat."""
    bench = Bench()
    bench.now_ms += 100 * PARAMS.heartbeat_ms
    bench(GossipTick())
    bench(GossipTick())
    assert bench.stat("heartbeats") == 1
    assert bench.router.next_wakeup_ms() == bench.now_ms + PARAMS.heartbeat_ms


def test_rules_of_other_topics_are_not_ours() -> None:
    """A message on a topic without a subscription is dropped unread and fulfils no promise."""
    bench = Bench()
    bench.join(ALICE)
    bench.rpc(ALICE, ihave=((TOPIC, (message_id(b"m"),)),))
    bench.rpc(ALICE, publish=(GossipMessage("other", b"m", extra_fields=True),))
    assert (bench.stat("messages_unsubscribed"), bench.stat("faults_invalid"), bench.stat("size_promises")) == (1, 0, 1)
    bench.message(ALICE, b"m")
    assert (bench.delivered(), bench.stat("size_promises")) == ([b"m"], 0)


def test_several_verdicts_are_as_one_after_the_other() -> None:
    """Messages are sent, remembered and counted equally, and the same senders are blamed."""
    words: tuple[GossipVerdict, ...] = (
        GossipVerdict.ACCEPT,
        GossipVerdict.REJECT,
        GossipVerdict.IGNORE,
        GossipVerdict.ACCEPT,
    )
    found = []
    for at_once in (False, True):
        bench = Bench(replace(PARAMS, batch_ms=20))
        bench.join(ALICE, BOB, CAROL)
        messages = [(message_id(bytes([n])), word) for n, word in enumerate(words)]
        for n, source in enumerate((ALICE, ALICE, BOB, CAROL)):
            bench.message(source, bytes([n]))
        for verdicts in [tuple(messages)] if at_once else [(message,) for message in messages]:
            bench(Verdicts(verdicts) if at_once else MessageVerdict(*verdicts[0]))
        bench.now_ms += 20
        found.append((bench(GossipTick()), bench.router.statistics(), bench.router.scores()))
    assert found[0] == found[1]
    assert found[0][1]["verdicts_accept"] == 2
    assert found[0][1]["faults_invalid"] == 1
    assert any(isinstance(effect, SendRpc) and len(effect.rpc.publish) == 2 for effect in found[0][0])
