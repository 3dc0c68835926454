"""A network without a quorum for any time: new cuts become final soon after the quorum is back."""

from itertools import combinations

from hypothesis import given, settings
from hypothesis import strategies as st

from p2pverify.core.records.envelope import Kind
from p2pverify.testnet.world import World
from tests.support.worlds import final, make_world
from tests.testnet.world.looks import convictions, honest_numbers, ledger_of, views

#: The most epochs from the quorum's return to the next final cut.
RETURN_EPOCHS = 3
#: The most proposals and signatures of an honest peer in a pause of any length.
PAUSE_RECORDS = 6
EPOCH_MS = 20_000  # long compared with the engine and the links, so that the worlds are quick to play
MEMBERS = 6
HOSTILE = 5
JOINER = 6
EVERYBODY = range(MEMBERS + 1)
PAUSES = ("of all", "of a third", "between halves")
KINDS = ("honest", "slanderer", "always-wrong", "forker", "equivocator")


def pausing_world(kind: str, seed: int, join_epoch: int) -> World:
    """A world of six founders, one of them hostile, and a peer that joins."""
    kinds = {} if kind == KINDS[0] else {HOSTILE: kind}
    late = {JOINER: join_epoch}
    return make_world(
        MEMBERS + 1,
        kinds=kinds,
        seed=seed,
        founders=MEMBERS,
        late=late,
        heartbeat_ms=2_000,
        slots_milli=2_000,
        epoch_ms=EPOCH_MS,
    )


def pause(world: World, what: str, epochs: int) -> None:
    """Play `epochs` epochs without a quorum."""
    if what == "between halves":
        world.links.split(dict.fromkeys((0, 1, 2), 1), world.peers)
        world.run_epochs(epochs)
        world.links.heal()
        for one, two in combinations(world.peers, 2):
            world.links.open(one, two)  # nodes dial each other again at any time, a world's peers for a while only
        return
    away = EVERYBODY if what == "of all" else range(MEMBERS // 3 + 1)
    for number in away:
        world.stop(world.peers[number])
    world.run_epochs(epochs)
    for number in away:
        world.start(world.peers[number])


def cuts_written(world: World) -> dict[int, int]:
    """The number of proposals and cut signatures in each honest log that has begun."""
    kinds = (Kind.CUT, Kind.CUT_SIGNATURE)
    logs = {name: ledger_of(world, name).chain(world.peers[name].key) for name in honest_numbers(world)}
    return {name: sum(record.kind in kinds for record in log) for name, log in logs.items()}


def play(what: str, kind: str, seed: int, before: int, epochs: int) -> World:
    """A world some epochs after a pause that began after `before` epochs. Checks that a cut is final soon after it."""
    world = pausing_world(kind, seed, max(1, before - 1))
    world.run_epochs(before)
    index, written = final(world).index, cuts_written(world)
    pause(world, what, epochs)
    assert all(count <= written[name] + PAUSE_RECORDS for name, count in cuts_written(world).items())
    returned = world.network.params.epoch_at(world.now_ms)
    world.run_epochs(RETURN_EPOCHS)
    assert final(world).index > index
    assert final(world).epoch >= returned
    world.run_epochs(4)
    assert final(world).epoch >= returned + 4
    assert len(views(world)) == 1
    assert not convictions(world).keys() & set(honest_numbers(world))
    return world


@settings(max_examples=2)
@given(
    what=st.sampled_from(PAUSES),
    kind=st.sampled_from(KINDS),
    seed=st.integers(0, 1 << 16),
    before=st.integers(1, 9),
    epochs=st.integers(1, 40),
)
def test_cuts_go_on_after_a_pause(what: str, kind: str, seed: int, before: int, epochs: int) -> None:
    """This holds for everything open at its beginning: a join, disputes, a fork, two payloads for one slot."""
    play(what, kind, seed, before, epochs)


def test_a_pause_of_two_thousand_epochs_forgets_nothing() -> None:
    """2,000 epochs of 20 minutes are a month. A slanderer's disputes are open at its beginning. `tests/long` has other
    pauses."""
    play("of all", "slanderer", 1, 8, 2_000)
