"""The verdict on an upgrade, on documents made by hand."""

from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from p2pverify.node.files.home import Home
from p2pverify.node.reports.documents.scores import StandingName
from p2pverify.testnet.plan import Plan
from p2pverify.testnet.planning import make_plan
from p2pverify.testnet.processes.report import Report
from p2pverify.testnet.processes.table import COLUMNS, columns, rows
from p2pverify.testnet.processes.upgrade.facts import UpgradeFacts
from p2pverify.testnet.processes.upgrade.verdict import UpgradeProgress, judge_upgrade
from p2pverify.testnet.processes.verdict import Judgement, judge
from p2pverify.testnet.processes.watch import RunWatch
from p2pverify.testnet.scenario import load_scenario
from tests.testnet.processes.test_verdict import check_report
from tests.testnet.support import cut, status, view_at

SIZE = 4_000_000


@pytest.fixture(scope="module")
def plan() -> Plan:
    """Six honest peers, one that serves false chunks, and one that is stale."""
    return make_plan(load_scenario("upgrade"), engine="toy")


def finished(plan: Plan, **changes: Any) -> UpgradeProgress:
    """All steps have come out, but for changes of the facts."""
    facts = UpgradeFacts(
        epoch=22,
        announced=1,
        recalled=16,
        starts=4,
        ends=16,
        serving={peer.key: int(peer not in plan.upright) for peer in plan.peers},
        overlap=Counter({0: 31, 1: 42}),
        after=Counter({0: 12}),
    )
    names = tuple(peer.name for peer in plan.upright)
    return UpgradeProgress(
        SIZE,
        "quantise:q5_0",
        dict.fromkeys(names, SIZE),
        dict.fromkeys(names, 1),
        replace(facts, **changes),
        exact=names,
        is_back=True,
    )


def views(plan: Plan, also: tuple[str, ...] = ()) -> Judgement:
    """The verdict on final views that convict the stale peer, and others by name."""
    named = {peer.name: peer for peer in plan.cheaters}
    stale = next(name for name, peer in named.items() if peer.cheat and peer.cheat.kind == "stale-version")
    found: dict[str, StandingName] = dict.fromkeys((stale, *also), "convicted")
    shown = {cut(10).cut: {plan.honest[0].name: view_at(plan, cut(10), found)}}
    return judge(plan, {peer.name: status(cut(10)) for peer in plan.honest}, shown)


def test_who_moves_when(plan: Plan) -> None:
    """The publisher is honest and moves at once. The late peers answer honestly; one of them may lie about files."""
    assert len(plan.upright) == 7
    assert len(plan.late) == 4
    assert plan.publisher in plan.honest
    assert plan.publisher not in plan.late
    assert set(plan.late) < set(plan.upright)


def test_it_passes_when_all_is_done(plan: Plan) -> None:
    """The stale peer is convicted, and the one with false chunks is dropped and not convicted."""
    progress = finished(plan)
    found = judge_upgrade(plan, views(plan), progress)
    assert found.passes
    assert found.is_over
    assert [plan.peer(name).label.partition(" ")[2] for name in found.dropped] == ["(false-chunks)"]
    report = Report(plan, "00", "toy", 61.0, found, {}, upgrade=progress)
    document: dict[str, Any] = report.document()
    check_report(document)
    assert document["upgrade"]["audits_in_overlap"] == [31, 42]
    assert document["upgrade"]["audits_after_recall"] == [12, 0]
    assert document["dropped"] == list(found.dropped)
    told = report.summary()
    assert "version 1 (quantise:q5_0, 4.0 MB): released in epoch 1, current from 4, recalled in 16" in told
    assert "7 of 7 peers have its file, to the byte; 7 were sent false bytes of it, and refused them" in told
    assert "dropped, as others refused its bytes" in told


@pytest.mark.parametrize(
    ("changes", "missing"),
    [
        ({"announced": None, "recalled": None, "starts": None, "ends": None}, "version 1 is not released yet"),
        ({"recalled": None}, "version 1 is not recalled yet"),
    ],
)
def test_what_is_still_to_come(plan: Plan, changes: dict[str, Any], missing: str) -> None:
    """The run waits for it."""
    progress = replace(finished(plan, **changes), is_back=False)
    progress.facts.overlap.update({0: 50, 1: 50})
    found = judge_upgrade(plan, views(plan), progress)
    assert missing in found.missing
    assert not found.is_over


def test_it_waits_until_all_are_back(plan: Plan) -> None:
    """The names of those that still serve the recalled version are told."""
    stays = plan.honest[2]
    serving = {peer.key: int(peer is stays) for peer in plan.peers}
    found = judge_upgrade(plan, views(plan), replace(finished(plan, serving=serving), is_back=False))
    assert found.missing == (f"still on version 1: {stays.name}",)
    found = judge_upgrade(plan, views(plan), replace(finished(plan), is_back=False))
    assert found.missing == ("the time after the recall is not over",)


def test_false_bytes_must_be_refused_by_somebody(plan: Plan) -> None:
    """What the cheater counts itself does not matter."""
    progress = finished(plan)
    progress.false = {peer.name: int(not peer.is_honest) for peer in plan.upright}
    found = judge_upgrade(plan, views(plan), progress)
    assert "is not dropped: no peer refused its bytes" in found.missing[0]
    assert len(found.missed) == 1


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"overlap": Counter({0: 19, 1: 42})}, "19 audits of version 0 in the overlap, not 20"),
        ({"overlap": Counter({0: 31})}, "0 audits of version 1 in the overlap, not 20"),
        ({"after": Counter({0: 12, 1: 2})}, "2 audits of version 1 after the recall time"),
    ],
)
def test_what_cannot_be_mended(plan: Plan, changes: dict[str, Any], fault: str) -> None:
    """The run is lost at once."""
    found = judge_upgrade(plan, views(plan), finished(plan, **changes))
    assert found.faults == (fault,)
    assert found.is_lost
    assert not found.passes


def test_an_overlap_may_not_end_without_its_audits(plan: Plan) -> None:
    """Some epochs after it, no more audits of it come."""
    few = {"recalled": None, "ends": 16, "overlap": Counter({0: 31, 1: 3})}
    assert not judge_upgrade(plan, views(plan), finished(plan, **few, epoch=17)).is_lost
    assert judge_upgrade(plan, views(plan), finished(plan, **few, epoch=19)).is_lost


def test_a_file_that_is_not_exact_loses_the_run(plan: Plan) -> None:
    """The peer is named."""
    progress = finished(plan)
    assert progress.exact is not None
    name, *others = progress.exact
    found = judge_upgrade(plan, views(plan), replace(progress, exact=tuple(others)))
    assert found.faults == (f"{name} does not have the exact file of version 1",)


def test_a_peer_with_false_chunks_may_not_be_convicted(plan: Plan) -> None:
    """Its answers are right."""
    (liar,) = (peer.name for peer in plan.upright if not peer.is_honest)
    found = judge_upgrade(plan, views(plan, (liar,)), finished(plan))
    assert found.honest_convicted == (liar,)
    assert found.is_lost


def test_the_table_shows_versions_and_progress(plan: Plan, tmp_path: Path) -> None:
    """The column stands only in runs with an upgrade."""
    watch = RunWatch(plan, lambda name: Home(tmp_path / name))
    assert columns(watch) == (*COLUMNS, "VERSION")
    assert {row.story for row in rows(watch)} == {"-"}
    one, two, three = plan.honest[:3]
    watch.upgrade.size = SIZE
    watch.upgrade.fetched = {one.name: SIZE, two.name: SIZE // 4}
    serving = {one.key: 1, two.key: 0, three.key: 1}
    watch.upgrade.facts = UpgradeFacts(5, 1, serving=serving, behind=frozenset((three.key,)))
    shown = {row.name: row.cells()[-1] for row in rows(watch)}
    assert [shown[peer.name] for peer in (one, two, three)] == ["1", "0 (25 % of 1)", "1 behind"]
    assert watch.upgrade.headline() == "version 1 announced, 1 peers have its file"
