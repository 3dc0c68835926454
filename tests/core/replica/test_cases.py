"""Disputes as cases of a ledger: when a committee's decision is one."""

from p2pverify.core.encoding import sign
from p2pverify.core.replica.cases import Case, find_cases
from p2pverify.core.state.verdicts.objections import APPEAL_CUTS
from tests.support.hearing import Hearing

VOTERS = 40


def decided(hearing: Hearing) -> list[Case]:
    """The disputes among the cases up to the newest cut."""
    cases = find_cases(hearing.story.book.fold, hearing.state.id)
    return [case for case in cases if case.is_disputed]


def test_a_committees_decision_is_a_case_of_the_cut_with_which_it_takes_effect() -> None:
    """Before that cut it can be appealed against. Later cuts do not name it again."""
    hearing = Hearing(VOTERS)
    hearing.sit(hearing.right)
    decision = hearing.dispute.decision
    assert decision is not None
    hearing.cut(APPEAL_CUTS - 1)
    assert decided(hearing) == []
    effect = hearing.cut().id
    hearing.cut(2)
    assert [(case.audit.key, case.decision, case.cut) for case in decided(hearing)] == [
        (hearing.slotted.key, decision, effect)
    ]


def test_a_decision_that_takes_effect_as_its_dispute_closes_is_a_case() -> None:
    """The state of that cut does not hold the dispute any more."""
    hearing = Hearing(VOTERS, dispute_epochs=5)
    hearing.sit(hearing.right)
    decision, taken = hearing.dispute.decision, hearing.dispute.decided_index
    while hearing.slotted.key in hearing.state.disputes:
        assert not hearing.dispute.has_effect
        hearing.cut()
    assert hearing.state.index - taken < APPEAL_CUTS
    assert [(case.decision, case.cut) for case in decided(hearing)] == [(decision, hearing.state.id)]


def test_a_decision_that_an_appeal_made_void_is_no_case() -> None:
    hearing = Hearing(VOTERS)
    hearing.sit(hearing.wrong)
    dispute = hearing.dispute
    beside = dispute.electorate - dispute.audit.parties - dispute.round.seats
    objecting = [seed for seed in hearing.story.seeds if sign.public_key(seed) in beside]
    hearing.object(objecting, hearing.right)
    hearing.cut(APPEAL_CUTS + 1)
    assert hearing.state.totals["appeals"] == 1
    assert decided(hearing) == []
