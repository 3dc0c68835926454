"""Own audits beside the network's: the exact test, the sequential test, and how often honest clients are flagged."""

import random
from fractions import Fraction
from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from p2pverify.core.contract.odds import TestSteps as Steps
from p2pverify.core.contract.odds import test_steps as make_steps
from p2pverify.core.inference.treatment import Rescored, Treatment, chance_of_worse, together, treatment
from p2pverify.testnet.processes.conviction import Chances, lies_at, mean_audits, survival

STEPS = make_steps(1_000, 100_000, 1_000_000)  # a class with equal bits
COUNTS = st.integers(0, 4)


@given(COUNTS, COUNTS, COUNTS, COUNTS)
def test_fishers_test_counts_all_ways_to_spread_the_wrong_answers(own_wrong, own_right, their_wrong, their_right):
    """Against the definition: each choice of the wrong answers among all audits is equally likely."""
    own, all_ = own_wrong + own_right, own_wrong + own_right + their_wrong + their_right
    choices = [sum(each < own for each in chosen) for chosen in combinations(range(all_), own_wrong + their_wrong)]
    expected = Fraction(sum(count >= own_wrong for count in choices), len(choices))
    assert chance_of_worse(own_wrong, own, their_wrong, their_wrong + their_right) == expected


def test_known_figures():
    """Fisher's tea: all four cups right. And with many audits it stays exact and quick."""
    assert chance_of_worse(3, 4, 1, 4) == Fraction(17, 70)
    assert chance_of_worse(0, 214, 3, 900) == 1
    assert chance_of_worse(5_000, 10_000, 5_000, 100_000) < Fraction(1, 10**1000)
    assert chance_of_worse(0, 0, 0, 0) == 1


def test_the_bound_of_the_example():
    """0 wrong of 214: at most 1.4 %."""
    found = treatment([(Rescored.AGREES, STEPS)] * 214)
    assert (found.audits, found.wrong, found.value, found.is_accused) == (214, 0, 0, False)
    assert 13_900 <= found.at_most_ppm < 13_910
    assert treatment([]).at_most_ppm == 1_000_000


def test_the_test_is_that_of_the_network():
    """Four wrong answers accuse in a class with equal bits, and no later right answer takes that back."""
    wrong = [(Rescored.DIFFERS, STEPS)]
    assert not treatment(wrong * 3).is_accused
    found = treatment([*wrong * 4, *[(Rescored.AGREES, STEPS)] * 1000])
    assert (found.accused_after, found.is_accused, found.value) == (4, True, 0)
    nothing = [(Rescored.INCONCLUSIVE, STEPS), (Rescored.NOT_COMPARED, STEPS)]
    assert treatment([*nothing, *wrong, *nothing]) == Treatment(0, 1, 4, STEPS.up)
    unclear = treatment([*nothing, *wrong, (Rescored.AGREES, STEPS), *nothing, *wrong * 3])
    assert unclear.accused_after == 5


def test_peers_together():
    """Counts are added, but nobody is accused by the sum of several peers."""
    found = together([Treatment(5, 1, 1, 700), Treatment(2, 3, 0, 900)])
    assert found == Treatment(7, 4, 1, 900)
    assert together([Treatment(accused_after=9), Treatment(), Treatment(accused_after=5)]).accused_after == 5
    assert together([]) == Treatment()


def _play(rate: float, audits: int, dice: random.Random) -> Treatment:
    return treatment((Rescored.DIFFERS if dice.random() < rate else Rescored.AGREES, STEPS) for _ in range(audits))


def test_of_a_thousand_honest_clients_less_than_one_is_accused():
    """Their peers are as bad as a class allows: one wrong answer in 1,000. Each client makes 400 audits."""
    honest = Chances(0.001, 0.999)
    assert 1000 * (1 - survival(STEPS, honest, 400)[400]) < 1
    dice = random.Random(12)
    assert not any(_play(0.001, 400, dice).is_accused for _ in range(1000))


@pytest.mark.parametrize(("rate", "mean"), [(1.0, 4), (0.5, 8), (0.2, 20), (0.1, 42)])
def test_who_lies_to_clients_is_accused_as_the_exact_chain_predicts(rate, mean):
    """The mean of 300 plays is within a tenth of the chain's."""
    predicted = mean_audits(STEPS, lies_at(rate, Chances(1, 0), Chances(0, 1)))
    assert predicted == pytest.approx(mean, abs=0.6)
    dice, total = random.Random(7), 0
    for _ in range(300):
        audits: list[tuple[Rescored, Steps]] = []
        value = 0
        while value < STEPS.threshold:
            is_wrong = dice.random() < rate
            audits.append((Rescored.DIFFERS if is_wrong else Rescored.AGREES, STEPS))
            value = value + STEPS.up if is_wrong else max(0, value - STEPS.down)
        assert treatment(audits).accused_after == len(audits)
        assert not treatment(audits[:-1]).is_accused
        total += len(audits)
    assert total / 300 == pytest.approx(predicted, rel=0.1)
