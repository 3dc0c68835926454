"""Aggregates are those of the page, and the robust ones keep their bounds with f false updates."""

import numpy as np
import pytest

from p2pverify.core.contract.history.training import KRUM, MEAN, MEDIAN, TRIMMED
from p2pverify.engine.tabular.aggregate import aggregate, krum_choice


def drawn(count: int, seed: int = 1) -> np.ndarray:
    return np.random.Generator(np.random.Philox(key=seed)).integers(-1000, 1001, (count, 6))


def by_hand(updates: list[list[int]], kind: int, f: int) -> list[int]:
    """The same from the words of the page, column by column."""
    count = len(updates)
    if kind == KRUM:
        out = max(0, min(f, count - 3))

        def far(one: list[int], two: list[int]) -> int:
            return sum((a - b) ** 2 for a, b in zip(one, two, strict=True))

        scores = [
            (sum(sorted(far(one, two) for j, two in enumerate(updates) if j != i)[: max(0, count - out - 2)]), i)
            for i, one in enumerate(updates)
        ]
        kept = [updates[i] for i in sorted(i for _, i in sorted(scores)[: count - out])]
        return [sum(column) // len(kept) for column in zip(*kept, strict=True)]
    out = {MEAN: 0, MEDIAN: (count - 1) // 2, TRIMMED: min(f, (count - 1) // 2)}[kind]
    columns = [sorted(column)[out : count - out] for column in zip(*updates, strict=True)]
    return [sum(column) // len(column) for column in columns]


@pytest.mark.parametrize("kind", [TRIMMED, KRUM, MEDIAN, MEAN])
def test_aggregates(kind: int) -> None:
    """Any number of updates from one on, with more or fewer than f needs."""
    for count in range(1, 9):
        for f in (1, 2):
            updates = drawn(count, count)
            assert aggregate(updates, kind, f).tolist() == by_hand(updates.tolist(), kind, f)


def test_false_updates_cannot_leave_the_range_of_the_others() -> None:
    """With one false update of five, trimmed mean, median and Krum stay between the true ones; the mean does not."""
    true = drawn(4, 7)
    low, high = true.min(axis=0), true.max(axis=0)
    for false in (np.full(6, 10**6), np.full(6, -(10**6))):
        updates = np.vstack([true, false])
        for kind in (TRIMMED, KRUM, MEDIAN):
            found = aggregate(updates, kind, 1)
            assert ((low <= found) & (found <= high)).all()
        found = aggregate(updates, MEAN, 0)
        assert not ((low <= found) & (found <= high)).any()
        assert krum_choice(updates, 1).tolist() == [0, 1, 2, 3]


def test_krum_prefers_the_earlier_of_equals() -> None:
    """Four equal updates and one far off: all four stay. Of five equal ones the last goes."""
    assert krum_choice(np.zeros((5, 3), np.int64), 1).tolist() == [0, 1, 2, 3]


def test_the_order_of_updates_changes_nothing() -> None:
    """Distinct updates in another order give the same aggregate."""
    updates = drawn(6, 3)
    for kind in (TRIMMED, KRUM, MEDIAN, MEAN):
        assert aggregate(updates[::-1], kind, 1).tolist() == aggregate(updates, kind, 1).tolist()
