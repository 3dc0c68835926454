"""A view root with digests that earlier views left is the root from scratch. A wrong digest would split the peers."""

import random
from dataclasses import replace

import pytest

from p2pverify.core.contract.network import Network
from p2pverify.core.inference.speed import Sample, Window
from p2pverify.core.records.payloads.cut import decode_cut
from p2pverify.core.records.payloads.lots import DisputeKey
from p2pverify.core.state.state import LOST_DISPUTES, Contact, Loss, RowDigests, State
from p2pverify.core.state.transition import class_steps
from p2pverify.core.state.view import scores, view_root
from tests.core.state.test_growth import key, state_of
from tests.core.state.test_objections import others, wrongly_decided
from tests.core.state.test_speed_views import LIAR, timed_world
from tests.support.networks import make_network, seeds

ACROSS = make_network(seeds(3, "view cache"), classes=2)
STEPS = class_steps(ACROSS)
CLAIMS = ("", "box", "box", "box")
CUTS, MEMBERS, WAITING = 40, 8, 3


def from_scratch(network: Network, state: State) -> bytes:
    return view_root(network, replace(state, row_digests=RowDigests()))


class Path:
    """A path of states in which everything that a row shows changes at random."""

    def __init__(self, seed: int) -> None:
        self.dice = random.Random(seed)
        self.state = state_of(MEMBERS, WAITING)
        self.disputes = [DisputeKey(key(n), n, 0) for n in range(4)]
        for peer in self.state.members:
            self.state.change(peer, hardware="box")
            self.ask(peer)

    def step(self) -> State:
        dice, epochs = self.dice, self.dice.choice((1, 1, 1, 2, 5))
        self.state = state = self.state.successor(dice.randbytes(32), self.state.epoch + epochs, {})
        for _ in range(dice.randrange(4)):
            peer = dice.choice(sorted(state.members))
            dice.choice((self.audit, self.weigh, self.fork, self.claim, self.ask, self.convict, self.drop))(peer)
        if dice.random() < 0.3:
            state.contested[dice.choice(self.disputes)] = frozenset(dice.sample(sorted(state.members), 2))
        if dice.random() < 0.1:
            state.contested.pop(dice.choice(self.disputes), None)
        return state

    def audit(self, peer: bytes) -> None:
        member = self.state.members[peer]
        self.state.change(peer, agreements=member.agreements + 3, last_audit_epoch=self.state.epoch)

    def weigh(self, peer: bytes) -> None:
        self.state.change(peer, weight=1 - self.state.members[peer].weight)

    def fork(self, peer: bytes) -> None:
        """A penalty that begins now, or one that begins and ends with epochs in which the row does not change."""
        self.state.change(peer, fork_until=self.state.epoch + self.dice.randrange(-1, 6))

    def claim(self, peer: bytes) -> None:
        self.state.change(peer, hardware=self.dice.choice(CLAIMS), class_index=self.dice.choice((0, 0, 0, 1)))

    def ask(self, peer: bytes) -> None:
        """Contacts of a peer, with samples that depend on who has weight."""
        dice, member = self.dice, self.state.members[peer]
        contacts = dict(member.contacts)
        for challenger in dice.sample(sorted(self.state.members), 5):
            fastest = tuple(Sample(dice.choice((900, 5_000)), 3, 800) for _ in range(4))
            contacts[challenger] = Contact(dice.randrange(1, 9), dice.randrange(9), (Window(0, 9, fastest),))
        self.state.change(peer, contacts=contacts)

    def convict(self, peer: bytes) -> None:
        """A conviction that rests on disputes with objectors, or another one."""
        member = self.state.members[peer]
        losses = tuple(Loss(dispute, STEPS[member.class_index].up) for dispute in self.disputes)
        self.state.change(peer, cusum=STEPS[member.class_index].threshold, losses=losses)
        self.state.convict(peer, self.dice.choice((LOST_DISPUTES, "two audits for one slot")))

    def drop(self, peer: bytes) -> None:
        """A row goes, and sometimes comes back as a new one at once."""
        member = self.state.members.pop(peer)
        if len(self.state.members) < MEMBERS or self.dice.random() < 0.7:
            self.state.members[peer] = type(member)(active=True, joined_index=self.state.index)


@pytest.mark.parametrize("seed", range(25))
def test_a_root_along_a_path_is_the_root_from_scratch(seed: int) -> None:
    path = Path(seed)
    for _ in range(CUTS):
        state = path.step()
        assert view_root(ACROSS, state) == from_scratch(ACROSS, state)


def test_random_paths_show_what_rows_depend_on() -> None:
    """The paths have contested convictions, claims that are judged, penalties, and availabilities."""
    shown: set[str] = set()
    for seed in range(25):
        path = Path(seed)
        for _ in range(CUTS):
            for score in scores(ACROSS, path.step()):
                shown |= {str(score.standing)} | {
                    name for name in ("contested_by", "fork_until") if getattr(score, name)
                }
                shown |= set() if score.speed is None else {str(score.speed.fit)}
    assert {"contested_by", "fork_until", "suspect", "convicted", "too few", "consistent"} <= shown


def test_two_branches_on_one_base_do_not_disturb_each_other() -> None:
    """Rows are shared by the states of all branches, and no branch may see the rows of another."""
    for seed in range(10):
        path = Path(seed)
        base = path.step()
        view_root(ACROSS, base)
        left = [path.step() for _ in range(3)]
        path.state = base
        right = [path.step() for _ in range(3)]
        for state in (*left[::-1], *right, base):
            assert view_root(ACROSS, state) == from_scratch(ACROSS, state)


def test_cuts_of_a_network_with_claims_and_a_cheater_have_the_roots_from_scratch() -> None:
    """Each certified cut names the root that its proposer computed with the digests of earlier views."""
    world = timed_world(kinds={LIAR: "wrong"})
    world.run_epochs(12)
    machine = world.peers[0].machine
    path = machine.fold.latest.path[1:]
    assert len(path) > 8
    for cut_id in path:
        record, state = machine.context.ledger.get(cut_id), machine.fold.state(cut_id)
        assert record is not None
        assert state is not None
        assert decode_cut(record.payload).view_root == from_scratch(world.network, state)


def test_a_contested_decision_changes_rows_of_members_that_did_not_change() -> None:
    """Objections of a committee's hearing come in one by one. Each cut has the root from scratch."""
    hearing = wrongly_decided()
    for seed in others(hearing)[:3]:
        hearing.object([seed], hearing.right)
        state = hearing.cut()
        record = hearing.story.book.ledger.get(state.id)
        assert record is not None
        assert decode_cut(record.payload).view_root == from_scratch(hearing.story.network, state)
