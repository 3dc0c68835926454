"""One peer of `bench_processes`: publishes signed messages at a rate, and notes how long those of others took.

    python -m tests.bench.gossip.one_of_many PLACE PEERS PER_SECOND EXPECTED SECONDS [BOOTSTRAP]

Prints its address, then "ready" once it is connected to all others; begins when it reads a line, ends with its input.
At the end it prints, as JSON, the milliseconds that each message took, by publisher and number. CLOCK_MONOTONIC is one
for all processes of a machine.
"""

import json
import os
import struct
import sys
import time
from hashlib import sha256

import trio

from p2pverify.core.encoding import sign
from p2pverify.core.errors import GossipVerdict
from tests.bench.gossip.workload import cpu_s
from tests.net.real_peers import FakeInbox, join, seed_of

MESSAGE_BYTES = 500
PATIENCE_S = 20.0  # after this time without any delivery, missing messages count as lost
_HEAD = struct.Struct(">HIQ")  # publisher, number, nanoseconds


def name_of(place: int) -> str:
    return f"one of many {place}"


def make(place: int, number: int) -> bytes:
    """A message that is signed now."""
    head = _HEAD.pack(place, number, time.monotonic_ns())
    filling = sha256(head).digest() * (MESSAGE_BYTES // 32)
    body = head + filling[: MESSAGE_BYTES - sign.SIGNATURE_SIZE - len(head)]
    return body + sign.sign(seed_of(name_of(place)), body)


class Ear(FakeInbox):
    """Checks each message once and notes its time of arrival."""

    def __init__(self, peers: int) -> None:
        super().__init__()
        self.keys = [sign.public_key(seed_of(name_of(place))) for place in range(peers)]
        self.took_ms: list[dict[int, float]] = [{} for _ in range(peers)]
        self.deliveries = 0

    def judge(self, message: bytes, source: bytes) -> GossipVerdict:
        body, signature = message[: -sign.SIGNATURE_SIZE], message[-sign.SIGNATURE_SIZE :]
        place, number, begin = _HEAD.unpack_from(message)
        if not sign.verify(self.keys[place], body, signature):
            return GossipVerdict.REJECT
        self.took_ms[place][number] = (time.monotonic_ns() - begin) / 1e6
        self.deliveries += 1
        self._wake()
        return GossipVerdict.ACCEPT

    async def wait_deliveries(self, count: int) -> None:
        while self.deliveries < count:
            before = self.deliveries
            with trio.move_on_after(PATIENCE_S) as scope:
                await self.changed.wait()
            if scope.cancelled_caught and self.deliveries == before:
                return


async def obey(go: trio.Event, scope: trio.CancelScope) -> None:
    """Begin at the first line, and end when the input closes."""
    async with trio.lowlevel.FdStream(os.dup(0)) as orders:
        async for _ in orders:
            go.set()
    scope.cancel()


async def main(place: int, peers: int, per_second: int, expected: int, seconds: int, *bootstrap: str) -> None:
    ear, go = Ear(peers), trio.Event()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(obey, go, nursery.cancel_scope)
        peer = await join(nursery, name_of(place), *bootstrap, inbox=ear)
        print(peer.address, flush=True)
        for other, key in enumerate(ear.keys):
            if other != place:
                await peer.mesh.wait_gossiping(key)
        print("ready", flush=True)
        await go.wait()
        cpu = cpu_s()
        begin = trio.current_time() + place / (per_second * peers)  # one after another, not all at once
        for number in range(per_second * seconds):
            await trio.sleep_until(begin + number / per_second)
            peer.mesh.publish_nowait(make(place, number))
        await ear.wait_deliveries(expected)
        report = {"took_ms": ear.took_ms, "cpu_s": cpu_s() - cpu, "dropped": peer.count("gossip_rpcs_dropped")}
        print(json.dumps(report), flush=True)


if __name__ == "__main__":
    trio.run(main, *map(int, sys.argv[1:6]), *sys.argv[6:])
