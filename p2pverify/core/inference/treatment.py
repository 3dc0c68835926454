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

from p2pverify.core.contract.network import TestSteps
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

    `value` is the test's sum (1/1024 nat) after the last audit. `is_accused`: it once reached its threshold.
    """

    right: int = 0
    wrong: int = 0
    unclear: int = 0
    value: int = 0
    is_accused: bool = False

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
    is_accused = False
    for found, steps in audits:
        if found is Rescored.AGREES:
            right, value = right + 1, max(0, value - steps.down)
        elif found is Rescored.DIFFERS:
            wrong, value = wrong + 1, value + steps.up
            is_accused = is_accused or value >= steps.threshold
        else:
            unclear += 1
    return Treatment(right, wrong, unclear, value, is_accused)


def together(treatments: Iterable[Treatment]) -> Treatment:
    """The audits of several peers as one. The test is of one peer alone, so the greatest value stands for all."""
    every = list(treatments)
    return Treatment(
        sum(one.right for one in every),
        sum(one.wrong for one in every),
        sum(one.unclear for one in every),
        max((one.value for one in every), default=0),
        any(one.is_accused for one in every),
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
