"""The movements of accounts of a running node, computed from its records again in a thread, once for a cut."""

import trio

from p2pverify.core.machine import Machine
from p2pverify.core.replica.explain import Explained, ExplainedBooks, explain_books
from p2pverify.core.settle.books import AccountRow
from p2pverify.node.settle.documents import MovementsDocument
from p2pverify.node.settle.report import movements_document

#: Movements of one account in an answer of the API. 'p2pverify settle explain' shows all of them.
MOVEMENTS_MAX = 20_000


class NoMovements(Exception):
    """The movements of an account cannot be shown; `reason` says why."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Bookkeeper:
    """Explains the accounts of one node at its newest final cut."""

    def __init__(self, machine: Machine) -> None:
        self._machine = machine
        self._turn = trio.CapacityLimiter(1)
        self._known: ExplainedBooks | None = None

    async def movements(self, key: bytes) -> MovementsDocument:
        """Why the account of a key (32 B; empty for the pool) is as it is. Raises NoMovements."""
        machine = self._machine
        if machine.network.tariff is None:
            raise NoMovements("this network has no tariff, so it keeps no accounts")
        if not machine.fold.ledger.is_whole:
            raise NoMovements("this node has pruned old records; an archive's export shows them")
        books = await self._books()
        row = _row(books.rows, key)
        if row is None:
            raise NoMovements("there is no such account")
        moved = tuple(each for each in books.movements if each.movement.key == key)
        if len(moved) > MOVEMENTS_MAX:
            raise NoMovements(f"the account has {len(moved)} movements; 'p2pverify settle explain' shows them")
        found = Explained(_row(books.opening, key) or AccountRow(key), moved, row)
        return movements_document(machine.network, books.cut, found)

    async def _books(self) -> ExplainedBooks:
        """The books at the newest final cut. Others that ask meanwhile wait for the same result."""
        async with self._turn:
            fold = self._machine.fold
            cut = fold.latest.id
            if self._known is None or self._known.cut != cut:
                records = tuple(fold.ledger.records())
                self._known = await trio.to_thread.run_sync(
                    explain_books, self._machine.network, records, fold.genesis, cut
                )
            return self._known


def _row(rows: tuple[AccountRow, ...], key: bytes) -> AccountRow | None:
    return next((row for row in rows if row.key == key), None)
