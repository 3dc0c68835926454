"""Scores in networks of routers: honest peers keep their scores, and misbehaving peers lose their scores and places."""

import pytest

from p2pverify.core.errors import GossipVerdict
from p2pverify.core.gossip.params import GossipParams
from p2pverify.core.gossip.types import GossipMessage, PeerConnected, Rpc, RpcReceived, message_id
from tests.support.routers import TOPIC, World, random_graph

PARAMS = GossipParams()


def lowest(world: World, numbers: range) -> int:
    """The lowest score of one of these routers at any other router."""
    keys = {world.keys[number] for number in numbers}
    return min(
        parts.total for number in numbers for key, parts in world.routers[number].scores().items() if key in keys
    )


def publish_for(world: World, seconds: int, gap_ms: int, authors: range, mark: bytes = b"") -> tuple[int, int]:
    """Let honest authors publish in turn. Returns the number of messages, and the lowest score among the authors."""
    count, worst = 0, 0
    end_ms = world.now_ms + 1000 * seconds
    while world.now_ms < end_ms:
        world.publish(authors[7 * count % len(authors)], mark + b"message %d" % count)
        count += 1
        world.run(gap_ms)
        worst = min(worst, lowest(world, authors))
    return count, worst


@pytest.mark.parametrize(
    ("size", "loss_percent", "gap_ms", "seconds"),
    [(8, 0, 20_000, 1200), (8, 30, 400, 120), (30, 10, 500, 60), (100, 10, 600, 20)],
)
def test_honest_peers_are_never_punished(size: int, loss_percent: int, gap_ms: int, seconds: int) -> None:
    """In small networks, with little traffic and poor links, no honest peer is ever below 0."""
    world = World(random_graph(size, dials=4, seed=size), seed=size, loss_percent=loss_percent, params=PARAMS)
    world.run(10 * PARAMS.heartbeat_ms)
    count, worst = publish_for(world, seconds, gap_ms, range(size))
    world.run(10 * PARAMS.heartbeat_ms)
    assert worst == 0
    assert world.ended == []
    heard = [len(got) for got in world.got]
    assert heard == [count] * size if loss_percent <= 10 else min(heard) > 0.95 * count


@pytest.mark.parametrize("loss_percent", [0, 10])
def test_a_hub_keeps_its_leaves(loss_percent: int) -> None:
    """Peers that get messages only by IHAVE and IWANT, over links that lose them, keep good scores."""
    world = World({(leaf, 0) for leaf in range(1, 31)}, seed=5, loss_percent=loss_percent, params=PARAMS)
    world.run(10 * PARAMS.heartbeat_ms)
    _, worst = publish_for(world, 120, 300, range(31))
    assert (worst, world.ended) == (0, [])
    assert world.total("iwant_ids_answered") > 1_000
    assert (world.total("promises_broken") > 0) == (loss_percent > 0)


def hostile(number: int, data: bytes) -> GossipVerdict:
    """Router 0 accepts everything. The others reject messages that are bad in any context."""
    return GossipVerdict.REJECT if number and data.startswith(b"bad") else GossipVerdict.ACCEPT


@pytest.mark.parametrize("loss_percent", [0, 10])
def test_who_sends_what_is_rejected_is_out_after_few(loss_percent: int) -> None:
    """After four bad messages a sender is in no mesh and is read by no peer. Honest peers are not affected."""
    world = World(random_graph(20, dials=4, seed=2), seed=2, loss_percent=loss_percent, params=PARAMS, judge=hostile)
    world.run(10 * PARAMS.heartbeat_ms)
    honest = range(1, 20)
    publish_for(world, 20, 500, honest, b"before ")
    assert any(world.keys[0] in world.routers[number].mesh_peers(TOPIC) for number in honest)
    for number in range(4):
        world.publish(0, b"bad %d" % number)
        world.run(1_000)
    seen_by = [number for number in honest if world.keys[0] in world.routers[number].scores()]
    assert len(seen_by) >= 4
    assert all(world.keys[0] not in world.routers[number].mesh_peers(TOPIC) for number in honest)
    if loss_percent == 0:
        assert max(world.scores_of(0)) < PARAMS.score.gossip_threshold
    count, worst = publish_for(world, 20, 500, honest, b"after ")
    world.run(10 * PARAMS.heartbeat_ms)
    assert worst == 0
    for number in honest:
        assert sum(data.startswith(b"after ") for data in world.got[number]) == count
    assert all(world.keys[0] not in world.routers[number].mesh_peers(TOPIC) for number in honest)


def test_who_floods_with_bad_messages_is_not_heard() -> None:
    """A burst of bad messages costs the connection, or at least all reading, and reconnecting does not help."""
    world = World(random_graph(20, dials=4, seed=3), seed=3, loss_percent=0, params=PARAMS, judge=hostile)
    world.run(10 * PARAMS.heartbeat_ms)
    neighbours = [n for n in range(1, 20) if world.keys[0] in world.routers[n].scores()]
    for number in range(12):
        world.publish(0, b"bad %d" % number)
    world.run(2_000)
    assert len(world.ended) > len(neighbours) / 2
    assert max(world.scores_of(0)) < PARAMS.score.graylist_threshold
    before = world.total("messages_delivered")
    for number in neighbours:
        world.feed(number, PeerConnected(world.keys[0], outbound=False))
        world.feed(number, RpcReceived(world.keys[0], Rpc(publish=(GossipMessage(TOPIC, b"bad again"),))))
    assert world.total("messages_delivered") == before


def test_who_offers_what_it_has_not_is_out() -> None:
    """Invented IHAVEs cost the place in the mesh of every peer that asked for them. Then they are ignored."""
    world = World(random_graph(12, dials=4, seed=4), seed=4, loss_percent=0, params=PARAMS)
    world.run(10 * PARAMS.heartbeat_ms)
    liar = world.keys[0]
    victims = [n for n in range(1, 12) if liar in world.routers[n].scores()]
    for beat in range(30):
        invented = tuple(message_id(b"%d %d" % (beat, number)) for number in range(3))
        for victim in victims:
            world.feed(victim, RpcReceived(liar, Rpc(ihave=((TOPIC, invented),))))
        world.run(PARAMS.heartbeat_ms)
    for victim in victims:
        assert world.routers[victim].scores()[liar].total < 0
        assert liar not in world.routers[victim].mesh_peers(TOPIC)
        assert world.routers[victim].statistics()["ihaves_ignored"] > 5
    assert lowest(world, range(1, 12)) == 0
    assert world.ended == []


def test_a_crowd_of_one_address_surrounds_nobody() -> None:
    """Many silent keys of one address get no place in the mesh of a peer that they surround."""
    world = World(random_graph(12, dials=4, seed=6), seed=6, loss_percent=0, params=PARAMS)
    crowd = [bytes([200 + number]) * 32 for number in range(30)]
    for key in crowd:
        world.feed(0, PeerConnected(key, outbound=False, ip="198.51.100.7"))
        world.feed(0, RpcReceived(key, Rpc(subscriptions=((True, TOPIC),), graft=(TOPIC,))))
    world.run(10 * PARAMS.heartbeat_ms)
    assert not set(world.routers[0].mesh_peers(TOPIC)) & set(crowd)
    assert len(world.routers[0].mesh_peers(TOPIC)) >= PARAMS.degree_low


def test_silent_members_make_way() -> None:
    """Silent keys of many addresses that graft cannot keep better peers out, and pay for grafting again."""
    world = World(random_graph(12, dials=4, seed=7), seed=7, loss_percent=0, params=PARAMS)
    mutes = [bytes([200 + number]) * 32 for number in range(20)]
    for number, key in enumerate(mutes):
        world.feed(0, PeerConnected(key, outbound=False, ip=f"198.51.100.{number}"))
        world.feed(0, RpcReceived(key, Rpc(subscriptions=((True, TOPIC),), graft=(TOPIC,))))
    world.run(2 * PARAMS.heartbeat_ms)
    early = set(world.routers[0].mesh_peers(TOPIC))
    assert len(early & set(mutes)) > len(early - set(mutes))
    for turn in range(60):
        for key in mutes:
            world.feed(0, RpcReceived(key, Rpc(graft=(TOPIC,))))
        publish_for(world, 3, 400, range(1, 12), b"turn %d " % turn)
    late = set(world.routers[0].mesh_peers(TOPIC))
    assert len(late - set(mutes)) >= PARAMS.degree_score > len(early - set(mutes))
    assert world.routers[0].statistics()["size_peers_negative"] >= len(mutes) - PARAMS.degree_score
