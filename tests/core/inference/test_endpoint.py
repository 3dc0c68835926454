"""Audits of endpoints: the bound, the test, and the file."""

import random
from dataclasses import replace
from fractions import Fraction
from math import comb
from typing import Any

import pytest

from p2pverify.core.encoding.canon import decode, encode
from p2pverify.core.errors import DecodeError
from p2pverify.core.inference.compare import Measure, Verdict
from p2pverify.core.inference.endpoint import (
    DOMAIN,
    ODDS,
    Api,
    AuditPlan,
    EndpointAnswer,
    EndpointEvidence,
    Reading,
    accused_at,
    at_most_ppm,
    conclude,
    decode_endpoint_evidence,
)
from tests.support.endpoints import BOUNDS, toy_manifest

MATCH, NEAR, FAR = Measure(8, 100, 9, 0), Measure(8, 60_000, 9, 0), Measure(8, 900_000, 9, 0)
CUT = Measure(8, 0, 0, 600_000)
PLAN = AuditPlan(Api.CHAT, 60, 16, 8, "Be brief.", bytes(16))
ANSWER = EndpointAnswer("Hi", (1, 2), Reading.TOKENS, "Yes", (3,) * 8, "length", MATCH, 2)


@pytest.mark.parametrize(("failures", "trials"), [(0, 1), (0, 60), (1, 60), (3, 20), (19, 20), (40, 200)])
def test_bounds_are_exact(failures: int, trials: int) -> None:
    """At the bound the chance of so few failures is at most 5 %, and one millionth below it is above."""

    def chance(ppm: int) -> Fraction:
        rate = Fraction(ppm, 10**6)
        return sum(
            (comb(trials, k) * rate**k * (1 - rate) ** (trials - k) for k in range(failures + 1)), Fraction(0)
        )  # fmt: skip

    found = at_most_ppm(failures, trials)
    assert chance(found) <= Fraction(1, 20) < chance(found - 1)


def test_no_mismatch_in_sixty() -> None:
    """The figure of the README, and no bound where nothing was seen."""
    found = conclude([MATCH] * 60, BOUNDS, 60)
    assert (found.verdict, found.bound_ppm) == (Verdict.MATCH, 48_703)
    assert at_most_ppm(5, 5) == 1_000_000
    assert conclude([], BOUNDS, 60).verdict is Verdict.INCONCLUSIVE
    assert conclude([None] * 3, BOUNDS, 3).bound_ppm is None


def test_far_answers_accuse() -> None:
    """The test reaches the odds after a few mismatches, and stays there. Cut answers count like mismatches."""
    first = next(n for n in range(1, 60) if conclude([FAR] * n, BOUNDS, 60).verdict is Verdict.MISMATCH)
    assert 3 < first < 8
    found = conclude([FAR] * first + [MATCH] * 50, BOUNDS, 60)
    assert (found.verdict, found.bound_ppm) == (Verdict.MISMATCH, None)
    assert found.capital >= accused_at() > found.capital - 4000
    assert conclude([CUT] * first, BOUNDS, 60).verdict is Verdict.MISMATCH
    assert conclude([FAR] * (first - 1), BOUNDS, 60).verdict is Verdict.INCONCLUSIVE


def test_matches_before_do_not_protect_a_liar_for_long() -> None:
    """After many matches the capital starts again from a reserve."""
    late = [MATCH] * 500 + [FAR] * 20
    assert conclude(late, BOUNDS, 1000).verdict is Verdict.MISMATCH


def test_few_mismatches_are_no_accusation() -> None:
    """The bound then needs the whole plan, because a run could have been stopped at a good moment."""
    one = [MATCH] * 30 + [FAR] + [MATCH] * 29
    found = conclude(one, BOUNDS, 60)
    assert (found.verdict, found.mismatches, found.bound_ppm) == (Verdict.MATCH, 1, at_most_ppm(1, 60))
    assert conclude(one[:40], BOUNDS, 60).bound_ppm is None
    assert conclude([NEAR] * 3, BOUNDS, 60).verdict is Verdict.INCONCLUSIVE


def test_half_of_the_answers_must_be_judged() -> None:
    """A server that makes most answers unreadable gets no match."""
    assert conclude([MATCH, None] * 5, BOUNDS, 10).verdict is Verdict.MATCH
    assert conclude([MATCH, None, None] * 5, BOUNDS, 15).verdict is Verdict.INCONCLUSIVE


def test_an_honest_server_is_not_accused() -> None:
    """With twice the calibrated rates of far answers, the expected capital does not grow, and no run is accused."""
    dice = random.Random(5)
    for _ in range(200):
        drawn = [dice.random() for _ in range(300)]
        measures = [FAR if one < 0.004 else NEAR if one < 0.02 else MATCH for one in drawn]
        assert conclude(measures, BOUNDS, 300).verdict is not Verdict.MISMATCH
    pool = BOUNDS.pool
    assert pool is not None
    mean = pool.keeps_ppm + sum(2 * line.rate_ppm * pool.pays_ppm(line) / 10**6 for line in pool.lines)
    assert mean <= 10**6
    assert ODDS == 10**6


def evidence(*answers: EndpointAnswer) -> EndpointEvidence:
    found = conclude([answer.measure for answer in answers], BOUNDS, PLAN.requests)
    manifest = toy_manifest().encode()
    return EndpointEvidence(manifest, "toy-exact/1", "http://127.0.0.1/v1", "m", 7, PLAN, answers, found)


UNJUDGED = EndpointAnswer("Hi", (1, 2), Reading.NONE, "", reason="it broke")
GOOD = evidence(ANSWER, UNJUDGED, ANSWER)


def test_evidence_is_read_as_written() -> None:
    """The first bytes are those by which `verify` knows the file."""
    data = GOOD.encode()
    assert data.startswith(b"\x89" + encode(DOMAIN))
    assert decode_endpoint_evidence(data) == GOOD
    with pytest.raises(DecodeError, match="no question was asked"):
        decode_endpoint_evidence(evidence().encode())


def changed(at: tuple[int, ...], item: object) -> bytes:
    """The evidence with one item replaced."""
    top: Any = decode(GOOD.encode(), size_max=10**6)
    place = top
    for step in at[:-1]:
        place = place[step]
    place[at[-1]] = item
    return encode(top)


@pytest.mark.parametrize(
    ("at", "item", "reason"),
    [
        ((0,), "p2pverify/other/1", "not evidence of an endpoint"),
        ((2,), "exact/1", "the manifest has no thresholds of this referee for unknown paths"),
        ((6, 0), "telnet", "unknown api"),
        ((6, 1), 0, "the plan asks for nothing"),
        ((6, 1), 2, "answers: more than 2 items"),
        ((6, 3), 6, "tokens: more than 7 items"),
        ((6, 5), bytes(15), "seed: not 16 bytes"),
        ((7, 0, 1), [], "a prompt is empty"),
        ((7, 0, 2), "none", "an answer is judged in part"),
        ((7, 0, 4), [3] * 7, "a measure counts other tokens"),
        ((7, 0, 5), "tired", "unknown finish"),
        ((7, 0, 6), None, "an answer is judged in part"),
        ((7, 0, 6), [8, 101, 9], "measure: not 4 items"),
        ((7, 0, 8), "a reason", "the reason is missing, or there is one too many"),
        ((7, 1, 8), "", "the reason is missing, or there is one too many"),
        ((7, 0, 6), [8, 900_000, 9, 0], "the conclusion does not follow from the measures"),
        ((8, 0), "mismatch", "the conclusion does not follow from the measures"),
        ((8, 3), 0, "the conclusion does not follow from the measures"),
        ((8, 4), 1, "the conclusion does not follow from the measures"),
    ],
)
def test_other_files_are_refused(at: tuple[int, ...], item: object, reason: str) -> None:
    """Each with its reason."""
    with pytest.raises(DecodeError) as caught:
        decode_endpoint_evidence(changed(at, item))
    assert caught.value.reason == reason


def test_nothing_is_asked_after_the_end() -> None:
    """An audit ends at the odds, so that nobody can choose among later ends."""
    far = replace(ANSWER, measure=FAR)
    decode_endpoint_evidence(evidence(*[far] * 5).encode())
    with pytest.raises(DecodeError, match="there are questions after the end"):
        decode_endpoint_evidence(evidence(*[far] * 5, ANSWER).encode())
