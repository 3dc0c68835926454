"""A simulated network with an electorate that is too large to vote as a whole: committees decide, with equal
results."""

from collections import Counter

from p2pverify.core.blind.committees import COMMITTEES, EVERYONE
from p2pverify.core.records.envelope import Kind
from p2pverify.core.records.payloads.lots import DisputeKey
from p2pverify.core.records.payloads.vote import decode_commit
from p2pverify.core.state.state import State
from p2pverify.testnet.world import World
from p2pverify.testnet.world.plan import ActorPlan, WorldPlan
from tests.simulation.test_takeover import CHEAP

SEED = 3
VOTERS = 40
LIARS = 2
EPOCHS = 13


def play() -> World:
    """Two of forty founders answer everything wrongly. All engines vote honestly."""
    actors = (ActorPlan("always-wrong", LIARS, founders=True),)
    rules = {"epoch_ms": 10_000, "spot_check_permille": 0}
    plan = WorldPlan("-", SEED, VOTERS, EPOCHS, VOTERS, VOTERS, actors, rules=rules, **CHEAP)
    world = World(plan)
    world.play()
    return world


def answers_by_dispute(world: World) -> dict[DisputeKey, Counter[int]]:
    """The number of sealed answers in each dispute, by stage."""
    found: dict[DisputeKey, Counter[int]] = {}
    for record in world.honest[0].machine.context.ledger.records():
        if record.kind == Kind.VOTE_COMMIT:
            commit = decode_commit(record.payload)
            stage = EVERYONE if commit.lot is None else commit.lot.stage
            found.setdefault(commit.dispute, Counter())[stage] += 1
    return found


def test_committees_decide_for_a_large_electorate() -> None:
    """The liars lose all decided disputes, no other peer loses any, and cuts are nested, as without committees.

    A dispute costs at most half as many answers, unless the other liar is in the committee.
    """
    world = play()
    assert world.invariants.faults == []
    state: State = world.honest[0].machine.fold.latest
    liars = {identity.key for identity in world.identities if identity.actor is not None}
    assert {peer for peer, member in state.members.items() if member.dissents} == liars
    decided = [dispute for dispute in state.disputes.values() if dispute.decision is not None]
    assert len(decided) >= 6
    answers = answers_by_dispute(world)
    quick = [dispute for dispute in decided if dispute.round.stage == 1]
    assert 2 * len(quick) > len(decided)
    seats = COMMITTEES[1].seats
    for dispute in decided:
        sealed = answers[dispute.key]
        assert seats <= sealed[1] <= 30  # eighteen on average, twice the number of seats
        if dispute in quick:
            assert not sealed[EVERYONE]
            assert seats <= len(dispute.votes) <= seats + 1
        else:
            assert dispute.heard & liars
    assert 4 * sum(answers[dispute.key].total() for dispute in decided) < 3 * VOTERS * len(decided)
