"""The settlement of a step: its facts, its records of money, and what the books forget.

Protocol page: protocol/settle.md.
"""

from collections.abc import Iterable, Mapping
from dataclasses import replace

from p2pverify.core.contract.tariff import Tariff
from p2pverify.core.records.envelope import Kind, Record
from p2pverify.core.records.payloads.settle.cheque import Cheque, decode_cheque
from p2pverify.core.records.payloads.settle.payment import Payment, decode_payment
from p2pverify.core.records.payloads.settle.pledge import PledgeOffer, decode_pledge
from p2pverify.core.settle.books import Books, Pledge
from p2pverify.core.settle.cut import CutFacts, settle_cut
from p2pverify.core.settle.posting import Posting
from p2pverify.core.state.state import State
from p2pverify.core.state.transition import Transition

#: Pledges for one line.
PLEDGES_MAX = 8
#: Series of cheques of one creditor, until they are paid and over.
SERIES_MAX = 64
#: A series of cheques ends at most this many epochs after the cut that counts a cheque of it.
SERIES_EPOCHS_MAX = 2**20


def take(step: Transition, records: Mapping[int, Iterable[Record]]) -> None:
    """Settle a step, after everything else in it. `records` are those of the step by kind, sorted by author."""
    state, tariff, books = step.state, step.network.tariff, books_of(step.state)
    assert tariff is not None
    posting = Posting(books, tariff, step.recorder)
    settle_cut(posting, _facts(step))
    for record in records.get(Kind.PLEDGE, ()):
        _take_pledge(state, tariff, books, record)
    for record in records.get(Kind.CHEQUE, ()):
        _take_cheque(state, posting, record)
    for record in records.get(Kind.PAYMENT, ()):
        _take_payment(state, posting, record)
    _forget(state, posting)


def _facts(step: Transition) -> CutFacts:
    state, base = step.state, step.base
    weighted = frozenset(
        peer
        for peer, member in base.members.items()
        if member.weight and peer in state.members and peer not in state.convicted
    )
    may_earn = frozenset(peer for peer in state.members if peer not in state.convicted) if step.rounds else frozenset()
    new = state.convicted - base.convicted
    return CutFacts(state.epoch, weighted, new, may_earn, step.earned, step.rounds)


def _take_pledge(state: State, tariff: Tariff, books: Books, record: Record) -> None:
    pledge = decode_pledge(record.payload)
    refused = refuse_pledge(state, tariff, record.author, pledge)
    if refused is not None:
        state.count(f"pledge: {refused}")
        return
    books.pledges[pledge.line, record.author] = Pledge(pledge.bounty, pledge.first, pledge.last)
    state.count("pledges")


def refuse_pledge(state: State, tariff: Tariff, author: bytes, pledge: PledgeOffer) -> str | None:
    """Why a pledge does not count, or None."""
    books = books_of(state)
    if not _has_weight(state, author):
        return "author has no weight"
    if (pledge.line, author) in books.pledges:
        return "author has one for the line"
    if sum(line == pledge.line for line, _ in books.pledges) >= PLEDGES_MAX:
        return "line has too many"
    if Pledge(pledge.bounty, pledge.first, pledge.last).reserved > books.room(author, tariff.limit):
        return "more than author may owe"
    return None


def _take_cheque(state: State, posting: Posting, record: Record) -> None:
    cheque = decode_cheque(record.payload)
    refused = refuse_cheque(state, record.author, cheque)
    if refused is not None:
        state.count(f"cheque: {refused}")
        return
    series = (cheque.debtor, cheque.until)
    posting.credit(record.author, series, cheque.cumulative, cheque.count, state.epoch, record.id)
    state.count("cheques")


def refuse_cheque(state: State, author: bytes, cheque: Cheque) -> str | None:
    """Why a cheque does not count, or None. Its signature was checked when the record was judged."""
    books = books_of(state)
    if not _has_weight(state, author):
        return "author has no weight"
    if cheque.until < state.epoch:
        return "its series is over"
    if cheque.until > state.epoch + SERIES_EPOCHS_MAX:
        return "its series ends too late"
    claims = books.claims.get(author, {})
    known = claims.get((cheque.debtor, cheque.until))
    if known is None:
        return "author has too many series" if len(claims) >= SERIES_MAX else None
    if cheque.cumulative <= known.cumulative or cheque.count <= known.count:
        return "a greater one is known"
    return None


def _take_payment(state: State, posting: Posting, record: Record) -> None:
    payment = decode_payment(record.payload)
    refused = refuse_payment(state, posting.tariff, record.author, payment)
    if refused is not None:
        state.count(f"payment: {refused}")
        return
    posting.pay(record.author, payment.debtor, payment.amount, record.id)
    state.count("payments")


def refuse_payment(state: State, tariff: Tariff, author: bytes, payment: Payment) -> str | None:
    """Why a payment does not count, or None."""
    return "more than is owed" if payment.amount > owed(books_of(state), tariff, author, payment.debtor) else None


def owed(books: Books, tariff: Tariff, creditor: bytes, debtor: bytes) -> int:
    """The most that a payment of a debtor to a creditor can say (millionths).

    Cheques are owed to the creditor alone. All else is owed to all together: a payment moves what both have vested
    towards 0, and leaves the creditor what it pledged.
    """
    claims = books.claims.get(creditor, {})
    by_cheques = sum(claims[key].vested for key in books.series(creditor, debtor))
    spendable = min(books.account(creditor).vested, books.room(creditor, tariff.limit))
    return by_cheques + max(0, min(spendable, -books.account(debtor).vested))


def _has_weight(state: State, peer: bytes) -> bool:
    member = state.members.get(peer)
    return member is not None and member.weight > 0 and member.active and not member.is_convicted


def books_of(state: State) -> Books:
    """The books of a state of a network with a tariff."""
    assert state.books is not None
    return state.books


def _forget(state: State, posting: Posting) -> None:
    """Drop what belongs to keys without a row, series that are over and paid, and accounts in which nothing is left.

    Only members with weight, or with something in their account, keep one. So books grow with rows of weight.
    """
    books = posting.books
    for pledge in [each for each in books.pledges if each[1] not in state.members or each[1] in state.convicted]:
        del books.pledges[pledge]
    for creditor, claims in sorted(books.claims.items()):
        for series in [each for each, claim in claims.items() if _is_over(state, creditor, each[1], claim.owed)]:
            posting.drop_claim(creditor, series)
    for gone in sorted(books.accounts.keys() - state.members.keys()):
        posting.write_off(gone)
    for peer, account in list(books.accounts.items()):
        if account.is_even and not state.members[peer].weight:
            del books.accounts[peer]


def _is_over(state: State, creditor: bytes, until: int, owed: int) -> bool:
    return creditor not in state.members or (owed == 0 and state.epoch > until)


def carried(books: Books | None) -> Books | None:
    """The books with which a network begins that goes on from a cut of this one: without pledges."""
    return None if books is None else replace(books.copy(), pledges={})
