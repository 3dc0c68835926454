"""The upgrades of a run: what its publishers release and recall, who carries it, and when peers have the weights."""

from collections.abc import Callable

from p2pverify.core.events import HeldModel, VersionHeld, WriteRecord
from p2pverify.core.records.envelope import Kind
from p2pverify.core.state.lines.versions import find_version
from p2pverify.core.state.state import State
from p2pverify.testnet.world import items
from p2pverify.testnet.world.peer.peer import Peer
from p2pverify.testnet.world.peer.versions import SimulatedPublishers, manifest_of
from p2pverify.testnet.world.simulation import Simulation

#: Members that carry a release or a recall at the same time.
CARRIERS = 2


class Upgrades:
    """Carries out the upgrades of a plan. `newest` gives the largest final cut of any honest peer."""

    def __init__(self, simulation: Simulation, newest: Callable[[], State | None], context_tokens: int) -> None:
        self._simulation = simulation
        self._newest = newest
        self._context_tokens = context_tokens
        self._publishers = SimulatedPublishers(simulation.plan.seed)
        self._released: list[int] = []

    def begin(self) -> None:
        """Post all upgrades of the plan."""
        simulation = self._simulation
        for place, upgrade in enumerate(simulation.plan.upgrades):
            simulation.post(simulation.network.params.epoch_start_ms(upgrade.epoch), -1, (items.UPGRADE, place))

    def happen(self, place: int, peers: list[Peer], able: list[Peer]) -> None:
        """Have members that are `able` to sign carry an upgrade, until a final cut holds it.

        Each of `peers` gets the weights of a released version while it is announced, or during the overlap.
        """
        simulation, network = self._simulation, self._simulation.network
        is_release, number = simulation.plan.upgrades[place].what == "release", self._number(place)
        (notice, overlap, _), epoch_ms = simulation.plan.line_epochs, network.params.epoch_ms
        if is_release and number not in self._released:
            self._released.append(number)
            for peer in peers:
                self._hold(peer, number, simulation.chance.below((notice + overlap - 1) * epoch_ms))
        if simulation.is_resting or self._is_counted(number, is_release=is_release):
            return
        if is_release:
            order = WriteRecord(0, Kind.RELEASE, self._publishers.release(network, number))
        else:
            order = WriteRecord(0, Kind.RECALL, self._publishers.recall(network, number))
        for peer in able[:CARRIERS]:
            simulation.post(simulation.now_ms, peer.number, (items.ORDER, peer.life, order))
        simulation.post(simulation.now_ms + epoch_ms, -1, (items.UPGRADE, place))

    def started(self, peer: Peer) -> None:
        """A peer runs again: it has the weights of all versions so far."""
        for number in self._released:
            self._hold(peer, number, 0)

    def _number(self, place: int) -> int:
        """The number of the version that an upgrade is about: releases count up."""
        return sum(upgrade.what == "release" for upgrade in self._simulation.plan.upgrades[: place + 1])

    def _is_counted(self, number: int, *, is_release: bool) -> bool:
        newest = self._newest()
        notes = None if newest is None else newest.lines.get(0)
        version = None if notes is None else find_version(notes, number)
        return version is not None and (is_release or version.is_recalled)

    def _hold(self, peer: Peer, number: int, late_ms: int) -> None:
        held = VersionHeld(HeldModel(manifest_of(number), self._context_tokens))
        self._simulation.post(self._simulation.now_ms + late_ms, peer.number, (items.ORDER, peer.life, held))
