"""Deadlines of the engine's jobs, and dropped jobs: a dropped job has no wrong effect on any peer."""

import random
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from p2pverify.core.events import Compute, ComputeFailed, Event, MeasureJob
from p2pverify.core.inference.jobs import Purpose
from p2pverify.core.records.envelope import Kind
from p2pverify.testnet.world.peer.actor import Actor
from tests.support.worlds import Handle, Make, casting, convicted, make_world, run_until, watching

CHEATER = 3
KINDS = {CHEATER: "always-wrong"}
#: The share of jobs that engines drop.
SHARE = 0.4


@pytest.mark.parametrize("classes", [1, 3])
def test_every_job_says_until_when_it_is_of_use(classes: int) -> None:
    """The deadline of a request is the requester's timeout; of an audit, its duty; of a vote, the end of sealing."""
    jobs: list[tuple[int, Compute | MeasureJob]] = []

    def see(_actor: Actor, told: object, now_ms: int) -> None:
        if isinstance(told, Compute | MeasureJob):
            jobs.append((now_ms, told))

    world = make_world(
        6, seed=3, classes=classes, kinds=KINDS, disputes_per_cut=4, slots_milli=1500, make=watching(see)
    )
    world.run_epochs(12)
    params = world.network.params
    found = Counter(job.purpose for _, job in jobs)
    assert set(found) == {Purpose.REQUEST, Purpose.VOTE, Purpose.AUDIT}
    for now_ms, job in jobs:
        left = (job.deadline_ms - now_ms) / params.epoch_ms
        if job.purpose is Purpose.REQUEST:
            assert left == 2
        elif job.purpose is Purpose.VOTE:
            assert 0 < left <= 5
        else:
            assert 1 <= left <= params.duty_epochs // 2 + 1


def dropping(is_dropped: Callable[[Actor, Compute | MeasureJob, int], bool]) -> Make:
    """Makes actors whose engines have no time for some of their jobs."""

    def around(actor: Actor, event: Event, now_ms: int, handle: Handle) -> list[Any]:
        kept = []
        for effect in handle(event, now_ms):
            if isinstance(effect, Compute | MeasureJob) and is_dropped(actor, effect, now_ms):
                kept += around(actor, ComputeFailed(effect.job, "too late", is_dropped=True), now_ms, handle)
            else:
                kept.append(effect)
        return kept

    return casting({}, around)


@pytest.mark.parametrize("classes", [1, 3])
def test_what_is_dropped_wrongs_nobody(classes: int) -> None:
    """With two fifths of all jobs dropped, requests are refused as busy, votes are tried again, and slots are missed.
    No honest peer has a dissent, nothing is void, the log is not flooded, and the cheater is found."""
    chance = random.Random(5)
    dropped: Counter[Purpose] = Counter()

    def is_dropped(_actor: Actor, job: Compute | MeasureJob, _now_ms: int) -> bool:
        drops = chance.random() < SHARE
        dropped[job.purpose] += drops
        return drops

    world = make_world(
        8,
        seed=3,
        classes=classes,
        kinds=KINDS,
        disputes_per_cut=4,
        slots_milli=2000,
        make=dropping(is_dropped),
    )
    assert run_until(world, lambda: convicted(world, 0) == {CHEATER}, epochs_max=40)
    assert all(dropped[purpose] for purpose in (Purpose.REQUEST, Purpose.VOTE, Purpose.AUDIT))
    members = world.peers[0].machine.fold.latest.members
    for peer in world.peers:
        member = members[peer.machine.key]
        assert peer.number == CHEATER or (member.dissents, member.void_audits) == (0, 0)
        assert set(peer.machine.responder.refused) <= {"busy"}
        assert not [note for note in peer.notes if "cannot vote" in note or "not audited" in note]
    asked: Counter[str] = sum((Counter(peer.machine.challenger.answers) for peer in world.peers), Counter())
    assert asked["refused: busy"] > 0
    assert asked["answered"] > 0


def test_a_dropped_vote_is_tried_again() -> None:
    """It is tried until sealing is closed, because later there is nothing to vote on."""
    wanted: list[int] = []

    def is_dropped(actor: Actor, job: Compute | MeasureJob, now_ms: int) -> bool:
        drops = actor.key == voter.key and isinstance(job, Compute) and job.purpose is Purpose.VOTE
        if drops:
            wanted.append(now_ms)
        return drops

    world = make_world(6, seed=3, kinds=KINDS, disputes_per_cut=4, slots_milli=1500, make=dropping(is_dropped))
    voter = world.peers[0]
    world.run_epochs(14)
    said = [r.kind for r in world.peers[1].machine.context.ledger.chain(voter.machine.key)]
    disputes = world.peers[1].machine.fold.latest.totals["disputes"]
    assert Kind.VOTE_COMMIT not in said
    assert disputes > 0
    assert disputes < len(wanted) <= 10 * disputes
    epoch_ms = world.network.params.epoch_ms
    assert max(Counter(at // (epoch_ms // 2) for at in wanted).values()) <= 2 * disputes
    assert voter.machine.fold.latest.members[voter.machine.key].dissents == 0
