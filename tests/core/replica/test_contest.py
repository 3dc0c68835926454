"""Contested cuts in a ledger: where a network with a hostile majority is left, and which members signed on.

The conviction and the objections to it are written into the states of a small network by hand.
"""

from dataclasses import dataclass

import pytest

from p2pverify.core.encoding import sign, vrf
from p2pverify.core.records.envelope import Kind
from p2pverify.core.records.payloads.lots import DisputeKey
from p2pverify.core.records.payloads.membership import Join
from p2pverify.core.replica.contest import contested_convictions, contested_signers, last_uncontested
from p2pverify.core.state.state import LOST_DISPUTES, Loss, State
from p2pverify.core.state.transition import class_steps
from tests.support.book import Book
from tests.support.networks import make_network, seeds

SEEDS = seeds(9, "contest")
NETWORK = make_network(SEEDS)
HONEST, VICTIM, *LIARS = SEEDS
KEYS = {seed: sign.public_key(seed) for seed in SEEDS}
OBJECTOR, TROLL = KEYS[HONEST], KEYS[LIARS[-1]]
STEPS = class_steps(NETWORK)[0]
LOST = DisputeKey(KEYS[LIARS[0]], 1, 0)


@dataclass
class Played:
    book: Book
    cuts: list[bytes]  # certified, by epoch

    def step(self, signers: list[bytes]) -> None:
        self.cuts.append(self.book.step(LIARS[0], len(self.cuts), signers).id)

    def contest(self, *objectors: bytes) -> None:
        """Let the newest state show that these members object to the decision on which the conviction rests."""
        self.book.fold.latest.contested[LOST] = frozenset(objectors)


def state_at(played: Played, epoch: int) -> State:
    state = played.book.fold.state(played.cuts[epoch])
    assert state is not None
    return state


@pytest.fixture
def played() -> Played:
    """Two quiet cuts; the third convicts the victim. The honest peer signs no more, and objects a cut later."""
    book = Book(NETWORK)
    for seed in SEEDS:
        book.say(seed, Kind.JOIN, Join(0, vrf.public_key(vrf.derive_seed(seed)), "").encode(), 0)
    found = Played(book, [NETWORK.id])
    for signers in (SEEDS, SEEDS, [VICTIM, *LIARS]):
        found.step(signers)
    state = book.fold.latest
    state.change(KEYS[VICTIM], cusum=STEPS.threshold, losses=(Loss(LOST, STEPS.up),))
    state.convict(KEYS[VICTIM], LOST_DISPUTES)
    return found


def test_the_cut_before_the_first_contested_conviction_is_found(played: Played) -> None:
    """Although the objection came into the ledger only two cuts later."""
    for _ in range(2):
        played.step(LIARS)
    played.contest(OBJECTOR)
    fold = played.book.fold
    assert contested_convictions(fold, fold.latest, {OBJECTOR}) == [KEYS[VICTIM]]
    assert last_uncontested(fold, {OBJECTOR}) == played.cuts[2]


def test_only_believed_objectors_count(played: Played) -> None:
    """One hostile member can object to every right decision."""
    played.step(LIARS)
    played.contest(TROLL)
    fold = played.book.fold
    assert last_uncontested(fold, {OBJECTOR}) == last_uncontested(fold, ()) == played.cuts[-1]
    assert last_uncontested(fold, {OBJECTOR, TROLL}) == played.cuts[2]
    assert contested_signers(fold, state_at(played, 2), {OBJECTOR}) == frozenset()


def test_who_signed_a_cut_in_which_the_conviction_is_contested_is_found(played: Played) -> None:
    """Certified or not. The signers of the cut that first convicts could not see any objection in it."""
    played.step(LIARS[:-1])
    played.contest(OBJECTOR)
    book = played.book
    origin = state_at(played, 2)
    assert contested_signers(book.fold, origin, {OBJECTOR}) == frozenset(KEYS[seed] for seed in LIARS[:-1])
    book.certify(LIARS[0], book.proposal(LIARS[0], len(played.cuts)), LIARS[-1:])
    assert book.fold.latest.id == played.cuts[-1]
    assert contested_signers(book.fold, origin, {OBJECTOR}) == frozenset(KEYS[seed] for seed in LIARS)
    assert contested_signers(book.fold, state_at(played, 4), {OBJECTOR}) == {TROLL}
    assert last_uncontested(book.fold, {OBJECTOR}) == origin.id


def test_a_conviction_in_no_certified_cut_leaves_the_newest_one(played: Played) -> None:
    """Between a half and two thirds the liars can propose it, and sign it, but not certify it."""
    fold = played.book.fold
    member = fold.latest.members[KEYS[VICTIM]]
    fold.latest.convicted = frozenset()
    member.convicted_epoch, member.conviction = -1, ""
    fold.latest.change(KEYS[VICTIM], cusum=STEPS.threshold - 1)
    assert last_uncontested(fold, {OBJECTOR}) == played.cuts[-1]
    assert contested_signers(fold, fold.latest, {OBJECTOR}) == frozenset()


def test_if_all_cuts_are_contested_there_is_none(played: Played) -> None:
    member = played.book.fold.latest.members[KEYS[VICTIM]]
    member.convicted_epoch = 0
    played.contest(OBJECTOR)
    assert last_uncontested(played.book.fold, {OBJECTOR}) is None
