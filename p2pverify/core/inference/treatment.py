"""How one client was treated, in exact numbers: its own audits of a peer beside those of the network.

A peer that recognises auditors can be honest to them and lie to clients. Two figures show it. The sequential test of
the peer's class runs over the client's own audits, and may be read at any time. The exact test of Fisher compares the
client's share of wrong answers with the network's, and holds for one look. Protocol page: protocol/report.md.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from fractions import Fraction
from math import comb

from p2pverify.core.contract.odds import TestSteps
from p2pverify.core.contract.pool import MILLION
from p2pverify.core.inference.endpoint import at_most_ppm


class Rescored(StrEnum):
    """What a client found when it computed an answer again. The last two say nothing about the peer."""

    AGREES = "agrees"
    DIFFERS = "differs"
    INCONCLUSIVE = "inconclusive"
    NOT_COMPARED = "not compared"


@dataclass(frozen=True, slots=True)
class Treatment:
    """A client's audits of one peer, or of several: how many were right and wrong, and what the test says.

    `value` is the test's sum (1/1024 nat) after the last audit. It first reached its threshold with the audit number
    `accused_after`, counted from 1 without the unclear ones; None if it never did.
    """

    right: int = 0
    wrong: int = 0
    unclear: int = 0
    value: int = 0
    accused_after: int | None = None

    @property
    def is_accused(self) -> bool:
        return self.accused_after is not None

    @property
    def audits(self) -> int:
        return self.right + self.wrong

    @property
    def at_most_ppm(self) -> int:
        """The upper end of the one-sided 95 % interval of the share of wrong answers; a million without audits."""
        return at_most_ppm(self.wrong, self.audits) if self.audits else MILLION


def treatment(audits: Iterable[tuple[Rescored, TestSteps]]) -> Treatment:
    """The audits of one peer, in their order; each with the steps of the test by which its answer is judged."""
    right = wrong = unclear = value = 0
    accused_after: int | None = None
    for found, steps in audits:
        if found is Rescored.AGREES:
            right, value = right + 1, max(0, value - steps.down)
        elif found is Rescored.DIFFERS:
            wrong, value = wrong + 1, value + steps.up
            if accused_after is None and value >= steps.threshold:
                accused_after = right + wrong
        else:
            unclear += 1
    return Treatment(right, wrong, unclear, value, accused_after)


def together(treatments: Iterable[Treatment]) -> Treatment:
    """The audits of several peers as one. The test is of one peer alone, so the greatest value stands for all, and the
    peer that was accused after the fewest audits.
    """
    every = list(treatments)
    return Treatment(
        sum(one.right for one in every),
        sum(one.wrong for one in every),
        sum(one.unclear for one in every),
        max((one.value for one in every), default=0),
        min((one.accused_after for one in every if one.accused_after is not None), default=None),
    )


def chance_of_worse(own_wrong: int, own: int, others_wrong: int, others: int) -> Fraction:
    """Fisher's exact test, one-sided (Fisher 1935).

    If a peer treats all askers alike, the wrong answers are spread among all audits at random. This is the chance that
    `own` audits then have at least `own_wrong` of them, if the `others` have `others_wrong`.
    """
    wrong = own_wrong + others_wrong
    first = max(own_wrong, wrong - others)
    term = comb(own, first) * comb(others, wrong - first)
    tail = 0
    for count in range(first, min(own, wrong) + 1):
        tail += term
        term = term * (own - count) * (wrong - count) // ((count + 1) * (others - wrong + count + 1))
    return Fraction(tail, comb(own + others, wrong))
