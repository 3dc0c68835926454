"""Counters of network events, by name. The `statistics()` of every part is a view of one such table."""

from collections import Counter


class Counters:
    """Named, ever-growing numbers, shared by the parts of one network adapter."""

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()

    def count(self, name: str, amount: int = 1) -> None:
        self._counts[name] += amount

    def __getitem__(self, name: str) -> int:
        return self._counts[name]

    def statistics(self) -> dict[str, int]:
        return dict(sorted(self._counts.items()))
