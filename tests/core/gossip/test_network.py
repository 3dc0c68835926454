"""Thirty routers in virtual time: all get every message, over slow links that lose RPCs."""

from dataclasses import replace

import pytest

from p2pverify.core.gossip.params import GossipParams
from p2pverify.core.gossip.types import Rpc, RpcReceived
from tests.support.routers import TOPIC, World, random_graph


def run_world(*, seed: int, loss_percent: int, params: GossipParams) -> World:
    """Let a mesh form, publish forty messages from all routers, and wait ten heartbeats."""
    world = World(random_graph(30, dials=5, seed=seed), seed=seed, loss_percent=loss_percent, params=params)
    world.run(10 * params.heartbeat_ms)
    for number in range(40):
        world.publish(7 * number % 30, b"message %d" % number)
        world.run(50)
    world.run(10 * params.heartbeat_ms)
    return world


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("batch_ms", [0, 20])
def test_everybody_hears_everything(seed: int, batch_ms: int) -> None:
    """If one RPC in ten is lost, every message still reaches all routers within ten heartbeats, by mesh or lazy
    gossip."""
    params = GossipParams(batch_ms=batch_ms)
    world = run_world(seed=seed, loss_percent=10, params=params)
    assert [len(got) for got in world.got] == [40] * 30
    assert world.ended == []
    assert world.total("size_pending") == 0
    assert world.total("iwant_ids_answered") > 0


def test_lossless_mesh_is_sound() -> None:
    """Without loss, meshes are mutual and have the right size, and no router breaks a promise or a backoff."""
    params = GossipParams()
    world = run_world(seed=1, loss_percent=0, params=params)
    world.run(40 * params.heartbeat_ms)
    for number, router in enumerate(world.routers):
        mesh = router.mesh_peers(TOPIC)
        assert params.degree_low <= len(mesh) <= params.degree_high
        for peer in mesh:
            assert world.keys[number] in world.routers[world.index[peer]].mesh_peers(TOPIC)
    assert world.total("promises_broken") == 0
    assert world.total("grafts_in_backoff") == 0
    assert world.total("faults_misbehaviour") == 0


def test_lazy_gossip_serves_a_star() -> None:
    """Leaves that a full hub keeps out of its mesh, in backoff, still get every message."""
    params = replace(GossipParams(), degree_high=6)
    world = World({(leaf, 0) for leaf in range(1, 16)}, seed=3, loss_percent=0, params=params)
    for leaf in range(1, 16):
        world.feed(0, RpcReceived(world.keys[leaf], Rpc(graft=(TOPIC,))))
    world.run(3 * params.heartbeat_ms)
    assert len(world.routers[0].mesh_peers(TOPIC)) <= params.degree_high
    assert world.routers[0].statistics()["size_backoffs"] > 0
    for number in range(10):
        world.publish(1 + number, b"message %d" % number)
        world.run(100)
    world.run(10 * params.heartbeat_ms)
    assert [len(got) for got in world.got] == [10] * 16


def test_equal_seeds_give_equal_traces() -> None:
    """Equal seeds and events give equal effects at equal times. Another seed gives others."""
    params = GossipParams(batch_ms=10)
    traces = [run_world(seed=seed, loss_percent=10, params=params).trace.digest() for seed in (1, 1, 2)]
    assert traces[0] == traces[1] != traces[2]
