"""Gangs on their way to a majority, and a peer that objects to what is right. `tests/simulation` plays a takeover."""

from p2pverify.core.state.view import scores
from p2pverify.testnet.world import World
from tests.support.worlds import final, make_world
from tests.testnet.world.liars.test_answers import BAD, CHEAT, play
from tests.testnet.world.looks import convictions, honest_numbers

FOUNDERS, PEERS = 4, 7
GANG = range(FOUNDERS, PEERS)


def grow(kind: str, epochs: int, growth_epochs: int = 16) -> tuple[World, list[int]]:
    """A gang beside four founders, too small for a majority. Returns how many of it waited for weight at each epoch."""
    world = make_world(PEERS, founders=FOUNDERS, kinds=dict.fromkeys(GANG, kind), growth_epochs=growth_epochs)
    waiting = []
    for _ in range(epochs):
        world.run_epochs(1)
        members = final(world).members
        own = [members[world.peers[number].key] for number in GANG if world.peers[number].key in members]
        waiting.append(sum(not member.weight for member in own))
    return world, waiting


def test_a_gang_without_a_majority_behaves() -> None:
    world, waiting = grow("takeover", 16)
    assert waiting[3] == len(GANG) > waiting[-1]
    assert convictions(world) == {}
    assert "disputes" not in final(world).totals


def test_a_slow_gang_has_few_that_wait() -> None:
    world, waiting = grow("takeover-slow", 16)
    assert max(waiting) == 2
    assert final(world).total_weight == PEERS
    assert convictions(world) == {}


def test_members_of_a_gang_sponsor_each_other() -> None:
    """The first two of them stand for the third, and it has weight before its turn would come."""
    world, waiting = grow("sponsored", 22, growth_epochs=40)
    _, alone = grow("takeover", 22, growth_epochs=40)
    (sponsored,) = [member for member in final(world).members.values() if member.sponsors]
    assert (len(sponsored.sponsors), sponsored.weight) == (2, 1)
    assert waiting.count(0) > alone.count(0)


def test_who_objects_to_right_decisions_is_shown_and_stops_nothing() -> None:
    """No honest peer joins it. The liar is convicted, and its row names the one that contests this."""
    world = play("objection-troll", 12, partner="wrong", rate_ppm=700_000)
    assert set(convictions(world)) == {CHEAT}
    rows = {row.peer: row for row in scores(world.network, final(world))}
    assert rows[world.peers[CHEAT].key].contested_by == (world.peers[BAD].key,)
    for number in honest_numbers(world):
        assert world.peers[number].machine.objector.against == frozenset()
