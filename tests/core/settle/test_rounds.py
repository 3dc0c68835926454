"""The pay of training rounds: for rows, merit and timeliness, from the pledges of sponsors."""

from dataclasses import replace

import pytest

from p2pverify.core.encoding.canon import sha256
from p2pverify.core.settle.books import Account, Books, Pledge
from p2pverify.core.settle.posting import ESCROW_MAX, Posting, vest_epoch
from p2pverify.core.settle.rounds import Contribution, DecidedRound, pay_round, pot
from tests.support.money import TARIFF

SPONSOR, OTHER, *PEERS = sorted(sha256(b"%d" % number) for number in range(6))
A, B, C, D = PEERS
#: Merit, quantity and lateness differ; the last one did harm.
ROWS = (
    Contribution(A, 5_000, 90, 0),
    Contribution(B, 9_000, 60, 0),
    Contribution(C, 4_000, 200, 3),
    Contribution(D, -8_000, 90, 0),
)
ROUND = DecidedRound(0, 4, 12_000, 100, 20_000, ROWS)
BOUNTY = 1_000_000


def books(**pledges: tuple[int, int, int]) -> Books:
    keys = {"sponsor": SPONSOR, "other": OTHER}
    return Books(pledges={(0, keys[name]): Pledge(*numbers) for name, numbers in pledges.items()})


def total(found: Books) -> int:
    return found.pool + sum(each.vested + sum(each.escrow.values()) for each in found.accounts.values())


def test_a_sponsor_pays_exactly_what_contributors_get() -> None:
    """The figures follow from the page by hand: a base of 180,000 and 420,000 for merit."""
    found = books(sponsor=(BOUNTY, 4, 4))
    paid = pay_round(Posting(found, TARIFF), ROUND, 10)
    assert pot(BOUNTY, ROUND) == 600_000
    assert sum(paid.values()) == 600_000
    base = {A: 937 * 1000, B: 750 * 1000, C: 1000 * 625}
    merit = {A: 5_000 * 1000, B: 9_000 * 1000, C: 4_000 * 625}
    for peer in (A, B, C):
        exact = 180_000 * base[peer] / sum(base.values()) + 420_000 * merit[peer] / sum(merit.values())
        assert abs(paid[peer] - exact) < 2
        assert found.accounts[peer] == Account(0, {(vest_epoch(TARIFF, 10), SPONSOR): paid[peer]}, training=paid[peer])
    assert D not in found.accounts
    assert found.accounts[SPONSOR].vested == -600_000
    assert total(found) == 0
    assert not found.pledges


@pytest.mark.parametrize(
    ("gain", "worth"), [(-5, 0), (0, 0), (99, 0), (100, 5_000), (20_000, BOUNTY), (90_000, BOUNTY)]
)
def test_the_pot_follows_the_gain(gain: int, worth: int) -> None:
    assert pot(BOUNTY, replace(ROUND, gain=gain)) == worth


def test_a_round_is_paid_once_and_by_every_sponsor() -> None:
    found = books(sponsor=(BOUNTY, 3, 5), other=(1_000, 4, 9))
    posting = Posting(found, TARIFF)
    first = pay_round(posting, ROUND, 10)
    assert sum(first.values()) == 600_600
    assert pay_round(posting, ROUND, 11) == {}
    assert pay_round(posting, replace(ROUND, line=1, number=5), 11) == {}
    assert pay_round(posting, replace(ROUND, number=6), 11).keys() == {A, B, C}  # the first pledge is over
    assert found.accounts[SPONSOR].vested == -600_000
    assert set(found.pledges) == {(0, OTHER)}
    assert total(found) == 0


def test_nobody_is_paid_for_harm_or_when_too_late() -> None:
    """What nobody earned stays with the sponsor."""
    late = replace(TARIFF, late_curve=((0, 1000), (2, 0)))
    found = books(sponsor=(BOUNTY, 4, 4))
    harm = replace(ROUND, contributions=ROWS[3:])
    assert pay_round(Posting(found, TARIFF), harm, 10) == {}
    found = books(sponsor=(BOUNTY, 4, 4))
    assert pay_round(Posting(found, late), replace(ROUND, contributions=ROWS[2:]), 10) == {}
    assert not found.accounts
    found = books(sponsor=(BOUNTY, 4, 4))
    few = replace(TARIFF, rows_curve=((0, 0),))  # rows are worth nothing, so the base is not paid
    assert sum(pay_round(Posting(found, few), ROUND, 10).values()) == 420_000


def test_an_account_with_many_sponsors_stays_small() -> None:
    """Pay for which escrow has no room vests at once."""
    found = books(sponsor=(BOUNTY, 4, 4))
    full = {(99, sha256(b"sponsor %d" % number)): 1 for number in range(ESCROW_MAX)}
    found.accounts[A] = Account(0, full)
    found.pool = -ESCROW_MAX
    paid = pay_round(Posting(found, TARIFF), ROUND, 10)
    assert found.accounts[A] == Account(paid[A], full, training=paid[A])
    assert total(found) == 0
