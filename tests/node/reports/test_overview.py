"""Reports about disputes, readiness and classes, from machines in virtual time."""

from dataclasses import replace
from functools import partial

import pytest
import trio

from p2pverify.core.encoding.peerid import peer_id
from p2pverify.core.events import Synced
from p2pverify.core.roles.cut_maker import cut_due_ms
from p2pverify.core.state.view import scores
from p2pverify.node.driver import Driver
from p2pverify.node.engines.classes import ClassError, expected_weights, match_class
from p2pverify.node.files.networkfile import new_network
from p2pverify.node.ports import Neighbour
from p2pverify.node.reports.audits import AuditLog
from p2pverify.node.reports.documents.scores import LossesRerun
from p2pverify.node.reports.overview import NodeReports
from p2pverify.node.reports.scores import score_document
from p2pverify.node.reports.shown import why
from tests.node.fakes import FakeEngine, FakeJournal, FakeNetwork
from tests.support.worlds import make_world

INFO = FakeEngine().info


def test_disputes_name_their_losers():
    """With a peer that always lies, disputes open, are decided, and name the liar as a loser."""
    world = make_world(5, seed=3, kinds={2: "always-wrong"}, disputes_per_cut=4)
    machine = world.peers[0].machine
    log = AuditLog(machine.context, machine.objector.finding)
    liar = peer_id(world.peers[2].machine.key)
    disputes, audits = {}, {}
    for _ in range(12):
        world.run_epochs(1)
        log.note_final()
        for dispute in log.disputes():
            disputes[dispute.challenger, dispute.epoch, dispute.slot] = dispute
        for audit in log.audits(1000):
            audits[audit.challenger, audit.epoch, audit.slot] = audit
    decided = [dispute for dispute in disputes.values() if dispute.status == "decided"]
    assert decided
    assert all(dispute.losers == (liar,) for dispute in decided)
    assert all(dispute.votes <= dispute.electorate + 1 for dispute in decided)
    assert {dispute.rerun for dispute in decided} <= {"confirmed", None}
    assert "confirmed" in {dispute.rerun for dispute in decided}
    statuses = {key: audit.status for key, audit in audits.items()}
    assert all(statuses[d.challenger, d.epoch, d.slot] == "decided" for d in decided)
    assert {"agreed", "decided"} <= set(statuses.values())
    assert set(statuses.values()) <= {
        "waiting",
        "agreed",
        "disputed",
        "decided",
        "undecided",
        "closed",
        "unanswered",
        "void",
    }
    newest = log.audits(3)
    assert len(newest) == 3
    assert newest == log.audits(1000)[:3]


def test_an_index_built_late_tells_the_same():
    """An index that is built late lists the same audits as one from the beginning."""
    world = make_world(4, seed=5)
    early = AuditLog(world.peers[0].machine.context)
    for _ in range(6):
        world.run_epochs(1)
        early.audits(1)
    late = AuditLog(world.peers[0].machine.context)
    assert late.audits(1000) == early.audits(1000)
    assert late.audits(1000)


async def test_status_shows_how_far_the_engine_is_behind(autojump_clock):
    """It shows the number of waiting jobs, their waiting time, and the late and dropped jobs."""
    machine = make_world(4, seed=1).peers[0].machine
    journal, network = FakeJournal(), FakeNetwork()
    driver = Driver(machine, journal, FakeEngine(), clock=lambda: 1)
    reports = NodeReports(driver, network, journal, INFO)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(partial(driver.use_engine, lambda engine: engine.info))
        await trio.sleep(3)
        jobs = reports.status().jobs
        assert (jobs.jobs_waiting, jobs.oldest_waiting_ms, jobs.jobs_done) == (1, 3000, 0)
        assert (jobs.jobs_failed, jobs.jobs_late, jobs.jobs_dropped, jobs.dropped_requests) == (0, 0, 0, 0)
        nursery.cancel_scope.cancel()


async def test_readiness_says_why(autojump_clock):
    """A node that has just started is silent, alone, without a cut and no member. Later none of these reasons is
    left."""
    world = make_world(4, seed=1)
    machine = world.peers[0].machine
    now = machine.network.params.genesis_ms - 1_500
    journal, network = FakeJournal(), FakeNetwork()
    driver = Driver(machine, journal, FakeEngine(), clock=lambda: now)
    reports = NodeReports(driver, network, journal, INFO)
    assert any("begins in 2 s" in reason for reason in reports.unready())
    assert reports.status().final is None
    assert reports.status().recent_cuts == ()
    world.run_epochs(3)
    params = machine.network.params
    network.peers = (Neighbour(world.peers[1].machine.key, "a", outbound=True, in_mesh=True),)
    now = params.epoch_start_ms(4)
    assert reports.unready() == []
    assert reports.status().ready is True
    machine.context.silence.begin(now)
    (reason,) = reports.unready()
    assert "silent until others have shown our own log" in reason
    assert "0 of 2 needed, of 3 in all" in reason
    assert "--alone" in reason
    assert reports.status().quiet is True
    machine.handle(Synced(world.peers[1].machine.key), now)
    assert "1 of 2 needed" in reports.unready()[0]
    machine.handle(Synced(world.peers[2].machine.key), now)
    assert reports.unready() == []
    now = params.epoch_start_ms(9)
    network.peers = ()
    assert reports.unready() == ["no neighbours", "no final cut in the last 3 epochs"]
    await trio.lowlevel.checkpoint()


async def test_a_convicted_or_forked_peer_is_not_ready(stage):
    """The node's own conviction and its fork's penalty are reasons, shown beside its standing."""
    assert stage.reports.unready() == []
    assert stage.row.reason is None
    until = stage.world.peers[0].machine.fold.latest.epoch + 7
    stage.change(fork_until=until)
    assert stage.reports.unready() == [f"own log forked: without weight until epoch {until}"]
    assert (stage.row.standing, stage.row.reason) == ("suspect", f"log forked, until epoch {until}")
    assert stage.row.fork_until_epoch == until
    assert stage.row.dissents == 0
    stage.change(fork_until=-1, convicted_epoch=2, conviction="two payloads for one slot")
    assert stage.reports.unready() == ["convicted in epoch 2: two payloads for one slot"]
    assert (stage.row.standing, stage.row.reason) == ("convicted", "two payloads for one slot")
    assert stage.row.fork_until_epoch is None
    assert stage.reports.status().own == stage.row


async def test_whoever_is_suspect_or_convicted_has_a_reason():
    """In a run with a liar, each row with `suspect` or `convicted` has a reason, and no other row has one."""
    world = make_world(5, seed=3, kinds={2: "always-wrong"}, disputes_per_cut=4)
    machine = world.peers[0].machine
    reports = NodeReports(Driver(machine, FakeJournal(), FakeEngine()), FakeNetwork(), FakeJournal(), INFO)
    seen = set()
    for _ in range(20):
        world.run_epochs(1)
        for row in reports.scores(final=True).scores:
            seen.add(row.standing)
            assert (row.reason is not None) == (row.standing in ("suspect", "convicted"))
    assert {"suspect", "convicted"} <= seen


async def test_a_final_cut_of_long_ago_is_a_reason(stage):
    """Its age counts from its due time. Above three epochs the node is not ready."""
    params = stage.world.network.params
    due_ms = cut_due_ms(params, stage.world.peers[0].machine.fold.latest.epoch)
    stage.now = due_ms + 3 * params.epoch_ms
    assert stage.reports.unready() == []
    assert stage.reports.status().final_age_s == 3 * params.epoch_ms // 1000
    stage.now += 1
    assert stage.reports.unready() == ["no final cut in the last 3 epochs"]


async def test_before_any_cut_nothing_is_final():
    """The contract alone gives no final view and no cut."""
    machine = make_world(4, seed=1).peers[0].machine
    reports = NodeReports(Driver(machine, FakeJournal(), FakeEngine()), FakeNetwork(), FakeJournal(), INFO)
    for final in (True, False):
        document = reports.scores(final=final)
        assert (document.final, document.cut) == (False, None)
    status = reports.status()
    assert (status.final, status.final_age_s) == (None, None)
    assert status.way_to_weight is None  # a founder has weight by the contract


def test_an_engine_finds_its_class():
    """It is the class with the engine's code path and weights. Without such a class, the error lists both."""
    network, manifests = new_network("mine", [bytes(32)], INFO, genesis_ms=1)
    assert match_class(network, manifests, INFO) == (0, manifests[0])
    assert expected_weights(network, manifests, "toy") == INFO.weights_sha256
    assert expected_weights(network, manifests, "llama") is None
    for other in (
        replace(INFO, numeric_path="another"),
        replace(INFO, engine="another"),
        replace(INFO, weights_sha256=b"w" * 32),
        replace(INFO, template_sha256=b"t" * 32),
    ):
        with pytest.raises(ClassError, match="any with world") as caught:
            match_class(network, manifests, other)
        assert other.numeric_path in caught.value.reason
    with pytest.raises(ClassError, match="does not hold"):
        match_class(network, (), INFO)


@pytest.mark.parametrize(
    ("confirmed", "refuted", "said"),
    [
        (0, 0, "lost disputes; this node re-ran 0 of 4 lost disputes"),
        (3, 0, "lost disputes; this node re-ran 3 of 4 lost disputes"),
        (1, 2, "lost disputes; this node re-ran 3 of 4 lost disputes, and 2 were decided wrongly"),
    ],
)
def test_a_standing_says_what_this_node_found_itself(confirmed: int, refuted: int, said: str) -> None:
    world = make_world(5, seed=3, kinds={2: "always-wrong"}, disputes_per_cut=4)
    world.run_epochs(12)
    liar = world.peers[2].machine.key
    machine = world.peers[0].machine
    (score,) = (each for each in scores(machine.network, machine.fold.latest) if each.peer == liar)
    assert score.standing in {"suspect", "convicted"}
    rerun = LossesRerun(lost=4, confirmed=confirmed, refuted=refuted)
    found = score_document(score, rerun)
    assert why(found) == said
    assert why(score_document(score)) == found.reason == "lost disputes"
    assert found.in_view == score_document(score)
