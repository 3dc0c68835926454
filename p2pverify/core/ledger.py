"""The ledger: the grow-only set of accepted records, hash-linked per author.

A record counts only with its whole prefix, so records that arrive early wait, bounded, for those before them. Forks
are kept: each branch is a chain of its own, and a cut names the branch by its head.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from p2pverify.core.canon import encode
from p2pverify.core.errors import GossipIgnore
from p2pverify.core.merkle import root
from p2pverify.core.records import NO_PREV, Head, Record

WAITING_PER_AUTHOR_MAX = 4096
WAITING_MAX = 65_536
BRANCHES_MAX = 8


@dataclass(slots=True)
class _Author:
    """One author's records: the chain we follow, and branches beside it."""

    chain: list[bytes] = field(default_factory=list)
    waiting: dict[bytes, Record] = field(default_factory=dict)  # by prev
    forked: set[bytes] = field(default_factory=set)  # ids beside the chain


class Ledger:
    """Accepted records in memory. Holds no opinion on what they mean."""

    def __init__(self) -> None:
        self._records: dict[bytes, Record] = {}
        self._authors: dict[bytes, _Author] = {}
        self._waiting = 0
        self._forks: list[tuple[bytes, bytes]] = []

    def __len__(self) -> int:
        return len(self._records)

    def __contains__(self, record_id: object) -> bool:
        return record_id in self._records

    def get(self, record_id: bytes) -> Record | None:
        return self._records.get(record_id)

    def add(self, record: Record) -> list[Record]:
        """Take an accepted record; returns all that now have their whole prefix, in order.

        Raises GossipIgnore if the record is known or if too many wait for an earlier one.
        """
        if record.id in self._records:
            raise GossipIgnore("known")
        author = self._authors.setdefault(record.author, _Author())
        if not self._has_prefix(record):
            self._wait(author, record)
            return []
        added = [record]
        self._append(author, record)
        while (following := author.waiting.pop(added[-1].id, None)) is not None:
            self._waiting -= 1
            if following.seq != added[-1].seq + 1:
                break  # it named a record before it that is not the one before: it never counts
            self._append(author, following)
            added.append(following)
        return added

    def _has_prefix(self, record: Record) -> bool:
        if record.seq == 0:
            return True
        before = self._records.get(record.header.prev)
        if before is None:
            return False
        if before.author != record.author or before.seq != record.seq - 1:
            raise GossipIgnore("prev is not the record before")
        return True

    def _wait(self, author: _Author, record: Record) -> None:
        if record.header.prev in author.waiting:
            raise GossipIgnore("known")
        if len(author.waiting) >= WAITING_PER_AUTHOR_MAX or self._waiting >= WAITING_MAX:
            raise GossipIgnore("too many records wait for an earlier one")
        author.waiting[record.header.prev] = record
        self._waiting += 1

    def _append(self, author: _Author, record: Record) -> None:
        if record.seq == len(author.chain) and (record.seq == 0 or author.chain[-1] == record.header.prev):
            author.chain.append(record.id)
        else:
            rival = author.chain[record.seq] if record.seq < len(author.chain) else None
            if len(author.forked) >= BRANCHES_MAX * WAITING_PER_AUTHOR_MAX:
                raise GossipIgnore("too many branches")
            author.forked.add(record.id)
            if rival is not None and rival != record.id:
                self._forks.append((rival, record.id))
        self._records[record.id] = record

    def take_forks(self) -> list[tuple[Record, Record]]:
        """Pairs of records with one author and number that appeared since the last call."""
        found, self._forks = self._forks, []
        return [(self._records[one], self._records[two]) for one, two in found]

    def follow(self, head: Head) -> None:
        """Make the branch that ends in `head` the author's chain; a certified cut has named it."""
        author, seq, record_id = head
        state = self._authors[author]
        if seq < len(state.chain) and state.chain[seq] == record_id:
            return
        branch = self._branch(record_id)
        state.forked.update(set(state.chain) - set(branch))
        state.chain = branch
        state.forked.difference_update(branch)

    def _branch(self, record_id: bytes) -> list[bytes]:
        branch = []
        while record_id != NO_PREV:
            branch.append(record_id)
            record_id = self._records[record_id].header.prev
        return branch[::-1]

    def head(self, author: bytes) -> Head | None:
        state = self._authors.get(author)
        if state is None or not state.chain:
            return None
        return (author, len(state.chain) - 1, state.chain[-1])

    def heads(self) -> tuple[Head, ...]:
        """Heads of all authors, sorted."""
        found = (self.head(author) for author in sorted(self._authors))
        return tuple(head for head in found if head is not None)

    def chain(self, author: bytes) -> Iterator[Record]:
        """An author's records in order, on the chain we follow."""
        state = self._authors.get(author)
        return (self._records[record_id] for record_id in (state.chain if state else ()))

    def chain_from(self, author: bytes, seq: int) -> Iterator[Record]:
        """An author's records from a number on."""
        state = self._authors.get(author)
        return (self._records[record_id] for record_id in (state.chain[seq:] if state else ()))

    def records(self) -> Iterable[Record]:
        """All records with their prefix, by author, number and id."""
        return sorted(self._records.values(), key=lambda r: (r.author, r.seq, r.id))

    def covers(self, heads: Iterable[Head]) -> bool:
        """Whether all of a cut is here."""
        for author, seq, record_id in heads:
            record = self._records.get(record_id)
            if record is None or record.author != author or record.seq != seq:
                return False
        return True

    def extends(self, later: Mapping[bytes, Head], earlier: Iterable[Head]) -> bool:
        """Whether a set of heads contains an earlier one, branch by branch. An unknown head contains nothing."""
        return all(self._descends(later.get(head[0]), head) for head in earlier)

    def _descends(self, later: Head | None, earlier: Head) -> bool:
        if later is None or later[1] < earlier[1] or not self.covers((later,)):
            return False
        return self.ancestor(later, earlier[1]) == earlier[2]

    def ancestor(self, head: Head, seq: int) -> bytes:
        """The id at `seq` on the branch that ends in `head`."""
        chain = self._authors[head[0]].chain
        if head[1] < len(chain) and chain[head[1]] == head[2]:
            return chain[seq]
        return self._branch(head[2])[seq]

    def between(self, earlier: Mapping[bytes, Head], later: Iterable[Head]) -> Iterator[Record]:
        """The records of a cut that an earlier cut lacks, sorted by author and number. Both must be covered."""
        for head in later:
            before = earlier.get(head[0])
            start = 0 if before is None else before[1] + 1
            chain = self._authors[head[0]].chain
            on_chain = head[1] < len(chain) and chain[head[1]] == head[2]
            ids = chain if on_chain else self._branch(head[2])
            for index in range(start, head[1] + 1):
                yield self._records[ids[index]]

    def missing_from(self, frontier: Mapping[bytes, int]) -> Iterator[Record]:
        """Records that a holder of so many per author lacks, branches included, in the order of authors."""
        for author in sorted(self._authors):
            state = self._authors[author]
            start = frontier.get(author, 0)
            for record_id in state.chain[start:]:
                yield self._records[record_id]

    def branches(self) -> Iterator[Record]:
        """Records beside the followed chains: the evidence of forks."""
        for author in sorted(self._authors):
            found = (self._records[record_id] for record_id in self._authors[author].forked)
            yield from sorted(found, key=lambda r: (r.seq, r.id))

    def statistics(self) -> dict[str, int]:
        return {
            "records": len(self._records),
            "authors": len(self._authors),
            "waiting": self._waiting,
            "forked": sum(len(a.forked) for a in self._authors.values()),
        }


def ledger_root(heads: Iterable[Head]) -> bytes:
    """RFC 6962 Merkle root over author heads: each head's hash links all records before it."""
    return root([encode(list(head)) for head in heads])
