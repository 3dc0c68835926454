"""Stored rows held against themselves: which of them are not what was written.

A record proves itself: its id is the hash of its header, which names the digest of its payload, and its author signed
it. So a damaged row can be told from a whole one without anything else, and can be replaced by whoever has the record.
What a record means, and whether it counts, is left to the core.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from p2pverify.core.encoding.peerid import peer_id
from p2pverify.core.errors import DecodeError
from p2pverify.core.records.envelope import Record, decode_record
from p2pverify.core.replica.load import Outcome


@dataclass(frozen=True, slots=True)
class StoredRow:
    """A row of the table `records`: the bytes of a record, and what the other columns say of it."""

    place: int
    id: bytes
    author: bytes
    seq: int
    kind: int
    epoch: int
    data: bytes


@dataclass(frozen=True, slots=True)
class Damage:
    """A row whose bytes are no longer the record that was written. All but `reason` is what its columns say."""

    place: int
    id: bytes
    author: bytes
    seq: int
    reason: str


def fault_of(row: StoredRow) -> str | None:
    """What shows that the bytes of a row are not the record that was written; None if they are."""
    try:
        record = decode_record(row.data)
    except DecodeError as error:
        return error.reason
    if not record.is_signed():
        return "its signature does not hold"
    return None


def is_described(row: StoredRow, record: Record) -> bool:
    """Whether the columns of a row say what its record says."""
    found = (record.id, record.author, record.seq, record.kind, record.epoch)
    return found == (row.id, row.author, row.seq, row.kind, row.epoch)


def name_damage(damage: Damage, own: bytes) -> str:
    """Which stored record is damaged, whose it is, and what shows it."""
    whose = "this peer" if damage.author == own else peer_id(damage.author)
    return f"record {damage.id.hex()[:16]} (number {damage.seq} of {whose}) is damaged on disk: {damage.reason}"


class Inspection:
    """Hands the rows of a store to a loader one by one, and notes those that are damaged.

    `own` is the node's public key, and `own_log` the numbers and ids of its records as its own table has them.
    """

    def __init__(self, rows: Iterable[StoredRow], own: bytes, own_log: Iterable[tuple[int, bytes]]) -> None:
        self._rows = iter(rows)
        self._own = own
        self._own_log = dict(own_log)
        self._row: StoredRow | None = None
        self._verified: dict[bytes, int] = {}  # own records: number by id
        self._claimed: dict[bytes, int] = {}  # damaged own records: number by id, as their columns say
        self.damaged: list[Damage] = []
        self.misdescribed: list[tuple[StoredRow, Record]] = []  # whole records beside which a column is wrong

    def records(self) -> Iterator[bytes]:
        """The bytes of all rows in their order. `take_outcome` is to be called before the next one is asked for."""
        for row in self._rows:
            self._row = row
            yield row.data

    def take_outcome(self, outcome: Outcome) -> None:
        """What became of the last record. One that was refused is not damaged for that: it may have come too early."""
        row = self._row
        assert row is not None
        record = outcome if isinstance(outcome, Record) else None
        fault = None if record is not None else fault_of(row)
        if fault is not None:
            self.damaged.append(Damage(row.place, row.id, row.author, row.seq, fault))
            if row.author == self._own:
                self._claimed[row.id] = row.seq
            return
        record = decode_record(row.data) if record is None else record
        if record.author == self._own:
            self._verified[record.id] = record.seq
        if not is_described(row, record):
            self.misdescribed.append((row, record))

    @property
    def signed_before(self) -> int:
        """Own records with lower numbers were signed once, whether or not they can still be read.

        A number is believed if the own log and the record's row do not contradict each other, so that one damaged
        column does not make up a record that was never signed.
        """
        return max(self._numbers(), default=-1) + 1

    @property
    def misnumbered(self) -> list[tuple[int, bytes, int]]:
        """Rows of the own log's table with the number of another record: number, id, and the right number."""
        found = [(seq, record_id, self._verified.get(record_id, seq)) for seq, record_id in self._own_log.items()]
        return [row for row in found if row[0] != row[2]]

    @property
    def own_holes(self) -> list[int]:
        """Numbers of own records that were signed and cannot be read, in order."""
        return sorted(self._numbers() - set(self._verified.values()))

    def _numbers(self) -> set[int]:
        numbers = {self._verified.get(record_id, seq) for seq, record_id in self._own_log.items()}
        logged = set(self._own_log.values())
        numbers.update(self._verified.values())
        numbers.update(seq for record_id, seq in self._claimed.items() if record_id not in logged)
        return numbers
