"""A network without a quorum for any time: new cuts become final soon after the quorum is back."""

from collections.abc import Iterable

from hypothesis import given, settings
from hypothesis import strategies as st

from p2pverify.core.records.envelope import Kind
from tests.testnet.small_world import SmallWorld

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


def make_world(kind: str, seed: int, join_epoch: int) -> SmallWorld:
    """A world of six founders, one of them hostile, and a peer that joins."""
    kinds = {} if kind == KINDS[0] else {HOSTILE: kind}
    late = {JOINER: join_epoch}
    return SmallWorld(MEMBERS + 1, kinds, seed=seed, founders=MEMBERS, late=late, slots_milli=2_000, epoch_ms=EPOCH_MS)


def pause(world: SmallWorld, what: str, epochs: int) -> None:
    """Play `epochs` epochs without a quorum."""
    if what == "between halves":
        half = {0, 1, 2}
        world.only = {name: half if name in half else set(EVERYBODY) - half for name in EVERYBODY}
        world.run_epochs(epochs)
        world.only = {}
        return
    away = EVERYBODY if what == "of all" else range(MEMBERS // 3 + 1)
    world.up -= set(away)
    world.run_epochs(epochs)
    restart(world, away)


def restart(world: SmallWorld, names: Iterable[int]) -> None:
    for name in names:
        world.restart(name)


def cuts_written(world: SmallWorld) -> dict[int, int]:
    """The number of proposals and cut signatures in each honest log that has begun."""
    kinds = (Kind.CUT, Kind.CUT_SIGNATURE)
    logs = {name: world.ledger(name).chain(world.keys[name]) for name in world.honest}
    return {name: sum(record.kind in kinds for record in log) for name, log in logs.items()}


def play(what: str, kind: str, seed: int, before: int, epochs: int) -> SmallWorld:
    """A world some epochs after a pause that began after `before` epochs. Checks that a cut is final soon after it."""
    world = make_world(kind, seed, max(1, before - 1))
    world.run_epochs(before)
    index, written = world.final().index, cuts_written(world)
    pause(world, what, epochs)
    assert all(count <= written[name] + PAUSE_RECORDS for name, count in cuts_written(world).items())
    returned = world.network.params.epoch_at(world.now)
    world.run_epochs(RETURN_EPOCHS)
    assert world.final().index > index
    assert world.final().epoch >= returned
    world.run_epochs(4)
    assert world.final().epoch >= returned + 4
    assert len(world.views()) == 1
    assert not world.convicted().keys() & set(world.honest)
    return world


@settings(max_examples=8)
@given(
    what=st.sampled_from(PAUSES),
    kind=st.sampled_from(KINDS),
    seed=st.integers(0, 1 << 16),
    before=st.integers(1, 9),
    epochs=st.integers(1, 60),
)
def test_cuts_go_on_after_a_pause(what: str, kind: str, seed: int, before: int, epochs: int) -> None:
    """This holds for everything open at its beginning: a join, disputes, a fork, two payloads for one slot."""
    play(what, kind, seed, before, epochs)


def test_a_pause_of_two_thousand_epochs_forgets_nothing() -> None:
    """2,000 epochs of 20 minutes are a month. A slanderer's disputes are open at its beginning. `tests/long` has other
    pauses."""
    play("of all", "slanderer", 1, 8, 2_000)
