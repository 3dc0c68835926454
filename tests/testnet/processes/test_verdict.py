"""The verdict on documents made by hand, and its report."""

from dataclasses import replace
from typing import Any

import pytest

from p2pverify.node.reports.documents.scores import LossesRerun, SpeedDocument
from p2pverify.testnet.processes.report import Report
from p2pverify.testnet.processes.verdict import jobs_of, judge, too_slow
from tests.support.documents import JOBS
from tests.testnet.support import cut, score, status, toy_plan, view_at

HEX = "0" * 64
SPEED = SpeedDocument(
    claim="testbox", fit="consistent", challengers=4, token_ms=1.5, first_token_ms=3, tokens_per_s=700.0
)


@pytest.fixture
def plan():
    """Four peers; one of them cheats with `prune`."""
    return toy_plan("prune")


def names(plan):
    """The names of the cheater and of the honest peers."""
    return plan.cheaters[0].name, [peer.name for peer in plan.honest]


def test_it_passes_when_all_have_the_conviction(plan):
    """The newest cut that all honest peers have is judged, even if some have newer cuts."""
    liar, (a, b, c) = names(plan)
    shown = {cut(n).cut: {a: view_at(plan, cut(n), {liar: "convicted"})} for n in (3, 4)}
    found = judge(plan, {a: status(cut(3), cut(4)), b: status(cut(2), cut(3)), c: status(cut(3))}, shown)
    assert found.passes
    assert found.at == cut(3)
    assert (found.convicted, found.missed, found.honest_convicted) == ((liar,), (), ())
    assert found.views_agree
    assert not found.is_lost


def test_one_honest_peer_without_the_conviction_is_enough_to_wait(plan):
    """If one honest peer has only the cut before it, the conviction is not final for all."""
    liar, (a, b, c) = names(plan)
    shown = {cut(3).cut: {a: view_at(plan, cut(3), {liar: "convicted"})}, cut(2).cut: {a: view_at(plan, cut(2))}}
    found = judge(plan, {a: status(cut(2), cut(3)), b: status(cut(2), cut(3)), c: status(cut(2))}, shown)
    assert not found.passes
    assert found.missed == (liar,)
    assert f"{liar} (prune) is not convicted: trusted after 30 audits" in found.missing[0]


def test_without_a_common_cut_there_is_no_verdict(plan):
    """If peers were not read, have no cut, or have only different cuts, the run has neither passed nor failed."""
    liar, (a, b, c) = names(plan)
    for statuses in ({}, {a: status(cut(1))}, {a: status(cut(1)), b: status(cut(2)), c: status()}):
        found = judge(plan, statuses, {})
        assert found.at is None
        assert found.missed == (liar,)
        assert not found.passes
        assert not found.is_lost
        assert "no certified cut that all honest peers have" in found.missing[0]


def test_an_honest_peer_convicted_loses_the_run(plan):
    """Convictions are final, so no later cut can change it."""
    liar, (a, b, c) = names(plan)
    shown = {cut(3).cut: {a: view_at(plan, cut(3), {liar: "convicted", b: "convicted"})}}
    found = judge(plan, dict.fromkeys((a, b, c), status(cut(3))), shown)
    assert found.honest_convicted == (b,)
    assert not found.passes
    assert found.is_lost


def test_what_a_node_found_itself_is_no_part_of_its_view(plan):
    """Honest peers that compute other disputes again, or none, have the same view."""
    liar, (a, b, c) = names(plan)
    ok = view_at(plan, cut(3), {liar: "convicted"})
    found = LossesRerun(lost=4, confirmed=3, refuted=0)
    own = replace(ok, scores=tuple(replace(row, rerun=found) for row in ok.scores))
    assert judge(plan, dict.fromkeys((a, b, c), status(cut(3))), {cut(3).cut: {a: ok, b: own}}).passes


@pytest.mark.parametrize("how", ["roots", "scores"])
def test_views_that_differ_lose_the_run(plan, how):
    """Different roots or scores of honest peers at one cut are final failures."""
    liar, (a, b, c) = names(plan)
    ok = view_at(plan, cut(3), {liar: "convicted"})
    statuses = dict.fromkeys((a, b, c), status(cut(3)))
    shown = {cut(3).cut: {a: ok}}
    if how == "roots":
        statuses[c] = status(cut(3, view="another view"))
    else:
        shown[cut(3).cut][b] = view_at(plan, cut(3), {liar: "convicted", c: "suspect"})
    found = judge(plan, statuses, shown)
    assert not found.views_agree
    assert not found.passes
    assert found.is_lost


def test_a_cheater_may_say_what_it_likes(plan):
    """The documents of a cheater's API do not change the verdict."""
    liar, (a, b, c) = names(plan)
    shown = {cut(3).cut: {a: view_at(plan, cut(3), {liar: "convicted"}), liar: view_at(plan, cut(3))}}
    statuses = {**dict.fromkeys((a, b, c), status(cut(3))), liar: status(cut(3, view="mine"), cut(9))}
    assert judge(plan, statuses, shown).passes


@pytest.mark.parametrize(
    ("standing", "availability", "caught"),
    [("probation", 0.2, True), ("suspect", None, False), ("probation", 0.5, False), ("trusted", None, False)],
)
def test_silence_is_unavailability(standing, availability, caught):
    """A peer that does not answer is found by its availability. It counts neither as convicted nor as missed."""
    plan = toy_plan("silent")
    liar, (a, b, c) = names(plan)
    at = view_at(plan, cut(3))
    changed = [
        score(p.peer_id, standing, availability=availability) if p.name == liar else score(p.peer_id)
        for p in plan.peers
    ]
    shown = {cut(3).cut: {a: replace(at, scores=tuple(changed))}}
    found = judge(plan, dict.fromkeys((a, b, c), status(cut(3))), shown)
    assert found.passes is caught
    assert found.convicted == ()
    assert (found.unavailable, found.missed) == (((liar,), ()) if caught else ((), (liar,)))


@pytest.mark.parametrize(
    ("kind", "standing", "fit", "found_out"),
    [
        ("slow-hardware", "trusted", "inconsistent", True),
        ("slow-hardware", "trusted", "too few", False),
        ("slow-hardware", "trusted", "consistent", False),
        ("slow-hardware", "trusted", None, False),
        ("slow-hardware", "convicted", "inconsistent", False),
        ("busy", "trusted", "consistent", True),
        ("busy", "trusted", "inconsistent", False),
        ("busy", "convicted", "consistent", False),
    ],
)
def test_speed_is_found_out_and_convicts_nobody(kind, standing, fit, found_out):
    """A slow machine is inconsistent with its claim, and a busy machine is not. Neither may be convicted."""
    plan = toy_plan(kind)
    late, (a, b, c) = names(plan)
    hardware = None if fit is None else replace(SPEED, fit=fit)
    changed = [
        score(p.peer_id, standing, hardware=hardware) if p.name == late else score(p.peer_id) for p in plan.peers
    ]
    at = view_at(plan, cut(3))
    shown = {cut(3).cut: {a: replace(at, scores=tuple(changed))}}
    found = judge(plan, dict.fromkeys((a, b, c), status(cut(3))), shown)
    assert found.passes is found_out
    assert found.timed == ((late,) if found_out else ())
    assert found.is_lost is (standing == "convicted")


def test_without_cheaters_it_waits_for_audits():
    """A run without cheaters is judged after some epochs, when every peer was audited."""
    plan = toy_plan()
    honest = [peer.name for peer in plan.honest]
    for number, passes in ((plan.epochs_without_cheaters - 1, False), (plan.epochs_without_cheaters, True)):
        at = cut(number)
        shown = {at.cut: {honest[0]: view_at(plan, at)}}
        assert judge(plan, dict.fromkeys(honest, status(at)), shown).passes is passes
    unseen = replace(view_at(plan, at), scores=(score(plan.peers[0].peer_id),))
    found = judge(plan, dict.fromkeys(honest, status(at)), {at.cut: {honest[0]: unseen}})
    assert found.missing == ("not audited yet: peer2, peer3, peer4",)


PEER_FIELDS: dict[str, Any] = {
    "name": str,
    "peer_id": str,
    "cheat": str | None,
    "weights": str | None,
    "standing": str | None,
    "low": float | None,
    "high": float | None,
    "audits": int,
    "challengers": int,
    "disputes_lost": int,
    "convicted_after_audits": int | None,
    "flags": dict | None,
    "hardware": dict | None,
    "records": int | None,
    "cut": str | None,
    "ledger_root": str | None,
    "view_root": str | None,
}
FIELDS: dict[str, Any] = {
    "schema": str,
    "network": str,
    "seed": int,
    "seconds": float,
    "engine": str,
    "faults": list,
    "model": str,
    "epoch_ms": int,
    "jobs": int,
    "jobs_late": int,
    "peers": list,
    "cheaters_convicted": list,
    "unavailable": list,
    "speed_as_expected": list,
    "dropped": list,
    "cheaters_missed": list,
    "honest_convicted": list,
    "views_agree": bool,
    "takeover": dict | None,
    "upgrade": dict | None,
    "lasting": dict | None,
    "case": dict | None,
    "verdict": str,
}


def check_report(document):
    """A report has exactly these fields with these types."""
    assert document["schema"] == "p2pverify/testnet-report/1"
    for fields, part in ((FIELDS, document), *((PEER_FIELDS, peer) for peer in document["peers"])):
        assert set(part) == set(fields)
        for name, kind in fields.items():
            assert isinstance(part[name], kind), name
    assert document["verdict"] in ("pass", "fail")


def test_the_report_of_a_pass(plan):
    """Scores are those at the judged cut, and roots are each peer's own roots at that cut."""
    liar, (a, b, c) = names(plan)
    shown = {cut(3).cut: {a: view_at(plan, cut(3), {liar: "convicted"})}}
    statuses = {**dict.fromkeys((a, b, c), status(cut(3), cut(4))), liar: status(cut(2))}
    report = Report(plan, HEX, "toy", 12.34, judge(plan, statuses, shown), statuses)
    document: dict[str, Any] = report.document()
    check_report(document)
    assert (document["verdict"], document["cheaters_convicted"], document["seconds"]) == ("pass", [liar], 12.3)
    for peer in document["peers"]:
        expected = cut(2) if peer["name"] == liar else cut(3)
        assert (peer["cut"], peer["view_root"]) == (expected.cut, expected.view_root)
        assert peer["cheat"] == ("prune@1" if peer["name"] == liar else None)
    assert "verdict: pass after 12 s" in report.summary()
    assert f"{liar} (prune): convicted after 4 audits" in report.summary()


def test_the_report_of_a_run_that_came_to_nothing(plan):
    """Without any reading the report has the same form. Its verdict is `fail`, with the reason."""
    report = Report(plan, HEX, "toy", 90.0, judge(plan, {}, {}), {})
    document = report.document()
    check_report(document)
    assert document["verdict"] == "fail"
    assert document["views_agree"] is False
    assert "missing: no certified cut" in report.summary()


def test_a_failed_run_says_that_the_machine_was_too_slow(plan):
    """The report says so with the figures of all peers if a tenth of their jobs was late, unless the run passed."""
    liar, (a, b, c) = names(plan)

    def summary(*jobs, standing="trusted"):
        statuses = {
            name: replace(status(cut(3)), jobs=replace(JOBS, jobs_done=20, jobs_late=late, jobs_dropped=dropped))
            for name, (late, dropped) in zip((liar, a, b, c), jobs, strict=True)
        }
        shown = {cut(3).cut: {a: view_at(plan, cut(3), {liar: standing})}}
        return Report(plan, HEX, "toy", 90.0, judge(plan, statuses, shown), statuses).summary()

    late = [(2, 5), (0, 5), (1, 0), (0, 10)]
    assert "this machine was too slow: 23 of 100 jobs were late" in summary(*late)
    assert "too slow" not in summary(*late, standing="convicted")
    assert "too slow" not in summary((1, 1), (1, 0), (0, 0), (0, 0))
    assert too_slow(jobs_of({})) is None
