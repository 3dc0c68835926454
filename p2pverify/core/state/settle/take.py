"""The settlement of a step: its facts, and its records of money.

Protocol page: protocol/settle.md.
"""

from collections.abc import Iterable, Mapping

from p2pverify.core.contract.network import Network
from p2pverify.core.contract.tariff import Tariff
from p2pverify.core.records.envelope import Kind, Record
from p2pverify.core.records.payloads.settle.cheque import Cheque, decode_cheque
from p2pverify.core.records.payloads.settle.payment import Payment, decode_payment
from p2pverify.core.records.payloads.settle.pledge import PledgeOffer, decode_pledge
from p2pverify.core.settle.books import Books, Claim, Pledge
from p2pverify.core.settle.cut import CutFacts, settle_cut
from p2pverify.core.settle.posting import Posting
from p2pverify.core.settle.rules import forget, owed, refuse_credit, refuse_offer
from p2pverify.core.state.state import State
from p2pverify.core.state.transition import Transition


def take(step: Transition, records: Mapping[int, Iterable[Record]]) -> None:
    """Settle a step, after everything else in it. `records` are those of the step by kind, sorted by author."""
    state, books = step.state, books_of(step.state)
    posting = Posting(books, tariff_of(step.network), step.recorder)
    settle_cut(posting, _facts(step))
    for record in records.get(Kind.PLEDGE, ()):
        _take_pledge(step, posting, record)
    for record in records.get(Kind.CHEQUE, ()):
        _take_cheque(state, posting, record)
    for record in records.get(Kind.PAYMENT, ()):
        _take_payment(step, posting, record)
    had_weight = {peer for peer in books.accounts if peer in state.members and state.members[peer].was_weighted}
    forget(posting, state.epoch, state.members, had_weight, state.convicted)


def _facts(step: Transition) -> CutFacts:
    state, base = step.state, step.base
    weighted = frozenset(
        peer
        for peer, member in base.members.items()
        if member.weight and peer in state.members and peer not in state.convicted
    )
    may_earn = frozenset(state.members) - state.convicted if step.rounds else frozenset()
    return CutFacts(state.epoch, weighted, state.convicted - base.convicted, may_earn, step.earned, step.rounds)


def _take_pledge(step: Transition, posting: Posting, record: Record) -> None:
    offer = decode_pledge(record.payload)
    refused = refuse_pledge(step.network, step.state, record.author, offer)
    if refused is not None:
        step.state.count(f"pledge: {refused}")
        return
    posting.books.pledges[offer.line, record.author] = _pledge(offer)
    step.state.count("pledges")


def refuse_pledge(network: Network, state: State, author: bytes, offer: PledgeOffer) -> str | None:
    """Why a pledge does not count, or None."""
    if not _has_weight(state, author):
        return "author has no weight"
    return refuse_offer(books_of(state), tariff_of(network), (offer.line, author), _pledge(offer))


def _pledge(offer: PledgeOffer) -> Pledge:
    return Pledge(offer.bounty, offer.first, offer.last)


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
    if not _has_weight(state, author):
        return "author has no weight"
    credit = Claim(cheque.cumulative, cheque.count)
    return refuse_credit(books_of(state), state.epoch, author, (cheque.debtor, cheque.until), credit)


def _take_payment(step: Transition, posting: Posting, record: Record) -> None:
    payment = decode_payment(record.payload)
    refused = refuse_payment(step.network, step.state, record.author, payment)
    if refused is not None:
        step.state.count(f"payment: {refused}")
        return
    posting.pay(record.author, payment.debtor, payment.amount, record.id)
    step.state.count("payments")


def refuse_payment(network: Network, state: State, author: bytes, payment: Payment) -> str | None:
    """Why a payment does not count, or None."""
    most = owed(books_of(state), tariff_of(network), author, payment.debtor)
    return "more than is owed" if payment.amount > most else None


def _has_weight(state: State, peer: bytes) -> bool:
    member = state.members.get(peer)
    return member is not None and member.weight > 0 and member.active and not member.is_convicted


def tariff_of(network: Network) -> Tariff:
    """The tariff of a network that has one."""
    assert network.tariff is not None
    return network.tariff


def books_of(state: State) -> Books:
    """The books of a state of a network with a tariff."""
    assert state.books is not None
    return state.books
