"""The fanout: the receivers of own messages on topics that the router is not subscribed to, without flood
publishing."""

from dataclasses import replace

from p2pverify.core.gossip.types import (
    Appraise,
    Exclude,
    PeerDisconnected,
    PublishMessage,
    SendRpc,
    Subscribe,
    message_id,
)
from tests.support.router import PARAMS, TOPIC, Bench, peer

QUIET = replace(PARAMS, flood_publish=False)


def publish(bench: Bench, data: bytes) -> set[bytes]:
    """The receivers of a message."""
    bench(PublishMessage(TOPIC, data))
    return {effect.peer for effect in bench.effects if isinstance(effect, SendRpc) and effect.rpc.publish}


def outside(count: int) -> Bench:
    """A router that is not subscribed to the topic, and `count` peers that are."""
    bench = Bench(QUIET, topic=None)
    bench.join(*(peer(number) for number in range(count)))
    return bench


def test_own_messages_go_to_the_same_few() -> None:
    """D peers are chosen for the first message and kept for the next messages."""
    bench = outside(20)
    first = publish(bench, b"1")
    assert len(first) == PARAMS.degree
    bench.beat()
    assert publish(bench, b"2") == first
    assert bench.stat("size_fanout") == 1


def test_who_is_gone_is_replaced() -> None:
    """A peer that left, was excluded, or fell below the publish threshold is replaced."""
    bench = outside(20)
    lost = sorted(publish(bench, b"1"))[:3]
    bench(PeerDisconnected(lost[0]))
    bench(Exclude(frozenset({lost[1]})))
    bench(Appraise(lost[2], PARAMS.score.publish_threshold - 1))
    found = publish(bench, b"2")
    assert len(found) == PARAMS.degree
    assert not found & set(lost)


def test_fanout_ends() -> None:
    """The fanout is forgotten one minute after the last message, and not earlier."""
    bench = outside(20)
    publish(bench, b"1")
    bench.now_ms += PARAMS.fanout_ms - 1
    bench.beat()
    assert bench.stat("size_fanout") == 1
    publish(bench, b"2")
    bench.now_ms += PARAMS.fanout_ms
    bench.beat()
    assert bench.stat("size_fanout") == 0


def test_the_others_hear_of_it() -> None:
    """Messages that went to the fanout are advertised to peers outside it."""
    bench = outside(20)
    told = publish(bench, b"1")
    bench.beat()
    offered = {e.peer: e.rpc.ihave for e in bench.effects if isinstance(e, SendRpc) and e.rpc.ihave}
    assert len(offered) == PARAMS.degree_lazy
    assert not told & set(offered)
    assert set(offered.values()) == {((TOPIC, (message_id(b"1"),)),)}


def test_subscribing_grafts_the_fanout() -> None:
    """A router that subscribes to a topic takes the fanout into its mesh."""
    bench = outside(20)
    told = publish(bench, b"1")
    bench(Subscribe(TOPIC))
    assert set(bench.mesh) == told
    assert bench.stat("size_fanout") == 0


def test_members_publish_to_their_mesh() -> None:
    """On a subscribed topic, own messages go to the mesh."""
    bench = Bench(QUIET)
    bench.join(*(peer(number) for number in range(20)))
    assert publish(bench, b"1") == set(bench.mesh)
    assert len(bench.mesh) < 20


def test_topics_are_bounded() -> None:
    """Only the fanouts of the last topics are kept."""
    bench = Bench(replace(QUIET, topics_per_peer_max=3), topic=None)
    for number in range(10):
        bench(PublishMessage(f"topic {number}", b"m"))
    assert bench.stat("size_fanout") == 3
    bench(Subscribe("topic 9"))
    assert bench.stat("size_fanout") == 2
