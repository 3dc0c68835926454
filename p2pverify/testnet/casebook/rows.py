"""The rows of the book: the expected and the measured outcome of each cheat."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from p2pverify.core.contract.classes import Across
from p2pverify.core.contract.odds import TestSteps
from p2pverify.node.files.networktable import LONG_PERMILLE
from p2pverify.testnet.casebook.answers import Audited, AuditOutcome, JudgedAnswer
from p2pverify.testnet.casebook.entries import Numeric, Simulated
from p2pverify.testnet.casebook.gains import Gains, mean_gains
from p2pverify.testnet.casebook.trials import (
    HONEST_PEERS,
    ConvictionTimes,
    MarginPool,
    play,
    play_honest,
)
from p2pverify.testnet.casebook.worlds import HONEST_PPM, RULES, Played, steps_for
from p2pverify.testnet.processes.conviction import Chances, lies_at, mean_audits, over_long_answers
from p2pverify.testnet.world.liars.expectations import MILLION

#: The share of the audits that are long: in simulated worlds, and in a network with the usual rules.
LONG_SHARE, USUAL_LONG_SHARE = RULES["long_permille"] / 1000, LONG_PERMILLE / 1000
By = Literal["class", "across"]
CONVICTED, NOT_CAUGHT, DEPENDS = "convicted", "not caught", "by its hits"


@dataclass(frozen=True, slots=True)
class NumericRow:
    """One engine's lie at one rate, judged in one way.

    Of `asked` false answers, `found` were dissents, and `unclear` were neither dissents nor agreements. `saved` is the
    share of an honest peer's passes through the model that the lie does without; it is negative if the lie needs more.
    `expected` is the number of audits until conviction at the promised detection rate; `measured` has the numbers from
    the plays.
    """

    entry: Numeric
    by: By
    rate: float
    fate: str
    asked: int
    found: int
    unclear: int
    saved: float
    expected: float | None
    measured: ConvictionTimes


@dataclass(frozen=True, slots=True)
class HonestRow:
    """Honest peers of one numeric path, judged by the referee.

    Of `asked` answers, `found` were mismatches, and `unclear` were neither matches nor mismatches. `mean_micronats` is
    the mean margin of a token. `peers` peers with `audits` audits each were simulated from these margins: `alarms`
    audits were mismatches, and `convicted` peers were convicted.
    """

    path: str
    asked: int
    found: int
    unclear: int
    mean_micronats: int
    peers: int
    audits: int
    alarms: int
    convicted: int


@dataclass(frozen=True, slots=True)
class SimulatedRow:
    """The outcome of one attack on the protocol, over all played worlds. `gains` are means over them."""

    entry: Simulated
    fate: str
    worlds: int
    hostile: int
    convicted: int
    provisional: int
    shown: int
    missed: int
    expected: float | None
    audits: tuple[int, ...]
    honest_convicted: int
    broken: tuple[str, ...]
    gains: Gains | None = None


def numeric_row(
    entry: Numeric,
    by: By,
    rate: float,
    outcomes: Sequence[Sequence[Audited]],
    are_lies: Sequence[bool],
    steps: TestSteps,
    *,
    saved: float,
    seed: int,
    trials: int,
) -> NumericRow:
    """Play a lie at a rate.

    `outcomes` has two parts: those of the cheat's answers and those of honest answers. `are_lies` says
    which of the cheat's answers are false.
    """
    told, honest = outcomes
    lies = [one.outcome for one, is_lie in zip(told, are_lies, strict=True) if is_lie]
    promised = entry.in_class if by == "class" else entry.across
    fate = DEPENDS if promised is None else CONVICTED if promised else NOT_CAUGHT
    expected = None
    if promised:
        share = rate * len(lies) / len(told)
        test = steps, lies_at(share, Chances(promised, 1 - promised), Chances(0.0, 1.0))
        expected = mean_audits(*(over_long_answers(*test, USUAL_LONG_SHARE) if entry.long else test))
    return NumericRow(
        entry,
        by,
        rate,
        fate,
        len(lies),
        lies.count(AuditOutcome.DISSENT),
        lies.count(AuditOutcome.NOTHING),
        saved,
        expected,
        play(steps, told, honest, rate, seed=seed, trials=trials, long_share=USUAL_LONG_SHARE if entry.long else 0.0),
    )


def honest_row(
    path: str, judged: Sequence[JudgedAnswer], bounds: Across, steps: TestSteps, *, seed: int, audits: int
) -> HonestRow:
    """Judge honest answers, and play many more audits for each peer that are drawn from their margins."""
    outcomes = [one.across(bounds).outcome for one in judged]
    pool = MarginPool(judged, bounds, seed)
    alarms, convicted = play_honest(pool, steps, HONEST_PEERS, audits)
    margins = [margin for one in judged for margin in one.margins]
    return HonestRow(
        path,
        len(outcomes),
        outcomes.count(AuditOutcome.DISSENT),
        outcomes.count(AuditOutcome.NOTHING),
        sum(margins) // max(1, len(margins)),
        HONEST_PEERS,
        audits,
        alarms,
        convicted,
    )


def simulated_row(entry: Simulated, played: Sequence[Played]) -> SimulatedRow:
    """The outcome of one entry over its played worlds."""
    rule = entry.rule
    expected = None
    if rule.by == "dissent" and entry.classes == 1:
        rate = rule.rate_ppm(round(entry.rate * MILLION)) / MILLION
        test = steps_for(HONEST_PPM), Chances(rate, 1 - rate)
        expected = mean_audits(*(over_long_answers(*test, LONG_SHARE) if rule.rate == "long" else test))
    return SimulatedRow(
        entry,
        rule.fate,
        len(played),
        sum(one.hostile for one in played),
        sum(one.convicted for one in played),
        sum(one.provisional for one in played),
        sum(one.shown for one in played),
        sum(one.missed for one in played),
        expected,
        tuple(sorted(count for one in played for count in one.audits)) if rule.by == "dissent" else (),
        sum(one.honest_convicted for one in played),
        tuple(fault for one in played for fault in one.broken),
        mean_gains([one.gains for one in played if one.gains is not None]),
    )
