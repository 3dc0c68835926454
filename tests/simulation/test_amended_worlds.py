"""Rules change in a running world: scores go on, old programs stop together, and started folds go on alike."""

from typing import Any

from p2pverify.core.contract.classes import DeterminismClass
from p2pverify.core.contract.rules.changes import ClassChange, ManifestChange, RefereeChange
from p2pverify.core.encoding.canon import sha256
from p2pverify.core.records.payloads.amendment import Word
from p2pverify.core.state.memory import NEAR_CARRY
from p2pverify.core.state.process import advance
from p2pverify.core.state.rules.following import Following
from p2pverify.core.state.rules.notes import newest
from p2pverify.core.state.state import State
from p2pverify.core.state.transition import Frame
from p2pverify.core.state.view import Score, scores
from p2pverify.testnet.world.peer.engine import ACROSS, REFEREE_ID
from tests.support.amending import param
from tests.support.amending_world import AmendedWorld
from tests.support.started import assert_goes_on_alike, folded
from tests.support.worlds import final

FEATURE = 1 << 7
NEW = Following(known=FEATURE)


def next_scores(found: AmendedWorld, state: State, epoch: int) -> tuple[State, tuple[Score, ...]]:
    """The scores after a cut of an epoch on a state that adds no record."""
    network = found.world.network
    after = advance(
        network,
        network.id,
        state,
        (),
        Frame(lambda cuts: [None] * len(cuts)),
        cut_id=bytes(32),
        epoch=epoch,
        heads=dict(state.heads),
        beacon=state.beacon,
    )
    return after, scores(network, after)


def test_four_kinds_of_changes_in_a_running_world() -> None:
    """A parameter, a class with a manifest, the referee and a feature bit change; scores go on from where they were."""
    found = AmendedWorld(6, classes=2)
    found.followings = {**dict.fromkeys(range(5), NEW), 5: Following(known=FEATURE, referee=REFEREE_ID)}
    for number in range(6):
        found.restart(number)
    found.world.run_epochs(6)
    other = sha256(b"a later model")
    kind = DeterminismClass("later", other, "world", "later", 1_000, ACROSS)
    changes: tuple[Any, ...] = (
        param("slots_milli", 2_000),
        param("answer_tokens", 20),
        ManifestChange(other),
        ClassChange(kind),
        RefereeChange("toy-exact/2"),
    )
    amended = found.propose(0, *changes, features=FEATURE)
    starts = found.approve(amended, range(1, 5))
    found.run_to(starts - 1)
    before = final(found.world)
    assert len(before.amendments[amended].ready) == 5
    changed, after = next_scores(found, before, starts)
    kept, same = next_scores(found, before, starts - 1)
    assert changed.rules
    assert not kept.rules
    assert after == same
    found.run_to(starts + 12)
    state = final(found.world)
    rules = state.rules_in(found.world.network)
    assert rules.params.slots_milli == 2_000
    assert rules.classes[2] == kind
    assert rules.referee == "toy-exact/2"
    assert found.world.invariants.faults == []
    assert not state.convicted
    assert {peer.machine.fold.latest.id in found.world.invariants.newest.path for peer in found.peers} == {True}
    for peer in found.peers:
        then, now = before.members[peer.key], state.members[peer.key]
        assert now.agreements > then.agreements
        assert (now.missed_duties, now.void_audits) == (then.missed_duties, then.void_audits)
        assert peer.machine.network.params.answer_tokens == 20
    owed = [state.members[key].slots_owed - before.members[key].slots_owed for key in found.keys]
    assert min(owed) > 12  # two a peer and epoch, but for those of the last ones
    gone = [state.members[key].no_shows - before.members[key].no_shows for key in found.keys]
    assert gone[:5] == [0] * 5
    assert gone[5] > 0  # it lacks the new referee, so it audits no slot across classes, and says nothing false


def test_a_third_of_old_programs_stop_at_one_cut_and_go_on_when_they_are_upgraded() -> None:
    found = AmendedWorld(6)
    found.followings = dict.fromkeys(range(4), NEW)
    for number in range(4):
        found.restart(number)
    found.world.run_epochs(5)
    amended = found.propose(0, param("slots_milli", 2_000), features=FEATURE)
    starts = found.approve(amended, range(1, 6))  # an operator may want what its program cannot run yet
    assert len(final(found.world).amendments[amended].ready) == 4
    found.run_to(starts + 3)
    old, new = found.peers[4:], found.peers[:4]
    assert len({peer.machine.fold.latest.id for peer in old}) == 1
    last = old[0].machine.fold.latest
    assert last.epoch < starts
    assert not last.rules
    assert last.id in new[0].machine.fold.latest.path
    for peer in old:
        halt = peer.machine.context.halt(found.world.now_ms)
        assert str(halt) == f"needs feature 7 since cut {last.id.hex()[:16]}"
        own = peer.machine.context.ledger.last(peer.key)
        assert own is not None
        assert own.epoch <= starts
        assert len(peer.machine.context.ledger) > len(new[0].machine.context.ledger) - 40  # it still takes records
    found.world.run_epochs(2)
    assert {peer.machine.fold.latest.id for peer in old} == {last.id}
    for number in (4, 5):
        found.followings[number] = NEW
        found.restart(number)
    found.world.run_epochs(6)
    state = final(found.world)
    for peer in old:
        assert peer.machine.context.halt(found.world.now_ms) is None
        assert peer.machine.fold.latest.rules
        own = peer.machine.context.ledger.last(peer.key)
        assert own is not None
        assert own.epoch > starts + 5
    assert not state.convicted
    assert found.world.invariants.faults == []


def test_approvals_withdrawn_at_the_last_cut() -> None:
    """Old programs that would have stopped go on, because nothing takes effect."""
    found = AmendedWorld(6)
    found.followings = dict.fromkeys(range(4), NEW)
    for number in range(4):
        found.restart(number)
    found.world.run_epochs(5)
    amended = found.propose(0, features=FEATURE)
    starts = found.approve(amended, (1, 2, 3))
    found.run_to(starts - 2)
    found.words_of(amended, Word.NO, (3,))
    found.run_to(starts + 3)
    state = final(found.world)
    assert not state.rules
    assert state.amendments[amended].starts == -1
    assert {peer.machine.fold.latest.epoch >= starts for peer in found.peers} == {True}
    assert not state.convicted


def test_who_asks_stops_until_its_operator_accepts() -> None:
    found = AmendedWorld(4)
    found.followings[3] = Following(asks=True)
    found.restart(3)
    found.world.run_epochs(5)
    amended = found.propose(0, param("slots_milli", 2_000))
    starts = found.approve(amended, (1, 2))
    found.run_to(starts + 3)
    asking = found.peers[3].machine
    assert "network accept" in str(asking.context.halt(found.world.now_ms))
    assert not asking.fold.latest.rules
    asking.fold.follow(Following(asks=True, accepted={amended}))
    found.world.run_epochs(2)
    assert asking.context.halt(found.world.now_ms) is None
    assert asking.fold.latest.rules
    assert not final(found.world).convicted
    assert found.world.invariants.faults == []


def test_folds_started_around_an_activation_go_on_alike() -> None:
    """A fold that starts from bytes before, at or after the cut that changes the rules finds the same."""
    found = AmendedWorld(5, spot_check_permille=300)
    found.world.run_epochs(3)
    amended = found.propose(0, param("slots_milli", 2_000), param("duty_epochs", 4))
    found.approve(amended, (1, 2, 3))
    found.world.run_epochs(9)
    ledger = found.peers[0].machine.context.ledger
    records = sorted(ledger.records(), key=lambda record: (record.epoch, record.author, record.seq))
    full = folded(found.world.network, records)
    rules = newest(full.latest.rules)
    assert rules is not None
    path = full.latest.path
    for at in range(NEAR_CARRY + 1, len(path)):
        assert_goes_on_alike(full, path[:at], records)
