"""Common fixtures of the node's tests."""

import hashlib
from dataclasses import dataclass, replace

import pytest

from p2pverify.core.encoding.peerid import peer_id
from p2pverify.node.driver import Driver
from p2pverify.node.ports import Neighbour
from p2pverify.node.reports.documents.scores import ScoreDocument
from p2pverify.node.reports.overview import NodeReports
from p2pverify.testnet.world import World
from tests.node.fakes import FakeEngine, FakeJournal, FakeNetwork
from tests.support.worlds import make_world


@dataclass
class Stage:
    """Reports of a healthy member of a small world. A test changes its own row and its clock."""

    world: World
    reports: NodeReports
    driver: Driver
    network: FakeNetwork
    now: int = 0

    def change(self, **changes: object) -> None:
        """Change the member in the newest final state."""
        fold = self.world.peers[0].machine.fold
        key = self.world.peers[0].machine.key
        members = {**fold.latest.members, key: replace(fold.latest.members[key], **changes)}
        fold.latest = replace(fold.latest, id=hashlib.sha256(fold.latest.id).digest(), members=members)

    @property
    def row(self) -> ScoreDocument:
        """The member's own row of the final scores."""
        own = peer_id(self.world.peers[0].machine.key)
        found = self.reports.scores(final=True).row(own)
        assert found is not None
        return found


@pytest.fixture
def stage() -> Stage:
    world = make_world(4, seed=1)
    world.run_epochs(4)
    network = FakeNetwork(peers=(Neighbour(world.peers[1].machine.key, "a", outbound=True, in_mesh=True),))
    found = Stage(world, None, None, network, world.now_ms)
    found.driver = Driver(world.peers[0].machine, FakeJournal(), FakeEngine(), clock=lambda: found.now)
    found.reports = NodeReports(found.driver, network, FakeJournal(), FakeEngine().info)
    return found
