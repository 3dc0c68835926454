"""A bought majority: patient joiners that behave until they have most of the weight, and then lie together."""

from p2pverify.core.records.envelope import Kind
from p2pverify.testnet.world import World
from p2pverify.testnet.world.plan import ActorPlan, WorldPlan

FOUNDERS, JOINERS = 5, 7
ONSET = 40
#: With this growth the joiners have seven of twelve weights by the onset: more than a half, less than two thirds.
BOUGHT = {"growth_epochs": 24, "tenure_epochs": 0, "epoch_ms": 10_000}


def play(epochs: int, **rules: int) -> World:
    peers = FOUNDERS + JOINERS
    actors = (ActorPlan("colluders", JOINERS, onset_epoch=ONSET, founders=False),)
    world = World(WorldPlan("-", 1, peers, epochs, FOUNDERS, peers, actors, rules=rules))
    world.play()
    return world


def test_a_bought_majority_convicts_nobody_and_the_network_stops() -> None:
    """The honest peers see that decisions are wrong, object, and sign no cut with a wrong conviction."""
    world = play(ONSET + 8, **BOUGHT)
    honest = [peer.actor.machine for peer in world.honest]
    state = honest[0].fold.latest
    hostile = state.total_weight - state.weight_of(machine.key for machine in honest)
    assert state.total_weight / 2 < hostile < state.total_weight * 2 / 3
    assert world.invariants.faults == []
    for machine in honest:
        assert machine.fold.latest.convicted == frozenset()
        assert machine.fold.latest.epoch <= ONSET + 8
        assert machine.objector.against
    keys = {machine.key for machine in honest}
    assert set().union(*(machine.objector.refused for machine in honest)) <= keys
    objections = [record for record in honest[0].context.ledger.records() if record.kind == Kind.OBJECTION]
    assert {record.author for record in objections} <= keys
    assert len(objections) >= FOUNDERS


def test_with_the_usual_growth_the_liars_never_have_weight_and_are_convicted() -> None:
    world = play(ONSET + 22, epoch_ms=10_000)
    liars = {identity.key for identity in world.identities if identity.actor is not None}
    for peer in world.honest:
        state = peer.actor.machine.fold.latest
        assert state.total_weight == FOUNDERS
        assert state.convicted == liars
        assert peer.actor.machine.objector.against == frozenset()
