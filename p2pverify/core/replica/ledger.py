"""The ledger: the set of accepted records, hash-linked per author.

A record counts only with its whole prefix, so an early record waits for its predecessors; the number of waiting records
is bounded. Forks are kept: each branch is a separate chain, and a cut names a branch by its head. Other modules decide
the meaning of records and the right branch.

A log can have a floor: the head of the author in an old final cut. What is at or below it is settled. No record is
taken there any more, and the ledger may have forgotten the records. A ledger can also begin above such heads, without
the records below.
"""

import bisect
from collections.abc import Callable, Iterable, Mapping, Sequence

from p2pverify.core.errors import GossipIgnore
from p2pverify.core.records.envelope import Record
from p2pverify.core.records.floors import Floor
from p2pverify.core.records.payloads.cut import Head
from p2pverify.core.replica.logs.log import Log
from p2pverify.core.replica.logs.reading import Logs
from p2pverify.core.replica.logs.shelf import MemoryShelf, Shelf
from p2pverify.core.replica.logs.waiting import WAITING_IN_FILE_MAX

#: Most records of one author that are held beside its followed log.
BESIDE_MAX = 32_768
#: Most records of one author in one epoch, on one branch. Honest peers stay far below: see `protocol/limits.md`.
RECORDS_PER_EPOCH_MAX = 4096
#: Most forks that `take_forks` has not returned yet.
FORKS_MAX = 4096
#: Why a record at or below the floor of its author's log is refused.
BELOW = "below the horizon"

#: Called with the epoch and id of a record.
Seen = Callable[[int, bytes], None]
#: Called with the epochs and ids of records that are settled or dropped from now on.
Settled = Callable[[Sequence[tuple[int, bytes]]], None]
#: Tells whether a record is wanted although it lies below the horizon.
Wanted = Callable[[Record], bool]


class Ledger(Logs):
    """Accepted records, without their meaning.

    The records are on a `shelf`, which ledgers of one process may share. Which records a ledger holds is told by the
    ids in its own logs and branches. At most `waiting_max` records of an author wait for earlier ones.
    """

    def __init__(self, shelf: Shelf | None = None, waiting_max: int = WAITING_IN_FILE_MAX) -> None:
        super().__init__(MemoryShelf() if shelf is None else shelf, waiting_max)
        self._forks: dict[tuple[bytes, int], tuple[Record, Record]] = {}
        self._watchers: list[tuple[Seen, Settled]] = []

    def watch(self, seen: Seen, settled: Settled) -> None:
        """Call `seen` with each record held above the floors, in any order, and with each record added from now on.

        Call `settled` when records are no longer above a floor.
        """
        for author, _ in self._open():
            for key in self._above_floor(author):
                seen(*key)
        self._watchers.append((seen, settled))

    def _above_floor(self, author: bytes) -> list[tuple[int, bytes]]:
        beside = self._beside.get(author, {})
        return [*self._logs[author].above_floor(), *((record.epoch, key) for key, (record, _) in beside.items())]

    # ------------------------------------------------------------ floors

    def begin_above(self, floors: Mapping[bytes, Floor], named: Iterable[Record] = ()) -> None:
        """Begin, in an empty ledger, above these heads of authors.

        The records up to there are never here, except `named` ones, which only `get` and `named` find.
        """
        assert not self._logs
        self.is_whole = False
        self._named = {record.id: record for record in named}
        self._authors = sorted(floors)
        self._logs = {author: Log(floors[author]) for author in self._authors}

    def prune(
        self, heads: Mapping[bytes, Head], gone: Iterable[bytes], is_wanted: Wanted, *, forget: bool
    ) -> dict[bytes, Floor]:
        """Make these heads the floors of their logs, and close the logs of the authors `gone`. Returns the floors.

        Every head is on the followed branch. Of what lies below, or is in a closed log, nothing is taken any more. With
        `forget` the records are dropped, except wanted ones, which `get` and `named` still find.
        """
        settled: list[tuple[int, bytes]] = []
        dropped: list[bytes] = []
        for author, (_, seq, record_id) in sorted(heads.items()):
            log = self._logs[author]
            if log.floor is None or log.floor.seq < seq:
                assert log.id_at(seq) == record_id
                below = log.raise_floor(Floor(seq, record_id, log.epoch_at(seq), log.since(seq)), forget=forget)
                settled += below
                dropped += [each for _, each in below] if forget else []
                settled += self._drop_beside(author, log, dropped)
        for author in gone:
            if author in self._logs:
                settled += self._above_floor(author)
                dropped += self._close(author, forget=forget)
        self._drop(dropped, is_wanted)
        self.is_whole = self.is_whole and not forget
        for _, note in self._watchers:
            note(settled)
        return self.floors()

    def _drop_beside(self, author: bytes, log: Log, dropped: list[bytes]) -> list[tuple[int, bytes]]:
        """Drop the branches that leave the log below its floor. Returns their epochs and ids."""
        beside = self._beside.get(author)
        if beside is None or log.floor is None:
            return []
        gone = []
        for record, _ in sorted(beside.values(), key=lambda one: one[0].seq):
            prev = record.header.prev
            if record.seq <= log.floor.seq or not (log.id_at(record.seq - 1) == prev or prev in beside):
                del beside[record.id]
                gone.append((record.epoch, record.id))
        if not beside:
            del self._beside[author]
        dropped += [each for _, each in gone]
        return gone

    def _close(self, author: bytes, *, forget: bool) -> list[bytes]:
        """Take nothing of an author any more. Returns the ids of the records that are not held from now on."""
        self._waiting.drop(author)
        found = list(self._beside.pop(author, ()))
        if not forget:
            self._logs[author].is_closed = True
            return found
        self._authors.remove(author)
        return [*found, *self._logs.pop(author).ids]

    def _drop(self, dropped: Sequence[bytes], is_wanted: Wanted) -> None:
        self._length -= len(dropped)
        wanted = {r.id: r for r in map(self._shelf.get, dropped) if r is not None and is_wanted(r)}
        self._named = {**{key: record for key, record in self._named.items() if is_wanted(record)}, **wanted}
        self._shelf.drop(dropped)

    def turn(self, epoch: int) -> None:
        """It is this epoch now: drop the records that have waited for too long."""
        self._waiting.turn(epoch)

    # ------------------------------------------------------------ adding

    def add(self, record: Record) -> list[Record]:
        """Add an accepted record; returns all records that now have their whole prefix, in order.

        Raises GossipIgnore if the record is known, if it is settled, or if too many records wait for earlier ones.
        """
        header = record.header
        log = self._logs.get(header.author)
        if log is None or log.is_closed or header.seq != log.end or log.last_id != header.prev:  # not the next one
            if record.id in self:
                raise GossipIgnore("known")
            if log is not None and log.is_settled(header.seq):
                raise GossipIgnore("known" if log.id_at(header.seq) == record.id else BELOW)
            if not self._has_prefix(record):
                self._waiting.put(record)
                return []
        self._append(record)
        added = [record]
        if self._waiting:
            self._take_waiting(added)
        return added

    def _has_prefix(self, record: Record) -> bool:
        if record.seq == 0:
            return True
        prev, log = record.header.prev, self._logs.get(record.author)
        if log is not None and log.floor is not None and log.floor.id == prev:
            if log.floor.seq != record.seq - 1:
                raise GossipIgnore("prev is not the record before")
            return True
        before = self.get(prev)
        if before is None:
            return False
        if before.author != record.author or before.seq != record.seq - 1:
            raise GossipIgnore("prev is not the record before")
        return True

    def _take_waiting(self, added: list[Record]) -> None:
        """Append to `added` the record that waited for its last one, and so on."""
        while (following := self._waiting.take(added[-1].author, added[-1].id)) is not None:
            if following.seq != added[-1].seq + 1:
                break  # its `prev` has the wrong number: it never counts
            try:
                self._append(following)
            except GossipIgnore:
                break  # it can arrive again
            added.append(following)

    def _append(self, record: Record) -> None:
        """Put a record with its whole prefix into its place. Raises GossipIgnore if a limit is reached."""
        header = record.header
        author = header.author
        log = self._logs.get(author)
        since = self._check_epoch(record, log)
        if log is None:
            bisect.insort(self._authors, author)
            log = self._logs[author] = Log()
        if header.seq == log.end and (header.seq == 0 or log.last_id == header.prev):
            log.append(record)
        else:
            beside = self._beside.setdefault(author, {})
            if len(beside) >= BESIDE_MAX:
                raise GossipIgnore("too many branches")
            beside[record.id] = record, since
            if log.first <= header.seq < log.end and len(self._forks) < FORKS_MAX:
                self._forks.setdefault((author, header.seq), (self._held(log.id_at(header.seq)), record))
        self._shelf.put(record)
        self._length += 1
        for seen, _ in self._watchers:
            seen(header.epoch, record.id)

    def _check_epoch(self, record: Record, log: Log | None) -> int:
        """Epochs in a log never decrease, and an epoch has a limit of records. Returns where the record's epoch began.

        This depends only on the branch, so all peers agree. Of what is below the floor, a cut tells what is asked here.
        """
        if log is None or record.seq == 0:
            return record.seq
        epoch, since = self._run_of(record.author, record.seq - 1, record.header.prev)
        if record.epoch < epoch:
            raise GossipIgnore("dated before the record before it")
        if record.epoch == epoch and record.seq - since >= RECORDS_PER_EPOCH_MAX:
            raise GossipIgnore("too many records in one epoch")
        return since if record.epoch == epoch else record.seq

    def _run_of(self, author: bytes, seq: int, record_id: bytes) -> tuple[int, int]:
        """The epoch of a record that is here or at the floor, and the number at which it began on the branch."""
        log = self._logs[author]
        if log.id_at(seq) == record_id:
            return log.epoch_at(seq), log.since(seq)
        record, since = self._beside[author][record_id]
        return record.epoch, since

    # ------------------------------------------------------------ branches

    @property
    def has_forks(self) -> bool:
        """Whether there are forks for `take_forks` to return."""
        return bool(self._forks)

    def take_forks(self) -> list[tuple[Record, Record]]:
        """Pairs of records with one author and number that appeared since the last call; one pair per number."""
        found, self._forks = self._forks, {}
        return list(found.values())

    def follow(self, heads: Mapping[bytes, Head]) -> None:
        """Make each branch that a certified cut names its author's chain. The heads must be here."""
        for author in sorted(self._beside):
            if author in heads:
                self._follow(heads[author])

    def _follow(self, head: Head) -> None:
        author, seq, record_id = head
        log, beside = self._logs[author], self._beside[author]
        if log.id_at(seq) == record_id:
            return
        branch = self._branch(head)
        left = [self._held(each) for each in log.ids[branch[0].seq - log.first :]]
        since = {record.id: log.since(record.seq) for record in left}
        log.shorten(branch[0].seq)
        beside.update((record.id, (record, since[record.id])) for record in left)
        following: dict[bytes, Record] = {}
        for record, _ in sorted(beside.values(), key=lambda one: one[0].id, reverse=True):
            following[record.header.prev] = record
        after: Record | None = branch[0]
        chosen = iter(branch[1:])
        while after is not None:
            log.append(after)
            del beside[after.id]
            # To the end of the branch, so that no record beside continues the log; `add` relies on this.
            after = next(chosen, None) or following.get(after.id)
        if not beside:
            del self._beside[author]
