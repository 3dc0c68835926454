"""Deterministic pseudo-random numbers for code that may not use `random`: SHA-256 over a key and a counter.

They are good for spreading load, not for secrets. Their quality is that of the hash.
"""

from collections.abc import Sequence
from hashlib import sha256
from typing import TypeVar

T = TypeVar("T")
_RANGE = 1 << 64


class Dice:
    """Equal keys give equal numbers, on every machine and Python version."""

    def __init__(self, key: bytes) -> None:
        self._key = sha256(b"p2pverify/dice/1" + key).digest()
        self._counter = 0

    def below(self, bound: int) -> int:
        """An unbiased integer in [0, bound), by rejection; 0 < bound <= 2**64."""
        assert 0 < bound <= _RANGE
        limit = _RANGE - _RANGE % bound
        while True:
            block = sha256(self._key + self._counter.to_bytes(8, "big")).digest()
            self._counter += 1
            throw = int.from_bytes(block[:8], "big")
            if throw < limit:
                return throw % bound

    def sample(self, items: Sequence[T], count: int) -> list[T]:
        """Up to `count` items from distinct positions, in random order (Fisher-Yates)."""
        assert count >= 0
        pool = list(items)
        count = min(count, len(pool))
        for place in range(count):
            other = place + self.below(len(pool) - place)
            pool[place], pool[other] = pool[other], pool[place]
        return pool[:count]
