"""Small worlds of `p2pverify.testnet.world`: the test names the hostile peers, and can watch every peer."""

from collections.abc import Callable, Mapping
from typing import Any

from p2pverify.core.contract.network import Network
from p2pverify.core.encoding import sign
from p2pverify.core.events import Event
from p2pverify.core.state.state import State
from p2pverify.testnet.world import ActorPlan, World, WorldPlan
from p2pverify.testnet.world.liars.registry import make_actor
from p2pverify.testnet.world.peer.actor import Actor, ActorArgs
from p2pverify.testnet.world.peer.engine import SimulatedEngine
from p2pverify.testnet.world.plan import Identity
from p2pverify.testnet.world.world import make_network
from tests.support.networks import RULES, seeds

Make = Callable[[str, ActorArgs], Actor]
Handle = Callable[[Event, int], list[Any]]
#: Gets an actor, an event for it, the time (ms), and the actor's own `handle`. Returns the effects.
Around = Callable[[Actor, Event, int, Handle], list[Any]]


def plan(count: int, **changes: object) -> WorldPlan:
    """The plan of a small, quick world. `changes` are fields of a plan, or rules of the network."""
    values: dict[str, Any] = {"peers": count, "founders": count, "members": count, "latency_ms": (2, 20)}
    values |= {"jitter_ms": 20, "sync_ms": 1_000, "redial_ms": 500}
    rules: dict[str, Any] = {**RULES}
    for name, value in changes.items():
        (values if name in WorldPlan.__dataclass_fields__ else rules)[name] = value
    return WorldPlan(rules=rules, **values)


def make_world(
    count: int,
    *,
    seed: int = 1,
    founders: int | None = None,
    kinds: Mapping[int, str] | None = None,
    late: Mapping[int, int] | None = None,
    rate_ppm: int = 1_000_000,
    onset_epoch: int = 0,
    make: Make | None = None,
    engine: Callable[[Actor], SimulatedEngine] | None = None,
    contract: Callable[[Network], Network] = lambda usual: usual,
    **changes: object,
) -> World:
    """A small world of members in the order of their keys. The first `founders` of them are founders.

    `kinds` has the kinds of hostile peers by number, `late` the first epochs of peers that take part later. `make` and
    `engine` are parts of a world, `contract` changes its network, and `changes` are as for a plan.
    """
    first = count if founders is None else founders
    actors = {number: ActorPlan(kind, 1, rate_ppm, onset_epoch) for number, kind in (kinds or {}).items()}
    people = [
        Identity(n, each, sign.public_key(each), n < first, True, actors.get(n), (late or {}).get(n, 0), None)
        for n, each in enumerate(seeds(count, f"world-{seed}"))
    ]
    chosen = plan(count, seed=seed, **changes)
    return World(chosen, people, network=contract(make_network(chosen, people)), make=make, engine=engine)


def casting(kinds: Mapping[str, Callable[[ActorArgs], Actor]], around: Around | None = None) -> Make:
    """Makes actors: of these kinds by their own makers, all others as usual. All events go through `around`."""

    def make(kind: str, args: ActorArgs) -> Actor:
        actor = kinds[kind](args) if kind in kinds else make_actor(kind, args)
        if around is not None:
            handle = actor.handle
            actor.handle = lambda event, now_ms: around(actor, event, now_ms, handle)
        return actor

    return make


def watching(see: Callable[[Actor, Event | Any, int], None]) -> Make:
    """Makes actors as usual; `see` is told each event and each effect, with the actor and the time (ms)."""

    def around(actor: Actor, event: Event, now_ms: int, handle: Handle) -> list[Any]:
        effects = handle(event, now_ms)
        for told in (event, *effects):
            see(actor, told, now_ms)
        return effects

    return casting({}, around)


def run_until(world: World, done: Callable[[], bool], *, epochs_max: int) -> bool:
    """Run until `done`, for so many epochs at most."""
    for _ in range(4 * epochs_max):
        if done():
            return True
        world.run_epochs(0.25)
    return done()


def restart(world: World, *numbers: int) -> None:
    """Kill peers, and start them again on their disks."""
    for number in numbers:
        world.stop(world.peers[number])
    for number in numbers:
        world.start(world.peers[number])


def final(world: World, number: int = 0) -> State:
    """The newest final state of a peer."""
    return world.peers[number].machine.fold.latest


def convicted(world: World, number: int = 0) -> set[int]:
    """The numbers of the peers that a peer's final view convicts."""
    members = final(world, number).members
    return {world.by_key[key].number for key, member in members.items() if member.is_convicted}
