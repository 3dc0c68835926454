"""What a state says of accounts, as documents."""

from p2pverify.core.contract.network import Network
from p2pverify.core.encoding.peerid import peer_id
from p2pverify.core.replica.explain import CutMovement, Explained
from p2pverify.core.settle.books import POOL, AccountRow, Books, account_rows, even_balances, vested_claims
from p2pverify.core.settle.split import netting
from p2pverify.core.state.state import State
from p2pverify.node.settle.documents import (
    AccountDocument,
    AccountsDocument,
    MovementDocument,
    MovementsDocument,
    NettingDocument,
    SlotDocument,
    TransferDocument,
)


def accounts_document(network: Network, state: State, *, final: bool) -> AccountsDocument:
    """All accounts of a state, the pool's first. `final`: whether the state is that of a certified cut."""
    is_final = final and state.index > 0
    books = state.books
    rows = () if books is None else account_rows(books)
    return AccountsDocument(
        schema="p2pverify/accounts/1",
        network=network.id.hex(),
        unit=None if network.tariff is None else network.tariff.unit,
        final=is_final,
        cut=state.id.hex() if is_final else None,
        epoch=state.epoch,
        sum=sum(row.total for row in rows),
        accounts=tuple(_account(network, books, row) for row in rows),
    )


def movements_document(network: Network, cut: bytes, found: Explained) -> MovementsDocument:
    """Why an account is as it is at a cut. The network must have a tariff."""
    assert network.tariff is not None
    return MovementsDocument(
        schema="p2pverify/movements/1",
        network=network.id.hex(),
        unit=network.tariff.unit,
        cut=cut.hex(),
        before=_account(network, None, found.opening),
        account=_account(network, None, found.row),
        movements=tuple(map(_movement, found.movements)),
    )


def netting_document(network: Network, state: State) -> NettingDocument:
    """Who pays whom, so that all that has vested is even. The network must have a tariff."""
    assert network.tariff is not None
    assert state.books is not None
    among_all = [(each.debtor, each.creditor, each.amount, False) for each in netting(even_balances(state.books))]
    by_cheques = [(debtor, creditor, owed, True) for creditor, debtor, owed in vested_claims(state.books)]
    return NettingDocument(
        schema="p2pverify/netting/1",
        network=network.id.hex(),
        unit=network.tariff.unit,
        cut=state.id.hex(),
        epoch=state.epoch,
        transfers=tuple(
            TransferDocument(
                debtor=_peer(debtor),
                creditor=_peer(creditor),
                amount=amount,
                owed_by="cheques" if is_cheque else "duties",
            )
            for debtor, creditor, amount, is_cheque in (*among_all, *by_cheques)
        ),
    )


def _peer(key: bytes) -> str | None:
    return None if key == POOL else peer_id(key)


def _account(network: Network, books: Books | None, row: AccountRow) -> AccountDocument:
    limit = 0 if network.tariff is None else network.tariff.limit
    return AccountDocument(
        peer=_peer(row.key),
        vested=row.vested,
        escrow=row.escrow,
        answers=row.answers,
        audits=row.audits,
        votes=row.votes,
        training=row.training,
        forfeited=row.forfeited,
        claims=row.claims,
        indebted=row.key != POOL and (row.vested <= -limit if books is None else books.is_indebted(row.key, limit)),
    )


def _movement(told: CutMovement) -> MovementDocument:
    found, slot, record = told.movement, None, None
    if isinstance(found.cause, tuple):
        challenger, epoch, number = found.cause
        slot = SlotDocument(challenger=peer_id(challenger), epoch=epoch, slot=number)
    elif found.cause is not None:
        record = found.cause.hex()
    return MovementDocument(
        cut=told.cut.hex(),
        epoch=told.epoch,
        part=found.part.value,
        amount=found.amount,
        reason=str(found.reason),
        slot=slot,
        record=record,
    )
