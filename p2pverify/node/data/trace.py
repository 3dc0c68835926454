"""What a verified ledger shows of a subject: statements and data sets, and what they were made from.

When a record was there follows from the first certified cut that holds it, never from the date that its author claims.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from p2pverify.core.encoding.peerid import peer_id
from p2pverify.core.records.envelope import Kind, Record
from p2pverify.core.records.payloads.cut import Head, decode_cut
from p2pverify.core.records.payloads.data import (
    BASES,
    ERASURE_CODES,
    Dataset,
    Erasure,
    Statement,
    decode_dataset,
    decode_erasure,
    decode_statement,
)
from p2pverify.core.replica.fold import Fold
from p2pverify.core.replica.ledger import Ledger
from p2pverify.node.data.documents import ErasureDocument, TraceDocument, TraceNode
from p2pverify.node.data.statements import OpenStatement

_NODES_MAX = 1000


@dataclass(frozen=True, slots=True)
class _CutPlace:
    """A certified cut on the path, and an author's head in it."""

    cut: bytes
    epoch: int
    head: Head


class CutTimes:
    """For each record, the first cut on the path that holds it. The path to a certified cut has certified cuts only."""

    def __init__(self, ledger: Ledger, network_id: bytes, last: bytes) -> None:
        self._ledger = ledger
        self._places: dict[bytes, list[_CutPlace]] = {}
        path: list[Record] = []
        while last != network_id and (record := ledger.get(last)) is not None:
            path.append(record)
            last = decode_cut(record.payload).base
        for record in reversed(path):
            cut = decode_cut(record.payload)
            for head in cut.moved:
                self._places.setdefault(head[0], []).append(_CutPlace(record.id, cut.epoch, head))

    def first(self, record: Record) -> tuple[bytes, int] | None:
        """The id and the epoch of the first cut that holds a record; None if none does."""
        for place in self._places.get(record.author, ()):
            if place.head[1] >= record.seq and self._ledger.ancestor(place.head, record.seq) == record.id:
                return place.cut, place.epoch
        return None


@dataclass(slots=True)
class _Found:
    """The data records of a ledger, by what others can name them by."""

    statements: dict[bytes, tuple[Record, Statement]] = field(default_factory=dict)
    datasets: dict[bytes, tuple[Record, Dataset]] = field(default_factory=dict)
    erasures: dict[bytes, list[tuple[Record, Erasure]]] = field(default_factory=dict)  # by data set
    names: dict[bytes, list[bytes]] = field(default_factory=dict)  # subject or root -> ids of records

    def named(self, name: bytes) -> list[bytes]:
        """The ids of the records that a name stands for: an id, a subject's commitment, or a root."""
        return [name] if name in self.statements or name in self.datasets else self.names.get(name, [])


def _find(records: Iterable[Record]) -> _Found:
    found = _Found()
    for record in records:
        if record.kind == Kind.STATEMENT:
            statement = decode_statement(record.payload)
            found.statements[record.id] = record, statement
            found.names.setdefault(statement.subject, []).append(record.id)
        elif record.kind == Kind.DATASET:
            dataset = decode_dataset(record.payload)
            found.datasets[record.id] = record, dataset
            found.names.setdefault(dataset.root, []).append(record.id)
        elif record.kind == Kind.ERASURE:
            erasure = decode_erasure(record.payload)
            found.erasures.setdefault(erasure.dataset, []).append((record, erasure))
    for dataset_id, erased in found.erasures.items():
        if dataset_id in found.datasets:
            owner = found.datasets[dataset_id][0].author
            erased[:] = [(record, erasure) for record, erasure in erased if record.author == owner]
            for _, erasure in erased:
                found.names.setdefault(erasure.root, []).append(dataset_id)
    return found


class Tracer:
    """Traces subjects in one verified ledger, up to the certified cut `last`."""

    def __init__(self, fold: Fold, last: bytes) -> None:
        self._fold = fold
        self._last = last
        self._times = CutTimes(fold.ledger, fold.network_id, last)
        self._found = _find(fold.ledger.records())

    def record_of(self, opened: OpenStatement) -> Record | None:
        """The first record of an opened statement; None if the ledger has none."""
        payload = opened.statement.encode()
        return next(
            (r for r, _ in self._found.statements.values() if r.author == opened.author and r.payload == payload), None
        )

    def first_cut(self, record: Record) -> tuple[bytes, int] | None:
        """The id and the epoch of the first certified cut that holds a record."""
        return self._times.first(record)

    def trace(self, name: bytes, opened: Sequence[OpenStatement] = ()) -> TraceDocument:
        """All that is said of a name (32 B), each with its parents below it. `opened` are checked, and shown."""
        faults: list[str] = []
        texts: dict[bytes, str] = {}
        for each in opened:
            record = self.record_of(each)
            if not each.holds:
                faults.append(f"the statement about {each.subject!r}: the other party's signature does not hold")
            elif record is None:
                faults.append(f"the statement about {each.subject!r}: the ledger has no record of it")
            else:
                texts[record.id] = each.subject
        nodes = list(self._walk(name, texts))
        faults += [
            f"statement {node.id}: the other party's signature does not hold" for node in nodes if not node.holds
        ]
        state = self._fold.state(self._last)
        return TraceDocument(
            schema="p2pverify/trace/1",
            network=self._fold.network_id.hex(),
            subject=name.hex(),
            cut=self._last.hex(),
            epoch=0 if state is None else state.epoch,
            nodes=tuple(nodes),
            complete=len(nodes) < _NODES_MAX,
            faults=tuple(faults),
        )

    def _walk(self, name: bytes, texts: dict[bytes, str]) -> Iterator[TraceNode]:
        """The records of a name and their parents, depth first. A record's parents are shown once."""
        todo = [(key, 0) for key in reversed(self._sorted(self._found.named(name)))]
        seen: set[bytes] = set()
        count = 0
        while todo and count < _NODES_MAX:
            key, depth = todo.pop()
            count += 1
            again = key in seen
            node, parents = self._node(key, depth, texts.get(key), again=again)
            yield node
            if not again:
                seen.add(key)
                below = [found for parent in parents for found in self._found.named(parent) or [parent]]
                todo += [(parent, depth + 1) for parent in reversed(below)]

    def _sorted(self, keys: list[bytes]) -> list[bytes]:
        """Records in the order of the cuts that brought them, those that no cut holds last."""

        def order(key: bytes) -> tuple[bool, int, bytes, int]:
            record = self._found.statements[key][0] if key in self._found.statements else self._found.datasets[key][0]
            first = self._times.first(record)
            return first is None, 0 if first is None else first[1], record.author, record.seq

        return sorted(keys, key=order)

    def _node(self, key: bytes, depth: int, text: str | None, *, again: bool) -> tuple[TraceNode, tuple[bytes, ...]]:
        if key in self._found.statements:
            record, statement = self._found.statements[key]
            return self._statement(record, statement, depth, text, again=again), statement.parents
        if key in self._found.datasets:
            record, dataset = self._found.datasets[key]
            return self._dataset(record, dataset, depth, again=again), dataset.parents
        return TraceNode(depth=depth, kind="unknown", id=key.hex(), again=again), ()

    def _statement(self, record: Record, said: Statement, depth: int, text: str | None, *, again: bool) -> TraceNode:
        other = said.co_signature
        first = self._times.first(record)
        return TraceNode(
            depth=depth,
            kind="statement",
            id=record.id.hex(),
            again=again,
            author=peer_id(record.author),
            signed_with=None if other is None else peer_id(other.key),
            holds=other is None or said.is_cosigned(record.header.network, record.author),
            epoch=None if first is None else first[1],
            cut=None if first is None else first[0].hex(),
            claimed_epoch=record.epoch,
            parents=tuple(parent.hex() for parent in said.parents),
            what=said.profile,
            subject=said.subject.hex(),
            commit=said.commit.hex(),
            opened=text,
        )

    def _dataset(self, record: Record, said: Dataset, depth: int, *, again: bool) -> TraceNode:
        first = self._times.first(record)
        return TraceNode(
            depth=depth,
            kind="dataset",
            id=record.id.hex(),
            again=again,
            author=peer_id(record.author),
            epoch=None if first is None else first[1],
            cut=None if first is None else first[0].hex(),
            claimed_epoch=record.epoch,
            parents=tuple(parent.hex() for parent in said.parents),
            what=f"{said.rows} rows, {said.licence}, {BASES[said.basis]}",
            commit=said.root.hex(),
            erasures=tuple(self._erasure(*each) for each in self._found.erasures.get(record.id, ())),
        )

    def _erasure(self, record: Record, said: Erasure) -> ErasureDocument:
        first = self._times.first(record)
        return ErasureDocument(
            id=record.id.hex(),
            rows_left=said.rows,
            root=said.root.hex(),
            why=ERASURE_CODES[said.code],
            epoch=None if first is None else first[1],
        )
