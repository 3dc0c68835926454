"""Thirty routers in virtual time: everybody hears everything, over slow links that lose RPCs."""

import heapq
from dataclasses import replace
from hashlib import sha256

import pytest

from p2pverify.core.gossip import Router
from p2pverify.core.gossip_dice import Dice
from p2pverify.core.gossip_params import GossipParams
from p2pverify.core.gossip_types import (
    Deliver,
    Disconnect,
    Effect,
    Event,
    PeerConnected,
    PeerDisconnected,
    Publish,
    Rpc,
    RpcReceived,
    SendRpc,
    Subscribe,
    Tick,
    Verdict,
)

TOPIC = "records"


class World:
    """Routers on a random graph. Links delay each RPC, keep its order, and may lose it.

    RPCs with subscriptions are never lost: they are the first bytes of a stream; a link that loses them is
    no link.
    """

    def __init__(self, links: set[tuple[int, int]], *, seed: int, loss_percent: int, params: GossipParams) -> None:
        size = 1 + max(map(max, links))
        self.dice = Dice(b"world%d" % seed)
        self.loss_percent = loss_percent
        self.now_ms = 0
        self.queue: list[tuple[int, int, int, Event]] = []
        self.order = 0
        self.keys = [sha256(b"%d" % number).digest() for number in range(size)]
        self.index = {key: number for number, key in enumerate(self.keys)}
        self.routers = [Router(params, own=key, seed=seed) for key in self.keys]
        self.got: list[dict[bytes, int]] = [{} for _ in self.keys]
        self.link_free_ms: dict[tuple[int, int], int] = {}
        self.trace = sha256()
        self.ended: list[str] = []
        for number in range(size):
            self.feed(number, Subscribe(TOPIC))
        for one, other in sorted(links):
            if one < other or (other, one) not in links:
                self.feed(one, PeerConnected(self.keys[other], outbound=True))
                self.feed(other, PeerConnected(self.keys[one], outbound=False))

    def feed(self, number: int, event: Event) -> None:
        """Hand an event to a router and do what it says."""
        effects = self.routers[number].handle(event, self.now_ms)
        for effect in effects:
            self.trace.update(repr((self.now_ms, number, effect)).encode())
            self.do(number, effect)

    def do(self, number: int, effect: Effect) -> None:
        match effect:
            case SendRpc(peer, rpc):
                if not rpc.subscriptions and self.dice.below(100) < self.loss_percent:
                    return
                link = (number, self.index[peer])
                arrival_ms = max(self.now_ms + 5 + self.dice.below(100), self.link_free_ms.get(link, 0))
                self.link_free_ms[link] = arrival_ms
                self.later(arrival_ms, self.index[peer], RpcReceived(self.keys[number], rpc))
            case Deliver(_, data, mid, _):
                assert data not in self.got[number], "delivered twice"
                self.got[number][data] = self.now_ms
                self.later(self.now_ms + self.dice.below(20), number, Verdict(mid, "accept"))
            case Disconnect(peer, reason):
                self.ended.append(reason)
                self.later(self.now_ms, self.index[peer], PeerDisconnected(self.keys[number]))

    def later(self, at_ms: int, number: int, event: Event) -> None:
        self.order += 1
        heapq.heappush(self.queue, (at_ms, self.order, number, event))

    def run(self, for_ms: int) -> None:
        end_ms = self.now_ms + for_ms
        while True:
            tick_ms, ticker = min((router.next_wakeup_ms(), n) for n, router in enumerate(self.routers))
            event_ms = self.queue[0][0] if self.queue else end_ms
            if min(tick_ms, event_ms) >= end_ms:
                self.now_ms = end_ms
                return
            self.now_ms = max(self.now_ms, min(tick_ms, event_ms))
            if event_ms <= tick_ms:
                _, _, number, event = heapq.heappop(self.queue)
                self.feed(number, event)
            else:
                self.feed(ticker, Tick())

    def publish(self, number: int, data: bytes) -> None:
        self.got[number][data] = self.now_ms
        self.feed(number, Publish(TOPIC, data))

    def total(self, name: str) -> int:
        return sum(router.statistics()[name] for router in self.routers)


def random_graph(size: int, *, dials: int, seed: int) -> set[tuple[int, int]]:
    """Everybody dials so many others."""
    dice = Dice(b"graph%d" % seed)
    return {
        (number, other)
        for number in range(size)
        for other in dice.sample([n for n in range(size) if n != number], dials)
    }


def run_world(*, seed: int, loss_percent: int, params: GossipParams) -> World:
    """Let a mesh form, publish forty messages from everywhere, and wait ten heartbeats."""
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
    """With one RPC in ten lost, every message reaches all within ten heartbeats, by mesh or lazy gossip."""
    params = GossipParams(batch_ms=batch_ms)
    world = run_world(seed=seed, loss_percent=10, params=params)
    assert [len(got) for got in world.got] == [40] * 30
    assert world.ended == []
    assert world.total("size_pending") == 0
    assert world.total("iwant_ids_answered") > 0


def test_lossless_mesh_is_sound() -> None:
    """Without loss meshes are mutual and of the right size, and nobody breaks a promise or a backoff."""
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
    """Leaves that a full hub keeps out of its mesh, in backoff, still get every message of the others."""
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
    """The same seed and events give the same effects at the same times, and another seed gives others."""
    params = GossipParams(batch_ms=10)
    traces = [run_world(seed=seed, loss_percent=10, params=params).trace.digest() for seed in (1, 1, 2)]
    assert traces[0] == traces[1] != traces[2]
