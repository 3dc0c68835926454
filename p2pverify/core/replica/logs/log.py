"""One author's log, as a ledger follows it: the ids of its records, and where each epoch began."""

from bisect import bisect_right
from collections.abc import Iterator

from p2pverify.core.records.envelope import Record
from p2pverify.core.records.floors import Floor


class Log:
    """The ids of one branch of a log, from the number `first` on, and the `floor`, if the log has one.

    A ledger that forgets records keeps those above the floor, so `first` is the number after it. A ledger that forgets
    nothing keeps the earlier ones as well.
    """

    __slots__ = ("_epochs", "_starts", "first", "floor", "ids", "is_closed")

    def __init__(self, floor: Floor | None = None) -> None:
        self.floor = floor
        self.is_closed = False  # nothing is taken any more
        self.first = 0 if floor is None else floor.seq + 1
        self.ids: list[bytes] = []
        # The numbers at which epochs began, and these epochs.
        self._starts: list[int] = [] if floor is None else [floor.since]
        self._epochs: list[int] = [] if floor is None else [floor.epoch]

    @property
    def end(self) -> int:
        """The number of the next record."""
        return self.first + len(self.ids)

    @property
    def last_id(self) -> bytes:
        """The id of the last record."""
        if self.ids:
            return self.ids[-1]
        assert self.floor is not None  # a log without a floor has a record
        return self.floor.id

    def id_at(self, seq: int) -> bytes:
        """The id at a number; empty if this is unknown here."""
        if self.first <= seq < self.first + len(self.ids):
            return self.ids[seq - self.first]
        floor = self.floor
        return floor.id if floor is not None and seq == floor.seq else b""

    def epoch_at(self, seq: int) -> int:
        """The epoch of the record with a number, at or above the floor."""
        return self._epochs[bisect_right(self._starts, seq) - 1]

    def since(self, seq: int) -> int:
        """The number at which the epoch of a record at or above the floor began."""
        return self._starts[bisect_right(self._starts, seq) - 1]

    def is_settled(self, seq: int) -> bool:
        """Whether no record with this number is taken any more."""
        return self.is_closed or (self.floor is not None and seq <= self.floor.seq)

    def append(self, record: Record) -> None:
        if not self._epochs or self._epochs[-1] != record.header.epoch:
            self._starts.append(self.end)
            self._epochs.append(record.header.epoch)
        self.ids.append(record.id)

    def shorten(self, end: int) -> list[bytes]:
        """Take the records from the number `end` on away, and return their ids. They are above the floor."""
        gone = self.ids[end - self.first :]
        del self.ids[end - self.first :]
        while self._starts and self._starts[-1] >= end:
            self._starts.pop()
            self._epochs.pop()
        return gone

    def raise_floor(self, floor: Floor, *, forget: bool) -> list[tuple[int, bytes]]:
        """Set a higher floor, which is on this branch. Returns the epochs and ids of the records from the old floor on.

        With `forget` the log does not hold them any more.
        """
        below = [(self.epoch_at(seq), self.id_at(seq)) for seq in range(self._from_floor, floor.seq + 1)]
        self.floor = floor
        if forget:
            del self.ids[: floor.seq + 1 - self.first]
            self.first = floor.seq + 1
            at = bisect_right(self._starts, floor.seq) - 1
            del self._starts[:at], self._epochs[:at]
        return below

    def above_floor(self) -> Iterator[tuple[int, bytes]]:
        """The epochs and ids of the records above the floor."""
        return ((self.epoch_at(seq), self.id_at(seq)) for seq in range(self._from_floor, self.end))

    @property
    def _from_floor(self) -> int:
        return self.first if self.floor is None else self.floor.seq + 1
