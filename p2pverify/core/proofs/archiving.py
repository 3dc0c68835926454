"""Makes the segments of a ledger's history. Segments of the same cuts have the same bytes, whoever makes them.

Protocol page: protocol/archive.md.
"""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass

from p2pverify.core.proofs.segment import SegmentHeader
from p2pverify.core.records.envelope import Record
from p2pverify.core.records.payloads.cut import Head, decode_cut
from p2pverify.core.replica.base import Base, decode_base
from p2pverify.core.replica.fold import Fold
from p2pverify.core.replica.states import States
from p2pverify.core.state.codec.roots import state_root
from p2pverify.core.state.codec.sections import encode_state
from p2pverify.core.state.fork import write_start
from p2pverify.core.state.memory import NEAR_CARRY
from p2pverify.core.state.state import State

#: Epochs of a segment. Segments end where a number of epochs that this divides is complete.
SEGMENT_EPOCHS = 4096


@dataclass(frozen=True, slots=True)
class Segment:
    """What is written of one segment. `records` are given once."""

    header: SegmentHeader
    states: tuple[bytes, ...]
    records: Iterator[bytes]


class Archiving(States):
    """The path of a fold, as places from 0 on, and the segments between them. They are made in ascending order.

    `first` is the first place where a segment can begin.

    Place 0 is the network itself. If the fold began at a `base`, it is an older cut, of which nothing is known but its
    id, and segments begin at the newest cut of the base.
    """

    def __init__(self, fold: Fold, base: Base | None = None) -> None:
        super().__init__(fold.network, fold.ledger, start=None if fold.network.origin is None else fold.genesis)
        self.path = _path(fold)
        self._near: deque[State] = deque([self.genesis], NEAR_CARRY)  # the newest states of the walk
        if base is not None:
            states = decode_base(self.network_id, base, {})
            self._begin_with(states)
            self._near.extend(states)
        self._at = self.first = 0 if base is None else self.path.index(base.newest)

    @property
    def newest(self) -> int:
        """The last place where a segment can end: the cut on top of it has its certificate."""
        return len(self.path) - 2

    @property
    def has_beginning(self) -> bool:
        """Whether the ledger holds the whole history."""
        return self.path[0] == self.network_id

    def can_begin(self, place: int) -> bool:
        """Whether a segment can begin at a place: the states of the newest cuts up to it are needed."""
        return place == self.first or place >= max(self.first, NEAR_CARRY)

    def epoch(self, place: int) -> int:
        """The epoch of a cut of the path; of the network itself that of its first state."""
        return self.genesis.epoch if place == 0 else self._record(self.path[place]).epoch

    def ends(self, first: int, last: int, epochs: int) -> list[int]:
        """Where the segments from one place to another end, if each has so many epochs."""
        return [place for place in range(first + 1, last) if self.is_complete(place, epochs)] + [last]

    def is_complete(self, place: int, epochs: int) -> bool:
        """Whether a segment ends here because its epochs are complete."""
        return self.can_begin(place) and self.epoch(place) // epochs < self.epoch(place + 1) // epochs

    def make(self, first: int, last: int, before: bytes) -> Segment:
        """The segment from one place to a later one. `before` is the digest of the segment before it (32 B)."""
        self._walk(first)
        base = () if first == 0 else tuple(self._near)
        heads = {} if first == 0 else dict(base[0].heads)
        start = write_start(self.network, self.genesis)
        roots = [state_root(self.network_id, state) for state in (self._near[-1], self._walk(last))]
        header = SegmentHeader(
            self.network_id,
            self.network.encode(),
            self.path[first],
            roots[0],
            self.path[last],
            roots[1],
            before,
            tuple(self._record(state.id).data for state in base),
            bool(start),
        )
        states = [start] if start else []
        states += (encode_state(self.network_id, state) for state in base)
        return Segment(header, tuple(states), self._taken_in(max(0, first - NEAR_CARRY + 1), last + 1, heads))

    def _record(self, cut_id: bytes) -> Record:
        record = self.ledger.get(cut_id)
        assert record is not None  # it is on the path
        return record

    def _walk(self, place: int) -> State:
        """Compute the states up to a place."""
        while self._at < place:
            self._at += 1
            state = self.state(self.path[self._at])
            assert state is not None  # it was certified
            self.latest = state  # so that the newest states of the path stay cached
            self._near.append(state)
        return self._near[-1]

    def _taken_in(self, first: int, last: int, heads: dict[bytes, Head]) -> Iterator[bytes]:
        """The records that the cuts of the path take in above a place, cut by cut, by author and number."""
        for place in range(first + 1, last + 1):
            for head in decode_cut(self._record(self.path[place]).payload).moved:
                before = heads.get(head[0])
                for record in self.ledger.between(head, 0 if before is None else before[1] + 1):
                    yield record.data
                heads[head[0]] = head


def _path(fold: Fold) -> list[bytes]:
    """The ids of the path, from the network itself or the oldest cut known, to the newest one."""
    found = [fold.latest.id]
    while (record := fold.ledger.get(found[-1])) is not None:
        found.append(decode_cut(record.payload).base)
    return found[::-1]
