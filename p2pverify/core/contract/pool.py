"""The bets of the pooled test: how much an answer that is far off counts, for answers that a referee judges.

The pooled test bets against the honesty of a peer with each of its judged answers. A bet is won if the answer lies
above a line. The rate of each line bounds the share of honest answers above it, so that the test loses its capital on
average if the peer is honest. `inference.pooled` runs the test; this module has what the contract and manifests say.
"""

from dataclasses import dataclass

from p2pverify.core.encoding.canon import Value, as_array, as_uint, check_sorted
from p2pverify.core.errors import DecodeError

MILLION = 1_000_000
LINES_MAX = 8
LINE_MAX = 2**32 - 1


@dataclass(frozen=True, slots=True, order=True)
class Line:
    """A bet that an answer of n tokens has a total above base + slope * n, in 1e-6 square nats.

    `rate_ppm` is an upper bound of the share of honest answers above the line, in parts per million.
    """

    base: int
    slope: int
    rate_ppm: int

    def bound(self, count: int) -> int:
        """The greatest total with which the bet is lost, for `count` tokens."""
        return self.base + self.slope * count


@dataclass(frozen=True, slots=True)
class Pool:
    """The stakes of one answer: a part of the capital is bet on the lines, in equal shares.

    `keeps_ppm` is what remains of the capital if all bets are lost, in parts per million.
    """

    keeps_ppm: int
    lines: tuple[Line, ...]

    def pays_ppm(self, line: Line) -> int:
        """What a won bet pays, in parts per million of the capital.

        It is half of the fair payment for its share of the stake. The other half is a reserve: see
        `inference.pooled`.
        """
        return (MILLION - self.keeps_ppm) * MILLION // (2 * len(self.lines) * line.rate_ppm)


def pool_value(pool: Pool | None) -> list[object] | None:
    """A pool in wire order, None if there is none."""
    if pool is None:
        return None
    return [pool.keeps_ppm, [[one.base, one.slope, one.rate_ppm] for one in pool.lines]]


def read_pool(value: Value) -> Pool | None:
    """A pool, or None if there is none. Raises DecodeError."""
    if value is None:
        return None
    keeps, items = as_array(value, "pool", length=2)
    lines = tuple(_line(item) for item in as_array(items, "lines", length_max=LINES_MAX))
    check_sorted([(line.base, line.slope, line.rate_ppm) for line in lines], "lines")
    found = Pool(as_uint(keeps, "keeps_ppm", MILLION - 1), lines)
    if not lines or not found.keeps_ppm:
        raise DecodeError("a pool keeps nothing or has no lines")
    return found


def _line(value: Value) -> Line:
    base, slope, rate = as_array(value, "line", length=3)
    found = Line(
        as_uint(base, "base", LINE_MAX),
        as_uint(slope, "slope", LINE_MAX),
        as_uint(rate, "rate_ppm", MILLION),
    )
    if found.rate_ppm == 0:
        raise DecodeError("rate_ppm is 0: nothing is certain")
    return found
