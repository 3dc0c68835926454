"""The verdict of a run of a case: it waits for the facts, and each check that does not hold makes it fail."""

from dataclasses import replace

from p2pverify.testnet.cases.facts import CheckFacts
from p2pverify.testnet.planning import make_plan
from p2pverify.testnet.processes.cases.verdict import CaseProgress, judge_case
from p2pverify.testnet.processes.report import Report
from p2pverify.testnet.processes.verdict import Judgement
from p2pverify.testnet.scenario import load_scenario
from tests.testnet.cases.examples import FACTS
from tests.testnet.processes.test_verdict import check_report

PLAN = make_plan(load_scenario("healthcare"))
FINE = Judgement(None, {}, (), (), (), (), (), True, ())


def test_it_waits_for_the_facts() -> None:
    found = judge_case(PLAN, FINE, CaseProgress(decided=4))
    assert found.missing == ("4 of 6 rounds are decided",)
    assert not found.is_over


def test_it_passes_when_all_checks_hold() -> None:
    """The report has the facts, and its summary the tables."""
    found = judge_case(PLAN, FINE, CaseProgress(facts=FACTS))
    assert found.passes
    report = Report(PLAN, "00", "healthcare", 61.0, found, {}, case=FACTS)
    document = report.document()
    check_report(document)
    assert document["case"] == FACTS.document()
    assert "poison-labels" in report.summary()


def test_a_check_that_does_not_hold_is_a_fault() -> None:
    wrong = replace(FACTS, checks=(CheckFacts(what="the sum of all accounts is 0", found="3", holds=False),))
    found = judge_case(PLAN, FINE, CaseProgress(facts=wrong))
    assert (found.passes, found.is_over) == (False, True)
    assert found.faults == ("the sum of all accounts is 0: 3",)


def test_a_ledger_that_cannot_be_read_ends_the_run() -> None:
    found = judge_case(PLAN, FINE, CaseProgress(broken="the export is damaged"))
    assert (found.passes, found.is_over) == (False, True)
