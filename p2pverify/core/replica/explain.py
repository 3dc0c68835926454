"""Explanations: every movement of a peer's money with the cut, and the record or slot, that it comes from.

They are computed from the records again. No state holds them.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from p2pverify.core.contract.network import Network
from p2pverify.core.records.envelope import Record
from p2pverify.core.records.payloads.cut import decode_cut
from p2pverify.core.replica.fold import Fold
from p2pverify.core.replica.ledger import Ledger
from p2pverify.core.replica.load import SETTLE_EVERY
from p2pverify.core.settle.books import AccountRow, Movement, account_rows
from p2pverify.core.state.state import State


@dataclass(frozen=True, slots=True)
class CutMovement:
    """A movement at a certified cut (id, 32 B) of an epoch."""

    cut: bytes
    epoch: int
    movement: Movement


@dataclass(frozen=True, slots=True)
class Explained:
    """What a peer had at the network's beginning and has at a final cut, and the movements between."""

    opening: AccountRow
    movements: tuple[CutMovement, ...]
    row: AccountRow


@dataclass(frozen=True, slots=True)
class ExplainedBooks:
    """All rows at the network's beginning and at a final cut (id, 32 B) of an epoch, and the movements between."""

    opening: tuple[AccountRow, ...]
    movements: tuple[CutMovement, ...]
    rows: tuple[AccountRow, ...]
    cut: bytes
    epoch: int


def explain(
    network: Network, records: Iterable[Record], key: bytes, start: State | None = None, cut: bytes | None = None
) -> Explained:
    """Explain the account of a key (32 B; empty for the pool), as `explain_books` does it for all."""
    found = _explained(network, records, start, cut, lambda movement: movement.key == key)
    return Explained(_row(found.opening, key), found.movements, _row(found.rows, key))


def explain_books(
    network: Network, records: Iterable[Record], start: State | None = None, cut: bytes | None = None
) -> ExplainedBooks:
    """Explain all accounts at a cut; at the newest one that the records certify, if none is given.

    The records are judged ones, each after its author's earlier ones. The network must have a tariff.
    """
    return _explained(network, records, start, cut, lambda _: True)


def _explained(
    network: Network,
    records: Iterable[Record],
    start: State | None,
    cut: bytes | None,
    is_wanted: Callable[[Movement], bool],
) -> ExplainedBooks:
    fold = Fold(network, Ledger(), start=start)
    moved: dict[bytes, list[Movement]] = {}

    def note(state: State, movement: Movement) -> None:
        if is_wanted(movement):
            moved.setdefault(state.id, []).append(movement)

    fold.tell_movements(note)
    for number, record in enumerate(records, start=1):
        for added in fold.ledger.add(record):
            fold.take(added)
        if number % SETTLE_EVERY == 0:
            fold.settle()
    fold.settle()
    last = fold.latest if cut is None else fold.state(cut)
    assert last is not None  # the cut was verified
    path = _path(fold, last.id)
    found = tuple(CutMovement(each, epoch, movement) for each, epoch in path for movement in moved.get(each, ()))
    return ExplainedBooks(_rows(fold.genesis), found, _rows(last), last.id, last.epoch)


def _path(fold: Fold, at: bytes) -> list[tuple[bytes, int]]:
    """The cuts up to one of them, each with its epoch."""
    path: list[tuple[bytes, int]] = []
    while (record := fold.ledger.get(at)) is not None:
        cut = decode_cut(record.payload)
        path.append((at, cut.epoch))
        at = cut.base
    return path[::-1]


def _rows(state: State) -> tuple[AccountRow, ...]:
    assert state.books is not None  # the network has a tariff
    return account_rows(state.books)


def _row(rows: tuple[AccountRow, ...], key: bytes) -> AccountRow:
    return next((row for row in rows if row.key == key), AccountRow(key))
