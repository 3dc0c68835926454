"""The load of every contender of `bench_saturated`: the same signed messages, and a limited number at a time.

A message is 500 bytes: a number, filling, and an Ed25519 signature of the rest. Each receiving peer checks the
signature once. The load is closed: a fixed number of messages is on its way in total, and the next is published when
one has reached every peer. So each contender runs at its full speed and loses no messages by overload.
"""

import resource
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from hashlib import sha256

import trio

from p2pverify.core.encoding import sign

PEERS = 8
MESSAGE_BYTES = 500
MESSAGES = 3000
UNDER_WAY = 256
PATIENCE_S = 20.0  # after this time without any delivery, missing messages count as lost
_SEED = sha256(b"the author of all messages").digest()
KEY = sign.public_key(_SEED)


def message(number: int) -> bytes:
    """A signed message of MESSAGE_BYTES."""
    filling = sha256(number.to_bytes(8, "big")).digest() * (MESSAGE_BYTES // 32)
    body = number.to_bytes(8, "big") + filling[: MESSAGE_BYTES - 8 - sign.SIGNATURE_SIZE]
    return body + sign.sign(_SEED, body)


def check(data: bytes) -> bool:
    """The one signature check per delivery."""
    return sign.verify(KEY, data[: -sign.SIGNATURE_SIZE], data[-sign.SIGNATURE_SIZE :])


def cpu_s() -> float:
    """CPU time of this process so far, user and system."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


@dataclass
class Result:
    """A contender's output, as one line of JSON."""

    cpu_ms: float  # per delivery
    wall_ms: float
    delivered_percent: float


@dataclass
class Load:
    """Publishes numbered messages in turn from all peers, and is told of each delivery."""

    publish: Callable[[int, bytes], None]  # (peer, data)
    count: int = MESSAGES
    warm_up: int = 200
    under_way: int = UNDER_WAY
    _missing: dict[int, int] = field(default_factory=dict)  # the number of missing deliveries by message
    _progress: trio.Event = field(default_factory=trio.Event)
    _delivered: int = 0

    def delivered(self, data: bytes) -> None:
        """Note that a peer got a message of another peer for the first time."""
        number = int.from_bytes(data[:8], "big")
        self._delivered += 1
        self._missing[number] -= 1
        if not self._missing[number]:
            del self._missing[number]
            self._progress.set()

    async def run(self) -> Result:
        """Warm up, then measure."""
        messages = [message(number) for number in range(self.warm_up + self.count)]
        await self._carry(messages, range(self.warm_up))
        self._delivered = 0
        cpu, wall = cpu_s(), time.monotonic()
        await self._carry(messages, range(self.warm_up, self.warm_up + self.count))
        cpu, wall = cpu_s() - cpu, time.monotonic() - wall
        wanted = self.count * (PEERS - 1)
        return Result(1000 * cpu / self._delivered, 1000 * wall / self._delivered, 100 * self._delivered / wanted)

    async def _carry(self, messages: list[bytes], numbers: range) -> None:
        for number in numbers:
            while len(self._missing) >= self.under_way:
                await self._wait()
            self._missing[number] = PEERS - 1
            self.publish(number % PEERS, messages[number])
        while self._missing:
            await self._wait()

    async def _wait(self) -> None:
        self._progress = trio.Event()
        before = self._delivered
        with trio.move_on_after(PATIENCE_S) as scope:
            await self._progress.wait()
        if scope.cancelled_caught and self._delivered == before:
            print(f"{len(self._missing)} messages did not reach everybody", file=sys.stderr)
            self._missing.clear()
