"""Committees: the drawn members, the seats, the decision, and the probabilities of a wrong decision or none.

The probabilities are exact and are in `protocol/vote-commit.md`.
"""

import re
from fractions import Fraction
from math import comb
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from p2pverify.core.blind import committees
from p2pverify.core.blind.committees import COMMITTEES, EVERYONE, EVERYONE_MAX, LOTS_PER_SEAT, STAGE_MAX
from p2pverify.core.encoding.canon import sha256
from p2pverify.core.records.payloads import lots
from p2pverify.core.records.payloads.lots import DisputeKey

PAGE = (Path(__file__).parents[3] / "protocol" / "vote-commit.md").read_text(encoding="utf-8")
KEY = DisputeKey(bytes(32), 5, 0)


def lot(number: int) -> bytes:
    return sha256(b"%d" % number) * 2


# ---------------------------------------------------------------- draws and seats


def test_small_electorates_vote_at_once() -> None:
    """Up to 31 voters all vote. Above that, a committee votes, unless most of the voters would volunteer for it."""
    assert [committees.first_stage(n, n - 3) for n in (1, 4, EVERYONE_MAX)] == [EVERYONE] * 3
    assert committees.first_stage(EVERYONE_MAX + 1, EVERYONE_MAX - 2) == 1
    assert committees.first_stage(EVERYONE_MAX + 1, 18) == EVERYONE
    assert sorted(COMMITTEES) == list(range(1, STAGE_MAX + 1)) == list(range(1, EVERYONE))


def test_a_stage_for_which_all_would_volunteer_is_left_out() -> None:
    """After the nine come the thirty-one if more than twice as many voters are left. After them, all vote."""
    assert [committees.next_stage(1, left) for left in (0, 20, 62, 63, 500)] == [EVERYONE] * 3 + [2, 2]
    assert [committees.next_stage(2, left) for left in (0, 500)] == [EVERYONE] * 2


@given(stage=st.sampled_from(sorted(COMMITTEES)), voters=st.integers(32, 1000), number=st.integers(0, 10**6))
def test_the_bar_is_a_share_of_the_voters(stage: int, voters: int, number: int) -> None:
    """A lot below the bar of two seats per number of voters is drawn, and no lot above it."""
    share = Fraction(int.from_bytes(lot(number)[:8], "big"), 2**64)
    assert committees.is_drawn(lot(number), stage, voters) == (share * voters < LOTS_PER_SEAT * COMMITTEES[stage].seats)


def test_how_many_are_drawn() -> None:
    """Of a hundred voters, about eighteen and about sixty-two are drawn. With fewer voters, all are drawn."""
    drawn = [sum(committees.is_drawn(lot(n), stage, 100) for n in range(10_000)) / 100 for stage in (1, 2)]
    assert 17 < drawn[0] < 19
    assert 60 < drawn[1] < 64
    assert all(committees.is_drawn(b"\xff" * 64, 2, voters) for voters in (1, 61))


def test_lots_depend_on_everything() -> None:
    """Another network, dispute, stage or beacon gives another draw."""
    inputs = {
        lots.lot_alpha(bytes(32), KEY, 1, b"a" * 32),
        lots.lot_alpha(bytes(31) + b"\1", KEY, 1, b"a" * 32),
        lots.lot_alpha(bytes(32), DisputeKey(bytes(32), 5, 1), 1, b"a" * 32),
        lots.lot_alpha(bytes(32), KEY, 2, b"a" * 32),
        lots.lot_alpha(bytes(32), KEY, 1, b"b" * 32),
    }
    assert len(inputs) == 5


@given(st.sets(st.integers(0, 10**6), max_size=60), st.sampled_from(sorted(COMMITTEES)))
def test_the_lowest_lots_take_the_seats(numbers: set[int], stage: int) -> None:
    """All seats are filled, or none, for any order of arrival."""
    outputs = {b"%d" % number: lot(number) for number in numbers}
    seats = COMMITTEES[stage].seats
    taken = committees.take_seats(outputs, stage)
    assert taken == committees.take_seats(dict(reversed(outputs.items())), stage)
    assert len(taken) == (seats if len(outputs) >= seats else 0)
    if taken:
        assert max(outputs[voter] for voter in taken) <= min(
            (outputs[v] for v in outputs.keys() - taken), default=b"\xff" * 64
        )


@pytest.mark.parametrize(
    ("stage", "counts", "decides", "may_still"),
    [
        (1, [], False, True),
        (1, [8], False, True),
        (1, [9], True, True),
        (1, [8, 1], False, False),
        (1, [1, 1], False, False),
        (2, [25], False, True),
        (2, [26], True, True),
        (2, [26, 5], True, True),
        (2, [25, 5], False, True),
        (2, [25, 6], False, False),
        (2, [5, 5], False, True),
        (2, [3, 3, 3], False, False),
    ],
)
def test_what_decides(stage: int, counts: list[int], *, decides: bool, may_still: bool) -> None:
    """Nine of nine decide, and twenty-six of thirty-one. A decision can also become impossible."""
    assert any(committees.decides(stage, count) for count in counts) == decides
    assert committees.may_still_decide(stage, counts) == may_still


# ---------------------------------------------------------------- probabilities


def at_least(total: int, marked: int, drawn: int, least: int) -> Fraction:
    """The probability that at least `least` of `drawn` from `total` are among the `marked` (hypergeometric
    distribution)."""
    ways = sum(comb(marked, hit) * comb(total - marked, drawn - hit) for hit in range(least, drawn + 1))
    return Fraction(ways, comb(total, drawn))


def wrong(total: int, hostile: int, stage: int) -> Fraction:
    """The probability that a committee decides for the hostile answer, if all hostile members give the same answer."""
    if stage == EVERYONE:
        return Fraction(2 * hostile > total)
    return at_least(total, hostile, COMMITTEES[stage].seats, COMMITTEES[stage].equal)


def stalls(total: int, hostile: int, stage: int) -> Fraction:
    """The probability that a committee decides nothing."""
    if stage == EVERYONE:
        return Fraction(2 * hostile == total)
    return 1 - wrong(total, hostile, stage) - wrong(total, total - hostile, stage)


def too_few(voters: int, stage: int, away: Fraction) -> Fraction:
    """The probability that fewer members volunteer than there are seats, if a share of all are away (binomial
    distribution)."""
    seats = COMMITTEES[stage].seats
    drawn = min(Fraction(1), Fraction(LOTS_PER_SEAT * seats, voters)) * (1 - away)
    return sum(
        (comb(voters, n) * drawn**n * (1 - drawn) ** (voters - n) for n in range(seats)),
        start=Fraction(0),
    )


def figure(chance: Fraction) -> str:
    """A probability in the format of the page."""
    if chance == 0:
        return "0"
    return f"{float(chance):.1e}".replace("e-0", "e-") if chance < Fraction(1, 1000) else f"{float(chance):.3f}"


def test_chances_stand_on_the_page() -> None:
    """The page has, for each hostile share of 100 and of 1,000, the probabilities of a wrong decision and of none, by
    stage."""
    rows = re.findall(r"^\| ([\d,]+) \| (\d+) % \| (.*) \|$", PAGE, re.MULTILINE)
    assert len(rows) >= 12
    for count, share, cells in rows:
        total = int(count.replace(",", ""))
        hostile = total * int(share) // 100
        expected = [figure(f(total, hostile, stage)) for stage in (1, 2) for f in (wrong, stalls)]
        expected.append(figure(wrong(total, hostile, EVERYONE)))
        assert cells.split(" | ") == expected


def test_below_a_third_a_wrong_decision_is_rare() -> None:
    """For both committees together it is below one in ten thousand at a third, and one in fifty thousand at three
    tenths."""
    for total in (100, 300, 1000):
        for share, bound in ((3, 20_000), (10, 12_000)):
            hostile = 3 * total // 10 if share == 3 else (total - 1) // 3
            assert wrong(total, hostile, 1) + wrong(total, hostile, 2) < Fraction(1, bound)
            assert wrong(total, hostile, EVERYONE) == 0


def test_a_committee_is_rarely_too_small() -> None:
    """With a hundred voters present, too few volunteer for nine seats in 0.3 % of draws. With a fifth away, in 3 %."""
    assert figure(too_few(97, 1, Fraction(0))) in PAGE
    assert figure(too_few(97, 1, Fraction(1, 5))) in PAGE
    assert too_few(97, 1, Fraction(0)) < Fraction(1, 200)
    assert too_few(97, 2, Fraction(1, 5)) < Fraction(1, 1000)


def test_a_committee_costs_less_than_everybody() -> None:
    """The expected answers per dispute at 100 voters, for the hostile shares on the page."""
    for share, answers in re.findall(r"(\d+) % hostile: (\d+)", PAGE):
        hostile = int(share)
        cost = 18 + stalls(100, hostile, 1) * (62 + stalls(100, hostile, 2) * 20)
        assert round(cost) == int(answers)
    assert len(re.findall(r"(\d+) % hostile: (\d+)", PAGE)) >= 4
