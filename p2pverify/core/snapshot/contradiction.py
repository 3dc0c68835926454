"""Two certified cuts that contradict each other: neither contains the other, so a third of the weight signed both ways.

Two certified cuts with one index are no fault as long as one contains the other. So their heads are compared, above the
newest cut on which both are based.
"""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field

from p2pverify.core.records.payloads.cut import Cut, Head

#: Cuts that are followed back on each side until both meet.
BACK_MAX = 64


@dataclass(slots=True)
class Branches:
    """Two cuts, followed back to the cut on which both are based. `missing` is what to get next, and `take` takes it.

    A cut is followed back as long as the other side has not passed it.
    """

    network_id: bytes  # at which each side ends
    one: bytes
    other: bytes
    _cuts: dict[bytes, Cut] = field(default_factory=dict)

    def missing(self) -> bytes | None:
        """A cut whose record is needed to go on. None if both have met, or did not within BACK_MAX cuts."""
        sides = [list(self._back(self.one)), list(self._back(self.other))]
        if set(sides[0]) & set(sides[1]) or min(map(len, sides)) > BACK_MAX:
            return None
        return min((side for side in sides if side[-1] != self.network_id), key=len)[-1]

    def take(self, cut_id: bytes, cut: Cut) -> None:
        self._cuts[cut_id] = cut

    def _back(self, cut_id: bytes) -> Iterator[bytes]:
        """A cut, its base, and so on, as far as they are known; the last one is not."""
        yield cut_id
        while (cut := self._cuts.get(cut_id)) is not None:
            cut_id = cut.base
            yield cut_id

    def are_nested(self, forked: Collection[bytes]) -> bool | None:
        """Whether one contains the other, apart from the logs of some authors. None if they did not meet."""
        one, other = list(self._back(self.one)), list(self._back(self.other))
        common = next((cut_id for cut_id in one if cut_id in set(other)), None)
        if common is None:
            return None
        first, second = self._moved(one[: one.index(common)]), self._moved(other[: other.index(common)])
        excused = set(forked) | {a for a in first.keys() & second.keys() if _forks(first[a], second[a])}
        return _holds(first, second, excused) or _holds(second, first, excused)

    def _moved(self, cuts: list[bytes]) -> dict[bytes, Head]:
        """The newest heads in some cuts, which are given newest first."""
        return {head[0]: head for cut_id in reversed(cuts) for head in self._cuts[cut_id].moved}


def _forks(one: Head, other: Head) -> bool:
    return one[1] == other[1] and one[2] != other[2]


def _holds(later: Mapping[bytes, Head], earlier: Mapping[bytes, Head], excused: Collection[bytes]) -> bool:
    """Whether all heads of the earlier cut are in the later one. A head that did not move is below one that did."""
    return all(
        author in excused or (author in later and later[author][1] >= head[1]) for author, head in earlier.items()
    )
