"""Messages about a node that signs nothing: the progress of a leave."""

from p2pverify.core.events import Leave
from p2pverify.node.reports.signing import LEFT, standstill
from tests.support.worlds import make_world


def test_a_leave_says_until_when_the_node_is_needed() -> None:
    """Four of five founders leave at once. They continue to sign until cuts have taken their weight, one by one."""
    world = make_world(5, seed=31)
    world.run_epochs(4)
    leaver = world.peers[4].machine  # the last in the order of keys, in which cuts take weight
    said = [standstill(leaver, world.now_ms).get(LEFT, "")]
    for peer in world.peers[1:]:
        peer.feed(Leave())
    for _ in range(12):
        world.run_epochs(1)
        said.append(standstill(leaver, world.now_ms)[LEFT])
    assert said[0] == ""
    assert "keep this node running" in said[1]
    assert "may be stopped" in said[-1]
    state = world.peers[0].machine.fold.latest
    assert [state.members[peer.machine.key].weight for peer in world.peers] == [1, 0, 0, 0, 0]
    assert state.epoch >= world.network.params.epoch_at(world.now_ms) - 1


def test_the_last_one_with_weight_may_stop_as_well() -> None:
    """No cut takes its weight, so it need not wait for one."""
    world = make_world(1, seed=32)
    world.run_epochs(3)
    world.peers[0].feed(Leave())
    world.run_epochs(3)
    machine = world.peers[0].machine
    assert machine.fold.latest.members[machine.key].weight == 1
    assert "may be stopped" in standstill(machine, world.now_ms)[LEFT]
