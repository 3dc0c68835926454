"""Plays the network's sequential test over audits whose outcomes were measured: how long until a conviction.

Outcomes are drawn anew from those that were measured, with replacement, so that many audits can be played for the
price of some dozens of real answers. Nothing is played that was never measured, except in `MarginPool`, which puts new
answers together from stretches of measured margins.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from p2pverify.core.contract.network import Across, TestSteps
from p2pverify.core.inference.compare import squared, verdict
from p2pverify.core.state.score import cusum
from p2pverify.testnet.casebook.answers import OUTCOMES, AuditOutcome, JudgedAnswer

TRIALS = 1_000
#: Audits after which a peer that is not convicted counts as missed.
AUDITS_MAX = 5_000
#: Of the honest: audits of each peer, and peers of each pair of numeric paths.
HONEST_AUDITS = 10_000
HONEST_PEERS = 20
#: Neighbouring tokens whose margins stay together, since they depend on each other.
STRETCH = 8


@dataclass(frozen=True, slots=True)
class ConvictionTimes:
    """Audits until conviction, over all trials; `missed` are trials without one."""

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


def play(
    steps: TestSteps,
    lies: Sequence[AuditOutcome],
    honest: Sequence[AuditOutcome],
    rate: float,
    *,
    seed: int,
    trials: int = TRIALS,
    audits_max: int = AUDITS_MAX,
) -> ConvictionTimes:
    """Play peers that lie in a share of their answers. `lies` and `honest` are measured outcomes of both."""
    if AuditOutcome.DISSENT not in (*lies, *honest):
        return ConvictionTimes((), trials)  # nothing else raises the test
    random = np.random.default_rng([seed, int(rate * 1_000_000)])
    audits: list[int] = []
    for _ in range(trials):
        count = _play_one(steps, lies, honest, rate, random, audits_max)
        if count is not None:
            audits.append(count)
    return ConvictionTimes(tuple(audits), trials - len(audits))


def _play_one(
    steps: TestSteps,
    lies: Sequence[AuditOutcome],
    honest: Sequence[AuditOutcome],
    rate: float,
    random: np.random.Generator,
    audits_max: int,
) -> int | None:
    total, played, batch = 0, 0, 64
    while played < audits_max:
        lying = random.random(batch) < rate
        places = random.random(batch)
        for is_lie, place in zip(lying.tolist(), places.tolist(), strict=True):
            pool = lies if is_lie else honest
            outcome = pool[int(place * len(pool))]
            played += 1
            total = cusum(total, outcome is AuditOutcome.DISSENT, outcome is AuditOutcome.AGREEMENT, steps)
            if total >= steps.threshold:
                return played
    return None


class MarginPool:
    """Measured margins of honest answers, from which answers that nobody gave are put together.

    Each is as long as a measured one and made of stretches of `STRETCH` neighbouring margins from anywhere. Sums get
    greater than any that was measured in this way; single margins do not.
    """

    def __init__(self, judged: Sequence[JudgedAnswer], bounds: Across, seed: int) -> None:
        squares = [np.array([squared(margin) for margin in one.margins]) for one in judged]
        self._sums = np.concatenate([_stretches(each) for each in squares])
        self._measures = [one.measure for one in judged]
        self._bounds = bounds
        self._random = np.random.default_rng([seed, len(judged)])

    def draw(self) -> AuditOutcome:
        """The outcome of one audit of an honest answer."""
        like = self._measures[int(self._random.integers(len(self._measures)))]
        places = self._random.integers(len(self._sums), size=-(-like.count // STRETCH))
        return OUTCOMES[verdict(replace(like, total=int(self._sums[places].sum())), self._bounds)]


def _stretches(margins: NDArray[np.int64]) -> NDArray[np.int64]:
    """Sums of neighbouring margins, a stretch beginning at each; at the end it goes on at the beginning."""
    length = len(margins)
    wrapped = np.concatenate([margins, np.resize(margins, STRETCH - 1)])
    sums = np.concatenate([[0], np.cumsum(wrapped)])
    found: NDArray[np.int64] = sums[STRETCH : STRETCH + length] - sums[:length]
    return found


def play_honest(pool: MarginPool, steps: TestSteps, peers: int, audits: int) -> tuple[int, int]:
    """Play honest peers: how many audits were dissents, and how many peers were convicted."""
    alarms = convicted = 0
    for _ in range(peers):
        total = 0
        is_convicted = False
        for _ in range(audits):
            outcome = pool.draw()
            alarms += outcome is AuditOutcome.DISSENT
            total = cusum(total, outcome is AuditOutcome.DISSENT, outcome is AuditOutcome.AGREEMENT, steps)
            is_convicted = is_convicted or total >= steps.threshold
        convicted += is_convicted
    return alarms, convicted
