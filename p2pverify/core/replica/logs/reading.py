"""The logs of a ledger, for reading: what is held, heads, branches, and what a set of heads contains."""

from collections.abc import Iterable, Iterator, Mapping

from p2pverify.core.records.envelope import Record
from p2pverify.core.records.floors import Floor
from p2pverify.core.records.payloads.cut import Head
from p2pverify.core.replica.logs.log import Log
from p2pverify.core.replica.logs.shelf import Shelf
from p2pverify.core.replica.logs.waiting import Waiting


class Logs:
    """The logs of all authors. Each has a followed branch, and perhaps records beside it."""

    def __init__(self, shelf: Shelf, waiting_max: int) -> None:
        self._shelf = shelf
        self._authors: list[bytes] = []  # sorted
        self._logs: dict[bytes, Log] = {}
        #: Records of other branches, by author and id, each with the number at which its epoch began on its branch.
        self._beside: dict[bytes, dict[bytes, tuple[Record, int]]] = {}
        self._named: dict[bytes, Record] = {}  # forgotten records that are still wanted, by id
        self._waiting = Waiting(waiting_max)
        self._length = 0
        #: Whether no record of a cut was forgotten.
        self.is_whole = True

    def __len__(self) -> int:
        return self._length

    def __contains__(self, record_id: bytes) -> bool:
        return self.get(record_id) is not None

    def get(self, record_id: bytes) -> Record | None:
        """The record with this id, if it is held here."""
        found = self._shelf.get(record_id)
        if found is not None:
            header = found.header
            log = self._logs.get(header.author)
            at = -1 if log is None else header.seq - log.first
            if log is not None and 0 <= at < len(log.ids) and log.ids[at] == record_id:
                return found
            beside = self._beside.get(header.author)
            if beside is not None and record_id in beside:
                return found
        return self._named.get(record_id)

    def named(self) -> Iterable[Record]:
        """Forgotten records that are held nevertheless, because they were wanted when they were forgotten."""
        return self._named.values()

    def is_settled(self, record: Record) -> bool:
        """Whether a record is at or below the floor of its author's log."""
        log = self._logs.get(record.author)
        return log is not None and log.is_settled(record.seq)

    def is_awaited(self, author: bytes, prev: bytes) -> bool:
        """Whether a record of this author waits here for the record `prev`."""
        return self._waiting.has(author, prev)

    def has_waiting(self, author: bytes) -> bool:
        """Whether records of this author wait here for earlier ones."""
        return self._waiting.of(author) > 0

    def _held(self, record_id: bytes) -> Record:
        found = self._shelf.get(record_id)
        assert found is not None  # the ids of a log are of records on the shelf
        return found

    def floors(self) -> dict[bytes, Floor]:
        """The floors of the logs that have one, by author."""
        return {author: log.floor for author, log in self._logs.items() if log.floor is not None}

    @property
    def has_branches(self) -> bool:
        """Whether more than one branch of any log is held."""
        return bool(self._beside)

    def is_forked(self, author: bytes) -> bool:
        """Whether more than one branch of an author's log is held."""
        return bool(self._beside.get(author))

    def head(self, author: bytes) -> Head | None:
        """The newest head of an author, which can be a floor."""
        log = self._logs.get(author)
        return None if log is None else (author, log.end - 1, log.last_id)

    def heads(self) -> tuple[Head, ...]:
        """Heads of all authors whose logs are not closed, sorted."""
        return tuple((author, log.end - 1, log.last_id) for author, log in self._open())

    def _sorted(self) -> Iterator[tuple[bytes, Log]]:
        return ((author, self._logs[author]) for author in self._authors)

    def _open(self) -> Iterator[tuple[bytes, Log]]:
        return ((author, log) for author, log in self._sorted() if not log.is_closed)

    def moved(self, earlier: Mapping[bytes, Head]) -> list[Head]:
        """Heads of the authors with more records here than in an earlier cut, sorted."""
        found: list[Head] = []
        for author, log in self._open():
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
        """The number of records of an author held here, with those beside its followed log and those that wait.

        A closed log does not count.
        """
        log = self._logs.get(author)
        if log is not None and log.is_closed:
            return 0
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

    def above(self, heads: Mapping[bytes, Head]) -> Iterator[tuple[int, bytes]]:
        """The epochs and ids of the records that a cut with these heads does not hold, which the followed logs do."""
        for author, log in self._open():
            head = heads.get(author)
            first = log.first if head is None else head[1] + 1
            yield from ((log.epoch_at(seq), log.id_at(seq)) for seq in range(max(log.first, first), log.end))
            yield from ((record.epoch, record_id) for record_id, (record, _) in self._beside.get(author, {}).items())

    def ids_between(self, head: Head, first: int) -> list[bytes]:
        """The ids of the held records on a followed log, from the number `first` up to `head`."""
        log = self._logs.get(head[0])
        return [] if log is None else log.ids[max(0, first - log.first) : max(0, head[1] + 1 - log.first)]

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

    def on(self, head: Head, seq: int) -> Record | None:
        """The record with a number on the branch that ends in `head`, which is here. None if it was forgotten."""
        found = self.ancestor(head, seq)
        return self.get(found) if found and seq >= self.first(head[0]) else None

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
