"""Reports about disputes, readiness and classes, read from machines in virtual time."""

from functools import partial

import pytest
import trio

from p2pverify.core.peerid import peer_id
from p2pverify.node.auditlog import AuditLog
from p2pverify.node.classes import ClassError, expected_weights, match_class
from p2pverify.node.driver import Driver
from p2pverify.node.networkfile import new_network
from p2pverify.node.ports import Neighbour
from p2pverify.node.reports import NodeReports
from tests.node.fakes import FakeEngine, FakeJournal, FakeNetwork
from tests.support.world import World, always

INFO = FakeEngine().info


def test_disputes_name_their_losers():
    """With a peer that always lies, disputes appear, are decided, and name the liar among the losers."""
    world = World(5, seed=3, disputes_per_cut=4)
    world.peers[2].lie = always
    log = AuditLog(world.peers[0].machine.context)
    liar = peer_id(world.peers[2].machine.key)
    disputes, audits = {}, {}
    for _ in range(12):
        world.run_epochs(1)
        log.note_final()
        for dispute in log.disputes():
            disputes[dispute["challenger"], dispute["epoch"], dispute["slot"]] = dispute
        for audit in log.audits(1000):
            audits[audit["challenger"], audit["epoch"], audit["slot"]] = audit
    decided = [dispute for dispute in disputes.values() if dispute["status"] == "decided"]
    assert decided
    assert all(dispute["losers"] == [liar] for dispute in decided)
    assert all(dispute["votes"] <= dispute["electorate"] + 1 for dispute in decided)
    statuses = {key: audit["status"] for key, audit in audits.items()}
    assert all(statuses[d["challenger"], d["epoch"], d["slot"]] == "decided" for d in decided)
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
    """An index that starts after the fact lists the audits that one from the beginning lists."""
    world = World(4, seed=5)
    early = AuditLog(world.peers[0].machine.context)
    for _ in range(6):
        world.run_epochs(1)
        early.audits(1)
    late = AuditLog(world.peers[0].machine.context)
    assert late.audits(1000) == early.audits(1000)
    assert late.audits(1000)


async def test_status_shows_how_far_the_engine_is_behind(autojump_clock):
    """How many jobs wait, for how long, and how many were late or dropped."""
    machine = World(4, seed=1).peers[0].machine
    journal, network = FakeJournal(), FakeNetwork()
    driver = Driver(machine, journal, FakeEngine(), clock=lambda: 1)
    reports = NodeReports(driver, network, journal, INFO)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(partial(driver.use_engine, lambda engine: engine.info))
        await trio.sleep(3)
        jobs = reports.status()["jobs"]
        assert isinstance(jobs, dict)
        assert (jobs["jobs_waiting"], jobs["oldest_waiting_ms"], jobs["jobs_done"]) == (1, 3000, 0)
        assert {"jobs_failed", "jobs_late", "jobs_dropped", "dropped_requests", "dropped_votes"} < set(jobs)
        nursery.cancel_scope.cancel()


async def test_readiness_says_why(autojump_clock):
    """A node that has just started is silent, alone, without a cut and no member; later none of that holds."""
    world = World(4, seed=1)
    machine = world.peers[0].machine
    now = machine.network.params.genesis_ms - 1_500
    journal, network = FakeJournal(), FakeNetwork()
    driver = Driver(machine, journal, FakeEngine(), clock=lambda: now)
    reports = NodeReports(driver, network, journal, INFO)
    assert any("begins in 2 s" in reason for reason in reports.unready())
    assert reports.status()["final"] is None
    assert reports.status()["recent_cuts"] == []
    world.run_epochs(3)
    params = machine.network.params
    network.peers = (Neighbour(world.peers[1].machine.key, "a", outbound=True, in_mesh=True),)
    now = params.epoch_start_ms(4)
    assert reports.unready() == []
    assert reports.status()["ready"] is True
    machine.wake_silently(now)
    assert reports.unready() == ["silent for an epoch after the start"]
    now = params.epoch_start_ms(9)
    network.peers = ()
    assert reports.unready() == ["no neighbours", "no final cut in the last 3 epochs"]
    await trio.lowlevel.checkpoint()


def test_an_engine_finds_its_class():
    """The class is the one with the engine's code path and weights; else the error lists both."""
    network, manifests = new_network("mine", [bytes(32)], INFO, genesis_ms=1)
    assert match_class(network, manifests, INFO) == (0, manifests[0])
    assert expected_weights(network, manifests, "toy") == INFO.weights_sha256
    assert expected_weights(network, manifests, "llama") is None
    from dataclasses import replace

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
