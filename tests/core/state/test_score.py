"""Scores: known values, comparison with floats, and exact probabilities."""

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from p2pverify.core.contract.network import PARAM_BOUNDS
from p2pverify.core.contract.odds import TestSteps as Steps
from p2pverify.core.contract.odds import test_steps as steps_of
from p2pverify.core.state.score import Standing, availability_ppm, cusum, interval_ppm, standing
from p2pverify.core.state.state import Contact, Member

USUAL = Steps(2357, 98, 14148, 16277)
counts = st.integers(0, 10**6)
BOUNDS = {name: (low, high) for name, low, high in PARAM_BOUNDS}


def test_known_steps() -> None:
    """1 % honest against 10 % cheating gives +2357 and -98. The threshold for odds of a million is 14148."""
    assert steps_of(10_000, 100_000, 10**6) == USUAL


def test_bit_exact_class_convicts_at_the_fourth_dissent() -> None:
    """With an honest rate of 0.1 %, three consecutive dissents do not convict and four do."""
    steps = steps_of(1_000, 100_000, 10**6)
    assert 3 * steps.up < steps.threshold <= 4 * steps.up


@given(st.sets(st.integers(*BOUNDS["cheat_ppm"]), min_size=2, max_size=2), st.integers(*BOUNDS["conviction_odds"]))
@settings(deadline=None, max_examples=100)
def test_steps_favour_the_accused(rates: set[int], odds: int) -> None:
    """Steps are within one unit of the real logarithms. Up is rounded down, down and the threshold are rounded up."""
    honest, cheat = sorted(rates)
    steps = steps_of(honest, cheat, odds)
    assert -1e-6 < 1024 * math.log(cheat / honest) - steps.up < 1 + 1e-6
    assert -1e-6 < steps.down - 1024 * math.log((10**6 - honest) / (10**6 - cheat)) < 1 + 1e-6
    assert -1e-6 < steps.threshold - 1024 * math.log(odds) < 1 + 1e-6
    assert -1e-6 < steps.long_threshold - 1024 * math.log(8 * odds) < 1 + 1e-6


@pytest.mark.parametrize("honest", [1_000, 5_000, 10_000, 50_000])
def test_an_honest_peer_is_a_supermartingale(honest: int) -> None:
    """At the honest rate the expected likelihood ratio does not grow, so Ville's bound holds despite rounding."""
    steps = steps_of(honest, 100_000, 10**6)
    rate = honest / 10**6
    assert rate * math.exp(steps.up / 1024) + (1 - rate) * math.exp(-steps.down / 1024) <= 1


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 20)), max_size=30))
@settings(deadline=None, max_examples=100)
def test_cusum_never_goes_below_zero(cuts: list[tuple[int, int]]) -> None:
    """The value stays at or above zero, and one more dissent never lowers it."""
    value = 0
    for dissents, agreements in cuts:
        after = cusum(value, dissents, agreements, USUAL)
        assert 0 <= after <= value + dissents * USUAL.up
        assert cusum(value, dissents + 1, agreements, USUAL) >= after
        value = after


def _conviction(rate: float, audits: int, steps: Steps, vouched: float = 0.0) -> tuple[float, float]:
    """The probability of conviction within `audits` audits, and their mean number, by exact dynamic programming.

    After each audit a friend vouches for the peer with the probability `vouched`.
    """
    alive = np.zeros(steps.threshold)  # the probability of each value of the test
    alive[0] = 1.0
    convicted, weighted = 0.0, 0.0
    for number in range(1, audits + 1):
        found = rate * float(alive[-steps.up :].sum())
        convicted, weighted = convicted + found, weighted + found * number
        after = (1 - rate) * _agreed(alive, steps)
        after[steps.up :] += rate * alive[: -steps.up]
        alive = vouched * _agreed(after, steps) + (1 - vouched) * after
    return convicted, weighted / convicted


def _agreed(alive: np.ndarray, steps: Steps) -> np.ndarray:
    """The probabilities after one agreement."""
    assert [cusum(value, 0, 1, steps) for value in (0, steps.down, steps.down + 1)] == [0, 0, 1]
    after = np.zeros_like(alive)
    after[: -steps.down] = alive[steps.down :]
    after[0] += alive[: steps.down].sum()
    return after


@pytest.mark.parametrize(("rate", "mean"), [(1.0, 7.0), (0.5, 14.0), (0.2, 37.6)])
def test_mean_audits_until_conviction(rate: float, mean: float) -> None:
    """A cheater is convicted almost surely, and the mean number of audits equals the documents'."""
    chance, found = _conviction(rate, 800, USUAL)
    assert chance > 0.999
    assert abs(found - mean) < 0.1


@pytest.mark.parametrize(
    ("rate", "alone", "vouched", "chosen"), [(0.5, 8.0, 8.0, 8.0), (0.1, 41.5, 44.1, 47.6), (0.05, 101.8, 124.1, 154.9)]
)
def test_friends_that_vouch_delay_a_conviction(rate: float, alone: float, vouched: float, chosen: float) -> None:
    """Five of sixteen peers are friends and vouch for each other, and then choose the best of five draws as well.

    Each of them is drawn by eleven honest peers and by four friends, which gives 4 / 11 agreements of friends for each
    audit of an honest peer.
    """
    drawn = [math.comb(4, count) * (4 / 15) ** count * (11 / 15) ** (4 - count) for count in range(5)]
    best_of_five = sum(1 - sum(drawn[:count]) ** 5 for count in range(1, 5))
    gain = best_of_five / (4 * 4 / 15)
    assert 1.9 < gain < 2.0
    for share, mean in ((0.0, alone), (4 / 11, vouched), (gain * 4 / 11, chosen)):
        assert abs(_conviction(rate, 1500, steps_of(1_000, 100_000, 10**6), share)[1] - mean) < 0.1


def test_honest_peers_are_hardly_ever_convicted() -> None:
    """A true mismatch rate of 1 % convicts within 500 audits with a probability below two in a hundred thousand."""
    assert _conviction(0.01, 500, USUAL)[0] < 2e-5


@given(counts, counts)
@settings(deadline=None, max_examples=100)
def test_interval_against_floats(agreements: int, dissents: int) -> None:
    """The integer interval contains the real Wilson interval, and is wider by less than a few parts in 1,000 n."""
    n = agreements + dissents
    low, high = interval_ppm(agreements, dissents)
    assert 0 <= low <= high <= 10**6
    if n == 0:
        return
    z, p = 1.96, agreements / n
    spread = z * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    centre, scale = p + z * z / (2 * n), 1 + z * z / n
    slack = 2 + 10**6 / (10_000 * n)
    assert -1e-3 <= (centre - spread) / scale * 10**6 - low <= slack or low == 0
    assert -1e-3 <= high - (centre + spread) / scale * 10**6 <= slack or high == 10**6


@given(counts, st.integers(0, 1000))
@settings(deadline=None, max_examples=100)
def test_interval_moves_the_right_way(agreements: int, dissents: int) -> None:
    """One more agreement never lowers either end, and one more dissent never raises one."""
    low, high = interval_ppm(agreements, dissents)
    better, worse = interval_ppm(agreements + 1, dissents), interval_ppm(agreements, dissents + 1)
    if agreements + dissents:
        assert better[0] >= low
        assert better[1] >= high - 1
        assert worse[0] <= low + 1
        assert worse[1] <= high


def test_interval_is_symmetric() -> None:
    """Ten of ten give a score of 0.72. None of ten gives an upper end at this distance from 1."""
    assert interval_ppm(0, 0) == (0, 10**6)
    assert interval_ppm(10, 0) == (722_456, 10**6)
    assert interval_ppm(0, 10) == (0, 10**6 - 722_456)


def test_availability_is_a_median_of_weighted_challengers() -> None:
    """Challengers without weight do not count. A challenger that asked a thousand times counts once."""
    contacts = {
        b"a": Contact(10, 9),
        b"b": Contact(1000, 0),
        b"c": Contact(2, 2),
        b"stranger": Contact(5, 0),
    }
    member = Member(contacts=contacts)
    assert availability_ppm(member, frozenset({b"a", b"b", b"c"})) == 900_000
    assert availability_ppm(member, frozenset({b"b", b"c"})) == 0
    assert availability_ppm(member, frozenset({b"nobody"})) is None


@pytest.mark.parametrize(
    ("changes", "availability", "expected"),
    [
        ({}, None, Standing.NEWCOMER),
        ({"agreements": 9, "weight": 1}, None, Standing.PROBATION),
        ({"agreements": 10, "weight": 1}, None, Standing.TRUSTED),
        ({"agreements": 10}, 10**6, Standing.PROBATION),
        ({"agreements": 10, "weight": 1}, 899_999, Standing.PROBATION),
        ({"agreements": 10, "weight": 1, "cusum": 2357}, None, Standing.SUSPECT),
        ({"agreements": 10, "weight": 1, "cusum": 2356}, None, Standing.TRUSTED),
        ({"agreements": 10, "weight": 1, "fork_until": 7}, None, Standing.SUSPECT),
        ({"agreements": 10, "weight": 1, "fork_until": 6}, None, Standing.TRUSTED),
        ({"agreements": 10, "active": False}, None, Standing.GONE),
        ({"active": False, "joined_epoch": 0}, None, Standing.GONE),
        ({"active": False, "joined_index": 0}, None, Standing.NEWCOMER),
        ({"active": False, "convicted_epoch": 3}, None, Standing.CONVICTED),
    ],
)
def test_standings(changes: dict[str, int], availability: int | None, expected: Standing) -> None:
    """The first matching rule decides, from convicted down to probation."""
    member = replace(Member(active=True, joined_epoch=1, joined_index=1), **changes)  # type: ignore[arg-type]  # field names
    assert standing(member, USUAL.up, availability, 7) is expected


def test_silence_bars_trust_but_makes_nobody_suspect() -> None:
    """A peer that answers a quarter of its challengers is on probation, however many answers were right."""
    asked = {bytes([number]): Contact(4, 1) for number in range(3)}
    member = Member(active=True, weight=1, joined_epoch=1, joined_index=1, agreements=40, contacts=asked)
    assert standing(member, USUAL.up, 250_000, 7) is Standing.PROBATION
    assert standing(member, USUAL.up, 1_000_000, 7) is Standing.TRUSTED
