"""What the gossip router itself costs, without bytes and streams: per duplicate, per message forwarded, per heartbeat.

    uv run python -m tests.bench.gossip.bench_router [--messages 20000]

Each figure is also given as a ratio to SHA-256 of one message on this machine, the least that a receiver can do.
The column `first` is that ratio as it was measured for the first version of the router, which sorted and merged
for each message.
"""

import argparse
import gc
import time
import tracemalloc
from collections.abc import Callable
from functools import partial
from hashlib import sha256

from p2pverify.core.errors import GossipVerdict
from p2pverify.core.gossip.params import GossipParams
from p2pverify.core.gossip.router import Router
from p2pverify.core.gossip.types import (
    Deliver,
    Event,
    GossipMessage,
    GossipTick,
    MessageVerdict,
    PeerConnected,
    Rpc,
    RpcReceived,
    Subscribe,
    message_id,
)

TOPIC = "p2pverify/1/" + "00" * 32
MESSAGE_BYTES = 500
ROUTERS = 200
PARAMS = GossipParams()
BATCHED = GossipParams(batch_ms=5)
PEERS = [sha256(b"%d" % number).digest() for number in range(8)]
FIRST = {"hash": 1.0, "duplicate": 10.8, "shared": 9.6, "forwarded": 89.5, "batched": 48.1, "heartbeat": 157.9}


class Node:
    """A router with six mesh members and two peers beside the mesh."""

    def __init__(self, params: GossipParams = PARAMS) -> None:
        self.router = Router(params, own=b"\xff" * 32, seed=1)
        self.now_ms = 1_000
        self.feed(Subscribe(TOPIC))
        for peer in PEERS:
            self.feed(PeerConnected(peer, outbound=True))
            self.feed(RpcReceived(peer, Rpc(subscriptions=((True, TOPIC),))))
        for peer in PEERS[:6]:
            self.feed(RpcReceived(peer, Rpc(graft=(TOPIC,))))
        while len(self.router.mesh_peers(TOPIC)) < 6:
            self.beat()

    def feed(self, event: Event) -> None:
        self.router.handle(event, self.now_ms)

    def beat(self) -> None:
        self.now_ms = max(self.now_ms, self.router.next_wakeup_ms())
        self.feed(GossipTick())


def messages(count: int, mark: bytes) -> list[GossipMessage]:
    return [GossipMessage(TOPIC, (mark + b"%d" % number).ljust(MESSAGE_BYTES, b".")) for number in range(count)]


def spent(work: Callable[[], None], times: int) -> float:
    """Microseconds of CPU per item."""
    gc.collect()
    begin = time.process_time()
    work()
    return (time.process_time() - begin) * 1e6 / times


def forward(node: Node, found: list[GossipMessage], source: bytes) -> None:
    handle, now_ms = node.router.handle, node.now_ms
    for message in found:
        handle(RpcReceived(source, Rpc(publish=(message,))), now_ms)
        handle(MessageVerdict(message_id(message.data), GossipVerdict.ACCEPT), now_ms)


def forward_in_frames(node: Node, found: list[GossipMessage], source: bytes) -> None:
    """Frames of eight messages come in, and frames with the messages of the batch time go out."""
    for start in range(0, len(found), 8):
        effects = node.router.handle(RpcReceived(source, Rpc(publish=tuple(found[start : start + 8]))), node.now_ms)
        for effect in effects:
            if isinstance(effect, Deliver):
                node.feed(MessageVerdict(effect.message_id, GossipVerdict.ACCEPT))
        node.now_ms += BATCHED.batch_ms
        node.feed(GossipTick())


def duplicates(node: Node, found: list[GossipMessage], source: bytes) -> None:
    handle, now_ms = node.router.handle, node.now_ms
    for message in found:
        handle(RpcReceived(source, Rpc(publish=(message,))), now_ms)


def feed_all(node: Node, events: list[Event]) -> None:
    for event in events:
        node.feed(event)


def make_rpcs(found: list[GossipMessage]) -> list[Event]:
    return [RpcReceived(PEERS[1], Rpc(publish=(message,))) for message in found]


def hashes(found: list[GossipMessage]) -> None:
    for message in found:
        sha256(message.data).digest()


def beats(node: Node, count: int) -> None:
    for _ in range(count):
        node.beat()


def kilobytes(make: Callable[[], object]) -> float:
    """The memory of one object of many, in kB."""
    kept = [make()]
    tracemalloc.start()
    kept += [make() for _ in range(ROUTERS)]
    held, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return held / (len(kept) - 1) / 1000


def turn(count: int, mark: bytes) -> dict[str, float]:
    """One measurement of each, on a new router, in microseconds per item."""
    node, found = Node(), messages(count, mark)
    again = [GossipMessage(TOPIC, message.data) for message in found]
    rpcs = make_rpcs(found)
    figures = {
        "hash": spent(partial(hashes, found), count),
        "forwarded": spent(partial(forward, node, found, PEERS[0]), count),
        "shared": spent(partial(feed_all, node, rpcs), count),
        "duplicate": spent(partial(duplicates, node, again, PEERS[2]), count),
        "batched": spent(partial(forward_in_frames, Node(BATCHED), messages(count, mark), PEERS[0]), count),
    }
    beats(node, 20)  # forwarded messages are no longer advertised
    return {**figures, "heartbeat": spent(partial(beats, node, 1000), 1000)}


def main() -> None:
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--messages", type=int, default=20_000)
    count = arguments.parse_args().messages
    turns = [turn(count, b"%d" % number) for number in range(3)]
    figures = {name: min(each[name] for each in turns) for name in FIRST}
    names = {
        "hash": "SHA-256 of one message",
        "shared": "a duplicate, the object known",
        "duplicate": "a duplicate, decoded anew",
        "forwarded": "a message judged and forwarded to 5",
        "batched": "the same, eight in a frame",
        "heartbeat": "a heartbeat with 8 peers, no traffic",
    }
    print(f"{'':<40} {'us':>8} {'hashes':>8} {'first':>8}")
    for name, label in names.items():
        ratio = figures[name] / figures["hash"]
        print(f"{label:<40} {figures[name]:>8.2f} {ratio:>8.1f} {FIRST[name]:>8.1f}")
    alone = kilobytes(lambda: Router(PARAMS, own=b"\xff" * 32, seed=1))
    print(f"{'a router without peers':<40} {alone:>8.1f} kB")
    print(f"{'a router with 8 peers':<40} {kilobytes(Node):>8.1f} kB")


if __name__ == "__main__":
    main()
