"""A member of the simulated world moves to its next key: the new process takes over, the old one stops."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from p2pverify.core.encoding import sign
from p2pverify.core.events import Event, Persist
from p2pverify.core.records.envelope import Kind
from p2pverify.core.records.payloads.keys.handover import sign_consent
from p2pverify.core.records.payloads.lots import DisputeKey
from p2pverify.core.roles.keys.successor import Succession
from p2pverify.core.state.state import Member
from p2pverify.testnet.world import ActorPlan, World
from p2pverify.testnet.world.peer.actor import Actor, ActorArgs
from p2pverify.testnet.world.plan import Identity
from p2pverify.testnet.world.world import make_network
from tests.support.handovers import keys_of, next_seed
from tests.support.networks import seeds
from tests.support.worlds import convicted, final, make_actor, plan, restart, run_until

FOUNDERS = seeds(5, "rotation")
OLD = FOUNDERS[4]
NEW = next_seed(OLD)
OLD_KEY, NEW_KEY = sign.public_key(OLD), sign.public_key(NEW)
BEGINS = 4
DEATHS = 3
RULES = {"handover_epochs": 16, "growth_epochs": 4096, "duty_epochs": 4, "dispute_epochs": 8}


def rotating(
    *, consent: bool = True, around: Callable[[Actor], None] | None = None, lies: bool = False, begins: int = BEGINS
) -> World:
    """Five founders, and from an epoch on the next key of the last one."""
    chosen = plan(5, members=6, peers=6, **RULES)
    liar = ActorPlan("always-wrong", 1, 250_000, 0) if lies else None
    people = [
        Identity(n, each, sign.public_key(each), True, True, liar if each == OLD else None, 0, None)
        for n, each in enumerate(FOUNDERS)
    ]
    people.append(Identity(5, NEW, NEW_KEY, False, True, None, begins, None))
    network = make_network(chosen, people)
    signed = sign_consent(OLD, network.id, NEW_KEY, keys_of(NEW)) if consent else None

    def make(kind: str, args: ActorArgs) -> Actor:
        succession = Succession(OLD_KEY, signed) if args.seed == NEW else None
        actor = make_actor(kind, replace(args, next_key=keys_of(args.seed).next_key, succession=succession))
        if around is not None and args.seed == NEW:
            around(actor)
        return actor

    return World(chosen, people, network=network, make=make)


def is_own(effect: object) -> bool:
    return isinstance(effect, Persist) and any(record.author == NEW_KEY for record in effect.records)


def moved(world: World) -> bool:
    row = final(world).members.get(NEW_KEY)
    return row is not None and row.weight == 1


@pytest.mark.parametrize("consent", [True, False], ids=["planned", "lost"])
def test_a_member_moves_to_its_next_key_and_keeps_its_score(consent: bool) -> None:
    world = rotating(consent=consent)
    world.run_epochs(BEGINS)
    world.stop(world.peers[4])  # its operator has
    before = final(world).members[OLD_KEY]
    assert run_until(world, lambda: moved(world), epochs_max=30)
    after = final(world).members[NEW_KEY]
    assert after.agreements >= before.agreements > 0
    assert after.founder
    assert OLD_KEY not in final(world).members
    met = after.duties_met
    world.run_epochs(8)
    assert final(world).members[NEW_KEY].duties_met > met
    assert final(world).moved[OLD_KEY].successor == NEW_KEY
    assert (convicted(world), world.invariants.faults) == (set(), [])


def test_the_old_process_goes_on_signing_cuts_until_its_weight_is_taken_and_then_stops() -> None:
    world = rotating()
    old = world.peers[4].machine
    assert run_until(world, lambda: moved(world), epochs_max=30)
    assert "handed over" in old.context.silence.stopped
    above = [record for record in old.context.ledger.chain(OLD_KEY) if record.epoch > BEGINS + 4]
    assert {record.kind for record in above} <= {Kind.CUT, Kind.CUT_SIGNATURE}
    assert (convicted(world), world.invariants.faults) == (set(), [])


def test_a_successor_that_is_killed_at_any_effect_never_signs_two_ways() -> None:
    """Each life ends before another write of the new key reaches the disk, or right after it."""
    deaths: list[int] = []

    def around(actor: Actor) -> None:
        handle, life = actor.handle, [True]

        def watched(event: Event, now_ms: int) -> list[Any]:
            if not life[0]:
                return []
            effects = handle(event, now_ms)
            if len(deaths) < DEATHS and any(is_own(each) for each in effects):
                deaths.append(now_ms)
                life[0] = False
                return effects[: len(deaths) % 3]  # before the write, after it, or after the publication
            return list(effects)

        actor.handle = watched

    world = rotating(around=around)
    world.run_epochs(BEGINS)
    world.stop(world.peers[4])
    for _ in range(120):
        known = len(deaths)
        world.run_epochs(0.5)
        if len(deaths) > known:
            restart(world, 5)
        if moved(world):
            break
    assert moved(world)
    assert len(deaths) == DEATHS
    assert not world.peers[0].machine.context.ledger.is_forked(NEW_KEY)
    assert (convicted(world), world.invariants.faults) == (set(), [])


def test_a_liar_does_not_escape_its_disputes() -> None:
    """It hands over while disputes about it are open. All of them are decided against its row before that moves."""
    world = rotating(lies=True, begins=1)

    def about() -> set[DisputeKey]:
        disputes = final(world).disputes.items()
        return {key for key, each in disputes if OLD_KEY in each.parties and not each.has_effect}

    def row() -> Member:
        members = final(world).members
        return members.get(NEW_KEY) or members[OLD_KEY]

    assert run_until(world, lambda: OLD_KEY in final(world).handovers and len(about()) > 0, epochs_max=20)
    world.stop(world.peers[4])
    before = row().dissents

    def has_moved() -> bool:
        return NEW_KEY in final(world).members

    while not has_moved():
        assert final(world).epoch < 60
        world.run_epochs(1)
    assert row().dissents > before
    # The invariants take the next key for another, honest peer. It has the standing of the liar.
    assert all(fault.startswith("honest peer 5 is convicted") for fault in world.invariants.faults)
