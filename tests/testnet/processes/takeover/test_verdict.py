"""The verdict on a takeover, on documents made by hand."""

from dataclasses import replace
from typing import Any

import pytest

from p2pverify.node.reports.documents.scores import ScoresDocument, StandingName
from p2pverify.node.reports.documents.status import StatusDocument
from p2pverify.node.reports.readiness import REFUSES
from p2pverify.testnet.plan import Plan
from p2pverify.testnet.planning import make_plan
from p2pverify.testnet.processes.report import Report
from p2pverify.testnet.processes.takeover.verdict import RerunOutcome, TakeoverProgress, is_bought, judge_takeover
from p2pverify.testnet.processes.verdict import Judgement
from p2pverify.testnet.scenario import load_scenario
from tests.testnet.support import cut, status, view_at

STOPPED = TakeoverProgress(9, RerunOutcome(40, ("wrong audit",), frozenset()))
LEFT = replace(STOPPED, fork="ab" * 32)


@pytest.fixture(scope="module")
def plan() -> Plan:
    """Four honest founders, and five joiners that take over."""
    return make_plan(load_scenario("takeover"))


def stopped(*, says: str = f"{REFUSES} 2 peers (a, b)", epoch: int = 20) -> StatusDocument:
    """The status of an honest peer with a cut of epoch 10."""
    return replace(status(cut(10)), epoch=epoch, ready=False, reasons=("no final cut in the last 3 epochs", says))


def judged(plan: Plan, progress: TakeoverProgress, view: ScoresDocument | None = None, **changes: Any) -> Judgement:
    """The verdict if all honest peers have equal documents, but for the changes of the first."""
    statuses = {peer.name: stopped() for peer in plan.honest}
    statuses[plan.honest[0].name] = stopped(**changes)
    shown = {cut(10).cut: {plan.honest[0].name: view or view_at(plan, cut(10))}}
    return judge_takeover(plan, statuses, shown, progress)


def test_it_passes_when_the_network_without_the_liars_convicts_them(plan: Plan) -> None:
    """The documents are those of the other network, whose peers are ready."""
    liars: dict[str, StandingName] = dict.fromkeys((peer.name for peer in plan.cheaters), "convicted")
    statuses = {peer.name: status(cut(10)) for peer in plan.honest}
    shown = {cut(10).cut: {plan.honest[0].name: view_at(plan, cut(10), liars)}}
    found = judge_takeover(plan, statuses, shown, LEFT)
    assert (found.passes, found.is_over, found.missed) == (True, True, ())
    report = Report(plan, "00", "toy", 61.0, found, {}, LEFT)
    assert report.document()["takeover"] == {
        "lies_from_epoch": 9,
        "decisions_that_agree": 40,
        "wrong_disputes": ["wrong audit"],
        "fork": "ab" * 32,
    }
    assert "computed again: 1 disputes were decided wrongly, 40 not" in report.summary()
    assert "the honest peers went on in network abababababababab" in report.summary()
    del liars[plan.cheaters[0].name]
    shown = {cut(10).cut: {plan.honest[0].name: view_at(plan, cut(10), liars)}}
    waited = judge_takeover(plan, statuses, shown, LEFT)
    assert (waited.is_over, waited.missed) == (False, (plan.cheaters[0].name,))
    assert "is not convicted: " in waited.missing[0]


@pytest.mark.parametrize(
    ("progress", "changes", "missing"),
    [
        (TakeoverProgress(), {}, ["the cheaters do not have most of the weight yet"]),
        (TakeoverProgress(9), {}, ["the decisions were not computed again", "have not left yet"]),
        (STOPPED, {"says": "no neighbours"}, ["does not say that it refuses a conviction", "have not left yet"]),
        (STOPPED, {"epoch": 13}, ["cuts have not stopped", "have not left yet"]),
        (STOPPED, {}, ["the honest peers have not left yet"]),
    ],
)
def test_what_has_not_come_is_waited_for(
    plan: Plan, progress: TakeoverProgress, changes: dict[str, Any], missing: list[str]
) -> None:
    found = judged(plan, progress, **changes)
    assert (found.passes, found.is_over) == (False, False)
    assert len(found.missing) == len(missing)
    assert all(part in whole for part, whole in zip(missing, found.missing, strict=True))


def test_a_wrong_conviction_or_a_fault_ends_the_run(plan: Plan) -> None:
    victim = plan.honest[1].name
    found = judged(plan, STOPPED, view_at(plan, cut(10), {victim: "convicted"}))
    assert (found.is_lost, found.honest_convicted) == (True, (victim,))
    broken = judged(plan, replace(STOPPED, faults=("peer1 is honest, and voted for a wrong decision",)))
    assert (broken.is_lost, broken.missing[:1]) == (True, broken.faults)


def test_a_majority_is_more_than_half_of_the_weight(plan: Plan) -> None:
    """Five of nine are, four of eight are not."""
    view = view_at(plan, cut(3))
    heavy = replace(view, scores=tuple(replace(row, weight=1) for row in view.scores))
    taker = plan.cheaters[0].peer_id
    even = replace(heavy, scores=tuple(row for row in heavy.scores if row.peer_id != taker))
    assert (is_bought(plan, heavy), is_bought(plan, even), is_bought(plan, None)) == (True, False, False)
