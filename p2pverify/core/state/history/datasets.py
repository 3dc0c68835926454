"""Data sets: those that members offer now, with the erasures in them. Statements are counted and nothing else.

A data set is live while its author is an active member that is not convicted, until its last epoch, and while it has
rows. Protocol pages: protocol/dataset.md, erasure.md, statement.md.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from p2pverify.core.records.envelope import Kind, Record
from p2pverify.core.records.payloads.data import Dataset, Erasure, decode_dataset, decode_erasure
from p2pverify.core.state.history.notes import LiveDataset
from p2pverify.core.state.rounds.replay import is_in_round, note_erasure
from p2pverify.core.state.state import State
from p2pverify.core.training.terms import TrainingUse

#: Live data sets of a member with weight, and of one that has none yet.
DATASETS_MAX = 64
DATASETS_OF_NEWCOMER_MAX = 4


def take(state: State, records: Mapping[int, Iterable[Record]]) -> None:
    """Take the data sets, erasures and statements of one step, by kind. Those of a kind are sorted by author.

    All data sets come before all erasures, so that an owner can correct within one cut.
    """
    offered = list(records.get(Kind.DATASET, ()))
    roots = live_roots(state) if offered else {}  # once, because an author can write thousands of records for a cut
    for record in offered:
        _take_dataset(state, record, roots.setdefault(record.author, []))
    for record in records.get(Kind.ERASURE, ()):
        _take_erasure(state, record)
    for key, known in [each for each in state.datasets.items() if each[1].waiting is not None]:
        if known.waiting is not None and not is_in_round(state, known.author, key):
            _erase(state, key, *known.waiting)
    for record in records.get(Kind.STATEMENT, ()):
        refused = refuse_statement(state, record.author)
        if refused is None:
            state.count("statements")
        else:
            state.count(f"statement: {refused}")


def live_roots(state: State) -> dict[bytes, list[bytes]]:
    """The roots of the live data sets of each author, one for each. Erasures can make some of them equal."""
    found: dict[bytes, list[bytes]] = {}
    for known in state.datasets.values():
        found.setdefault(known.author, []).append(known.root)
    return found


def _take_dataset(state: State, record: Record, roots: list[bytes]) -> None:
    """Take one record. `roots` are those of its author's live data sets, and get the new one."""
    dataset = decode_dataset(record.payload)
    refused = refuse_dataset(state, record.author, dataset, roots)
    if refused is not None:
        state.count(f"dataset: {refused}")
        return
    roots.append(dataset.root)
    said = (dataset.root, dataset.rows, dataset.schema, dataset.until)
    use = None if dataset.terms is None else TrainingUse(dataset.terms, state.beacon)
    state.datasets[record.id] = LiveDataset(record.author, *said, state.epoch, state.index, training=use)
    state.count("datasets")


def _take_erasure(state: State, record: Record) -> None:
    erasure = decode_erasure(record.payload)
    refused = refuse_erasure(state, record.author, erasure)
    if refused is not None:
        state.count(f"erasure: {refused}")
        return
    known = state.datasets[erasure.dataset]
    if is_in_round(state, record.author, erasure.dataset):
        state.datasets[erasure.dataset] = replace(known, waiting=(erasure.root, erasure.rows))
    else:
        _erase(state, erasure.dataset, erasure.root, erasure.rows)
    state.count("erasures")


def _erase(state: State, key: bytes, root: bytes, rows: int) -> None:
    """Let an erasure take effect. The rows that are left keep their numbers and their order in rounds."""
    known = state.datasets[key]
    gone = known.rows - rows
    state.datasets[key] = replace(
        known, root=root, rows=rows, erasures=known.erasures + 1, erased=known.erased + gone, waiting=None
    )
    note_erasure(state, key)


def refuse_statement(state: State, author: bytes) -> str | None:
    """Why a statement does not count, or None."""
    member = state.members.get(author)
    return "author is no active member" if member is None or not member.active else None


def refuse_dataset(state: State, author: bytes, dataset: Dataset, roots: Sequence[bytes]) -> str | None:
    """Why a data set does not count, or None. `roots` are those of the author's live data sets."""
    member = state.members.get(author)
    if member is None or not member.active or member.is_convicted:
        return "author is no active member"
    if dataset.until <= state.epoch:
        return "it is over"
    if dataset.root in roots:
        return "it is live already"
    if len(roots) >= (DATASETS_MAX if member.weight else DATASETS_OF_NEWCOMER_MAX):
        return "author has too many"
    return None


def refuse_erasure(state: State, author: bytes, erasure: Erasure) -> str | None:
    """Why an erasure does not count, or None."""
    known = state.datasets.get(erasure.dataset)
    if known is None or known.author != author:
        return "no live data set of the author"
    root, rows = known.waiting or (known.root, known.rows)
    if erasure.rows >= rows:
        return "it leaves as many rows as there were"
    if erasure.root == root:
        return "it leaves the root as it was"
    return None


def forget(state: State) -> None:
    """Drop the data sets that are live no more."""
    over = [key for key, known in state.datasets.items() if not _is_live(state, known)]
    for key in over:
        del state.datasets[key]


def _is_live(state: State, known: LiveDataset) -> bool:
    member = state.members.get(known.author)
    if member is None or not (member.active or member.successor is not None) or member.is_convicted:
        return False
    return known.rows > 0 and state.epoch < known.until


def must_drop(state: State, held: Mapping[bytes, tuple[bytes, bytes]]) -> frozenset[bytes]:
    """The opened rows that a peer must not keep, by the newest final state.

    `held` has for each blob of opened rows (its digest) the data set that they are of (the id of its record), and the
    root under which they were opened. A counted erasure changes the root and does not say which rows are gone. So all
    opened rows go whose data set has another root now, or is live no more.
    """
    return frozenset(
        digest
        for digest, (dataset, root) in held.items()
        if (known := state.datasets.get(dataset)) is None or known.root != root
    )
