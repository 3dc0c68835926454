"""Journals and transfers of money. `tests/judges` holds them against beancount and against the schema of ISO 20022."""

import re
from collections.abc import Iterator
from dataclasses import replace
from itertools import groupby
from xml.etree import ElementTree as ET

import pytest

from p2pverify.core.encoding import sign
from p2pverify.core.encoding.peerid import peer_id
from p2pverify.core.settle.books import MoveReason
from p2pverify.interop.beancount import commodity, write_beancount
from p2pverify.interop.foreign import ForeignError
from p2pverify.interop.pain001 import NAMESPACE, write_pain001
from tests.support.money import moved_books, transfers, with_tariff
from tests.support.networks import make_network, seeds

NETWORK = with_tariff(make_network(seeds(4, "money")), unit='"a\\b" credit')
BOOKS = moved_books()
MADE_S = 1_796_000_000
ALICE, BOB, CAROL = (peer_id(sign.public_key(bytes([number] * 32))) for number in range(3))
#: The order of elements in pain.001.001.09, of those that are written.
ORDER = {
    "CstmrCdtTrfInitn": ("GrpHdr", "PmtInf"),
    "GrpHdr": ("MsgId", "CreDtTm", "NbOfTxs", "CtrlSum", "InitgPty"),
    "PmtInf": (
        *("PmtInfId", "PmtMtd", "NbOfTxs", "CtrlSum", "ReqdExctnDt"),
        *("Dbtr", "DbtrAcct", "DbtrAgt", "CdtTrfTxInf"),
    ),
    "CdtTrfTxInf": ("PmtId", "Amt", "Cdtr", "CdtrAcct", "RmtInf"),
    "Othr": ("Id", "SchmeNm"),
}


def test_the_books_have_every_reason() -> None:
    assert {each.movement.reason for each in BOOKS.movements} == set(MoveReason)


# ---------------------------------------------------------------- beancount


def postings(journal: str) -> Iterator[tuple[str, list[tuple[str, int]]]]:
    """The first line of each transaction, with its accounts and amounts (millionths)."""
    for block in re.findall(r"^\S+ \* .*\n(?:  .*\n)+", journal, flags=re.MULTILINE):
        head, *lines = block.splitlines()
        found = [line.split() for line in lines]
        yield head, [(name, int(amount.replace(".", ""))) for name, amount, _ in found]


def test_every_transaction_of_a_journal_is_even_and_all_lead_to_the_balances() -> None:
    journal = write_beancount(NETWORK, BOOKS)
    assert journal == write_beancount(NETWORK, BOOKS)
    sums: dict[str, int] = {}
    for head, amounts in postings(journal):
        assert sum(amount for _, amount in amounts) == 0, head
        for name, amount in amounts:
            sums[name] = sums.get(name, 0) + amount
    balances = re.findall(r"balance (\S+)  (\S+) ~ 0 A-B-CREDIT", journal)
    assert {name: int(amount.replace(".", "")) for name, amount in balances} == sums
    assert sums["Equity:Pool"] == BOOKS.rows[0].vested
    reasons = {head.split('"')[1] for head, _ in postings(journal)}
    assert reasons == {"opening", *map(str, MoveReason)}


def test_a_journal_names_slots_records_and_cuts() -> None:
    journal = write_beancount(NETWORK, BOOKS)
    assert '  name: "\\"a\\\\b\\" credit"' in journal
    assert '"answer" "slot 0 of epoch 9 of 12D3KooW' in journal
    cheque = next(each for each in BOOKS.movements if each.movement.reason is MoveReason.CHEQUE)
    assert isinstance(cheque.movement.cause, bytes)
    record = cheque.movement.cause.hex()
    assert f'"cheque" "record {record}" ^{cheque.cut.hex()} ^{record}' in journal
    assert '"dues" "the cut of epoch 18"' in journal


@pytest.mark.parametrize(
    ("unit", "name"),
    [("EUR", "EUR"), ("credit", "CREDIT"), ("€", "UNIT"), ("4 c.", "UNIT-4-C"), ("true", "UNIT-TRUE"), ("-a-", "A")],
)
def test_a_unit_becomes_a_commodity(unit: str, name: str) -> None:
    assert commodity(unit) == name


def test_a_date_that_no_calendar_has_is_refused() -> None:
    with pytest.raises(ForeignError, match="after the year 9999"):
        write_beancount(NETWORK, replace(BOOKS, epoch=2**60))


# ---------------------------------------------------------------- pain.001


def elements(root: ET.Element, tag: str) -> list[ET.Element]:
    return list(root.iter(f"{{{NAMESPACE}}}{tag}"))


def texts(root: ET.Element, tag: str) -> list[str]:
    return [each.text or "" for each in elements(root, tag)]


def read(text: str) -> ET.Element:
    return ET.fromstring(text.encode())


def test_transfers_are_in_the_order_of_the_schema_with_sums_and_ids() -> None:
    rows = [(ALICE, BOB, 1_239_999), (CAROL, BOB, 10_000), (ALICE, CAROL, 2_000_000)]
    text = write_pain001(transfers(*rows), "net", MADE_S)
    assert text == write_pain001(transfers(*rows), "net", MADE_S)
    assert "NOT READY TO SEND" in text
    root = read(text)
    for tag, order in ORDER.items():
        for each in elements(root, tag):
            names = [name for name, _ in groupby(inner.tag.rpartition("}")[2] for inner in each)]
            assert names == (["Id"] if len(each) == 1 else list(order)), tag
    assert texts(root, "InstdAmt") == ["1.23", "2.00", "0.01"]
    assert {each.get("Ccy") for each in elements(root, "InstdAmt")} == {"EUR"}
    assert texts(root, "NbOfTxs") == ["3", "2", "1"]
    assert texts(root, "CtrlSum") == ["3.24", "3.23", "0.01"]
    assert texts(root, "CreDtTm") == ["2026-11-30T00:53:20Z"]
    ids = [*texts(root, "MsgId"), *texts(root, "EndToEndId")]
    assert len(set(ids)) == 4
    assert all(len(each) <= 35 for each in [*ids, *texts(root, "PmtInfId"), *texts(root, "Prtry")])
    accounts = [each.text for each in root.iterfind(".//{*}CdtrAcct/{*}Id/{*}Othr/{*}Id")]
    assert accounts == [BOB[-34:], CAROL[-34:], BOB[-34:]]
    assert texts(root, "Nm") == ["net", ALICE, BOB, CAROL, CAROL, BOB]


def test_what_banks_cannot_transfer_is_left_out_and_counted() -> None:
    rows = [(None, BOB, 5_000_000), (ALICE, None, 5_000_000), (ALICE, BOB, 9_999), (ALICE, BOB, 10_001)]
    text = write_pain001(transfers(*rows), "net", MADE_S)
    assert texts(read(text), "InstdAmt") == ["0.01"]
    assert "too small: 3." in text
    with pytest.raises(ForeignError, match="no peer owes another one"):
        write_pain001(transfers(*rows[:3]), "net", MADE_S)


@pytest.mark.parametrize(("unit", "amount"), [("JPY", "1234567"), ("KWD", "1234567.890"), ("CLF", "1234567.8901")])
def test_a_currency_has_its_digits(unit: str, amount: str) -> None:
    text = write_pain001(transfers((ALICE, BOB, 1_234_567_890_199), unit=unit), "net", MADE_S)
    assert texts(read(text), "InstdAmt") == [amount]


def test_a_unit_that_is_no_currency_is_refused() -> None:
    for unit in ("credit", "eur", "EUR\n"):
        with pytest.raises(ForeignError, match="no currency code"):
            write_pain001(transfers((ALICE, BOB, 10_000), unit=unit), "net", MADE_S)


def test_a_name_is_escaped() -> None:
    """XML has no escape for some characters, so they are replaced."""
    for name, shown in (("<a>&\"b' é", "<a>&\"b' é"), ("a\0b\ufffe", "a?b?"), ("", "p2pverify")):
        text = write_pain001(transfers((ALICE, BOB, 10_000)), name, MADE_S)
        assert texts(read(text), "Nm")[0] == shown
