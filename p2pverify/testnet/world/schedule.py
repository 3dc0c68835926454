"""Virtual time: what happens at which peer, in slots of a few milliseconds, and the chances of a run.

Time is rounded up to a slot, so that what reaches a peer at nearly the same time is handled in one go. Inside a
slot peers come in the order in which something was first posted for them, and their items in the order of posting:
nothing depends on hashes of keys or on the order of a set.
"""

import heapq
import struct
from collections.abc import Iterator
from hashlib import shake_256
from typing import Any

#: What an item is, and its first member; the others depend on it.
Item = tuple[Any, ...]
_BLOCK = 4096


class Schedule:
    """Items by slot and peer. Times are virtual Unix milliseconds; the peer -1 is the world itself."""

    def __init__(self, start_ms: int, quantum_ms: int) -> None:
        self.quantum_ms = quantum_ms
        self._slot = start_ms // quantum_ms
        self._slots: dict[int, dict[int, list[Item]]] = {}
        self._heap: list[int] = []
        self.now_ms = self._slot * quantum_ms

    def post(self, at_ms: int, peer: int, item: Item) -> None:
        """Have an item handled at a time, or in the next slot if that has passed."""
        slot = -(-at_ms // self.quantum_ms)
        if slot <= self._slot:
            slot = self._slot + 1
        peers = self._slots.get(slot)
        if peers is None:
            peers = self._slots[slot] = {}
            heapq.heappush(self._heap, slot)
        items = peers.get(peer)
        if items is None:
            peers[peer] = [item]
        else:
            items.append(item)

    def pop(self, until_ms: int) -> dict[int, list[Item]] | None:
        """The next slot's items by peer, whose time becomes now; None if nothing is left until a time."""
        if not self._heap or self._heap[0] * self.quantum_ms > until_ms:
            self._slot = max(self._slot, until_ms // self.quantum_ms)
            self.now_ms = self._slot * self.quantum_ms
            return None
        self._slot = heapq.heappop(self._heap)
        self.now_ms = self._slot * self.quantum_ms
        return self._slots.pop(self._slot)


class Chance:
    """Fast throws that follow from a seed: SHAKE-256 over seed and block number, 64 bits at a time."""

    def __init__(self, seed: bytes) -> None:
        self._seed = seed
        self._blocks = 0
        self._throws: Iterator[int] = iter(())

    def bits(self) -> int:
        """64 random bits."""
        for throw in self._throws:
            return throw
        block = shake_256(self._seed + self._blocks.to_bytes(8, "big")).digest(8 * _BLOCK)
        self._blocks += 1
        self._throws = iter(struct.unpack(f">{_BLOCK}Q", block))
        return next(self._throws)

    def below(self, bound: int) -> int:
        """An integer in [0, bound), as good as even for bounds that are small beside 2**64."""
        return self.bits() % bound

    def shuffled(self, items: list[int]) -> list[int]:
        """A copy in random order."""
        return [item for _, item in sorted((self.bits(), item) for item in items)]
