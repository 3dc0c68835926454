"""Accounts, movements and transfers as documents. Amounts in millionths of the tariff's `unit`."""

from dataclasses import dataclass, field
from typing import Literal

from p2pverify.node.reports.documents.shape import ApiDocument, Count


@dataclass(frozen=True, kw_only=True)
class AccountDocument:
    """What a key has. `peer` is null for the pool.

    `claims` is what has vested of cheques for it, less what it owes by cheques.
    """

    peer: str | None
    vested: int
    escrow: Count
    answers: Count
    audits: Count
    votes: Count
    training: Count
    forfeited: Count
    claims: int
    indebted: bool = field(metadata={"description": "it owes the limit, so it neither earns nor owes for duties"})


@dataclass(frozen=True, kw_only=True)
class AccountsDocument(ApiDocument):
    """All accounts of a view; `sum` is 0. `unit` is null, and there are none, in a network without a tariff."""

    schema: Literal["p2pverify/accounts/1"]
    network: str
    unit: str | None
    final: bool
    cut: str | None
    epoch: Count
    sum: int
    accounts: tuple[AccountDocument, ...]


@dataclass(frozen=True, kw_only=True)
class SlotDocument:
    """The audit of which a movement comes."""

    challenger: str
    epoch: Count
    slot: Count


@dataclass(frozen=True, kw_only=True)
class MovementDocument:
    """One change of a part of an account. Without a slot and a record, it comes from the cut itself."""

    cut: str
    epoch: Count
    part: Literal["vested", "escrow", "claims"]
    amount: int
    reason: str
    slot: SlotDocument | None
    record: str | None


@dataclass(frozen=True, kw_only=True)
class MovementsDocument(ApiDocument):
    """All movements of one account up to a certified cut. They add up to the account, from what it had before them."""

    schema: Literal["p2pverify/movements/1"]
    network: str
    unit: str
    cut: str
    before: AccountDocument
    account: AccountDocument
    movements: tuple[MovementDocument, ...]


@dataclass(frozen=True, kw_only=True)
class TransferDocument:
    """One payment outside. A null debtor or creditor stands for what is held in escrow."""

    debtor: str | None
    creditor: str | None
    amount: Count
    owed_by: Literal["duties", "cheques"]


@dataclass(frozen=True, kw_only=True)
class NettingDocument(ApiDocument):
    """Transfers that make even what has vested: among all, at most one less than accounts, and one for each debtor."""

    schema: Literal["p2pverify/netting/1"]
    network: str
    unit: str
    cut: str
    epoch: Count
    transfers: tuple[TransferDocument, ...]


@dataclass(frozen=True, kw_only=True)
class ChequeDocument:
    """The newest cheque of a client to this node. `known` is what the newest final cut has of its series."""

    debtor: str
    until: Count = field(metadata={"description": "the last epoch of its series"})
    cumulative: Count
    count: Count
    signature: str
    known: Count


@dataclass(frozen=True, kw_only=True)
class TabDocument:
    """What a client of this peer owes: answers without a cheque, and all that is not settled."""

    client: str
    uncovered: Count
    owed: int


@dataclass(frozen=True, kw_only=True)
class BillDocument:
    """What this node owes a peer for answers to its clients.

    `due` is on no cheque yet. `cumulative` is on the newest cheque of the series that ends with the epoch `until`, and
    the peer has confirmed `told` of it.
    """

    creditor: str
    due: Count
    until: Count | None
    cumulative: Count
    told: Count


@dataclass(frozen=True, kw_only=True)
class ChequesDocument(ApiDocument):
    """What is owed for answers beside the ledger, in millionths of `unit`: to this node, and by it."""

    schema: Literal["p2pverify/cheques/1"]
    network: str
    unit: str | None
    price: Count = field(metadata={"description": "of one answer"})
    cheques: tuple[ChequeDocument, ...]
    tabs: tuple[TabDocument, ...]
    bills: tuple[BillDocument, ...]
