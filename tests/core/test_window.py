"""Windows: one check in each, at a secret place, so that the cost is the one that the plan says."""

import hashlib
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from p2pverify.core.plan import CheckPlan
from p2pverify.core.window import CheckWindow, place_of


def secret(number: int) -> bytes:
    return hashlib.sha256(b"%d" % number).digest()


def checks(requests: int, every: int, first: int = 0) -> list[bool]:
    """Which of so many requests are full checks, in windows with different secrets."""
    found: list[bool] = []
    window = CheckWindow(every, secret(first))
    for _ in range(requests):
        if window.is_over:
            first += 1
            window = CheckWindow(every, secret(first))
        found.append(window.take())
    return found


@given(st.integers(1, 40), st.integers(0, 12), st.integers(1, 31), st.integers(0, 10**6))
def test_whole_windows_cost_what_the_plan_says(every: int, windows: int, panel: int, first: int) -> None:
    """C = f ((n - 1) floor(N / z) + N) for N a multiple of z. Each window has one check, never two and never none."""
    found = checks(every * windows, every, first)
    assert all(sum(found[at : at + every]) == 1 for at in range(0, len(found), every))
    if windows and panel > 1:
        answers = sum(panel if is_check else 1 for is_check in found)
        assert answers == CheckPlan(every * windows, 1, panel, every).cost


@given(st.integers(1, 30), st.integers(0, 200), st.integers(0, 10**6))
def test_an_unfinished_window_has_at_most_one_check_more(every: int, requests: int, first: int) -> None:
    """Its check has come already, or comes in the rest of the window."""
    assert sum(checks(requests, every, first)) - requests // every in (0, 1)


@pytest.mark.parametrize("every", [2, 3, 7, 10])
def test_every_place_is_equally_likely(every: int) -> None:
    """Over many secrets: chi-squared below the 99.99 % point of its distribution, for up to 9 degrees of freedom."""
    count = 5000
    places = Counter(place_of(secret(number), every) for number in range(count))
    assert set(places) == set(range(every))
    expected = count / every
    assert sum((places[place] - expected) ** 2 / expected for place in range(every)) < 33.72


def test_the_place_is_the_one_of_the_secret() -> None:
    """The next check cannot be told from the checks before, because each window has a secret of its own."""
    for number in range(50):
        window = CheckWindow(10, secret(number))
        assert [window.take() for _ in range(10)].index(True) == place_of(secret(number), 10)
        assert window.is_over
