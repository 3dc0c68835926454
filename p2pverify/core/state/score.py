"""Scores in integers: the sequential test, the 95 % interval, availability, and the standing."""

from enum import StrEnum
from math import isqrt

from p2pverify.core.contract.odds import TestSteps
from p2pverify.core.inference.speed import median
from p2pverify.core.state.state import Member

MILLION = 1_000_000
_Z2 = 38_416  # 1.96 squared, times 10,000
TRUSTED_AUDITS_MIN = 10
AVAILABILITY_TRUST_PPM = 900_000


class Standing(StrEnum):
    NEWCOMER = "newcomer"
    PROBATION = "probation"
    TRUSTED = "trusted"
    SUSPECT = "suspect"
    CONVICTED = "convicted"
    GONE = "gone"


#: Standings whose peers are asked by clients, the best first.
ASKED = (Standing.TRUSTED, Standing.PROBATION)
#: Lower ends of intervals in one such step are equal here. Otherwise the best peer of all would get all requests.
LOW_STEP_PPM = 50_000
LAST_RANK = (len(ASKED), 0)


def rank_of(standing: str, low_ppm: int) -> tuple[int, int] | None:
    """The rank by which clients choose peers; less is better. None: a client asks such a peer only if it names it."""
    if standing not in ASKED:
        return None
    return ASKED.index(Standing(standing)), -(low_ppm // LOW_STEP_PPM)


def cusum(before: int, dissents: int, agreements: int, steps: TestSteps) -> int:
    """The value of the sequential test (1/1024 nat) after some dissents and agreements of one kind."""
    return add_evidence(before, dissents * steps.up - agreements * steps.down)


def add_evidence(before: int, evidence: int) -> int:
    """One step of the CUSUM test (1/1024 nat): the sum, but at least 0."""
    return max(0, before + evidence)


def interval_ppm(agreements: int, dissents: int) -> tuple[int, int]:
    """Wilson's 95 % score interval (Wilson 1927) of the agreement rate, in parts per million.

    The lower end is rounded down and the upper end up. Without observations it is the whole range.
    """
    n = agreements + dissents
    if n == 0:
        return 0, MILLION
    # (p + z²/2n ± z·sqrt(p(1-p)/n + z²/4n²)) / (1 + z²/n), all multiplied by n·20,000
    centre = 20_000 * agreements + _Z2
    # z·sqrt(...)·n·20,000 = sqrt(z²·10,000 · (40,000·a·d/n + z²·10,000))
    radicand = _Z2 * (40_000 * agreements * dissents + _Z2 * n)
    scale = 2 * (10_000 * n + _Z2)
    spread = isqrt(-(-radicand // n)) + 1
    low = max(0, centre - spread) * MILLION // scale
    high = min(MILLION, -(-(centre + spread) * MILLION // scale))
    return low, high


def availability_ppm(member: Member, weighted: frozenset[bytes]) -> int | None:
    """Median over weighted challengers of the share of answered requests, in parts per million; None if none asked."""
    shares = [
        contact.answered * MILLION // contact.asked
        for challenger, contact in member.contacts.items()
        if challenger in weighted and contact.asked
    ]
    return median(shares) if shares else None


def standing(member: Member, suspect_at: int, availability: int | None, epoch: int) -> Standing:
    """The standing of a member, by rules from the strongest to the weakest. `suspect_at` is the step of one dissent.

    A capital of the pooled test above 0 is more than the whole capital at the beginning. A peer that does not answer is
    not trusted, but it is never suspect, because that word is about honesty.
    """
    if member.is_convicted:
        return Standing.CONVICTED
    if not member.active:
        return Standing.GONE if member.joined_index else Standing.NEWCOMER
    if max(member.cusum, member.long_cusum) >= suspect_at or member.capital > 0 or epoch <= member.fork_until:
        return Standing.SUSPECT
    if member.audits == 0:
        return Standing.NEWCOMER
    answers = availability is None or availability >= AVAILABILITY_TRUST_PPM
    if member.weight and member.audits >= TRUSTED_AUDITS_MIN and answers:
        return Standing.TRUSTED
    return Standing.PROBATION
