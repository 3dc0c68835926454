"""Objections in the fold: what counts, what they show, and appeals against committees."""

from dataclasses import replace

import pytest

from p2pverify.core.blind.committees import EVERYONE
from p2pverify.core.encoding import sign
from p2pverify.core.records.payloads.lots import DisputeKey
from p2pverify.core.state.state import LOST_DISPUTES, Loss, Member, State, genesis
from p2pverify.core.state.transition import class_steps
from p2pverify.core.state.verdicts.notes import Dispute
from p2pverify.core.state.verdicts.objections import APPEAL_CUTS, contesting, objectors, stands_without
from p2pverify.core.state.view import scores, view_root
from tests.support.hearing import Hearing
from tests.support.networks import make_network, seeds

VOTERS = 100


def keys(of: list[bytes]) -> frozenset[bytes]:
    return frozenset(sign.public_key(seed) for seed in of)


def wrongly_decided() -> Hearing:
    """A committee of nine has decided, and its decision is wrong."""
    hearing = Hearing(VOTERS)
    hearing.sit(hearing.wrong)
    assert hearing.dispute.decision is not None
    return hearing


def others(hearing: Hearing) -> list[bytes]:
    """Seeds of voters that had no seat and are no party."""
    dispute = hearing.dispute
    beside = dispute.electorate - dispute.audit.parties - dispute.round.seats
    return [seed for seed in hearing.story.seeds if sign.public_key(seed) in beside]


def test_more_than_a_third_takes_a_committees_decision_to_everybody() -> None:
    """The decision is void before it has had an effect. Everybody votes then, and the truth wins."""
    hearing = wrongly_decided()
    appealing = others(hearing)
    hearing.object(appealing[:34], hearing.right)
    hearing.cut()
    assert (hearing.dispute.round.stage, hearing.dispute.decision) == (EVERYONE, None)
    assert (hearing.state.totals["appeals"], hearing.state.totals["objections"]) == (1, 34)
    assert hearing.dissents() == set()
    hearing.seal([seed for seed in appealing if sign.public_key(seed) not in hearing.dispute.commits], hearing.right)
    hearing.cut()
    by_key = {sign.public_key(seed): seed for seed in hearing.story.seeds}
    for key, sealed in sorted(hearing.dispute.commits.items()):
        if key not in hearing.dispute.votes and by_key[key] in appealing:
            hearing.open([by_key[key]], hearing.right, stage=sealed.stage)
    hearing.cut()
    assert hearing.dispute.decision == hearing.story.vote_output(hearing.slotted, hearing.right)
    assert len(hearing.dissents() - hearing.parties) >= 9  # the seats that were wrong


def test_a_third_is_not_more_than_a_third() -> None:
    """With 33 of 100 the decision stands, takes effect after three cuts, and is shown with its objectors."""
    hearing = wrongly_decided()
    hearing.object(others(hearing)[:33], hearing.right)
    hearing.cut(APPEAL_CUTS)
    assert hearing.dispute.decision is not None
    assert objectors(hearing.dispute) == keys(others(hearing)[:33])
    assert hearing.state.totals["decided disputes"] == 1


def test_an_appeal_that_comes_too_late_changes_nothing() -> None:
    hearing = wrongly_decided()
    hearing.cut(APPEAL_CUTS)
    before = hearing.dissents()
    hearing.object(others(hearing)[:50], hearing.right)
    hearing.cut()
    assert "appeals" not in hearing.state.totals
    assert len(objectors(hearing.dispute)) == 50
    assert hearing.dissents() == before


def test_who_agrees_with_the_decision_is_no_objector() -> None:
    hearing = wrongly_decided()
    hearing.object(others(hearing)[:40], hearing.wrong)
    hearing.cut()
    assert objectors(hearing.dispute) == frozenset()
    assert hearing.dispute.round.stage != EVERYONE


def test_two_objections_to_one_decision_convict() -> None:
    hearing = wrongly_decided()
    liar, honest = others(hearing)[:2]
    hearing.object([liar, honest], hearing.right)
    hearing.object([liar], hearing.wrong)
    hearing.object([honest], hearing.right)
    hearing.cut()
    assert [m.conviction for m in hearing.state.members.values() if m.is_convicted] == [
        "two objections to one decision"
    ]


def test_before_the_sealing_is_closed_nobody_objects() -> None:
    """Otherwise others could copy the answer."""
    hearing = Hearing(VOTERS)
    hearing.cut()
    hearing.object(hearing.story.seeds[40:42], hearing.right)
    hearing.cut()
    assert hearing.dispute.objections == {}
    assert hearing.state.totals["objection: certificate is before the sealing was closed"] == 2
    hearing = wrongly_decided()
    hearing.object(others(hearing)[:1], hearing.right, certificate=bytes(32))
    hearing.cut()
    assert hearing.state.totals["objection: certificate is not one here"] == 1


# ---------------------------------------------------------------- contested convictions

NETWORK = make_network(seeds(4, "objections"))
STEPS = class_steps(NETWORK)[0]
PEER = b"\x07" * 32


def lost(number: int) -> DisputeKey:
    return DisputeKey(bytes([number]) * 32, number, 0)


def convicted(losses: int, *, cusum: int | None = None) -> Member:
    found = tuple(Loss(lost(number), STEPS.up) for number in range(losses))
    value = losses * STEPS.up if cusum is None else cusum
    return Member(active=True, cusum=value, losses=found, convicted_epoch=3, conviction=LOST_DISPUTES)


def state_with(member: Member, contested: dict[DisputeKey, frozenset[bytes]]) -> State:
    state = genesis(NETWORK).successor(bytes(32), 20, {})
    state.members[PEER] = member
    state.contested = contested
    return state


def needed() -> int:
    return -(-STEPS.threshold // STEPS.up)


def test_a_conviction_is_contested_by_those_without_whom_it_would_not_stand() -> None:
    """One member objects to one of just enough losses, another to a loss of which there are more than enough."""
    member, one = convicted(needed()), b"\x01" * 32
    assert contesting(NETWORK, state_with(member, {lost(1): frozenset([one])}), member) == [one]
    more = convicted(needed() + 1)
    assert contesting(NETWORK, state_with(more, {lost(1): frozenset([one])}), more) == []
    both = {lost(1): frozenset([one]), lost(2): frozenset([one])}
    assert contesting(NETWORK, state_with(more, both), more) == [one]
    state = state_with(member, {lost(1): frozenset([one])})
    row = next(score for score in scores(NETWORK, state) if score.peer == PEER)
    assert row.contested_by == (one,)
    assert view_root(NETWORK, state) != view_root(NETWORK, state_with(member, {}))


@pytest.mark.parametrize("objected", range(6))
def test_a_conviction_stands_without_some_losses_or_not(objected: int) -> None:
    member = convicted(needed() + 2)
    assert stands_without(NETWORK, member, {lost(number) for number in range(objected)}) == (objected <= 2)


def test_other_convictions_cannot_be_contested() -> None:
    member = replace(convicted(needed()), conviction="two audits for one slot")
    assert contesting(NETWORK, state_with(member, {lost(1): frozenset([b"\x01" * 32])}), member) == []


def test_objectors_of_a_closed_dispute_are_kept_while_a_row_rests_on_it() -> None:
    hearing = wrongly_decided()
    hearing.object(others(hearing)[:5], hearing.right)
    hearing.open_challenger()  # it has lost, because it knew better
    key = hearing.slotted.key
    while key in hearing.state.disputes:
        found: Dispute = hearing.dispute
        hearing.cut()
    rows = [member for member in hearing.state.members.values() if any(loss.dispute == key for loss in member.losses)]
    assert (len(objectors(found)), bool(rows)) == (5, True)
    assert hearing.state.contested == {key: objectors(found)}
