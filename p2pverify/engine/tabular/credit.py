"""What each update was worth: Shapley values of the loss on rows of others (Shapley 1953; Ghorbani, Zou 2019).

The worth of a coalition on a shard is the mean loss there (micronats, rounded down) with the mean of the coalition's
updates added to the base; without updates it is the loss of the base. A positive value lowered the loss.

Up to EXACT_PLAYERS players the values are exact. With more players they are the mean over PERMUTATIONS orders, in which
the players join one after the other. The orders are drawn from the round's seed, so everybody draws the same.
"""

from collections.abc import Callable, Sequence
from math import comb, lcm
from typing import Any

import numpy as np

from p2pverify.engine.tabular.aggregate import mean
from p2pverify.engine.tabular.model import Rows, TabularModel
from p2pverify.engine.tabular.numbers import Ints, shuffled

PERMUTATION = b"p2pverify/training/permutation/1\0"
EXACT_PLAYERS = 8
PERMUTATIONS = 64


class Worths:
    """The worth of coalitions on every shard. A coalition is a set of players, written as the sum of 2^player."""

    def __init__(self, base: Any, updates: Sequence[Ints], losses: Callable[[Any], Ints]) -> None:
        """The update of each player (weights,). `base` has the method `moved`.

        `losses` gives the mean loss of such a model on each shard (shards,), in micronats.
        """
        self._base, self._updates = base, updates
        self.losses = losses
        self._known: dict[int, Ints] = {}

    def of(self, coalition: int) -> Ints:
        """The mean loss on each shard (shards,), in micronats."""
        if coalition not in self._known:
            players = [at for at in range(len(self._updates)) if coalition >> at & 1]
            model = self._base.moved(mean(np.stack([self._updates[at] for at in players]))) if players else self._base
            self._known[coalition] = self.losses(model)
        return self._known[coalition]


class ShardLosses:
    """The mean losses of tabular models on shards, in micronats, rounded down."""

    def __init__(self, shards: Sequence[Rows]) -> None:
        """At least one shard, each of at least one row."""
        self._rows = Rows(
            np.concatenate([shard.features for shard in shards]), np.concatenate([shard.labels for shard in shards])
        )
        self._counts = np.array([len(shard) for shard in shards])
        self._starts = np.concatenate([[0], np.cumsum(self._counts)[:-1]])

    def __call__(self, model: TabularModel) -> Ints:
        """The loss on each shard (shards,)."""
        found: Ints = np.add.reduceat(model.losses(self._rows), self._starts) // self._counts
        return found


class ReportedWorths:
    """The worth of coalitions as owners report it, in mode 2. Nobody can check it."""

    def __init__(self, tables: Sequence[Sequence[int]], places: Sequence[int]) -> None:
        """The table of each shard (see `core.training.losses`), and the place of each player in its sets."""
        self._tables = np.array(tables, np.int64)
        self._places = places

    def of(self, coalition: int) -> Ints:
        """The reported mean loss on each shard (shards,), in micronats."""
        chosen = sum(1 << place for player, place in enumerate(self._places) if coalition >> player & 1)
        found: Ints = self._tables[:, chosen]
        return found

    def final(self) -> Ints:
        """The reported mean loss of the new weights on each shard (shards,), in micronats."""
        found: Ints = self._tables[:, -1]
        return found


def shapley_values(worths: Worths | ReportedWorths, players: int, seed: bytes) -> list[list[int]]:
    """The value of each player on each shard, in micronats, rounded down."""
    return _exact(worths, players) if players <= EXACT_PLAYERS else _sampled(worths, players, seed)


def _exact(worths: Worths | ReportedWorths, players: int) -> list[list[int]]:
    """The mean over the sizes of a coalition, and over the coalitions of a size, of what a player adds to it.

    Worths are at most 2^30 and there are at most 2^7 coalitions without a player, so sums with the common denominator
    8 * 105 stay far below 2^63.
    """
    sizes = [coalition.bit_count() for coalition in range(2**players)]
    common = lcm(*(comb(players - 1, size) for size in range(players)))
    found = []
    for player in range(players):
        total = np.zeros_like(worths.of(0))
        for coalition, size in enumerate(sizes):
            if not coalition >> player & 1:
                added = worths.of(coalition) - worths.of(coalition | 1 << player)
                total += added * (common // comb(players - 1, size))
        found.append((total // (common * players)).tolist())
    return found


def _sampled(worths: Worths | ReportedWorths, players: int, seed: bytes) -> list[list[int]]:
    totals = np.zeros((players, len(worths.of(0))), np.int64)
    for number in range(PERMUTATIONS):
        coalition = 0
        for player in shuffled(PERMUTATION, seed, number, players).tolist():
            totals[player] += worths.of(coalition) - worths.of(coalition | 1 << player)
            coalition |= 1 << player
    found: list[list[int]] = (totals // PERMUTATIONS).tolist()
    return found


def lower_median(numbers: Sequence[int]) -> int:
    """The median; the lower of the two in the middle. 0 of no numbers."""
    return sorted(numbers)[(len(numbers) - 1) // 2] if numbers else 0


def is_harmful(values: Sequence[int], below: int) -> bool:
    """Whether a player's values on the others' shards are a mark against it.

    They are if more than three quarters of them are negative, and their lower median is below -`below` micronats.
    """
    return 4 * sum(value < 0 for value in values) > 3 * len(values) and lower_median(values) < -below
