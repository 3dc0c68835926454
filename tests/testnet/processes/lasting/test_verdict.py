"""The verdict on a network that lasts, on documents made by hand."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from p2pverify.node.files.home import Home
from p2pverify.testnet.plan import Plan
from p2pverify.testnet.planning import make_plan
from p2pverify.testnet.processes.lasting.facts import LastingFacts
from p2pverify.testnet.processes.lasting.verdict import (
    Arrival,
    CommonState,
    LastingProgress,
    RelayEnd,
    judge_lasting,
)
from p2pverify.testnet.processes.report import Report
from p2pverify.testnet.processes.table import COLUMNS, columns, rows
from p2pverify.testnet.processes.verdict import Judgement, judge
from p2pverify.testnet.processes.watch import RunWatch
from p2pverify.testnet.scenario import load_scenario
from tests.testnet.processes.test_verdict import check_report
from tests.testnet.support import cut, status, view_at

ROOT = "ab" * 32
BEGAN = Arrival("11" * 32, "operator", 17, 240, 900)


@pytest.fixture(scope="module")
def plan() -> Plan:
    """Eight honest peers, five of them with a part, and a cheater."""
    return make_plan(load_scenario("lasting"))


def finished(plan: Plan, **changes: Any) -> LastingProgress:
    """All steps have come out, but for changes of the facts."""
    assert plan.roles is not None
    names = [peer.name for peer in plan.witnesses]
    facts = LastingFacts(
        epoch=30,
        index=24,
        rule=6,
        rule_from=7,
        handovers=1,
        weight=1,
        audits=40,
        availability=0.95,
        members=frozenset(peer.name for peer in plan.peers),
    )
    return LastingProgress(
        replace(facts, **changes),
        relays=(names[0],),
        relays_before=(plan.roles.relay, names[0]),
        relay_end=RelayEnd(14, 22),
        rules=dict.fromkeys(names, ("cd" * 32, 7)),
        rotated_epoch=3,
        killed_at=4711,
        arrivals=dict.fromkeys(plan.roles.late, BEGAN),
        common=CommonState("ef" * 32, 29, "12" * 32, dict.fromkeys(names, ROOT), ROOT),
    )


def views(plan: Plan) -> Judgement:
    """The verdict on final views that convict the cheater. The relay that ended shows an old one."""
    (liar,) = plan.cheaters
    assert plan.roles is not None
    names = [peer.name for peer in plan.honest]
    shown = {cut(10).cut: {names[0]: view_at(plan, cut(10), {liar.name: "convicted"})}}
    return judge(plan, {name: status(cut(4 if name == plan.roles.relay else 10)) for name in names}, shown)


def test_it_passes_when_all_has_happened(plan: Plan) -> None:
    """The relay that ended need not have the judged cut."""
    progress = finished(plan)
    found = judge_lasting(plan, views(plan), progress)
    assert found.missing == ()
    assert found.is_over
    report = Report(plan, "00", "toy", 61.0, found, {}, lasting=progress)
    document: dict[str, Any] = report.document()
    check_report(document)
    lasting = document["lasting"]
    assert (lasting["rule"], lasting["rule_from_epoch"], lasting["handovers"]) == (6, 7, 1)
    assert (lasting["audits_after_relay"], lasting["availability"]) == (18, 0.95)
    assert lasting["state_root"] == ROOT
    assert {one["records_fetched"] for one in lasting["newcomers"].values()} == {240}
    assert plan.roles is not None
    told = report.summary()
    assert "answer_tokens is 6 from epoch 7, by an amendment, at 7 peers" in told
    assert f"{plan.roles.relay}, a relay of it, ended in epoch 14" in told
    assert "18 audits since, availability 95 %" in told
    assert f"{plan.roles.rotating} has another key since epoch 3" in told
    assert "after it was killed with 4711 bytes of it: it fetched 240 records instead of 900" in told
    assert f"the same state root at 7 peers: {ROOT}" in told
    assert "all 7 honest peers agree" in told


@pytest.mark.parametrize(
    ("changes", "missing"),
    [
        ({"rule_from": None, "rule": 8}, "answer_tokens is not 6 yet"),
        ({"rule": 8}, "answer_tokens is not 6 yet"),
        ({"handovers": 0, "weight": 0}, "the row of peer4 has not moved to its new key yet"),
        ({"weight": 0}, "peer4 does not have its weight back yet"),
        ({"audits": 24}, "peer2 was in 2 audits without peer3, not in 3 yet"),
        ({"availability": 0.5}, "the availability of peer2 is 0.50, not 0.8 yet"),
        ({"availability": None}, "the availability of peer2 is unknown, not 0.8 yet"),
        ({"members": frozenset({"peer8"})}, "peer9 is no member yet"),
    ],
)
def test_what_is_still_to_come(plan: Plan, changes: dict[str, Any], missing: str) -> None:
    """The run waits for it."""
    found = judge_lasting(plan, views(plan), finished(plan, **changes))
    assert found.missing == (missing,)
    assert not found.is_over


@pytest.mark.parametrize(
    ("changes", "missing"),
    [
        ({"rules": {"peer1": (ROOT, 7)}}, "without the new rule: peer2, peer4, peer5, peer7, peer8, peer9"),
        ({"relay_end": None}, "peer3 has not ended yet, which relays for peer2"),
        ({"relays": ()}, "peer2 has no other relay yet"),
        ({"relays": ("peer1", "peer3")}, "peer2 has no other relay yet"),
        ({"arrivals": {"peer8": BEGAN}}, "peer9 has not joined by a state yet"),
        ({"common": None}, "the state roots are not compared yet"),
    ],
)
def test_steps_that_are_not_done(plan: Plan, changes: dict[str, Any], missing: str) -> None:
    """The run waits for them."""
    found = judge_lasting(plan, views(plan), replace(finished(plan), **changes))
    assert found.missing == (missing,)
    assert not found.is_over


def test_what_cannot_be_mended(plan: Plan) -> None:
    """The run is lost at once."""
    done = finished(plan)
    assert done.common is not None
    other = replace(done.common, state_roots={**done.common.state_roots, "peer5": "00" * 32})
    lacking = replace(done.common, state_roots={**done.common.state_roots, "peer5": None})
    for changes, fault in (
        ({"rules": {**done.rules, "peer5": ("cd" * 32, 8)}}, "honest peers have the new rule from different epochs"),
        (
            {"arrivals": {**done.arrivals, "peer8": replace(BEGAN, by="bootstrap")}},
            "peer8 did not begin with the state",
        ),
        ({"arrivals": {**done.arrivals, "peer8": replace(BEGAN, records=900)}}, "peer8 did not begin with the state"),
        ({"killed_at": None}, "peer9 was not killed while it fetched its state"),
        ({"common": other}, "different state roots at one cut"),
        ({"common": lacking}, "different state roots at one cut"),
        ({"common": replace(done.common, own_root="00" * 32)}, "different state roots at one cut"),
        ({"faults": ["peer8 began with the network's first record"]}, "peer8 began with the network's first record"),
    ):
        found = judge_lasting(plan, views(plan), replace(done, **changes))
        assert [fault in one for one in found.faults] == [True], changes
        assert found.is_lost
        assert not found.passes


def test_a_row_is_found_under_its_newest_key(plan: Plan) -> None:
    """The views before and after a handover show the same peer under different ids."""
    moving = next(peer for peer in plan.peers if peer.next_seed is not None)
    names = [peer.name for peer in plan.witnesses]
    for key in moving.peer_ids:
        view = view_at(plan, cut(10))
        scores = tuple(replace(row, peer_id=key) if row.peer_id == moving.peer_id else row for row in view.scores)
        shown = {cut(10).cut: {names[0]: replace(view, scores=scores)}}
        found = judge(plan, {name: status(cut(10)) for name in names}, shown)
        assert found.scores[moving.name].peer_id == key


def test_the_table_shows_the_parts(plan: Plan, tmp_path: Path) -> None:
    """The column stands only in runs of a network that lasts."""
    watch = RunWatch(plan, lambda name: Home(tmp_path / name))
    assert columns(watch) == (*COLUMNS, "PART")
    shown = [row.cells()[-1] for row in rows(watch)]
    assert shown == ["-", "listens nowhere", "relays", "-", "-", "-", "-", "-", "-"]
    watch.lasting = finished(plan)
    shown = [row.cells()[-1] for row in rows(watch)]
    assert shown == ["-", "behind peer1", "ended", "new key", "-", "-", "-", "from epoch 17", "from epoch 17"]
    assert watch.lasting.headline() == "cut 24, new rule, new key, relay ended, 2 newcomers by state"
