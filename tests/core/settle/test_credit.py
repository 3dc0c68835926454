"""Tabs of clients and bills of creditors, as values: what is owed, refused, covered and forgotten."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from p2pverify.core.contract.tariff import AMOUNT_MAX
from p2pverify.core.encoding import sign
from p2pverify.core.encoding.canon import sha256
from p2pverify.core.errors import DecodeError
from p2pverify.core.settle.bills import Bill, decode_bill
from p2pverify.core.settle.cheques import ChequeStatement, SignedCheque, sign_cheque
from p2pverify.core.settle.credit import (
    CASH_EPOCHS,
    OWED_EPOCHS,
    SERIES_EPOCHS,
    TABS_KEPT,
    ChequeRefused,
    Credit,
    CreditLimits,
    Tab,
    decode_tab,
    series_end,
)

NETWORK = sha256(b"network")
CREDITOR, DEBTOR = (sign.public_key(sha256(name)) for name in (b"creditor", b"debtor"))
SEED = sha256(b"debtor")
PRICE = 10_000
SMALL = CreditLimits(limit=20, uncovered=5, strangers=12, cash=1)


def credit(*members: bytes, limits: CreditLimits = SMALL, settled: int = 0) -> Credit:
    return Credit(NETWORK, CREDITOR, PRICE, limits, is_member=lambda key: key in members, settled=lambda *_: settled)


def cheque(cumulative: int, count: int, *, until: int = series_end(0), **other: bytes) -> SignedCheque:
    keys = {"network": NETWORK, "debtor": DEBTOR, "creditor": CREDITOR, **other}
    said = ChequeStatement(until=until, cumulative=cumulative, count=count, **keys)
    return sign_cheque(said, SEED)


def client(number: int) -> bytes:
    return sha256(f"client {number}".encode())


def test_a_client_that_pays_nothing_gets_answers_up_to_the_limit() -> None:
    books = credit(DEBTOR)
    for _ in range(SMALL.uncovered):
        assert books.refusal(DEBTOR, 3) is None
        books.gave(DEBTOR, 3)
    assert books.refusal(DEBTOR, 3) == "answers without a cheque"
    books.take(DEBTOR, cheque(3 * PRICE, 1), 3)
    assert books.refusal(DEBTOR, 3) is None
    assert books.uncovered(DEBTOR, 3) == 2 * PRICE


def test_cheques_that_nobody_pays_run_up_to_the_limit() -> None:
    books = credit(DEBTOR)
    for number in range(1, SMALL.limit + 1):
        assert books.refusal(DEBTOR, 3) is None
        books.gave(DEBTOR, 3)
        books.take(DEBTOR, cheque(number * PRICE, number), 3)
    assert books.refusal(DEBTOR, 3) == "unpaid cheques"
    paid = credit(DEBTOR, settled=PRICE)
    paid.keep(DEBTOR, books.tabs[DEBTOR])
    assert paid.refusal(DEBTOR, 3) is None


def test_many_keys_of_strangers_share_one_limit() -> None:
    """Cheques of keys that cost nothing do not help, because nobody pays them."""
    books, asked = credit(), 0
    while books.refusal(client(asked), 3) is None:
        books.gave(client(asked), 3)
        asked += 1
    assert asked == SMALL.strangers
    assert books.refusal(client(asked), 3) == "strangers owe too much"
    members = credit(DEBTOR)
    for number in range(asked):
        members.keep(client(number), books.tabs[client(number)])
    assert members.refusal(DEBTOR, 3) is None  # a member has a limit of its own


def test_clients_are_bounded() -> None:
    books = credit(limits=CreditLimits(strangers=2 * TABS_KEPT))
    for number in range(TABS_KEPT):
        books.gave(client(number), 3)
    assert books.refusal(client(TABS_KEPT), 3) == "too many clients"
    books.changes()
    books.gave(DEBTOR, 3)  # a member's: the caller asked `refusal` before
    assert len(books.tabs) == TABS_KEPT
    gone = [key for key, tab in books.changes() if tab is None]
    assert len(gone) == 1


@pytest.mark.parametrize(
    ("sent", "reason"),
    [
        (cheque(PRICE, 1), "known"),  # replayed
        (cheque(3 * PRICE, 1), "known"),  # the number goes down
        (cheque(PRICE, 9), "known"),  # the amount goes down
        (cheque(2 * PRICE, 3), "known"),  # the amount stands
        (cheque(9 * PRICE, 9, network=sha256(b"another")), "signature"),
        (cheque(9 * PRICE, 9, creditor=sha256(b"another")), "signature"),
        (cheque(9 * PRICE, 9, debtor=sha256(b"another")), "signature"),
        (replace(cheque(9 * PRICE, 9), cumulative=10 * PRICE), "signature"),
        (cheque(9 * PRICE, 9, until=series_end(0) - 1), "series"),
        (cheque(9 * PRICE, 9, until=series_end(0) + 2 * SERIES_EPOCHS), "series"),
        (cheque(9 * PRICE, 9, until=CASH_EPOCHS - 1), "over"),
    ],
)
def test_cheques_that_are_not_taken_change_nothing(sent: SignedCheque, reason: str) -> None:
    books = credit(DEBTOR)
    books.gave(DEBTOR, 0)
    books.take(DEBTOR, cheque(2 * PRICE, 2), 0)
    before = books.tabs[DEBTOR]
    with pytest.raises(ChequeRefused, match=reason):
        books.take(DEBTOR, sent, 0)
    assert books.tabs[DEBTOR] == before


def test_the_newest_cheque_again_is_taken_and_changes_nothing() -> None:
    books = credit(DEBTOR)
    books.take(DEBTOR, cheque(2 * PRICE, 2), 0)
    books.changes()
    books.take(DEBTOR, cheque(2 * PRICE, 2), 0)
    assert books.changes() == []


def test_a_stranger_that_owes_nothing_takes_no_room() -> None:
    books = credit()
    with pytest.raises(ChequeRefused, match="nothing owed"):
        books.take(DEBTOR, cheque(PRICE, 1), 0)
    assert not books.tabs


def test_nobody_owes_itself() -> None:
    with pytest.raises(ChequeRefused, match="own"):
        credit(CREDITOR).take(CREDITOR, cheque(PRICE, 1), 0)


def test_an_audit_takes_one_owed_answer_off_once() -> None:
    books = credit(DEBTOR)
    for _ in range(3):
        books.gave(DEBTOR, 7)
    books.audited(DEBTOR, (7, 0), 8)
    books.audited(DEBTOR, (7, 0), 9)
    assert books.uncovered(DEBTOR, 9) == 2 * PRICE
    books.audited(DEBTOR, (7, 1), 7 + OWED_EPOCHS + 1)  # too late
    assert books.uncovered(DEBTOR, 9) == 2 * PRICE


def test_a_period_ends_with_nothing_uncovered_and_without_old_series() -> None:
    books = credit(DEBTOR)
    books.gave(DEBTOR, 5)
    books.take(DEBTOR, cheque(PRICE // 2, 1), 5)
    assert books.uncovered(DEBTOR, SERIES_EPOCHS) == 0
    books.forget(series_end(5))
    assert books.tabs  # the cheque can still be cashed
    books.forget(series_end(5) + 1)
    assert not books.tabs
    assert books.changes() == [(DEBTOR, None)]


amounts = st.lists(st.tuples(st.integers(0, 40), st.integers(1, 10**9)), max_size=30)


@given(amounts)
def test_a_bill_pays_what_was_owed_and_not_more(owed: list[tuple[int, int]]) -> None:
    """The sum of the cheques of all series and of what is due is what was owed, at each epoch."""
    bill, told, total, last = Bill(), 0, 0, None
    for epoch, amount in sorted(owed):
        bill = bill.owing(epoch, amount)
        total += amount
        if bill.payable(epoch - 2):
            said = ChequeStatement(NETWORK, DEBTOR, CREDITOR, bill.next_series(epoch), 0, 0)
            bill = bill.paying(said, SEED, epoch - 2)
            assert bill.cheque is not None
            if last is not None and last.until != bill.cheque.until:
                told += last.cumulative
            last = bill.cheque
            bill = bill.heard(last, epoch)
        assert decode_bill(bill.encode()) == bill
        assert told + (0 if last is None else last.cumulative) + bill.open == total


def test_a_series_never_says_more_than_the_largest_amount() -> None:
    bill = Bill().owing(0, AMOUNT_MAX - 1).owing(0, 5)
    said = ChequeStatement(NETWORK, DEBTOR, CREDITOR, series_end(2), 0, 0)
    bill = bill.paying(said, SEED, 0)
    assert bill.cheque is not None
    assert (bill.cheque.cumulative, bill.open) == (AMOUNT_MAX, 4)
    later = replace(said, until=bill.heard(bill.cheque, 3).next_series(SERIES_EPOCHS))
    again = bill.heard(bill.cheque, 3).paying(later, SEED, 0)
    assert again.cheque is not None
    assert (again.cheque.cumulative, again.cheque.count, again.open) == (4, 1, 0)


def test_an_old_series_goes_on_until_its_newest_cheque_arrived() -> None:
    """Else an amount that was signed and never arrived would be lost with its series."""
    said = ChequeStatement(NETWORK, DEBTOR, CREDITOR, series_end(0), 0, 0)
    bill = Bill().owing(0, PRICE).paying(said, SEED, 0)
    assert bill.cheque is not None
    assert bill.next_series(SERIES_EPOCHS) == series_end(0)
    assert bill.next_series(series_end(0) - CASH_EPOCHS + 1) > series_end(0)
    assert bill.heard(bill.cheque, 1).next_series(SERIES_EPOCHS) == series_end(SERIES_EPOCHS)


def test_a_debtor_with_an_older_disk_learns_its_newest_cheque() -> None:
    said = ChequeStatement(NETWORK, DEBTOR, CREDITOR, series_end(0), 0, 0)
    old = Bill().owing(0, PRICE).paying(said, SEED, 0)
    assert old.cheque is not None
    old = old.heard(old.cheque, 1)
    newest = old.owing(1, 5 * PRICE).paying(said, SEED, 1).cheque
    assert newest is not None
    bill = old.owing(4, PRICE).paying(said, SEED, 4).heard(newest, 6)
    assert bill.is_told
    assert bill.cheque == newest
    assert bill.due == ((6, PRICE),)  # what the refused cheque was to cover


def test_stored_tabs_are_read_back() -> None:
    books = credit(DEBTOR)
    books.gave(DEBTOR, 3)
    books.audited(DEBTOR, (3, 1), 3)
    books.audited(DEBTOR, (3, 0), 3)
    books.take(DEBTOR, cheque(7 * PRICE, 2), 3)
    tab = books.tabs[DEBTOR]
    assert tab.uncovered < 0
    assert decode_tab(tab.encode()) == tab
    for damaged in (b"", tab.encode()[:-1], tab.encode() + b"\x00", Bill().encode()):
        with pytest.raises(DecodeError):
            decode_tab(damaged)
    with pytest.raises(DecodeError):
        decode_bill(Tab().encode())
