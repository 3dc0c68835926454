"""Cheats for pay in the book: each is played with real training and real money, and gains nothing by it."""

from dataclasses import replace

import pytest

from p2pverify.core.settle.books import Account, Books
from p2pverify.core.state.state import genesis
from p2pverify.testnet.casebook.entries import SIMULATED, Simulated
from p2pverify.testnet.casebook.gains import Gains, has_gain_of_its_fate, mean_gains, money_faults
from p2pverify.testnet.casebook.worlds import Played, play_world
from p2pverify.testnet.world.economy.plan import BOUNTY
from tests.support.networks import make_network, seeds

PAID = {entry.kind: entry for entry in SIMULATED if entry.pay is not None}
#: What each saves of an honest peer's work.
SAVED = {
    "poison-labels": 0.0,
    "poison-sign": 0.0,
    "boost": 0.0,
    "free-rider": 1.0,
    "copy-update": 1.0,
    "overspend": 0.0,
    "short-training": 1 / 3,
    "lazy-evaluator": 1.0,
}


def played(kind: str, seed: int = 2) -> Played:
    found = play_world(PAID[kind], seed)
    assert (found.broken, found.honest_convicted, found.missed) == ((), 0, 0)
    assert found.shown == found.hostile
    return found


@pytest.mark.parametrize("kind", [kind for kind, entry in PAID.items() if entry.pay == "training"])
def test_false_contributors_are_not_paid(kind: str) -> None:
    """Honest ones share the bounty of six rounds. What a cheat saves is counted, not claimed."""
    found = played(kind)
    gains = found.gains
    assert gains is not None
    assert gains.saved == pytest.approx(SAVED[kind])
    assert 0.9 * BOUNTY < gains.usual <= 6 * BOUNTY / 5
    if kind == "overspend":
        assert gains.paid == pytest.approx(gains.usual / 3, rel=0.5)  # for two of six rounds, which it could afford
    else:
        assert gains.paid == 0
    assert found.convicted == (kind == "short-training")


def test_a_lazy_evaluator_is_not_paid_for_its_votes() -> None:
    found = played("lazy-evaluator")
    assert found.gains is not None
    assert (found.gains.saved, found.convicted) == (1.0, 0)
    assert found.gains.paid < 0.9 * found.gains.usual


def test_trade_with_oneself_moves_nothing() -> None:
    """The gang has to the millionth what it has without its cheques."""
    gains = played("wash-trader").gains
    assert gains is not None
    assert gains.paid == gains.usual


def test_slander_takes_nothing_from_others_to_the_slanderer() -> None:
    found = played("escrow-slanderer")
    assert found.convicted == 1
    assert found.gains is not None
    assert found.gains.paid < 0 < found.gains.usual


def test_gains_that_are_not_those_of_a_fate_are_told_apart() -> None:
    """A cheat that is paid, or that has more than without it, is missed."""
    state = genesis(make_network(seeds(4)))
    cheat, other = sorted(state.members)[:2]
    state.books = Books({cheat: Account(training=5), other: Account(training=95)})
    unpaid = PAID["poison-labels"]
    assert has_gain_of_its_fate(unpaid, state, [cheat], Gains(0.0, 5, 95))
    assert not has_gain_of_its_fate(unpaid, state, [cheat], Gains(0.0, 11, 95))
    assert not has_gain_of_its_fate(PAID["wash-trader"], state, [cheat], Gains(None, 2, 1))
    assert not has_gain_of_its_fate(PAID["copy-update"], state, [cheat], Gains(1.0, 0, 1))  # no round was decided


def test_books_that_do_not_add_up_are_a_fault() -> None:
    state = genesis(make_network(seeds(4)))
    assert money_faults(state) == []
    state.books = Books({bytes(32): Account(vested=7, escrow={(1, b""): 3})}, pool=-10)
    assert money_faults(state) == []
    state.books.pool = -9
    assert money_faults(state) == ["the sum of all accounts is 1"]


def test_means_over_worlds() -> None:
    assert mean_gains([]) is None
    assert mean_gains([Gains(None, 1, 2), Gains(None, 3, 4)]) == Gains(None, 2, 3)
    assert mean_gains([Gains(0.5, 1, 2), Gains(1.0, 3, 4)]) == Gains(0.75, 2, 3)


def test_equal_plans_give_equal_worlds() -> None:
    entry: Simulated = replace(PAID["free-rider"], epochs=12)
    assert play_world(entry, 5) == play_world(entry, 5)
