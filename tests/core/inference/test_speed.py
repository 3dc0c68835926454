"""Hardware by latency: what a measured answer says, and which peers it distinguishes."""

from itertools import permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from p2pverify.core.errors import DecodeError
from p2pverify.core.inference.question import CONTEXT_TOKENS_MAX
from p2pverify.core.inference.speed import (
    CLAIM_CHARS_MAX,
    FASTEST_KEPT,
    TOKENS_MIN,
    WINDOW_EPOCHS,
    Claimant,
    Fit,
    Sample,
    Window,
    check_claim,
    fastest_of,
    judge,
    observe,
    sample,
    speeds,
)

LABEL = "xeon 8 cores"
numbers = st.integers(0, 2**32 - 1)


def measured(times_ms: list[int], *, tokens: int = 10, epoch: int = 0) -> tuple[Window, ...]:
    """A challenger's measurements after answers with these times."""
    windows: tuple[Window, ...] = ()
    for elapsed in times_ms:
        found = sample(elapsed, tokens, elapsed // 10, elapsed)
        assert found is not None
        windows = observe(windows, epoch, found)
    return windows


def samples(fastest: int) -> list[int]:
    """The times of five answers; most of them met other work."""
    return [fastest + 400, fastest, fastest + 20, fastest + 9000, fastest + 2000]


def peer(*by_challenger: list[int], claim: str = LABEL, class_index: int = 0, counts: bool = True) -> Claimant:
    return Claimant(class_index, claim, tuple(measured(times) for times in by_challenger), counts)


def honest(ms: int = 1000) -> Claimant:
    """Three challengers with five answers each; the fastest takes about `ms`."""
    return peer(samples(ms), samples(ms + 10), samples(ms + 3))


# ---------------------------------------------------------------- one answer


def test_an_answer_is_divided_as_its_receipt_says() -> None:
    assert sample(1000, 11, 200, 900) == Sample(token_us=90_909, first_ms=300, step_us=70_000)


def test_short_answers_and_unknown_times_tell_nothing() -> None:
    assert sample(1000, TOKENS_MIN - 1, 0, 0) is None
    assert sample(0, TOKENS_MIN, 0, 0) is None
    assert sample(1, TOKENS_MIN, 0, 0) is not None


@given(st.integers(1, 2**32 - 1), st.integers(TOKENS_MIN, CONTEXT_TOKENS_MAX), numbers, numbers)
def test_a_receipt_moves_time_and_takes_none_away(elapsed: int, tokens: int, first: int, total: int) -> None:
    found = sample(elapsed, tokens, first, total)
    unclaimed = sample(elapsed, tokens, 0, 0)
    assert found is not None
    assert unclaimed is not None
    assert found.token_us == unclaimed.token_us
    later_ms = elapsed - found.first_ms
    assert 0 <= later_ms <= elapsed
    assert found.step_us == 1000 * later_ms // (tokens - 1)


# ---------------------------------------------------------------- one challenger


@given(st.lists(st.tuples(st.integers(0, 4 * WINDOW_EPOCHS), st.integers(1, 10**6)), max_size=40), st.randoms())
def test_windows_do_not_depend_on_the_order(items: list[tuple[int, int]], shuffler: object) -> None:
    def windows(order: list[tuple[int, int]]) -> tuple[Window, ...]:
        found: tuple[Window, ...] = ()
        for epoch, elapsed in order:
            one = sample(elapsed, 16, elapsed // 3, elapsed)
            assert one is not None
            found = observe(found, epoch, one)
        return found

    other = list(items)
    shuffler.shuffle(other)  # type: ignore[attr-defined]
    assert windows(other) == windows(items)
    assert all(len(window.fastest) <= FASTEST_KEPT for window in windows(items))
    assert len(windows(items)) <= 2


def test_old_windows_make_room() -> None:
    old = measured([100, 100, 100])
    found = sample(900, 10, 0, 0)
    assert found is not None
    assert [window.number for window in observe(old, WINDOW_EPOCHS, found)] == [0, 1]
    assert [window.number for window in observe(old, 2 * WINDOW_EPOCHS, found)] == [2]
    newer = observe((), 2 * WINDOW_EPOCHS, found)
    assert observe(newer, 0, found) == newer


def test_one_of_the_fastest_counts_from_five_samples_on() -> None:
    assert fastest_of(measured([100, 200, 300, 400])) is None
    for order in permutations([300, 100, 200, 500, 400]):
        found = fastest_of(measured(list(order)))
        assert found is not None
        assert found.token_us == 10_000
    of_sixteen = fastest_of(measured([100 * at for at in range(16, 0, -1)]))
    assert of_sixteen is not None
    assert of_sixteen.token_us == 20_000


# ---------------------------------------------------------------- one peer among others


def test_a_slow_machine_is_told_apart_and_a_loaded_one_is_not() -> None:
    slow = peer(samples(3000), samples(3020), samples(3300))
    loaded = peer([4000, 3000, 5000, 6000, 1010], [6000, 3000, 1000, 4000, 7000], [4000, 1030, 9000, 8000, 8000])
    found = speeds({b"a": honest(), b"b": honest(1050), b"c": honest(980), b"s": slow, b"l": loaded})
    assert {key: speed.fit for key, speed in found.items()} == {
        b"a": Fit.CONSISTENT,
        b"b": Fit.CONSISTENT,
        b"c": Fit.CONSISTENT,
        b"l": Fit.CONSISTENT,
        b"s": Fit.INCONSISTENT,
    }
    assert found[b"s"].challengers == 3


def test_one_lying_challenger_of_three_decides_nothing() -> None:
    """It can neither make a slow friend look fast nor a fast peer look slow."""
    others = {b"a": honest(), b"b": honest(), b"c": honest()}
    helped = peer([1] * 5, [3000] * 5, [3100] * 5)
    slandered = peer([9000] * 5, [1000] * 5, [1010] * 5)
    found = speeds({**others, b"h": helped, b"s": slandered})
    assert found[b"h"].fit is Fit.INCONSISTENT
    assert found[b"s"].fit is Fit.CONSISTENT


def test_too_few_challengers_samples_or_others() -> None:
    three = {b"a": honest(), b"b": honest(), b"c": honest()}
    two_challengers = peer([3000] * 5, [3000] * 5)
    four_samples = peer([3000] * 5, [3000] * 5, [3000] * 4)
    unseen = peer()
    found = speeds({**three, b"x": two_challengers, b"y": four_samples, b"z": unseen})
    assert [found[key].fit for key in (b"x", b"y", b"z")] == [Fit.TOO_FEW] * 3
    assert found[b"y"].challengers == 2
    assert found[b"z"].typical is None
    assert {speed.fit for speed in speeds(three).values()} == {Fit.TOO_FEW}  # of three each has two others


def test_peers_are_held_against_their_own_claim_and_class() -> None:
    slow = [peer([3000] * 5, [3000] * 5, [3000] * 5, claim="raspberry pi") for _ in range(4)]
    elsewhere = [peer([9000] * 5, [9000] * 5, [9000] * 5, class_index=1) for _ in range(4)]
    claimants = {bytes([at]): one for at, one in enumerate([honest() for _ in range(4)] + slow + elsewhere)}
    assert {speed.fit for speed in speeds(claimants).values()} == {Fit.CONSISTENT}


def test_nobody_without_weight_sets_the_measure() -> None:
    """Slow Sybils together do not make a slow machine look usual."""
    slow = {bytes([at]): peer([3000] * 5, [3000] * 5, [3000] * 5, counts=False) for at in range(9)}
    found = speeds({**slow, b"a": honest(), b"b": honest(), b"c": honest(), b"d": honest()})
    assert {found[key].fit for key in slow} == {Fit.INCONSISTENT}
    assert found[b"a"].fit is Fit.CONSISTENT


@given(st.integers(0, 10**9), st.lists(st.integers(0, 10**9), min_size=3, max_size=9))
def test_faster_is_never_worse(own: int, others: list[int]) -> None:
    if judge(own, others) is Fit.CONSISTENT:
        assert judge(own // 2, others) is Fit.CONSISTENT
    assert judge(min(others), others) is Fit.CONSISTENT


# ---------------------------------------------------------------- claims


@pytest.mark.parametrize("claim", ["", "x", "rtx 4090", "2x epyc-7543/avx2", "a" * CLAIM_CHARS_MAX])
def test_claims(claim: str) -> None:
    assert check_claim(claim) == claim


@pytest.mark.parametrize("claim", [" x", "x ", "RTX", "ü", "x\n", "x\0y", "-", "a" * (CLAIM_CHARS_MAX + 1), "x\u0661"])
def test_claims_that_are_refused(claim: str) -> None:
    with pytest.raises(DecodeError, match="hardware"):
        check_claim(claim)
