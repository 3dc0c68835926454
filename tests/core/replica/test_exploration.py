"""The promises of certified cuts, for explored orders of delivery in networks of four members.

The same exploration finds a broken promise at once where a rule is missing. protocol/model describes the rules.
"""

import random

import pytest

from p2pverify.core.encoding.canon import encode
from p2pverify.core.records.envelope import Kind, Record
from p2pverify.core.records.payloads.cut import CutSignature
from p2pverify.core.replica.verify import verify
from p2pverify.core.state.state import State
from p2pverify.core.state.transition import Transition, class_steps
from tests.support.exploration import NETWORK, Explorer, Found, PromptCutter, Replica, late_ms

EPOCHS = 3


def is_parted(found: Found) -> bool:
    return found.parted is not None


def test_one_hostile_member_breaks_no_promise() -> None:
    """The hostile member equivocates, signs everything, and withholds its log as it likes."""
    explorer = Explorer(hostile=1, epochs=EPOCHS)
    last = explorer.explore(steps=14, width=8)
    found = explorer.found
    assert found.parted is None
    assert found.convicted is None
    assert len(found.certified) > 8
    assert found.longest > 1
    for world in last[:3]:  # and nobody is stuck
        after = explorer.healed(world, epochs=2)
        assert after.observer.fold.latest.index > world.observer.fold.latest.index
        assert len({member.fold.latest.id for member in after.members}) == 1
    for cut_id, records in list(found.certified.items())[:10]:
        shuffled = random.Random(1).sample(records, len(records))
        assert verify(NETWORK.id, NETWORK.encode(), cut_id, shuffled).cut_id == cut_id  # the same view, in any order


def test_four_honest_members_break_no_promise() -> None:
    explorer = Explorer(hostile=0, epochs=EPOCHS)
    explorer.explore(steps=12, width=8)
    assert explorer.found.parted is None
    assert explorer.found.convicted is None


# ---------------------------------------------------------------- a rule is missing


def test_hostile_weight_of_a_half_parts_the_cuts() -> None:
    """Two of four sign everything, which is more than a third. Even then no honest member is convicted."""
    explorer = Explorer(hostile=2, epochs=EPOCHS)
    explorer.explore(steps=14, width=8, until=is_parted)
    assert is_parted(explorer.found)
    assert explorer.found.convicted is None


class ForgetfulCutter(PromptCutter):
    """It signs cuts that do not contain what it signed before."""

    def _may_sign(self, cut_id: bytes, latest: State) -> bool:
        signed, self._last_signed = self._last_signed, None
        try:
            return super()._may_sign(cut_id, latest)
        finally:
            self._last_signed = signed


def test_members_that_do_not_contain_their_own_signatures_convict_themselves() -> None:
    explorer = Explorer(hostile=1, epochs=EPOCHS, cutter=ForgetfulCutter)
    explorer.explore(steps=10, width=10, until=lambda found: found.parted or found.convicted)
    assert explorer.found.parted or explorer.found.convicted


def test_certificates_of_half_the_weight_part_the_cuts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(State, "total_weight", 3)  # two of four are two thirds of it
    explorer = Explorer(hostile=1, epochs=EPOCHS)
    explorer.explore(steps=14, width=16, until=is_parted)
    assert is_parted(explorer.found)


# ---------------------------------------------------------------- limits


def sign(member: Replica, cut: Record, epoch: int) -> Record:
    """A member signs a cut. Its rules allow it."""
    assert member.cutter._may_sign(cut.id, member.fold.latest)
    record = member.write(Kind.CUT_SIGNATURE, CutSignature(cut.id).encode(), late_ms(epoch))
    member.cutter._note_own(record)
    return record


def hear(member: Replica, *records: Record) -> None:
    member.take(records, late_ms(EPOCHS))


def test_a_certified_cut_inside_another_one_need_not_be_supported() -> None:
    """A limit of the protocol, not of the code: see protocol/model, "withheld".

    The fourth member is hostile. It signs both cuts, and shows its signature of the inner one too late for the outer
    one. Of the honest signers of the inner cut only the second signs the outer one.
    """
    world = Explorer(hostile=0, epochs=1).start
    first, second, third, fourth = world.members
    inner = first.propose(0)
    assert inner is not None
    hear(second, inner)
    signed = [sign(each, inner, 0) for each in (first, second)]
    hear(third, inner, signed[1])
    outer = third.propose(1)
    assert outer is not None
    hear(second, outer)
    hear(fourth, inner, outer)
    signed += [sign(each, outer, 1) for each in (second, third)]
    signed += [fourth.write(Kind.CUT_SIGNATURE, CutSignature(cut.id).encode(), late_ms(1)) for cut in (outer, inner)]
    fold = world.observer.fold
    hear(world.observer, inner, outer, *signed)
    assert fold.is_certified(inner.id)
    assert fold.is_certified(outer.id)
    state = fold.state(outer.id)
    assert state is not None
    step = Transition(NETWORK, NETWORK.id, fold.genesis, state, fold._frame, class_steps(NETWORK))
    assert step.holds(inner.id)
    assert not step.is_supported(inner.id)


def test_cuts_on_one_base_change_the_same_weight() -> None:
    """Otherwise the cuts on top of them can part: see protocol/model, "hasty".

    Nobody is hostile. Two members leave, one inside of cut P. Cut Q on the same base contains P, and holds both leaves.
    If P took the weight of one and Q that of the other, then two members that do not know the certificate of Q could
    certify a cut on P, while the other two certify one on Q.
    """
    world = Explorer(hostile=0, epochs=1).start
    first, second, third, fourth = members = world.members

    start = first.propose(0)
    assert start is not None
    for each in members[1:]:
        hear(each, start)
    certificate = [sign(each, start, 0) for each in members]
    for each in members:
        hear(each, *certificate)
    leaves = [each.write(Kind.LEAVE, encode([]), late_ms(1)) for each in (first, second)]

    hear(third, leaves[1])
    p = third.propose(1)
    assert p is not None
    for each in (first, fourth):
        hear(each, leaves[1], p)
    p_signed = [sign(each, p, 1) for each in (first, third, fourth)]

    hear(fourth, leaves[0], p_signed[1])
    q = fourth.propose(2)
    assert q is not None
    hear(third, leaves[0], p_signed[2], q)
    hear(second, leaves[0], p, *p_signed[1:], q)
    q_signed = [sign(each, q, 2) for each in (second, third, fourth)]

    hear(third, p_signed[0])  # P is certified for the third, and Q for the fourth
    hear(fourth, *q_signed)
    assert (third.fold.latest.id, fourth.fold.latest.id) == (p.id, q.id)
    on_p, on_q = third.propose(3), fourth.propose(3)
    assert on_p is not None
    assert on_q is not None
    hear(first, *p_signed, leaves[0], q, q_signed[1], on_p)
    hear(second, *q_signed, on_q)
    ends = [sign(each, on_p, 3) for each in (first, third)] + [sign(each, on_q, 3) for each in (second, fourth)]

    hear(world.observer, start, *certificate, *leaves, p, *p_signed, q, *q_signed, on_p, on_q, *ends)
    fold = world.observer.fold
    assert all(fold.is_certified(cut.id) for cut in (p, q))
    assert not any(fold.is_certified(cut.id) for cut in (on_p, on_q))
    weighted = [_weights(fold.state(cut.id)) for cut in (start, p, q, on_p, on_q)]
    assert [sum(weights.values()) for weights in weighted] == [4, 4, 4, 3, 3]


def _weights(state: State | None) -> dict[bytes, int]:
    assert state is not None
    return {peer: member.weight for peer, member in state.members.items()}
