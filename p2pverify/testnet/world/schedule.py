"""Virtual time: a schedule of items in slots of a few milliseconds, and the random numbers of a run.

Times are rounded up to a slot, so that items that reach a peer at nearly the same time are handled together. In a
slot, peers come in the order of their first posted item, and a peer's items in the order of posting. So nothing depends
on hashes of keys or on the order of a set.
"""

import heapq
import struct
from collections.abc import Iterator
from hashlib import shake_256
from typing import Any

#: The first member is the item's kind; the other members depend on the kind (see `items`).
Item = tuple[Any, ...]
_BLOCK = 4096


class Schedule:
    """Items by slot and peer. Times are virtual Unix milliseconds. The peer -1 is the world itself."""

    def __init__(self, start_ms: int, quantum_ms: int) -> None:
        self.quantum_ms = quantum_ms
        self._slot = start_ms // quantum_ms
        self._slots: dict[int, dict[int, list[Item]]] = {}
        self._heap: list[int] = []
        self.now_ms = self._slot * quantum_ms

    def post(self, at_ms: int, peer: int, item: Item) -> None:
        """Schedule an item for a time, or for the next slot if this time has passed."""
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
        """The next slot's items by peer; its time becomes `now_ms`. None if no slot is left until `until_ms`."""
        if not self._heap or self._heap[0] * self.quantum_ms > until_ms:
            self._slot = max(self._slot, until_ms // self.quantum_ms)
            self.now_ms = self._slot * self.quantum_ms
            return None
        self._slot = heapq.heappop(self._heap)
        self.now_ms = self._slot * self.quantum_ms
        return self._slots.pop(self._slot)


class Chance:
    """Fast random numbers from a seed: SHAKE-256 over seed and block number, 64 bits at a time."""

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
        """An integer in [0, bound), nearly uniform if `bound` is much smaller than 2**64."""
        return self.bits() % bound

    def shuffled(self, items: list[int]) -> list[int]:
        """A copy in random order."""
        return [item for _, item in sorted((self.bits(), item) for item in items)]
