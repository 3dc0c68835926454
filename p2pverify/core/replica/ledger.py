"""The ledger: the grow-only set of accepted records, hash-linked per author.

A record counts only with its whole prefix, so an early record waits for its predecessors; the number of waiting records
is bounded. Forks are kept: each branch is a separate chain, and a cut names a branch by its head. Other modules decide
the meaning of records and the right branch.
"""

import bisect
from collections.abc import Callable, Iterable, Iterator, Mapping

from p2pverify.core.errors import GossipIgnore
from p2pverify.core.records.envelope import NO_PREV, Record
from p2pverify.core.records.payloads.cut import Head

WAITING_PER_AUTHOR_MAX = 4096
WAITING_MAX = 65_536
BRANCHES_MAX = 8
#: Most records of one author in one epoch, on one branch. Honest peers stay far below: see `protocol/limits.md`.
RECORDS_PER_EPOCH_MAX = 4096
#: Most forks that `take_forks` has not returned yet.
FORKS_MAX = 4096

Seen = Callable[[Record], None]


class Ledger:
    """Accepted records in memory, without their meaning.

    `by_id` only maps ids to records, so ledgers of one process may share it. The records that a ledger holds are in its
    own chains and branches.
    """

    def __init__(self, by_id: dict[bytes, Record] | None = None) -> None:
        self._by_id: dict[bytes, Record] = {} if by_id is None else by_id
        self._authors: list[bytes] = []  # sorted
        self._chains: dict[bytes, list[Record]] = {}
        self._beside: dict[bytes, dict[bytes, Record]] = {}  # author -> id -> record of another branch
        self._waiting: dict[bytes, dict[bytes, Record]] = {}  # author -> prev -> record
        self._waiting_count = 0
        self._length = 0
        self._forks: dict[tuple[bytes, int], tuple[Record, Record]] = {}
        self._watchers: list[Seen] = []

    def __len__(self) -> int:
        return self._length

    def __contains__(self, record_id: bytes) -> bool:
        return self.get(record_id) is not None

    def get(self, record_id: bytes) -> Record | None:
        found = self._by_id.get(record_id)
        if found is None:
            return None
        header = found.header
        chain = self._chains.get(header.author)
        if chain is None:
            return None
        if header.seq < len(chain) and chain[header.seq].id == record_id:
            return chain[header.seq]
        beside = self._beside.get(header.author)
        return None if beside is None else beside.get(record_id)

    def is_awaited(self, author: bytes, prev: bytes) -> bool:
        """Whether a record of this author waits here for the record `prev`."""
        return prev in self._waiting.get(author, ())

    def has_waiting(self, author: bytes) -> bool:
        """Whether records of this author wait here for earlier ones."""
        return bool(self._waiting.get(author))

    def watch(self, seen: Seen) -> None:
        """Call `seen` with each record held, in any order, and from now on with each record added."""
        for record in self.records():
            seen(record)
        self._watchers.append(seen)

    # ------------------------------------------------------------ adding

    def add(self, record: Record) -> list[Record]:
        """Add an accepted record; returns all records that now have their whole prefix, in order.

        Raises GossipIgnore if the record is known, or if too many records wait for earlier ones.
        """
        header = record.header
        chain = self._chains.get(header.author)
        if chain is None or header.seq != len(chain) or chain[-1].id != header.prev:  # not the next record of the chain
            if record.id in self:
                raise GossipIgnore("known")
            if not self._has_prefix(record):
                self._wait(record)
                return []
        self._append(record)
        added = [record]
        if header.author in self._waiting:
            self._take_waiting(added)
        return added

    def _has_prefix(self, record: Record) -> bool:
        if record.seq == 0:
            return True
        before = self.get(record.header.prev)
        if before is None:
            return False
        if before.author != record.author or before.seq != record.seq - 1:
            raise GossipIgnore("prev is not the record before")
        return True

    def _wait(self, record: Record) -> None:
        waiting = self._waiting.get(record.author, {})
        if record.header.prev in waiting:
            raise GossipIgnore("known")
        if len(waiting) >= WAITING_PER_AUTHOR_MAX or self._waiting_count >= WAITING_MAX:
            raise GossipIgnore("too many records wait for an earlier one")
        self._waiting.setdefault(record.author, waiting)[record.header.prev] = record
        self._waiting_count += 1

    def _take_waiting(self, added: list[Record]) -> None:
        """Append to `added` the record that waited for its last one, and so on."""
        author = added[-1].author
        waiting = self._waiting[author]
        while (following := waiting.pop(added[-1].id, None)) is not None:
            self._waiting_count -= 1
            if following.seq != added[-1].seq + 1:
                break  # its `prev` has the wrong number: it never counts
            try:
                self._append(following)
            except GossipIgnore:
                break  # it can arrive again
            added.append(following)
        if not waiting:
            del self._waiting[author]

    def _append(self, record: Record) -> None:
        """Put a record with its whole prefix into its place. Raises GossipIgnore if a limit is reached."""
        header = record.header
        chain = self._chains.get(header.author)
        self._check_epoch(record, chain)
        if chain is None:
            bisect.insort(self._authors, header.author)
            self._chains[header.author] = [record]
        elif header.seq == len(chain) and chain[-1].id == header.prev:
            chain.append(record)
        else:
            beside = self._beside.setdefault(header.author, {})
            if len(beside) >= BRANCHES_MAX * WAITING_PER_AUTHOR_MAX:
                raise GossipIgnore("too many branches")
            beside[record.id] = record
            if header.seq < len(chain) and len(self._forks) < FORKS_MAX:
                self._forks.setdefault((header.author, header.seq), (chain[header.seq], record))
        self._by_id.setdefault(record.id, record)
        self._length += 1
        for seen in self._watchers:
            seen(record)

    def _check_epoch(self, record: Record, chain: list[Record] | None) -> None:
        """Epochs in a log never decrease, and an epoch has a limit of records.

        This depends only on the branch, so all peers agree.
        """
        if chain is None or record.seq == 0:
            return
        on_chain = record.seq <= len(chain) and chain[record.seq - 1].id == record.header.prev
        before = chain[record.seq - 1] if on_chain else self._by_id[record.header.prev]
        if record.epoch < before.epoch:
            raise GossipIgnore("dated before the record before it")
        first = record.seq - RECORDS_PER_EPOCH_MAX  # this record must be of an earlier epoch
        if first < 0 or record.epoch > before.epoch:
            return
        while before.epoch == record.epoch and not (before.seq < len(chain) and chain[before.seq].id == before.id):
            if before.seq <= first:
                break
            before = self._by_id[before.header.prev]
        if before.epoch == record.epoch and (before.seq <= first or chain[first].epoch == record.epoch):
            raise GossipIgnore("too many records in one epoch")

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
        chain, beside = self._chains[author], self._beside[author]
        if seq < len(chain) and chain[seq].id == record_id:
            return
        branch = self._branch(record_id)
        beside.update((left.id, left) for left in chain)
        for taken in branch:
            del beside[taken.id]
        following: dict[bytes, Record] = {}
        for record in sorted(beside.values(), key=lambda r: r.id, reverse=True):
            following[record.header.prev] = record
        while (after := following.get(branch[-1].id)) is not None:
            branch.append(beside.pop(after.id))  # so no record beside continues the chain; `add` relies on this
        self._chains[author] = branch

    def _branch(self, record_id: bytes) -> list[Record]:
        branch = []
        while record_id != NO_PREV:
            record = self.get(record_id)
            assert record is not None
            branch.append(record)
            record_id = record.header.prev
        return branch[::-1]

    def branches(self) -> Iterator[Record]:
        """Records beside the followed chains: the evidence of forks."""
        for author in sorted(self._beside):
            yield from sorted(self._beside[author].values(), key=lambda r: (r.seq, r.id))

    # ------------------------------------------------------------ reading

    def head(self, author: bytes) -> Head | None:
        chain = self._chains.get(author)
        return None if chain is None else (author, len(chain) - 1, chain[-1].id)

    def heads(self) -> tuple[Head, ...]:
        """Heads of all authors, sorted."""
        chains = self._chains
        return tuple((author, len(chains[author]) - 1, chains[author][-1].id) for author in self._authors)

    def moved(self, earlier: Mapping[bytes, Head]) -> list[Head]:
        """Heads of the authors with more records here than in an earlier cut, sorted."""
        found: list[Head] = []
        for author in self._authors:
            chain = self._chains[author]
            before = earlier.get(author)
            if before is None or before[1] < len(chain) - 1:
                found.append((author, len(chain) - 1, chain[-1].id))
        return found

    def last(self, author: bytes) -> Record | None:
        """The last record of an author's chain."""
        chain = self._chains.get(author)
        return chain[-1] if chain else None

    def at(self, author: bytes, seq: int) -> Record | None:
        """The record with a number on an author's chain."""
        chain = self._chains.get(author, ())
        return chain[seq] if 0 <= seq < len(chain) else None

    def held(self, author: bytes) -> int:
        """The number of records of an author held here, with those beside its chain and those that wait."""
        beside, waiting = self._beside.get(author, ()), self._waiting.get(author, ())
        return len(self._chains.get(author, ())) + len(beside) + len(waiting)

    def chain(self, author: bytes) -> Iterator[Record]:
        """The records of an author's chain, in order."""
        return iter(self._chains.get(author, ()))

    def chain_from(self, author: bytes, seq: int) -> Iterator[Record]:
        """The records of an author's chain, from a number on."""
        chain = self._chains.get(author, [])
        return (chain[index] for index in range(seq, len(chain)))

    def records(self) -> Iterable[Record]:
        """All records with their prefix, by author, number and id."""
        for author in self._authors:
            beside = self._beside.get(author)
            chain: Iterable[Record] = self._chains[author]
            yield from sorted([*chain, *beside.values()], key=lambda r: (r.seq, r.id)) if beside else chain

    def lacks(self, heads: Iterable[Head]) -> bytes | None:
        """The id of a head whose record is not here; None if all are here."""
        for author, seq, record_id in heads:
            chain = self._chains.get(author)
            if chain is not None and seq < len(chain) and chain[seq].id == record_id:
                continue
            record = self.get(record_id)
            if record is None or record.author != author or record.seq != seq:
                return record_id
        return None

    def extends(self, later: Mapping[bytes, Head], earlier: Iterable[Head]) -> bool:
        """Whether a set of heads contains an earlier set, branch by branch. An unknown head contains nothing."""
        return all(self._descends(later.get(head[0]), head) for head in earlier)

    def _descends(self, later: Head | None, earlier: Head) -> bool:
        if later is None or later[1] < earlier[1]:
            return False
        if later == earlier:
            return self.lacks((later,)) is None
        return self.lacks((later,)) is None and self.ancestor(later, earlier[1]) == earlier[2]

    def ancestor(self, head: Head, seq: int) -> bytes:
        """The id at `seq` on the branch that ends in `head`."""
        return self._until(head)[seq].id

    def _until(self, head: Head) -> list[Record]:
        """A list that begins with the branch that ends in `head`."""
        chain = self._chains[head[0]]
        if head[1] < len(chain) and chain[head[1]].id == head[2]:
            return chain
        return self._branch(head[2])

    def between(self, head: Head, first: int) -> list[Record]:
        """The records on the branch that ends in `head`, from the number `first` on. The head must be here."""
        return self._until(head)[first : head[1] + 1]

    def backwards(self, head: Head, seq: int) -> Iterator[Record]:
        """The records on the branch that ends in `head`, from the number `seq` down to 0. The head must be here."""
        until = self._until(head)
        return (until[index] for index in range(min(seq, head[1]), -1, -1))

    def last_of(self, head: Head, kind: int) -> Record | None:
        """The last record of a kind on the branch that ends in `head`. The head must be here."""
        until = self._until(head)
        return next((until[seq] for seq in range(head[1], -1, -1) if until[seq].kind == kind), None)

    def statistics(self) -> dict[str, int]:
        return {
            "records": self._length,
            "authors": len(self._authors),
            "waiting": self._waiting_count,
            "forked": sum(len(beside) for beside in self._beside.values()),
        }
