"""Plays the network's tests over measured audit outcomes: how many audits until a conviction.

Outcomes are drawn with replacement from the measured ones, so a few dozen real answers are enough for many audits. Only
measured outcomes are played, except in `MarginPool`: it makes new answers from stretches of measured margins.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from p2pverify.core.contract.classes import Across
from p2pverify.core.contract.odds import TestSteps
from p2pverify.core.inference import pooled
from p2pverify.core.inference.compare import squared
from p2pverify.core.state.score import cusum
from p2pverify.testnet.casebook.answers import Audited, AuditOutcome, JudgedAnswer, audited
from p2pverify.testnet.casebook.worlds import RULES

TRIALS = 1_000
#: A peer that is not convicted within this many audits counts as missed.
AUDITS_MAX = 5_000
#: For honest peers: the audits of each peer, and the peers of each pair of numeric paths.
HONEST_AUDITS = 10_000
HONEST_PEERS = 20
#: The number of neighbouring tokens whose margins stay together, because they depend on each other.
STRETCH = 8


@dataclass(frozen=True, slots=True)
class ConvictionTimes:
    """Audits until conviction in all trials. `missed` counts the trials without a conviction."""

    audits: tuple[int, ...]
    missed: int

    @property
    def trials(self) -> int:
        return len(self.audits) + self.missed

    @property
    def mean(self) -> float | None:
        return float(np.mean(self.audits)) if self.audits else None

    def quantile(self, share: float) -> int | None:
        return int(np.quantile(self.audits, share, method="nearest")) if self.audits else None


class _Accused:
    """One peer in the sequential test, in that over long answers, and in the pooled test."""

    _capital_max = pooled.threshold(RULES["conviction_odds"])

    def __init__(self, steps: TestSteps) -> None:
        self._steps = steps
        self._total = self._long_total = 0
        self._judged = 0
        self._capital = pooled.reserve(0)

    def convicts(self, audit: Audited, *, is_long: bool = False) -> bool:
        """Count an audit, and say whether one of the tests convicts the peer."""
        is_dissent, is_agreement = audit.outcome is AuditOutcome.DISSENT, audit.outcome is AuditOutcome.AGREEMENT
        self._total = cusum(self._total, is_dissent, is_agreement, self._steps)
        if is_long:
            self._long_total = cusum(self._long_total, is_dissent, is_agreement, self._steps)
            if self._long_total >= self._steps.long_threshold:
                return True
        if audit.evidence is not None:
            found = [audit.evidence]
            self._capital = pooled.begin(self._capital, self._judged, found, is_disputed=False) + audit.evidence
            self._judged += 1
        return self._total >= self._steps.threshold or self._capital >= self._capital_max


def play(
    steps: TestSteps,
    lies: Sequence[Audited],
    honest: Sequence[Audited],
    rate: float,
    *,
    seed: int,
    trials: int = TRIALS,
    audits_max: int = AUDITS_MAX,
    long_share: float = 0.0,
) -> ConvictionTimes:
    """Play peers that lie in a share `rate` of their answers.

    `lies` and `honest` are the measured outcomes of false and honest answers. With `long_share`, this share of the
    audits is long, and they lie in those alone.
    """
    if not any(one.outcome is AuditOutcome.DISSENT or (one.evidence or 0) > 0 for one in (*lies, *honest)):
        return ConvictionTimes((), trials)  # nothing raises the sum or the capital of a test
    random = np.random.default_rng([seed, int(rate * 1_000_000)])
    audits: list[int] = []
    for _ in range(trials):
        count = _play_one(steps, lies, honest, rate, random, audits_max, long_share)
        if count is not None:
            audits.append(count)
    return ConvictionTimes(tuple(audits), trials - len(audits))


def _play_one(
    steps: TestSteps,
    lies: Sequence[Audited],
    honest: Sequence[Audited],
    rate: float,
    random: np.random.Generator,
    audits_max: int,
    long_share: float,
) -> int | None:
    accused, played, batch = _Accused(steps), 0, 64
    lie_below = rate * long_share if long_share else rate
    while played < audits_max:
        drawn = random.random(batch)
        places = random.random(batch)
        for draw, place in zip(drawn.tolist(), places.tolist(), strict=True):
            pool = lies if draw < lie_below else honest
            played += 1
            if accused.convicts(pool[int(place * len(pool))], is_long=draw < long_share):
                return played
    return None


class MarginPool:
    """Measured margins of honest answers, for making new answers.

    A new answer has the length of a measured one and consists of random stretches of `STRETCH` neighbouring margins.
    Its total can exceed all measured totals, but a single margin cannot exceed all measured margins.
    """

    def __init__(self, judged: Sequence[JudgedAnswer], bounds: Across, seed: int) -> None:
        squares = [np.array([squared(margin) for margin in one.margins]) for one in judged]
        windows = np.concatenate([_stretches(each) for each in squares])
        self._sums, self._greatest = windows.sum(axis=1), windows.max(axis=1)
        self._measures = [one.measure for one in judged]
        self._bounds = bounds
        self._random = np.random.default_rng([seed, len(judged)])

    def draw(self) -> Audited:
        """One audit of a new honest answer."""
        like = self._measures[int(self._random.integers(len(self._measures)))]
        places = self._random.integers(len(self._sums), size=-(-like.count // STRETCH))
        total = self._sums[places].sum() - (self._greatest[places].max() + 1) // 2
        return audited(replace(like, total=int(total)), self._bounds)


def _stretches(squares: NDArray[np.int64]) -> NDArray[np.int64]:
    """The stretches that begin at each square, one in each row. A stretch at the end continues at the beginning."""
    wrapped = np.concatenate([squares, np.resize(squares, STRETCH - 1)])
    return np.lib.stride_tricks.sliding_window_view(wrapped, STRETCH)


def play_honest(pool: MarginPool, steps: TestSteps, peers: int, audits: int) -> tuple[int, int]:
    """Play honest peers. Returns the number of audits that were dissents, and of convicted peers."""
    alarms = convicted = 0
    for _ in range(peers):
        accused = _Accused(steps)
        is_convicted = False
        for _ in range(audits):
            found = pool.draw()
            alarms += found.outcome is AuditOutcome.DISSENT
            is_convicted = accused.convicts(found) or is_convicted
        convicted += is_convicted
    return alarms, convicted
