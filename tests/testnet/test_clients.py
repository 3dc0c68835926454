"""Clients of a testnet: the scenario's table, a cheat that needs it, and when `me` has to flag this cheat."""

from dataclasses import replace
from typing import Any

import pytest

from p2pverify.core.contract.output import Ask
from p2pverify.engine.cheats.make import make_cheat
from p2pverify.engine.cheats.spec import CheatSpec
from p2pverify.engine.toy import ToyEngine
from p2pverify.node.reports.documents.me import PeerFigures
from p2pverify.testnet.capacity.load import MeasuredMachine, need
from p2pverify.testnet.cheats import parse_cheat
from p2pverify.testnet.plan import Plan, PlanError
from p2pverify.testnet.planning import make_plan
from p2pverify.testnet.processes.report import Report
from p2pverify.testnet.processes.verdict import Judgement, judge
from p2pverify.testnet.scenario import Scenario, load_scenario
from tests.support.documents import ME, OWN_FIGURES
from tests.testnet.support import cut, status, view_at


def test_the_packaged_scenario_has_clients_that_audit_and_report():
    plan = make_plan(load_scenario("clients"))
    assert plan.clients is not None
    assert (plan.clients.audit_rate, plan.clients.report) == (1.0, "reveal")
    assert [peer.cheat.kind for peer in plan.cheaters if peer.cheat is not None] == ["lies-to-clients"]


def test_without_clients_there_is_nobody_to_lie_to():
    cheat = {"kind": "lies-to-clients"}
    with pytest.raises(PlanError, match="no clients"):
        make_plan(Scenario.model_validate({"cheat": [cheat]}))
    assert make_plan(Scenario.model_validate({"cheat": [cheat], "clients": {}})).clients is not None


@pytest.mark.parametrize(("argument", "text"), [("", "client"), ("guest", "guest")])
def test_it_lies_to_clients_alone(tmp_path, argument, text):
    honest, cheat = ToyEngine(), make_cheat(CheatSpec("lies-to-clients", argument), ToyEngine(), tmp_path)
    for number in range(20):
        for prompt, lies in ((f"{text} {number}", True), (f"question {number}", False)):
            asked = Ask(honest.encode_chat(prompt), 16, 800, bytes(32))
            assert (cheat.answer(asked).output != honest.answer(asked).output) == lies


@pytest.fixture
def plan() -> Plan:
    """The packaged scenario, with a liar that lies in a tenth of its answers to clients."""
    return make_plan(load_scenario("clients"), cheats=[parse_cheat("lies-to-clients@0.1")])


def figures(peer: str, audits: int, after: int | None, wrong: int = 5) -> PeerFigures:
    own = replace(OWN_FIGURES, audits=audits, wrong=wrong, accused=after is not None, accused_after=after)
    return PeerFigures(peer_id=peer, standing="trusted", figures=own)


def judged(plan: Plan, *found: PeerFigures) -> Judgement:
    """The verdict in a view that convicts the liar, if the node with clients has these figures."""
    shown = {cut(3).cut: {plan.honest[0].name: view_at(plan, cut(3), {plan.cheaters[0].name: "convicted"})}}
    statuses = dict.fromkeys((peer.name for peer in plan.honest), status(cut(3)))
    return judge(plan, statuses, shown, {plan.askers[0].name: replace(ME, peers=found)})


@pytest.mark.parametrize(
    ("audits", "after", "passes", "is_lost"),
    [
        (43, 41, True, False),
        (300, 116, True, False),
        (115, None, False, False),
        (158, None, False, True),
        (300, 159, False, True),
    ],
)
def test_the_flag_comes_within_the_audits_of_the_exact_chain(plan, audits, after, passes, is_lost):
    """A tenth of wrong answers is flagged after 42 audits on average, and within 158 with a probability of 99.9 %."""
    (liar,) = plan.cheaters
    found = judged(plan, figures(liar.peer_id, audits, after))
    assert (found.passes, found.is_lost) == (passes, is_lost)
    (flags,) = found.flags
    assert (round(flags.expected or 0, 1), flags.latest) == (41.5, 158)
    report = Report(plan, "", "toy", 90.0, found, {})
    document: dict[str, Any] = report.document()
    (row,) = [peer["flags"] for peer in document["peers"] if peer["name"] == liar.name]
    node = {"name": plan.askers[0].name, "audits": audits, "wrong": 5, "flagged_after_audits": after}
    assert row == {"expected_audits": 41.5, "latest_audits": 158, "nodes": [node]}
    assert (f"flags it after {after} audits; the exact chain: 42, at 99.9 % 158" in report.summary()) is bool(after)
    assert ("too late" in report.summary()) is is_lost


def test_a_conviction_alone_is_not_enough(plan):
    """Nobody's `me` was read yet, or the node has not asked the liar."""
    assert [*judged(plan).missing] == ["no node of a client flags peer6 (lies-to-clients@0.1)"]


def test_an_honest_peer_that_is_flagged_loses_the_run(plan):
    (liar,), other = plan.cheaters, plan.honest[1]
    found = judged(plan, figures(liar.peer_id, 43, 41), figures(other.peer_id, 40, 40))
    assert found.is_lost
    assert found.faults == (f"'me' of {plan.askers[0].name} flags {other.name}, which answers honestly",)


def test_a_rate_that_the_test_does_not_see_has_no_prediction():
    """At one lie in a hundred the test's sum does not grow."""
    plan = make_plan(load_scenario("clients"), cheats=[parse_cheat("lies-to-clients@0.01")])
    (flags,) = judged(plan, figures(plan.cheaters[0].peer_id, 500, None)).flags
    assert (flags.expected, flags.latest, flags.late) == (None, None, ())


def test_only_some_nodes_have_clients():
    """All honest ones, unless the scenario says how many. Their requests make epochs longer."""
    scenario = load_scenario("clients")
    assert scenario.clients is not None
    plans = [
        make_plan(
            scenario.model_copy(
                update={"clients": scenario.clients.model_copy(update={"nodes": nodes, "requests": requests})}
            ),
            engine="llama",
        )
        for nodes, requests in ((None, 10), (2, 20))
    ]
    assert [len(plan.askers) for plan in plans] == [5, 2]
    few, many = (need(plan, MeasuredMachine(2, 0.01), 6).per_epoch_s for plan in plans)
    assert many - few == pytest.approx(10 * (scenario.clients.answer_tokens + 2) * 2 * 0.01)
