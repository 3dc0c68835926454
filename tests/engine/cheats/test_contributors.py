"""Contributors that break the rules of rounds: nobody counts what they sign, and rounds go on without them."""

from p2pverify.core.records.envelope import Kind
from p2pverify.engine.cheats.contributors import CONTRIBUTORS, lying_machine
from p2pverify.engine.cheats.kinds import KINDS, CheatPlace
from p2pverify.engine.cheats.spec import CheatSpec
from p2pverify.engine.cheats.training import TRAININGS
from p2pverify.testnet.world import World
from tests.support.rounds import round_world
from tests.support.worlds import convicted, final, run_until

CHEATER = 0


def play(kind: str, rounds: int, **options: object) -> World:
    """Rounds of six contributors, of which five are enough. The first one cheats."""
    machines = {CHEATER: lying_machine(CheatSpec(kind))}
    world = round_world(8, 6, machines=machines, **options)  # type: ignore[arg-type]
    assert run_until(world, lambda: decided(world) >= rounds, epochs_max=12 * rounds)
    return world


def decided(world: World) -> int:
    known = final(world).rounds.get(0)
    return 0 if known is None else known.decided


def contributed(world: World, key: bytes) -> int:
    return sum(note.row.author == key for over in final(world).rounds[0].closed for note in over.contributions)


def sealed(world: World, key: bytes) -> int:
    chain = world.peers[0].machine.context.ledger.chain(key)
    return sum(record.kind == Kind.UPDATE_SEAL for record in chain)


def test_a_copied_seal_opens_for_nobody() -> None:
    """The copy counts as a seal and never as an update, because the author is inside. Nobody is convicted."""
    world = play("copy-update", 2)
    key = sorted(peer.key for peer in world.peers)[CHEATER]
    assert sealed(world, key) >= 2
    assert contributed(world, key) == 0
    assert final(world).totals["update: does not open the seal"] >= 2
    assert convicted(world) == set()
    assert world.invariants.faults == []


def test_an_update_beyond_the_held_rows_does_not_count() -> None:
    """Who has rows for one round alone seals in the next one in vain. The budget of privacy is the same check."""
    world = play("overspend", 2, helds={CHEATER: 8})
    key = sorted(peer.key for peer in world.peers)[CHEATER]
    assert sealed(world, key) >= 2
    assert contributed(world, key) == 1
    assert final(world).totals["update seal: author does not contribute to the round"] >= 1
    assert convicted(world) == set()


def test_every_cheat_in_training_is_made() -> None:
    """By a false training, or by another contributor, and never by both."""
    kinds = {name for name, kind in KINDS.items() if kind.place is CheatPlace.TRAINING}
    assert kinds == {*TRAININGS, *CONTRIBUTORS}
    assert not CONTRIBUTORS & TRAININGS.keys()
