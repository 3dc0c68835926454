"""Upgrades in virtual time: two releases and a recall, with a partition and crashes, and a peer that stays stale."""

import pytest

from p2pverify.core.state.lines.versions import Status, is_behind, notes_of, status_of
from p2pverify.core.state.state import State
from p2pverify.testnet.faults import Fault, FaultKind
from p2pverify.testnet.world import World
from p2pverify.testnet.world.plan import ActorPlan, UpgradePlan, WorldPlan
from tests.simulation.test_takeover import CHEAP

RELEASES, RECALL, EPOCHS = (3, 16), 24, 34
#: Epochs after the end of an overlap, or after the time to leave a recalled version, in which all have moved.
LATE_EPOCHS = 2


def plan(seed: int, peers: int) -> WorldPlan:
    """Eleven of twelve are honest founders, and every twelfth claims later versions and serves the first."""
    upgrades = (*(UpgradePlan(epoch, "release") for epoch in RELEASES), UpgradePlan(RECALL, "recall"))
    return WorldPlan(
        "-",
        seed,
        peers,
        EPOCHS,
        peers,
        peers,
        (ActorPlan("stale-version", max(1, peers // 12), founders=True),),
        (Fault(FaultKind.PARTITION, 5, 30_000, peers // 4), Fault(FaultKind.CRASH, 18, 15_000, peers // 12)),
        upgrades=upgrades,
        rules={"epoch_ms": 10_000},
        **CHEAP,
    )


class Watched:
    """A world that is played to its end, and in which epochs each honest peer was behind."""

    def __init__(self, seed: int, peers: int) -> None:
        self.world = World(plan(seed, peers))
        self.behind: dict[bytes, list[int]] = {}
        self.audited: dict[int, set[int]] = {}  # epoch of a view -> versions that two members or more serve
        self.world.play(self._look)

    def _look(self, _epoch: int) -> None:
        state = self.world.invariants.newest
        if state is None:
            return
        for peer in self.world.honest:
            if peer.key in state.members and is_behind(self.world.network, state, peer.key):
                self.behind.setdefault(peer.key, []).append(state.epoch)
        served = [state.version_of(peer.key) for peer in self.world.peers]
        self.audited[state.epoch] = {number for number in served if served.count(number) > 1}

    @property
    def state(self) -> State:
        return self.world.honest[0].machine.fold.latest

    def statuses(self) -> list[Status]:
        line, notes = self.world.network.lines[0], notes_of(self.world.network, self.state, 0)
        return [status_of(line, notes, number, self.state.epoch) for number in (0, 1, 2)]


@pytest.mark.parametrize("seed", [1])
def test_upgrades_and_a_recall(seed: int) -> None:
    """No view splits, no honest peer is convicted or stays behind, both versions are audited side by side."""
    watched = Watched(seed, 16)
    world, state = watched.world, watched.state
    assert world.invariants.faults == []
    assert watched.statuses() == [Status.RETIRED, Status.CURRENT, Status.RECALLED]
    honest = {peer.key for peer in world.honest}
    assert {peer.key for peer in world.peers if state.members[peer.key].is_convicted} == (
        {peer.key for peer in world.peers} - honest
    )
    assert all(len(epochs) <= LATE_EPOCHS for epochs in watched.behind.values())
    assert {state.version_of(peer) for peer in honest} == {1}
    assert any(len(versions) > 1 for versions in watched.audited.values())
