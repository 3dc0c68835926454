"""Committees: a few members of a large electorate vote first, and all of it only if they do not decide.

Each voter draws a lottery ticket from its VRF over the question, the stage, and the beacon of the cut after the one
that opened the stage. A ticket below the limit volunteers. Among the voters that sealed an answer in time, the lowest
tickets take the seats. This module says which tickets are drawn, which voters sit, and what their votes decide.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

STAGE_MAX = 2  # the last stage in which a committee votes
#: An electorate of at most this size votes at once, without committees.
EVERYONE_MAX = 31
#: Volunteers per seat, on average; more than one, because some voters are away.
LOTS_PER_SEAT = 2


@dataclass(frozen=True, slots=True)
class Committee:
    """The number of seats, and the number of equal votes that decides."""

    seats: int
    equal: int


#: The committees by stage. In the last stage the whole electorate votes.
COMMITTEES = {1: Committee(9, 9), 2: Committee(31, 26)}
EVERYONE = 3


def first_stage(electorate: int, voters: int) -> int:
    """The stage in which a vote begins. `voters`: how many of the electorate are not parties to the question."""
    return EVERYONE if electorate <= EVERYONE_MAX else next_stage(0, voters)


def next_stage(stage: int, voters: int) -> int:
    """The stage after one that did not decide. `voters`: how many have not sealed an answer yet.

    A committee is left out if nearly all of these voters would volunteer for it.
    """
    later = range(stage + 1, EVERYONE)
    return next((each for each in later if LOTS_PER_SEAT * COMMITTEES[each].seats < voters), EVERYONE)


def is_drawn(beta: bytes, stage: int, voters: int) -> bool:
    """Whether a ticket (`beta`, 64 bytes) volunteers. Of all `voters` on average LOTS_PER_SEAT per seat do."""
    return int.from_bytes(beta[:8], "big") * voters < LOTS_PER_SEAT * COMMITTEES[stage].seats << 64


def take_seats(lots: Mapping[bytes, bytes], stage: int) -> frozenset[bytes]:
    """The voters that take the seats: the lowest tickets of those that sealed (voter -> beta); none if too few."""
    seats = COMMITTEES[stage].seats
    ranked = sorted(lots, key=lambda voter: (lots[voter], voter))
    return frozenset(ranked[:seats]) if len(ranked) >= seats else frozenset()


def decides(stage: int, equal: int) -> bool:
    """Whether this number of equal votes of a committee decides."""
    return equal >= COMMITTEES[stage].equal


def may_still_decide(stage: int, equal: Iterable[int]) -> bool:
    """Whether a committee could still decide. `equal`: the sizes of the groups of equal votes opened so far."""
    counts = sorted(equal)
    most, opened = (counts[-1] if counts else 0), sum(counts)
    return decides(stage, most + COMMITTEES[stage].seats - opened)
