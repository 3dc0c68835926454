"""Bounds on what others can make a peer do or remember: rate limits, and a dictionary that forgets.

Rate limits are token buckets in integers. The caller passes the time, in milliseconds.

Each key has its own bucket, and all keys share a pool. The callers decide what is counted (signature checks, requests,
bytes), and what happens to a key that has used up its share.
"""

from collections import OrderedDict
from dataclasses import dataclass
from typing import TypeVar

_K = TypeVar("_K")
_V = TypeVar("_V")


class BoundedDict(OrderedDict[_K, _V]):
    """A dictionary of at most `most` keys. It forgets the key that was written longest ago."""

    def __init__(self, most: int) -> None:
        super().__init__()
        self.most = most

    def __setitem__(self, key: _K, value: _V) -> None:
        super().__setitem__(key, value)
        self.move_to_end(key)
        if len(self) > self.most:
            self.popitem(last=False)


@dataclass(frozen=True, slots=True)
class Rate:
    """A rate in tokens per second, and the most tokens that can be taken at once after a pause."""

    per_second: int
    burst: int


class Bucket:
    """One token bucket, full or empty at first. Its level is in thousandths of a token: ms times the rate."""

    __slots__ = ("_at_ms", "_level", "_rate")

    def __init__(self, rate: Rate, now_ms: int, *, full: bool = True) -> None:
        self._rate = rate
        self._level = rate.burst * 1000 if full else 0
        self._at_ms = now_ms

    def level(self, now_ms: int) -> int:
        """The whole tokens in the bucket. A clock that goes back adds none."""
        elapsed_ms = max(0, now_ms - self._at_ms)
        self._at_ms = now_ms
        self._level = min(self._rate.burst * 1000, self._level + elapsed_ms * self._rate.per_second)
        return self._level // 1000

    def take(self, tokens: int, now_ms: int) -> bool:
        """Take all these tokens, or none."""
        if self.level(now_ms) < tokens:
            return False
        self._level -= tokens * 1000
        return True

    def owe(self, tokens: int, now_ms: int) -> None:
        """Take tokens even if they are not there; they are missing later."""
        self.level(now_ms)
        self._level -= tokens * 1000

    def wait_ms(self, tokens: int, now_ms: int) -> int:
        """The ms until the bucket has this many tokens; for more than the burst, the ms until it is full."""
        self.level(now_ms)
        missing = min(tokens, self._rate.burst) * 1000 - self._level
        return max(0, -(-missing // self._rate.per_second))


class Shares:
    """A bucket per key, and a shared pool for any excess.

    Together all keys get at most `keys_max * own + pool`. A new key begins with an empty bucket, so that coming back
    under another name gains nothing. Beyond `keys_max` the least recently used key is forgotten.
    """

    def __init__(self, own: Rate, pool: Rate, keys_max: int) -> None:
        self._own = own
        self._pool_rate = pool
        self._keys_max = keys_max
        self._pool: Bucket | None = None
        self._buckets: OrderedDict[bytes, Bucket] = OrderedDict()

    def __len__(self) -> int:
        return len(self._buckets)

    def take(self, key: bytes, tokens: int, now_ms: int) -> bool:
        """Take tokens from the key's own bucket, and the missing ones from the pool; all or none."""
        own = self._buckets.get(key)
        if own is None:
            if len(self._buckets) >= self._keys_max:
                self._buckets.popitem(last=False)
            own = self._buckets[key] = Bucket(self._own, now_ms, full=False)
        self._buckets.move_to_end(key)
        if self._pool is None:
            self._pool = Bucket(self._pool_rate, now_ms)
        there = min(tokens, own.level(now_ms))
        if there < tokens and not self._pool.take(tokens - there, now_ms):
            return False
        return own.take(there, now_ms)

    def wait_ms(self, key: bytes, tokens: int, now_ms: int) -> int:
        """The ms after which `take` can succeed, if nobody else takes from the pool meanwhile; at least 1.

        The key's own bucket and the pool are taken to fill one after the other, so it can be sooner.
        """
        own, pool = self._buckets.get(key), self._pool
        if own is None or pool is None:  # `take` makes them
            return 1
        missing = max(0, tokens - own.level(now_ms))
        return max(1, min(own.wait_ms(tokens, now_ms), pool.wait_ms(missing, now_ms)))
