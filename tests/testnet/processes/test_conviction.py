"""The chain of the sequential test, compared with its table and with plays of the test, and its edge cases."""

import numpy as np
import pytest

from p2pverify.core.contract.odds import test_steps as steps_of
from p2pverify.testnet.processes.conviction import (
    Chances,
    audits_for,
    drifts_up,
    lies_at,
    mean_audits,
    over_long_answers,
    survival,
)

EXACT = steps_of(1_000, 100_000, 1_000_000)
ACROSS = steps_of(10_000, 100_000, 1_000_000)
ALWAYS, NEVER = Chances(1, 0), Chances(0, 1)


@pytest.mark.parametrize(
    ("steps", "table"),
    [
        (EXACT, {1: 4, 0.5: 8.0, 0.2: 20.0, 0.1: 41.5, 0.05: 101.8}),
        (ACROSS, {1: 7, 0.5: 14.0, 0.2: 37.6, 0.1: 95.4, 0.05: 414.4}),
    ],
)
def test_expected_audits_are_those_of_the_design(steps, table):
    """In a class where equal inputs give equal bits, and across classes, if no honest answer is ever wrong."""
    for rate, audits in table.items():
        assert mean_audits(steps, lies_at(rate, ALWAYS, NEVER)) == pytest.approx(audits, abs=0.05)


def test_honest_mismatches_bring_conviction_nearer():
    """With the honest rate that the test allows, conviction comes earlier. An honest peer is hardly ever convicted."""
    honest = Chances(0.01, 0.99)
    assert mean_audits(ACROSS, lies_at(0.1, ALWAYS, honest)) == pytest.approx(83.7, abs=0.1)
    assert convicted_within(ACROSS, honest, 4_000) == pytest.approx(1.2e-4, rel=0.1)
    assert not drifts_up(ACROSS, honest)
    assert mean_audits(ACROSS, honest) is None


def _mean(chances: Chances) -> float:
    """The expected number of audits across classes, where there is one."""
    found = mean_audits(ACROSS, chances)
    assert found is not None
    return found


def test_audits_that_count_for_nothing_only_delay():
    """If half of the audits are inconclusive, twice as many are needed."""
    clear, unclear = Chances(0.2, 0.8), Chances(0.1, 0.4)
    assert mean_audits(ACROSS, unclear) == pytest.approx(2 * _mean(clear), rel=1e-4)


@pytest.mark.parametrize(("steps", "long"), [(EXACT, {1: 400, 0.5: 800, 0.2: 2036}), (ACROSS, {1: 700, 0.5: 1570})])
def test_lies_in_long_answers_take_as_many_long_audits_as_the_test_needs(steps, long):
    """One audit in a hundred is long, as with the usual rules. Only these count in the test over long answers."""
    for rate, audits in long.items():
        test = over_long_answers(steps, lies_at(rate, ALWAYS, NEVER), 0.01)
        assert mean_audits(*test) == pytest.approx(audits, rel=0.002), rate
    tenth = over_long_answers(steps, lies_at(0.5, ALWAYS, NEVER), 0.1)
    hundredth = over_long_answers(steps, lies_at(0.5, ALWAYS, NEVER), 0.01)
    assert 10 * _mean_of(tenth) == pytest.approx(_mean_of(hundredth), rel=1e-3)


def _mean_of(test) -> float:
    found = mean_audits(*test)
    assert found is not None
    return found


def convicted_within(steps, chances, audits):
    """The chance of a conviction within some audits."""
    alive = survival(steps, chances, audits)
    return 1 - float(alive[min(audits, len(alive) - 1)])


def test_certainty_takes_longer_than_the_mean():
    """The number of audits for a probability of conviction is the place where the chain reaches it."""
    chances = Chances(0.2, 0.8)
    for certainty in (0.5, 0.999):
        audits = audits_for(ACROSS, chances, certainty)
        assert audits is not None
        assert convicted_within(ACROSS, chances, audits) >= certainty > convicted_within(ACROSS, chances, audits - 1)
    assert audits_for(ACROSS, NEVER, 0.5) is None


def test_the_chain_is_what_plays_of_the_test_give():
    """The mean of many independent plays is within four standard errors of the chain's mean."""
    random = np.random.default_rng(5)
    audits = []
    for _ in range(2_000):
        total = count = 0
        while total < ACROSS.threshold:
            draw = random.random()
            total = max(0, total + ACROSS.up if draw < 0.3 else total - ACROSS.down if draw < 0.9 else total)
            count += 1
        audits.append(count)
    error = np.std(audits) / np.sqrt(len(audits))
    assert abs(np.mean(audits) - _mean(Chances(0.3, 0.6))) < 4 * error


@pytest.mark.parametrize("chances", [(-0.1, 0.5), (0.6, 0.5)])
def test_impossible_chances_are_refused(chances):
    """Probabilities are between 0 and 1, and their sum is at most 1."""
    with pytest.raises(ValueError, match="chances"):
        Chances(*chances)
