"""A simulated disk: a write takes some time, and a crash loses writes that are not done."""

from collections import deque

from p2pverify.core.events import Persist, StoredAnswer, StoredEvidence
from p2pverify.core.machine import Machine
from p2pverify.core.records.envelope import Record
from p2pverify.core.records.floors import Floor, Prune
from p2pverify.core.replica.base import Base
from p2pverify.core.settle.exchange import StoredCredit


class Disk:
    """Records, answers and evidence in the order of writing. Times are virtual milliseconds.

    Records that were settled go from the disk, if the peer forgets. A start then begins at the newest `base`.
    """

    def __init__(self, write_ms: int) -> None:
        self._write_ms = write_ms
        self._records: list[Record] = []
        self._answers: list[StoredAnswer] = []
        self._evidence: list[StoredEvidence] = []
        self._credit: list[StoredCredit] = []
        self._writing: deque[tuple[int, int, int, int, int]] = deque()  # time of completion, lengths before the write
        #: Where a start begins, and the floors of its ledger; None if it begins with the network.
        self._begin: tuple[Base, dict[bytes, Floor]] | None = None
        self._named: list[Record] = []  # records below the floors that are kept

    def write(self, effect: Persist | Prune, now_ms: int) -> int:
        """Begin to write an effect's contents. Returns the time (ms) when they are safe."""
        if isinstance(effect, Prune):
            self._prune(effect)
            return now_ms
        self._settle(now_ms)
        done_ms = now_ms + self._write_ms
        if self._write_ms:
            lengths = (len(self._records), len(self._answers), len(self._evidence), len(self._credit))
            self._writing.append((done_ms, *lengths))
        self._records += effect.records
        self._answers += effect.answers
        self._evidence += effect.evidence
        self._credit += effect.credit
        return done_ms

    def _prune(self, effect: Prune) -> None:
        """Keep a base, and drop the records that it makes useless. They were written long ago."""
        if not effect.forgets:
            return
        self._begin = Base(effect.cuts, effect.states), dict(effect.floors)
        kept: list[Record] = []
        named = {record.id: record for record in (*self._named, *self._records) if record.id in effect.named}
        before = [0]  # how many of the first records stay
        for record in self._records:
            floor = effect.floors.get(record.author)
            stays = record.author not in effect.gone if floor is None else record.seq > floor.seq
            kept += [record] * stays
            before.append(len(kept))
        self._writing = deque((each[0], before[each[1]], *each[2:]) for each in self._writing)
        self._records, self._named = kept, list(named.values())

    def crash(self, now_ms: int) -> int:
        """Lose all writes that are not done. Returns the number of lost records."""
        self._settle(now_ms)
        lost = 0
        if self._writing:
            _, records, answers, evidence, credit = self._writing[0]
            lost = len(self._records) - records
            del self._records[records:], self._answers[answers:], self._evidence[evidence:]
            del self._credit[credit:]
            self._writing.clear()
        return lost

    def read(self) -> tuple[list[bytes], list[StoredAnswer], list[StoredEvidence]]:
        """The records, answers and evidence on the disk."""
        return [record.data for record in self._records], list(self._answers), list(self._evidence)

    def lend(self, machine: Machine) -> None:
        """Give a new machine what it needs before the records: where it begins, and what it is owed."""
        if self._begin is not None:
            machine.begin_at(*self._begin, self._named)
        machine.money.load(self._newest_credit())

    def _newest_credit(self) -> list[StoredCredit]:
        """The newest tab of each client, and the newest bill of each creditor."""
        newest = {(kept.side, kept.peer): kept for kept in self._credit}
        return [kept for kept in newest.values() if kept.data]

    def _settle(self, now_ms: int) -> None:
        while self._writing and self._writing[0][0] <= now_ms:
            self._writing.popleft()
