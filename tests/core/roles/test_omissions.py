"""A proposer cannot leave out records that all members could have, because the others do not sign its cut."""

import itertools

import pytest

from p2pverify.core.encoding.canon import encode
from p2pverify.core.encoding.sign import public_key
from p2pverify.core.records.envelope import NO_PREV, Kind, Record, make_record
from p2pverify.core.records.payloads.cut import Head
from p2pverify.core.replica.ledger import Ledger
from p2pverify.core.roles.cut_maker import Cutter
from p2pverify.core.roles.omissions import STALLED_EPOCHS, Omissions
from p2pverify.core.state.state import Member, State, genesis
from tests.support.cheating import quiet_world
from tests.support.networks import make_network, seeds

SEED = seeds(1, "omissions")[0]
KEY = public_key(SEED)
NETWORK = make_network([SEED])
EPOCH = 20


def log(length: int, *, branch: int = 0) -> list[Record]:
    """Records of one author; another branch is another first record."""
    made: list[Record] = []
    for seq in range(length):
        prev = made[-1].id if made else NO_PREV
        epoch = branch if seq == 0 else EPOCH
        made.append(
            make_record(SEED, KEY, NETWORK.id, epoch=epoch, seq=seq, prev=prev, kind=Kind.LEAVE, payload=encode([]))
        )
    return made


def state_of(epoch: int, held: Record | None, *, weight: int = 1, forks: frozenset[int] = frozenset()) -> State:
    """The state of a cut of this epoch that holds an author's log up to a record."""
    heads: dict[bytes, Head] = {} if held is None else {KEY: (KEY, held.seq, held.id)}
    state = genesis(NETWORK).successor(bytes(32), epoch, heads)
    state.members = {KEY: Member(active=True, weight=weight, forks=forks)}
    return state


def looked(length: int, epoch: int, *, weight: int = 1) -> tuple[Omissions, Ledger, list[Record]]:
    """A member that held `length` records at its first look in an epoch, and got one more later."""
    records = log(length + 1)
    ledger = Ledger()
    for record in records[:-1]:
        ledger.add(record)
    omissions = Omissions(ledger)
    omissions.look(epoch, state_of(epoch - 1, records[0], weight=weight))
    ledger.add(records[-1])
    omissions.look(epoch, state_of(epoch - 1, records[0], weight=weight))
    return omissions, ledger, records


@pytest.mark.parametrize(
    ("proposed", "held", "omits"),
    [(EPOCH + 1, 3, False), (EPOCH + 1, 2, False), (EPOCH + 1, 1, True), (EPOCH + 1, None, True), (EPOCH, 0, False)],
)
def test_what_was_there_in_the_epoch_before(proposed: int, held: int | None, *, omits: bool) -> None:
    """Three records are held at the beginning of an epoch, and a fourth arrives in it. A cut of the next epoch must
    hold three."""
    omissions, _, records = looked(3, EPOCH)
    state = state_of(proposed, None if held is None else records[held])
    assert omissions.are_in(proposed, state, state_of(proposed - 1, records[0])) == omits


def test_older_looks_stand_in_for_the_last_one() -> None:
    """A member that did not look in the previous epoch uses the epoch before it."""
    omissions, _, records = looked(3, EPOCH)
    later = state_of(EPOCH + 2, records[1])
    assert omissions.are_in(EPOCH + 2, later, state_of(EPOCH + 1, records[0]))


def test_nothing_is_asked_for_once_cuts_have_stopped() -> None:
    """After three epochs without a certified cut, any valid cut is signed."""
    omissions, _, records = looked(3, EPOCH)
    poor = state_of(EPOCH + 1, records[0])
    assert omissions.are_in(EPOCH + 1, poor, state_of(EPOCH + 2 - STALLED_EPOCHS, records[0]))
    assert not omissions.are_in(EPOCH + 1, poor, state_of(EPOCH + 1 - STALLED_EPOCHS, records[0]))


def test_strangers_and_forks_are_left_aside() -> None:
    """Only members with weight count. Of a forked log nothing is required, if the cut proves the fork or the signer
    knows it."""
    omissions, _, records = looked(3, EPOCH, weight=0)
    poor, base = state_of(EPOCH + 1, records[0]), state_of(EPOCH, records[0])
    assert not omissions.are_in(EPOCH + 1, poor, base)
    omissions, ledger, records = looked(3, EPOCH)
    assert not omissions.are_in(EPOCH + 1, state_of(EPOCH + 1, records[0], forks=frozenset({1})), base)
    assert omissions.are_in(EPOCH + 1, poor, base)
    ledger.add(log(1, branch=1)[0])
    assert not omissions.are_in(EPOCH + 1, poor, base)


def test_a_member_cannot_be_kept_out_of_cuts(monkeypatch: pytest.MonkeyPatch) -> None:
    """All others leave one member's records out of their proposals. The cuts that they certify still hold that member's
    records of two epochs before."""
    world = quiet_world()
    victim = world.peers[1].machine.key
    honest = Cutter._moved

    def moved(self: Cutter, latest: State, epoch: int) -> tuple[Head, ...]:
        heads = honest(self, latest, epoch)
        known = self._context.key == victim or victim not in latest.heads
        return heads if known else tuple(head for head in heads if head[0] != victim)

    monkeypatch.setattr(Cutter, "_moved", moved)
    world.run_epochs(16)
    fold = world.peers[0].machine.fold
    path = [state for cut in fold.latest.path if (state := fold.state(cut)) is not None and state.index]
    assert len(path) >= 8
    compared = 0
    for base, state in itertools.pairwise(path):
        if state.epoch - base.epoch < STALLED_EPOCHS:
            said = sum(r.epoch <= state.epoch - 2 for r in fold.ledger.chain(victim))
            assert state.heads[victim][1] >= said - 1
            compared += 1
    assert compared >= 4
