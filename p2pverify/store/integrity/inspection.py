"""Checks each stored row by itself, and finds those that are not what was written.

A record proves itself: its id is the hash of its header, the header names the digest of its payload, and its author has
signed it. So a damaged row can be recognised alone, and any peer that has the record can replace it. The core decides
what a record means, and whether it counts.

A signature takes much longer to verify than a checksum. So it is only verified if the checksum beside it does not hold.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from p2pverify.core.encoding.peerid import peer_id
from p2pverify.core.errors import DecodeError
from p2pverify.core.records.envelope import Record, decode_record
from p2pverify.core.replica.load import Outcome
from p2pverify.store.integrity.checksum import sum_of


@dataclass(frozen=True, slots=True)
class StoredRow:
    """A row of the table `records`: the bytes of a record, and the other columns."""

    place: int
    id: bytes
    author: bytes
    seq: int
    kind: int
    epoch: int
    data: bytes
    sum: int

    @property
    def is_as_written(self) -> bool:
        """Whether the bytes are those that were written, by their checksum."""
        return self.sum == sum_of(self.data)


@dataclass(frozen=True, slots=True)
class Damage:
    """A row whose bytes are no longer the written record. All fields but `reason` come from its columns."""

    place: int
    id: bytes
    author: bytes
    seq: int
    reason: str


def fault_of(row: StoredRow) -> str | None:
    """Why the bytes of a row are not the written record; None if they are."""
    try:
        record = decode_record(row.data)
    except DecodeError as error:
        return error.reason
    if not record.is_signed():
        return "its signature does not hold"
    return None


def is_described(row: StoredRow, record: Record) -> bool:
    """Whether the columns of a row agree with its record."""
    found = (record.id, record.author, record.seq, record.kind, record.epoch)
    return found == (row.id, row.author, row.seq, row.kind, row.epoch)


def name_damage(damage: Damage, own: bytes) -> str:
    """One sentence about a damaged record: which it is, whose it is, and why it is damaged."""
    whose = "this peer" if damage.author == own else peer_id(damage.author)
    return f"record {damage.id.hex()[:16]} (number {damage.seq} of {whose}) is damaged on disk: {damage.reason}"


class Inspection:
    """Passes the rows of a store to a loader one by one, and notes the damaged ones.

    `own` is the node's public key. `own_log` has the numbers and ids of its records from the table `own_log`. `horizon`
    has the number up to which an author's records are no longer needed; their rows are left out.
    """

    def __init__(
        self,
        rows: Iterable[StoredRow],
        own: bytes,
        own_log: Iterable[tuple[int, bytes]],
        horizon: Mapping[bytes, int] | None = None,
    ) -> None:
        self._rows = iter(rows)
        self._own = own
        self._horizon = horizon or {}
        self._own_log = {seq: record_id for seq, record_id in own_log if seq > self._horizon.get(own, -1)}
        self._row: StoredRow | None = None
        self._is_as_written = True
        self._verified: dict[bytes, int] = {}  # own records: number by id
        self._claimed: dict[bytes, int] = {}  # damaged own records: number by id, both from their columns
        self.damaged: list[Damage] = []
        self.misdescribed: list[tuple[StoredRow, Record]] = []  # whole records with a wrong column

    def records(self) -> Iterator[bytes]:
        """The bytes of all whole rows in order. Call `take_outcome` before asking for the next one."""
        for row in self._rows:
            if row.seq <= self._horizon.get(row.author, -1):
                continue
            self._row, self._is_as_written = row, row.is_as_written
            fault = None if self._is_as_written else fault_of(row)
            if fault is None:
                yield row.data
            else:
                self._note_damage(row, fault)

    def take_outcome(self, outcome: Outcome) -> None:
        """Note the outcome of the last record. A refused record is not always damaged: it may have come too early."""
        row = self._row
        assert row is not None
        record = outcome if isinstance(outcome, Record) else None
        fault = None if record is not None else fault_of(row)
        if fault is not None:
            self._note_damage(row, fault)
            return
        record = decode_record(row.data) if record is None else record
        if record.author == self._own:
            self._verified[record.id] = record.seq
        if not (self._is_as_written and is_described(row, record)):
            self.misdescribed.append((row, record))

    def _note_damage(self, row: StoredRow, fault: str) -> None:
        self.damaged.append(Damage(row.place, row.id, row.author, row.seq, fault))
        if row.author == self._own:
            self._claimed[row.id] = row.seq

    @property
    def signed_before(self) -> int:
        """The number below which all own records were signed once, readable or not.

        A number counts only if the own log and the record's row do not contradict each other, so that one damaged
        column cannot invent a record that was never signed.
        """
        return max(self._numbers(), default=self._horizon.get(self._own, -1)) + 1

    @property
    def misnumbered(self) -> list[tuple[int, bytes, int]]:
        """Rows of the table `own_log` with a wrong number: the number, the id, and the right number."""
        found = [(seq, record_id, self._verified.get(record_id, seq)) for seq, record_id in self._own_log.items()]
        return [row for row in found if row[0] != row[2]]

    @property
    def own_holes(self) -> list[int]:
        """Numbers of own records that were signed but cannot be read, in order."""
        return sorted(self._numbers() - set(self._verified.values()))

    def _numbers(self) -> set[int]:
        numbers = {self._verified.get(record_id, seq) for seq, record_id in self._own_log.items()}
        logged = set(self._own_log.values())
        numbers.update(self._verified.values())
        numbers.update(seq for record_id, seq in self._claimed.items() if record_id not in logged)
        return numbers
