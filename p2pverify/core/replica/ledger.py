"""The ledger: the set of accepted records, hash-linked per author.

A record counts only with its whole prefix, so an early record waits for its predecessors; the number of waiting records
is bounded. Forks are kept: each branch is a separate chain, and a cut names a branch by its head. Other modules decide
the meaning of records and the right branch.

A log can have a floor: the head of the author in an old final cut. What is at or below it is settled. No record is
taken there any more, and the ledger may have forgotten the records. A ledger can also begin above such heads, without
the records below.
"""

import bisect
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

from p2pverify.core.errors import GossipIgnore
from p2pverify.core.records.envelope import Record
from p2pverify.core.records.payloads.cut import Head
from p2pverify.core.replica.logs.log import Floor, Log
from p2pverify.core.replica.logs.shelf import MemoryShelf, Shelf
from p2pverify.core.replica.logs.waiting import Waiting

#: Most records of one author that are held beside its followed log.
BESIDE_MAX = 32_768
#: Most records of one author in one epoch, on one branch. Honest peers stay far below: see `protocol/limits.md`.
RECORDS_PER_EPOCH_MAX = 4096
#: Most forks that `take_forks` has not returned yet.
FORKS_MAX = 4096
#: Why a record at or below the floor of its author's log is refused.
BELOW = "below the horizon"

Seen = Callable[[Record], None]
#: Called with the epochs and ids of records that are settled from now on, or that were dropped.
Settled = Callable[[Sequence[tuple[int, bytes]]], None]


class Ledger:
    """Accepted records, without their meaning.

    The records are on a `shelf`, which ledgers of one process may share. Which records a ledger holds is told by the
    ids in its own logs and branches. It begins above the `floors`, if there are any, by author.
    """

    def __init__(self, shelf: Shelf | None = None) -> None:
        self._shelf = MemoryShelf() if shelf is None else shelf
        self._authors: list[bytes] = []  # sorted
        self._logs: dict[bytes, Log] = {}
        #: Records of other branches, by author and id, each with the number at which its epoch began on its branch.
        self._beside: dict[bytes, dict[bytes, tuple[Record, int]]] = {}
        self._waiting = Waiting()
        self._length = 0
        self._forks: dict[tuple[bytes, int], tuple[Record, Record]] = {}
        self._watchers: list[tuple[Seen, Settled | None]] = []

    def __len__(self) -> int:
        return self._length

    def __contains__(self, record_id: bytes) -> bool:
        return self.get(record_id) is not None

    def get(self, record_id: bytes) -> Record | None:
        """The record with this id, if it is held here."""
        found = self._shelf.get(record_id)
        if found is None:
            return None
        header = found.header
        log = self._logs.get(header.author)
        if log is None:
            return None
        at = header.seq - log.first
        if 0 <= at < len(log.ids) and log.ids[at] == record_id:
            return found
        beside = self._beside.get(header.author)
        return found if beside is not None and record_id in beside else None

    def is_awaited(self, author: bytes, prev: bytes) -> bool:
        """Whether a record of this author waits here for the record `prev`."""
        return self._waiting.has(author, prev)

    def has_waiting(self, author: bytes) -> bool:
        """Whether records of this author wait here for earlier ones."""
        return self._waiting.of(author) > 0

    def watch(self, seen: Seen, settled: Settled | None = None) -> None:
        """Call `seen` with each record held above the floors, in any order, and from now on with each record added."""
        for author in self._authors:
            for _, record_id in self._logs[author].above_floor():
                seen(self._held(record_id))
            for record, _ in self._beside.get(author, {}).values():
                seen(record)
        self._watchers.append((seen, settled))

    def _held(self, record_id: bytes) -> Record:
        found = self._shelf.get(record_id)
        assert found is not None  # the ids of a log are of records on the shelf
        return found

    # ------------------------------------------------------------ floors

    def begin_above(self, floors: Mapping[bytes, Floor]) -> None:
        """Begin, in an empty ledger, above these heads of authors. The records up to there are never here."""
        assert not self._logs
        self._authors = sorted(floors)
        self._logs = {author: Log(floors[author]) for author in self._authors}

    def floors(self) -> dict[bytes, Floor]:
        """The floors of the logs that have one, by author."""
        return {author: log.floor for author, log in self._logs.items() if log.floor is not None}

    # ------------------------------------------------------------ adding

    def add(self, record: Record) -> list[Record]:
        """Add an accepted record; returns all records that now have their whole prefix, in order.

        Raises GossipIgnore if the record is known, if it is settled, or if too many records wait for earlier ones.
        """
        header = record.header
        log = self._logs.get(header.author)
        if log is None or header.seq != log.end or log.last_id != header.prev:  # not the next record of the log
            if record.id in self:
                raise GossipIgnore("known")
            if log is not None and log.floor is not None and header.seq <= log.floor.seq:
                raise GossipIgnore("known" if record.id == log.floor.id else BELOW)
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
            seen(record)

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

    def is_forked(self, author: bytes) -> bool:
        """Whether more than one branch of an author's log is held."""
        return bool(self._beside.get(author))

    def follow(self, heads: Mapping[bytes, Head]) -> None:
        """Make each branch that a certified cut names its author's chain. All heads of the cut must be here."""
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

    def _branch(self, head: Head) -> list[Record]:
        """The records beside the followed log on the branch that ends in `head`, in order. None if it is on the log.

        Raises KeyError if the head is not here.
        """
        author, seq, record_id = head
        log, beside = self._logs[author], self._beside.get(author, {})
        branch: list[Record] = []
        while log.id_at(seq) != record_id and seq >= 0:
            record = beside[record_id][0]
            branch.append(record)
            record_id, seq = record.header.prev, seq - 1
        return branch[::-1]

    def branches(self) -> Iterator[Record]:
        """Records beside the followed logs: the evidence of forks."""
        for author in sorted(self._beside):
            yield from sorted((one for one, _ in self._beside[author].values()), key=lambda r: (r.seq, r.id))

    # ------------------------------------------------------------ reading

    def head(self, author: bytes) -> Head | None:
        """The newest head of an author, which can be a floor."""
        log = self._logs.get(author)
        return None if log is None else (author, log.end - 1, log.last_id)

    def heads(self) -> tuple[Head, ...]:
        """Heads of all authors, sorted."""
        return tuple((author, log.end - 1, log.last_id) for author, log in self._sorted())

    def _sorted(self) -> Iterator[tuple[bytes, Log]]:
        return ((author, self._logs[author]) for author in self._authors)

    def moved(self, earlier: Mapping[bytes, Head]) -> list[Head]:
        """Heads of the authors with more records here than in an earlier cut, sorted."""
        found: list[Head] = []
        for author, log in self._sorted():
            before = earlier.get(author)
            if before is None or before[1] < log.end - 1:
                found.append((author, log.end - 1, log.last_id))
        return found

    def last(self, author: bytes) -> Record | None:
        """The last record of an author's followed log. None if there is none, or if it was forgotten."""
        log = self._logs.get(author)
        return self._held(log.ids[-1]) if log is not None and log.ids else None

    def newest_epoch(self, author: bytes) -> tuple[int, int] | None:
        """The epoch of an author's last record, and how many records it has of that epoch. None without a record."""
        log = self._logs.get(author)
        return None if log is None else (log.epoch_at(log.end - 1), log.end - log.since(log.end - 1))

    def at(self, author: bytes, seq: int) -> Record | None:
        """The record with a number on an author's followed log. None if it does not exist, or was forgotten."""
        log = self._logs.get(author)
        return self._held(log.id_at(seq)) if log is not None and log.first <= seq < log.end else None

    def first(self, author: bytes) -> int:
        """The number of the first record of an author that the ledger has not forgotten."""
        log = self._logs.get(author)
        return 0 if log is None else log.first

    def held(self, author: bytes) -> int:
        """The number of records of an author held here, with those beside its followed log and those that wait."""
        log = self._logs.get(author)
        return (0 if log is None else len(log.ids)) + len(self._beside.get(author, ())) + self._waiting.of(author)

    def chain(self, author: bytes) -> Iterator[Record]:
        """The records of an author's followed log, in order, without those that were forgotten."""
        return self.chain_from(author, 0)

    def chain_from(self, author: bytes, seq: int) -> Iterator[Record]:
        """The records of an author's followed log, from a number on, without those that were forgotten."""
        log = self._logs.get(author)
        return iter(()) if log is None else map(self._held, log.ids[max(0, seq - log.first) :])

    def records(self) -> Iterator[Record]:
        """All records held with their prefix, by author, number and id."""
        for author, log in self._sorted():
            beside = [record for record, _ in self._beside.get(author, {}).values()]
            chain = map(self._held, log.ids)
            yield from sorted([*chain, *beside], key=lambda r: (r.seq, r.id)) if beside else chain

    def lacks(self, heads: Iterable[Head]) -> bytes | None:
        """The id of a head whose record is neither here nor at the floor; None if all are."""
        for author, seq, record_id in heads:
            log = self._logs.get(author)
            if log is not None and log.id_at(seq) == record_id:
                continue
            beside = self._beside.get(author, {}).get(record_id)
            if beside is None or beside[0].seq != seq:
                return record_id
        return None

    def extends(self, later: Mapping[bytes, Head], earlier: Iterable[Head]) -> bool:
        """Whether a set of heads contains an earlier set, branch by branch. An unknown head contains nothing.

        A head below the floor is unknown, because the ledger may have forgotten on which branch it was.
        """
        return all(self._descends(later.get(head[0]), head) for head in earlier)

    def _descends(self, later: Head | None, earlier: Head) -> bool:
        if later is None or later[1] < earlier[1] or self.lacks((later,)) is not None:
            return False
        return later == earlier or self.ancestor(later, earlier[1]) == earlier[2]

    def ancestor(self, head: Head, seq: int) -> bytes:
        """The id at `seq` on the branch that ends in `head`. Empty if it was forgotten."""
        branch = self._branch(head)
        if branch and seq >= branch[0].seq:
            return branch[seq - branch[0].seq].id
        return self._logs[head[0]].id_at(seq)

    def between(self, head: Head, first: int) -> list[Record]:
        """The records on the branch that ends in `head`, from the number `first` on. The head must be here.

        None of them may be forgotten.
        """
        log, branch = self._logs[head[0]], self._branch(head)
        end = branch[0].seq if branch else head[1] + 1
        assert first >= min(log.first, end), "records below the horizon"
        ids = log.ids[max(0, first - log.first) : max(0, end - log.first)]
        return [*map(self._held, ids), *(record for record in branch if record.seq >= first)]

    def backwards(self, head: Head, seq: int) -> Iterator[Record]:
        """The records on the branch that ends in `head`, from the number `seq` down, as far as they are held.

        The head must be here.
        """
        log, branch = self._logs[head[0]], self._branch(head)
        end = branch[0].seq if branch else head[1] + 1
        yield from (record for record in reversed(branch) if record.seq <= seq)
        yield from (self._held(log.id_at(at)) for at in range(min(seq, end - 1), log.first - 1, -1))

    def last_of(self, head: Head, kind: int) -> Record | None:
        """The last held record of a kind on the branch that ends in `head`. The head must be here."""
        return next((record for record in self.backwards(head, head[1]) if record.kind == kind), None)

    def statistics(self) -> dict[str, int]:
        return {
            "records": self._length,
            "authors": len(self._authors),
            "waiting": len(self._waiting),
            "forked": sum(len(beside) for beside in self._beside.values()),
        }
