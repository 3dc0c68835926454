"""The thresholds and bets that ship with p2pverify, held against recorded answers of every numeric path.

`margins.json` has the margins of honest answers to calibration questions, by path, as `bench_pooled --record` writes
them. These are fewer than 10,000 answers, so longer runs are put together from stretches of them, as in the cheat book.
"""

import json
from dataclasses import replace
from math import exp
from pathlib import Path

import numpy as np
import pytest

from p2pverify.core.contract.classes import ANY, Across
from p2pverify.core.contract.odds import ODDS_FACTOR
from p2pverify.core.contract.odds import TestSteps as Steps
from p2pverify.core.contract.odds import test_steps as steps_of
from p2pverify.core.contract.pool import MILLION, Line
from p2pverify.core.inference.compare import Measure, total_of
from p2pverify.engine.calibrate.fit import exceeding, upper_bound_ppm
from p2pverify.node.engines.kinds import referee_for
from p2pverify.node.files.manifestfile import load_manifest
from p2pverify.resources import resource
from p2pverify.testnet.casebook.answers import Audited, AuditOutcome, JudgedAnswer, audited
from p2pverify.testnet.casebook.trials import MarginPool, play, play_honest
from p2pverify.testnet.processes.conviction import Chances, survival

ODDS, CHEAT_PPM = 1_000_000, 100_000
AUDITS = 10_000


def _recorded() -> dict[str, list[JudgedAnswer]]:
    """The answers of each path. A line has the margin of the end and those of the tokens, in micronats."""
    kept = json.loads((Path(__file__).parent / "margins.json").read_text(encoding="utf-8"))
    return {path: [_judged(end, tuple(margins)) for end, *margins in found] for path, found in kept.items()}


def _judged(end: int, margins: tuple[int, ...]) -> JudgedAnswer:
    measure = Measure(len(margins), total_of(margins), max(margins), end)
    return JudgedAnswer(greedy=False, same=False, measure=measure, margins=margins)


RECORDED = _recorded()
MANIFESTS = [load_manifest(path) for path in sorted((resource("testnet") / "manifests").glob("*.toml"))]
JUDGE = referee_for("llama")
BOUNDS = MANIFESTS[0].bounds(JUDGE)[ANY, ANY]


def steps() -> Steps:
    return steps_of(BOUNDS.honest_ppm, CHEAT_PPM, ODDS)


def test_all_paths_but_the_judges_own_are_pooled_alike() -> None:
    """Paths differ by rounding only. The bets are on the lines of a match and of a mismatch."""
    assert len(MANIFESTS) == 1
    for (engine, _), across in MANIFESTS[0].bounds(JUDGE).items():
        assert across == (BOUNDS if engine != JUDGE else Across(0, 0, 0, 0, 0, across.honest_ppm))
    assert BOUNDS.pool is not None
    assert [(line.base, line.slope) for line in BOUNDS.pool.lines] == [
        (BOUNDS.match_base, BOUNDS.match_slope),
        (BOUNDS.mismatch_base, BOUNDS.mismatch_slope),
    ]


def line_rates() -> list[int]:
    assert BOUNDS.pool is not None
    return [line.rate_ppm for line in BOUNDS.pool.lines]


@pytest.mark.parametrize("path", sorted(RECORDED))
def test_recorded_answers_are_as_rarely_above_the_lines_as_the_bets_say(path: str) -> None:
    """On each path the lower end of the 95 % interval of the rate is below the bound."""
    seen = exceeding([one.measure for one in RECORDED[path]], BOUNDS)
    for above, rate in zip((seen.unmatched, seen.mismatches), line_rates(), strict=True):
        assert MILLION - upper_bound_ppm(seen.samples - above, seen.samples) <= rate


@pytest.mark.parametrize("path", sorted(RECORDED))
def test_the_capital_of_an_honest_peer_falls(path: str) -> None:
    """By recorded answers each audit leaves less than the whole capital, though half of what is fair is kept back."""
    factors = [exp((one.across(BOUNDS).evidence or 0) / 1024) for one in RECORDED[path]]
    assert sum(factors) / len(factors) < 1


@pytest.mark.parametrize("path", sorted(RECORDED))
def test_honest_peers_are_not_convicted_by_any_test(path: str) -> None:
    """Two peers on each path, with 10,000 audits each."""
    _, convicted = play_honest(MarginPool(RECORDED[path], BOUNDS, 7), steps(), 2, AUDITS)
    assert convicted == 0


def least_favourable() -> list[tuple[float, Audited]]:
    """An honest answer that is above each line as often as the bets allow: its probability, and what it adds."""
    (low, low_ppm), (high, high_ppm) = zip(_lines(), line_rates(), strict=True)
    totals = (0, low.bound(64) + 1, high.bound(64) + 1)
    shares = (1 - low_ppm / MILLION, (low_ppm - high_ppm) / MILLION, high_ppm / MILLION)
    return [(share, audited(Measure(64, total, 0, 0), BOUNDS)) for share, total in zip(shares, totals, strict=True)]


def _lines() -> tuple[Line, ...]:
    assert BOUNDS.pool is not None
    return BOUNDS.pool.lines


def test_the_three_tests_together_hold_the_odds() -> None:
    """The pooled test takes an eighth of the odds for ever. In 10,000 audits at the calibrated rate of mismatches, the
    test over long answers takes less than another eighth, and the sequential test less than the other six. These are
    exact, by the chains of their values. One audit in a hundred is long, as with the usual rules."""
    assert sum(share * exp((one.evidence or 0) / 1024) for share, one in least_favourable()) < 1
    made, rate = steps(), line_rates()[1] / MILLION
    chances = Chances(rate, 1 - rate)
    convicted = 1 - survival(made, chances, AUDITS)[-1]
    assert 0 < convicted < 1e-7
    convicted_long = 1 - survival(replace(made, threshold=made.long_threshold), chances, AUDITS // 100)[-1]
    assert convicted_long < 1e-12
    eighth = 1 / (ODDS_FACTOR * ODDS)
    assert convicted < 6 * eighth
    assert convicted_long < eighth


def test_the_least_favourable_honest_peer_is_not_convicted() -> None:
    """Twenty peers, 10,000 audits each, of which as many are far off as an honest peer may have at the worst."""
    shares, found = zip(*least_favourable(), strict=True)
    assert [one.outcome for one in found] == [AuditOutcome.AGREEMENT, AuditOutcome.NOTHING, AuditOutcome.DISSENT]
    drawn = np.random.default_rng(5).choice(len(found), size=20_000, p=shares)
    pool = [found[which] for which in drawn]
    assert play(steps(), pool, pool, 1.0, seed=3, trials=20, audits_max=AUDITS).missed == 20
