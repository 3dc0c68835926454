"""Many gossip routers in virtual time, over slow links that lose RPCs."""

import heapq
from collections.abc import Callable
from hashlib import sha256

from p2pverify.core.errors import GossipVerdict
from p2pverify.core.gossip.dice import Dice
from p2pverify.core.gossip.params import GossipParams
from p2pverify.core.gossip.router import Router
from p2pverify.core.gossip.types import (
    Deliver,
    Disconnect,
    Effect,
    Event,
    GossipTick,
    MessageVerdict,
    PeerConnected,
    PeerDisconnected,
    PublishMessage,
    RpcReceived,
    SendRpc,
    Subscribe,
)

TOPIC = "records"


class World:
    """Routers on a random graph. Links delay each RPC, keep the order of RPCs, and may lose them.

    RPCs with subscriptions are never lost, because they are the first bytes of a stream. `judge(number, data)` is the
    verdict of a router's application; `hears(number)` says which routers speak gossipsub v1.2.
    """

    def __init__(
        self,
        links: set[tuple[int, int]],
        *,
        seed: int,
        loss_percent: int,
        params: GossipParams,
        judge: Callable[[int, bytes], GossipVerdict] = lambda number, data: GossipVerdict.ACCEPT,
        hears: Callable[[int], bool] = lambda number: False,
    ) -> None:
        size = 1 + max(map(max, links))
        self.dice = Dice(b"world%d" % seed)
        self.loss_percent = loss_percent
        self.judge = judge
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
        self.ticks_ms: dict[int, int] = {}
        for number in range(size):
            self.feed(number, Subscribe(TOPIC))
        for one, other in sorted(links):
            if one < other or (other, one) not in links:
                self.feed(one, PeerConnected(self.keys[other], outbound=True, hears_idontwant=hears(other)))
                self.feed(other, PeerConnected(self.keys[one], outbound=False, hears_idontwant=hears(one)))

    def feed(self, number: int, event: Event) -> None:
        """Pass an event to a router and carry out its effects."""
        effects = self.routers[number].handle(event, self.now_ms)
        for effect in effects:
            self.trace.update(repr((self.now_ms, number, effect)).encode())
            self.do(number, effect)
        due_ms = self.routers[number].next_wakeup_ms()
        if due_ms < self.ticks_ms.get(number, due_ms + 1):
            self.ticks_ms[number] = due_ms
            self.later(due_ms, number, GossipTick())

    def do(self, number: int, effect: Effect) -> None:
        match effect:
            case SendRpc(peer, rpc):
                if not rpc.subscriptions and self.dice.below(100) < self.loss_percent:
                    return
                if peer not in self.index:
                    return  # the test itself plays this peer
                link = (number, self.index[peer])
                arrival_ms = max(self.now_ms + 5 + self.dice.below(100), self.link_free_ms.get(link, 0))
                self.link_free_ms[link] = arrival_ms
                self.later(arrival_ms, self.index[peer], RpcReceived(self.keys[number], rpc))
            case Deliver(_, data, mid, _):
                assert data not in self.got[number], "delivered twice"
                self.got[number][data] = self.now_ms
                self.later(self.now_ms + self.dice.below(20), number, MessageVerdict(mid, self.judge(number, data)))
            case Disconnect(peer, reason):
                self.ended.append(reason)
                if peer in self.index:
                    self.later(self.now_ms, self.index[peer], PeerDisconnected(self.keys[number]))

    def later(self, at_ms: int, number: int, event: Event) -> None:
        self.order += 1
        heapq.heappush(self.queue, (at_ms, self.order, number, event))

    def run(self, for_ms: int) -> None:
        end_ms = self.now_ms + for_ms
        while self.queue and self.queue[0][0] < end_ms:
            at_ms, _, number, event = heapq.heappop(self.queue)
            self.now_ms = max(self.now_ms, at_ms)
            if isinstance(event, GossipTick):
                if self.ticks_ms.get(number) != at_ms:
                    continue  # an earlier tick replaced this one
                del self.ticks_ms[number]
            self.feed(number, event)
        self.now_ms = end_ms

    def publish(self, number: int, data: bytes) -> None:
        self.got[number][data] = self.now_ms
        self.feed(number, PublishMessage(TOPIC, data))

    def scores_of(self, number: int) -> list[int]:
        """The scores of a router at the other routers that remember it."""
        seen = [router.scores().get(self.keys[number]) for router in self.routers]
        return [parts.total for parts in seen if parts is not None]

    def total(self, name: str) -> int:
        return sum(router.statistics()[name] for router in self.routers)


def random_graph(size: int, *, dials: int, seed: int) -> set[tuple[int, int]]:
    """A random graph in which every router dials `dials` others."""
    dice = Dice(b"graph%d" % seed)
    return {
        (number, other)
        for number in range(size)
        for other in dice.sample([n for n in range(size) if n != number], dials)
    }
