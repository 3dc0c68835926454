"""Deadlines of the engine's jobs, and dropped jobs: a dropped job has no wrong effect on any peer."""

import random
from collections import Counter

import pytest

from p2pverify.core.events import Compute, ComputeFailed, MeasureJob
from p2pverify.core.inference.jobs import Purpose
from p2pverify.core.records.envelope import Kind
from tests.support.world import Peer, World, always

CHEATER = 3


class Listening(World):
    """Notes all jobs."""

    def __init__(self, count: int, **changes: object) -> None:
        self.jobs: list[tuple[int, Compute | MeasureJob]] = []
        super().__init__(count, **changes)  # type: ignore[arg-type]

    def _carry_out(self, peer: Peer, effect: object) -> None:
        if isinstance(effect, Compute | MeasureJob):
            self.jobs.append((self.now, effect))
        super()._carry_out(peer, effect)


@pytest.mark.parametrize("classes", [1, 3])
def test_every_job_says_until_when_it_is_of_use(classes: int) -> None:
    """The deadline of a request is the requester's timeout; of an audit, its duty; of a vote, the end of sealing."""
    world = Listening(6, seed=3, cores=6, classes=classes, slots_milli=1500, disputes_per_cut=4)
    world.peers[CHEATER].lie = always
    world.run_epochs(12)
    params = world.network.params
    found = Counter(job.purpose for _, job in world.jobs)
    assert set(found) == {Purpose.REQUEST, Purpose.VOTE, Purpose.AUDIT}
    for now_ms, job in world.jobs:
        left = (job.deadline_ms - now_ms) / params.epoch_ms
        if job.purpose is Purpose.REQUEST:
            assert left == 2
        elif job.purpose is Purpose.VOTE:
            assert 0 < left <= 5
        else:
            assert 1 <= left <= params.duty_epochs // 2 + 1


class Dropping(World):
    """Engines that have no time for a share of their jobs."""

    share = 0.4

    def __init__(self, count: int, **changes: object) -> None:
        self.chance = random.Random(5)
        self.dropped: Counter[Purpose] = Counter()
        self.refused: Counter[str] = Counter()
        super().__init__(count, **changes)  # type: ignore[arg-type]

    def _carry_out(self, peer: Peer, effect: object) -> None:
        if isinstance(effect, Compute | MeasureJob) and self.chance.random() < self.share:
            self.dropped[effect.purpose] += 1
            self.post(0, peer.name, ComputeFailed(effect.job, "too late", is_dropped=True))
            return
        super()._carry_out(peer, effect)


@pytest.mark.parametrize("classes", [1, 3])
def test_what_is_dropped_wrongs_nobody(classes: int) -> None:
    """With two fifths of all jobs dropped, requests are refused as busy, votes are tried again, and slots are missed.
    No honest peer has a dissent, nothing is void, the log is not flooded, and the cheater is found."""
    world = Dropping(8, seed=3, cores=8, classes=classes, slots_milli=2000, disputes_per_cut=4)
    world.peers[CHEATER].lie = always
    assert world.run_until(lambda: world.convicted(0) == {CHEATER}, epochs_max=40)
    assert all(world.dropped[purpose] for purpose in (Purpose.REQUEST, Purpose.VOTE, Purpose.AUDIT))
    members = world.peers[0].machine.fold.latest.members
    for peer in world.peers:
        member = members[peer.machine.key]
        assert peer.name == CHEATER or (member.dissents, member.void_audits) == (0, 0)
        assert set(peer.machine.responder.refused) <= {"busy"}
        assert not [note for note in peer.notes if "cannot vote" in note or "not audited" in note]
    asked: Counter[str] = sum((Counter(peer.machine.challenger.answers) for peer in world.peers), Counter())
    assert asked["refused: busy"] > 0
    assert asked["answered"] > 0


def test_a_dropped_vote_is_tried_again() -> None:
    """It is tried until sealing is closed, because later there is nothing to vote on."""
    world = Dropping(6, seed=3, cores=6, slots_milli=1500, disputes_per_cut=4)
    world.share = 0.0
    world.peers[CHEATER].lie = always
    voter = world.peers[0]
    wanted: list[int] = []
    keep = world._carry_out

    def carry_out(peer: Peer, effect: object) -> None:
        if peer is voter and isinstance(effect, Compute) and effect.purpose is Purpose.VOTE:
            wanted.append(world.now)
            world.post(0, peer.name, ComputeFailed(effect.job, "too late", is_dropped=True))
        else:
            keep(peer, effect)

    world._carry_out = carry_out  # type: ignore[method-assign]
    world.run_epochs(14)
    said = [r.kind for r in world.peers[1].machine.context.ledger.chain(voter.machine.key)]
    disputes = world.peers[1].machine.fold.latest.totals["disputes"]
    assert Kind.VOTE_COMMIT not in said
    assert disputes > 0
    assert disputes < len(wanted) <= 10 * disputes
    epoch_ms = world.network.params.epoch_ms
    assert max(Counter(at // (epoch_ms // 2) for at in wanted).values()) <= 2 * disputes
    assert voter.machine.fold.latest.members[voter.machine.key].dissents == 0
