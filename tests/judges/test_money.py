"""Money: beancount checks journals of accounts to the millionth, and the schema of ISO 20022 judges transfers."""

import re
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest
import sepaxml
import xmlschema
from beancount import loader

from p2pverify.core.encoding import sign
from p2pverify.core.encoding.peerid import peer_id
from p2pverify.core.replica.explain import explain_books
from p2pverify.core.settle.books import MoveReason
from p2pverify.interop.beancount import write_beancount
from p2pverify.interop.pain001 import write_pain001
from tests.support.money import moved_books, transfers, with_tariff
from tests.support.networks import make_network, seeds
from tests.support.worlds import make_world

NETWORK = with_tariff(make_network(seeds(4, "money")), unit='"a\\b" credit')
MADE_S = 1_796_000_000
ALICE, BOB, CAROL = (peer_id(sign.public_key(bytes([number] * 32))) for number in range(3))


def faults(journal: str) -> list[str]:
    """What beancount says against a journal."""
    return [error.message for error in loader.load_string(journal)[1]]


@cache
def lying() -> str:
    """The journal of a network that convicts a liar."""
    kinds = {0: "always-wrong"}
    world = make_world(5, seed=3, kinds=kinds, onset_epoch=6, contract=with_tariff, slots_milli=2000)
    world.run_epochs(17)
    books = explain_books(world.network, world.peers[-1].machine.context.ledger.records())
    assert MoveReason.CONVICTION in {each.movement.reason for each in books.movements}
    return write_beancount(world.network, books)


@pytest.mark.parametrize("journal", [lambda: write_beancount(NETWORK, moved_books()), lying], ids=["all", "lying"])
def test_beancount_accepts_a_journal(journal: Callable[[], str]) -> None:
    assert faults(journal()) == []


def _more(found: re.Match[str]) -> str:
    """The amount with another last digit."""
    return f"{found[1]}{(int(found[2]) + 1) % 10}{found[3]}"


@pytest.mark.parametrize(
    ("place", "message"),
    [
        (r"(\n  Equity:Pool  -?\d+\.\d{5})(\d)( )", "Transaction does not balance"),
        (r"(\n  Assets:\w+:Escrow  -?\d+\.\d{5})(\d)( )", "Transaction does not balance"),
        (r"( balance Equity:Pool  -?\d+\.\d{5})(\d)( )", "Balance failed"),
        (r"( balance Assets:\w+:Vested  -?\d+\.\d{5})(\d)( )", "Balance failed"),
    ],
)
def test_beancount_finds_a_millionth(place: str, message: str) -> None:
    for journal in (write_beancount(NETWORK, moved_books()), lying()):
        changed = re.sub(place, _more, journal, count=1)
        assert changed != journal
        assert any(message in each for each in faults(changed))


def test_beancount_finds_a_missing_transaction() -> None:
    """Each transaction is even, so only the balances show it."""
    journal = lying()
    for head in re.findall(r'^\S+ \* "(?:answer|dues|conviction)".*\n(?:  .*\n)+', journal, flags=re.MULTILINE)[::20]:
        assert any("Balance failed" in each for each in faults(journal.replace(head, "")))


@cache
def schema() -> xmlschema.XMLSchema:
    return xmlschema.XMLSchema(Path(sepaxml.__file__).parent / "schemas" / "pain.001.001.09.xsd")


@pytest.mark.parametrize("unit", ["EUR", "JPY", "KWD"])
def test_the_schema_accepts_transfers(unit: str) -> None:
    rows = [(ALICE, BOB, 2**62), (CAROL, BOB, 1_000_000), (ALICE, CAROL, 2_345_678), (None, BOB, 10)]
    assert schema().is_valid(write_pain001(transfers(*rows, unit=unit), "<net> & \0", MADE_S))


@pytest.mark.parametrize(
    ("good", "bad"),
    [
        (ALICE[-34:], ALICE),
        ("<InstdAmt Ccy=", "<InstdAmt Cur="),
        (">1.00<", ">1.000001<"),
        ("PmtMtd>", "PmtMethod>"),
        ("<NbOfTxs>", "<NbOfTxs>x"),
    ],
)
def test_the_schema_refuses_a_changed_document(good: str, bad: str) -> None:
    """So it judges what we rely on."""
    text = write_pain001(transfers((ALICE, BOB, 1_000_000)), "net", MADE_S)
    assert schema().is_valid(text)
    assert good in text
    assert not schema().is_valid(text.replace(good, bad))
