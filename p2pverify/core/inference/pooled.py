"""The pooled test across classes: a bet against a peer's honesty with each answer that a referee judges.

Most lies are no mismatch in any one answer, but they are far off more often than honest answers are. The test bets a
part of a capital on each answer of a peer. The peer is convicted if the capital grows by the contract's odds. This is
testing by betting (Shafer 2021): the capital is a product of e-values, so it is an e-process.

**Honest peers.** Let k be the kept part. An honest answer leaves on average at most (1 + k) / 2 of the capital, because
each won bet pays half of what is fair (`contract.pool`). A hostile challenger can hide answers that lose their bets.
Each of its answers then leaves on average at most 1 + (1 - k) / 2, because it still pays the reserve. So as long as no
more than half of the counted challengers are hostile, the capital does not grow on average, and it exceeds 1 / a with a
probability of at most a, however long the test runs (Ville 1939).

**New starts.** An honest peer's capital falls for ever, and a peer that turns hostile must not profit from that. So a
capital that is below a reserve starts again from it. The reserve of the start after n answers is 2^(1 - 2 b), where b
is the number of binary digits of n + 1. All reserves together are at most 1, so all starts together are one e-process.

A capital is its natural logarithm, in 1/1024 nat. Every rounding is in favour of the accused.
"""

from collections.abc import Iterable
from decimal import ROUND_FLOOR, Context, Decimal
from functools import lru_cache

from p2pverify.core.contract.classes import Across
from p2pverify.core.contract.odds import ODDS_FACTOR, threshold_at
from p2pverify.core.contract.pool import MILLION
from p2pverify.core.inference.compare import Measure

#: ln 2 in 1/1024 nat, rounded up.
_HALVING = 710
_EXACT = Context(prec=40)


def evidence(found: Measure, across: Across) -> int | None:
    """The change of the capital by one answer, in 1/1024 nat; None for a class without a pool.

    An answer that does not end as it should wins all bets.
    """
    pool = across.pool
    if pool is None:
        return None
    is_cut = found.end > across.end_max
    won = sum(pool.pays_ppm(line) for line in pool.lines if is_cut or found.total > line.bound(found.count))
    return _log(pool.keeps_ppm + won)


@lru_cache(maxsize=1024)
def _log(ppm: int) -> int:
    """1024 ln(ppm / 1,000,000), rounded down. `Decimal.ln` is correctly rounded."""
    exact = _EXACT.multiply(1024, _EXACT.ln(_EXACT.divide(Decimal(ppm), Decimal(MILLION))))
    return int(exact.to_integral_value(ROUND_FLOOR))


def threshold(conviction_odds: int) -> int:
    """The capital at which a peer is convicted, in 1/1024 nat: this test has an eighth of the odds."""
    return threshold_at(ODDS_FACTOR * conviction_odds)


def reserve(answers: int) -> int:
    """The capital of a start after this many answers, in 1/1024 nat. It is negative."""
    return _HALVING * (1 - 2 * (answers + 1).bit_length())


def begin(capital: int, answers: int, found: Iterable[int], *, is_disputed: bool) -> int:
    """The capital before the evidence `found` is added, after this many answers. It starts again if it is too low.

    But it does not if a dispute about an answer of the peer is open, or is decided against it now. Otherwise the
    evidence of that dispute would count in the new start, without the evidence for the peer that came before.
    """
    if is_disputed or any(value > 0 for value in found):
        return capital
    return max(capital, reserve(answers))
