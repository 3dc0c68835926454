"""Counts of events. Every part of a node counts its events here, and the metrics show them."""

from collections.abc import Iterable, Iterator, Mapping


class Counters(Mapping[str, int]):
    """How often each event has happened, by the event's name.

    `names` are shown from the start, with 0; another name is shown once it is counted. A name must not contain data of
    a stranger, so that the number of names stays bounded.
    """

    def __init__(self, names: Iterable[str] = ()) -> None:
        self._counts = dict.fromkeys(names, 0)

    def __getitem__(self, name: str) -> int:
        return self._counts[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._counts)

    def __len__(self) -> int:
        return len(self._counts)

    def count(self, name: str, by: int = 1) -> None:
        """Count an event `by` times, at least 0."""
        self._counts[name] = self._counts.get(name, 0) + by
