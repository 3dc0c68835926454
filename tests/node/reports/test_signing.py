"""Messages about a node that signs nothing: the progress of a leave."""

from p2pverify.core.events import Leave
from p2pverify.node.reports.signing import LEFT, standstill
from tests.support.world import World


def test_a_leave_says_until_when_the_node_is_needed() -> None:
    """Four of five founders leave at once. They continue to sign until cuts have taken their weight, one by one."""
    world = World(5, seed=31, cores=5)
    world.run_epochs(4)
    leaver = world.peers[4].machine  # the last in the order of keys, in which cuts take weight
    for peer in world.peers[1:]:
        world.post(0, peer.name, Leave())
    said = [standstill(leaver, world.now).get(LEFT, "")]
    for _ in range(12):
        world.run_epochs(1)
        said.append(standstill(leaver, world.now)[LEFT])
    assert said[0] == ""
    assert "keep this node running" in said[1]
    assert "may be stopped" in said[-1]
    state = world.peers[0].machine.fold.latest
    assert [state.members[peer.machine.key].weight for peer in world.peers] == [1, 0, 0, 0, 0]
    assert state.epoch >= world.network.params.epoch_at(world.now) - 1


def test_the_last_one_with_weight_may_stop_as_well() -> None:
    """No cut takes its weight, so it need not wait for one."""
    world = World(1, seed=32)
    world.run_epochs(3)
    world.post(0, 0, Leave())
    world.run_epochs(3)
    machine = world.peers[0].machine
    assert machine.fold.latest.members[machine.key].weight == 1
    assert "may be stopped" in standstill(machine, world.now)[LEFT]
