"""A lone founder whose clock was ahead for a moment waits until that time has come, and its network goes on."""

import pytest

from p2pverify.core.events import Tick
from p2pverify.core.machine import Machine
from tests.support.networks import MANIFEST, make_network, seeds


@pytest.mark.parametrize("ahead", [1, 10, 80, 700])
def test_cuts_go_on_after_the_clock_was_ahead(ahead: int) -> None:
    """It has made a cut of a future epoch. The next cut builds on it, for any distance between the two."""
    identity = seeds(1, "leap")[0]
    network = make_network([identity])
    params = network.params
    machine = Machine(network, identity, 0, MANIFEST, 64)
    machine.load([], [], params.genesis_ms - 1_000, alone=True)

    def live(epoch: int) -> None:
        for share in range(0, 1000, 100):
            machine.handle(Tick(), params.epoch_start_ms(epoch) + params.epoch_ms * share // 1000)

    for epoch in range(5):
        live(epoch)
    assert machine.fold.latest.epoch == 4
    live(5 + ahead)
    assert machine.fold.latest.epoch == 5 + ahead
    for epoch in range(6, 9 + ahead):
        live(epoch)
    assert machine.fold.latest.epoch == 8 + ahead
