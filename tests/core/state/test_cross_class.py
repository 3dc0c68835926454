"""Slots across classes in the fold: the effects of a referee's measures, and the costs of false measures."""

import contextlib
import random
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from p2pverify.core.contract.odds import test_steps as steps_of
from p2pverify.core.encoding import sign
from p2pverify.core.errors import GossipIgnore
from p2pverify.core.inference.compare import Measure, Measures
from p2pverify.core.records.payloads.vote import UNDERIVABLE
from p2pverify.core.replica.fold import Fold
from p2pverify.core.replica.ledger import Ledger
from p2pverify.core.state.state import Member
from p2pverify.core.state.view import view_head
from tests.support.across import BAD, BOUNDS, COUNT, CUT_EPOCH, GOOD, SHORT, UNSURE, Slotted, Story

ACROSS = steps_of(BOUNDS.honest_ppm, 100_000, 1_000_000)
IN_CLASS = steps_of(1_000, 100_000, 1_000_000)


def begun(members: str = "aaabbb", **changes: int) -> tuple[Story, Slotted]:
    """A story, and a panel slot of its first peer that asks across classes."""
    story = Story(members, **changes)
    return story, story.panel_slot(story.seeds[0])


def targets(story: Story, slotted: Slotted) -> list[Member]:
    return [story.latest.members[key] for key in slotted.panel.targets]


def counts(member: Member) -> tuple[int, int, int, int]:
    return member.agreements, member.dissents, member.inconclusive, member.cusum


# ---------------------------------------------------------------- undisputed


def test_each_verdict_of_an_undisputed_slot_counts_for_its_responder() -> None:
    """A match is an agreement, an inconclusive answer has no effect, and the challenger gets neither."""
    story, slotted = begun()
    state = story.undisputed(slotted, (GOOD, UNSURE, GOOD))
    assert [counts(member) for member in targets(story, slotted)] == [(1, 0, 0, 0), (0, 0, 1, 0), (1, 0, 0, 0)]
    assert state.totals["inconclusive answers"] == 1
    challenger = story.member(slotted.challenger)
    assert counts(challenger) == (0, 0, 0, 0)
    assert challenger.void_audits == 0
    assert all(not member.credits for member in state.members.values())  # only the challenger vouches for the measures


def test_who_gave_no_answer_has_no_measure() -> None:
    """A missing receipt counts only against availability."""
    story, slotted = begun()
    story.publish(story.audit(slotted, (GOOD, None, GOOD), silent=[1]), [story.opening(slotted, (GOOD, None, GOOD))])
    story.cut(CUT_EPOCH + 2)
    one, silent, three = targets(story, slotted)
    assert (one.agreements, silent.agreements, three.agreements) == (1, 0, 1)
    contact = silent.contacts[sign.public_key(slotted.challenger)]
    assert (contact.asked, contact.answered) == (1, 0)


OTHER_COUNT = Measure(COUNT + 1, 0, 0, 0)


@pytest.mark.parametrize(
    ("sealed", "opened", "reason"),
    [
        ((GOOD, BAD, GOOD), (GOOD, BAD, GOOD), "called a mismatch a match"),
        ((GOOD, SHORT, GOOD), (GOOD, SHORT, GOOD), "called a mismatch a match"),
        ((GOOD, BAD, GOOD), (GOOD, GOOD, GOOD), "measures are not those that were sealed"),
        ((GOOD, GOOD), (GOOD, GOOD), "measures do not fit the receipts"),
        ((GOOD, None, GOOD), (GOOD, None, GOOD), "measures do not fit the receipts"),
        ((GOOD, OTHER_COUNT, GOOD), (GOOD, OTHER_COUNT, GOOD), "measures do not fit the receipts"),
        ((), (), "measures do not fit the receipts"),
    ],
)
def test_measures_that_do_not_show_what_the_audit_says(sealed: Measures, opened: Measures, reason: str) -> None:
    """The audit is void and has no effect. The protocol page of the duty lists the reasons."""
    story, slotted = begun()
    story.publish(story.audit(slotted, sealed), [story.opening(slotted, opened)])
    state = story.cut(CUT_EPOCH + 2)
    assert state.totals[f"void audit: {reason}"] == 1
    assert story.member(slotted.challenger).void_audits == 1
    assert all(counts(member) == (0, 0, 0, 0) for member in targets(story, slotted))


def test_a_challenger_that_gives_an_answer_of_its_own_does_not_open_an_across_slot() -> None:
    """The nonces of such a slot cover no class and no output, so any other nonce is forged."""
    story, slotted = begun()
    state = story.undisputed(slotted, (GOOD, GOOD, GOOD), class_index=0)
    assert state.totals["void audit: forged opening"] == 1


def test_a_duty_without_the_opening_counts_for_nobody() -> None:
    """The sealed audit is counted beside the challenger."""
    story, slotted = begun()
    story.publish(story.audit(slotted, (GOOD, GOOD, GOOD)))
    story.cut(CUT_EPOCH + 2)
    assert story.member(slotted.challenger).unopened == 1
    assert all(counts(member) == (0, 0, 0, 0) for member in targets(story, slotted))


@pytest.mark.parametrize("across_percent", [0, 100])
def test_an_audit_is_sealed_exactly_where_its_slot_asks_across(across_percent: int) -> None:
    """No peer can choose the kind of judgement of a slot."""
    story = Story(across_percent=across_percent)
    slotted = story.slots(story.seeds[0])[0]
    assert slotted.panel.is_across == (across_percent == 100)
    measures = tuple(GOOD for _ in slotted.panel.targets)
    audit = story.audit(slotted, measures)
    story.publish(story.audit(slotted, measures, sealed=None if slotted.panel.is_across else audit.sealed))
    assert story.cut(CUT_EPOCH + 2).totals["void audit: sealed as the slot is not"] == 1


def test_a_receipt_is_of_the_class_that_its_responder_had_at_the_anchor() -> None:
    """Each class has its own thresholds, and no peer can choose them by naming another class."""
    story, slotted = begun()
    audit = story.audit(slotted, (GOOD, GOOD, GOOD))
    elsewhere = Slotted(
        slotted.challenger,
        slotted.epoch,
        slotted.slot,
        replace(slotted.panel, classes=(0, 0, 0), is_across=True),
        slotted.question,
    )
    story.publish(story.audit(elsewhere, (GOOD, GOOD, GOOD)))
    assert audit.asked[0].receipt is not None
    assert story.cut(CUT_EPOCH + 2).totals["void audit: receipt of another class"] == 1


# ---------------------------------------------------------------- disputes


def test_a_decided_dispute_judges_every_receipt_by_the_decided_measures() -> None:
    """A mismatch is a dissent with the step across classes, a match is an agreement. Votes are neither."""
    story, slotted = begun()
    found = (GOOD, BAD, UNSURE)
    state = story.decide(slotted, found, dict.fromkeys(story.seeds[1:], found))
    right, wrong, unsure = targets(story, slotted)
    assert counts(right) == (1, 0, 0, 0)
    assert counts(wrong) == (0, 1, 0, ACROSS.up)
    assert counts(unsure) == (0, 0, 1, 0)
    assert sum(member.agreements + member.dissents for member in state.members.values()) == 2
    assert all(not member.credits for member in state.members.values())  # all have weight and need none


def test_all_of_the_model_vote_whatever_their_class() -> None:
    """The electorate is the members of every class with weight, so even a class of one is judged."""
    story, slotted = begun("aabbc*")
    state = story.disputed(slotted, (GOOD, BAD, GOOD))
    assert state.disputes[slotted.key].electorate == set(state.members)


def test_a_challenger_that_slanders_loses() -> None:
    """No other voter finds the measures that it sealed. The accused agrees, and the challenger gets a dissent of its
    class."""
    story, slotted = begun()
    state = story.decide(slotted, (GOOD, BAD, GOOD), dict.fromkeys(story.seeds[1:], (GOOD, GOOD, GOOD)))
    assert counts(story.member(slotted.challenger)) == (0, 1, 0, IN_CLASS.up)
    assert all(counts(member) == (1, 0, 0, 0) for member in targets(story, slotted))
    assert state.totals["decided disputes"] == 1


@pytest.mark.parametrize("is_garbage", [False, True])
def test_a_challenger_that_sealed_something_else_cannot_open_it(is_garbage: bool) -> None:
    """Its vote must equal its audit's seal. A seal that is never opened is counted beside its name."""
    story, slotted = begun()
    right, sealed = (GOOD, GOOD, GOOD), (BAD, GOOD, GOOD)
    audit = story.audit(slotted, sealed, differ=True)
    story.publish(story.audit(slotted, sealed, differ=True, sealed=bytes(32)) if is_garbage else audit)
    story.cut(CUT_EPOCH + 2)
    votes = dict.fromkeys(story.seeds[1:], story.vote_output(slotted, right))
    story.seal(slotted, votes)
    for seed in votes:
        story.vote(slotted, seed, votes[seed], right)
    story.open_own(slotted, right)
    state = story.cut(CUT_EPOCH + 4)
    assert state.totals["vote: forged opening"] == 1
    assert state.disputes[slotted.key].decision == story.vote_output(slotted, right)
    story.cut(CUT_EPOCH + 20)
    assert story.member(slotted.challenger).unopened == 1
    assert story.member(slotted.challenger).dissents == 0


def test_a_voter_with_forged_measures_loses() -> None:
    """The referee is bit-exact, so a voter with other measures than most gets a dissent of its own class."""
    story, slotted = begun()
    true, false = (GOOD, BAD, GOOD), (GOOD, GOOD, GOOD)
    liar = next(seed for seed in story.seeds[1:] if sign.public_key(seed) not in slotted.panel.targets)
    votes = {seed: false if seed == liar else true for seed in story.seeds[1:]}
    story.decide(slotted, true, votes)
    assert counts(story.member(liar)) == (0, 1, 0, IN_CLASS.up)


def test_an_answer_that_fails_and_a_vote_that_does_are_one_dissent_in_an_epoch() -> None:
    """Responders vote on their own answers. Of both losses in one epoch the smaller step counts."""
    story, slotted = begun()
    true, false = (GOOD, BAD, GOOD), (GOOD, GOOD, GOOD)
    liar = story.seed_of(slotted.panel.targets[1])
    story.decide(slotted, true, {seed: false if seed == liar else true for seed in story.seeds[1:]})
    assert counts(story.member(liar)) == (0, 1, 0, ACROSS.up)


@pytest.mark.parametrize(
    ("measures", "output", "reason"),
    [
        ((GOOD, GOOD), None, "measures do not fit the receipts"),
        ((GOOD, None, GOOD), None, "measures do not fit the receipts"),
        ((), None, "measures do not fit the receipts"),
        ((GOOD, GOOD, GOOD), bytes(32), "not the digest of its measures"),
        ((GOOD, GOOD, GOOD), UNDERIVABLE, "measures of what cannot be derived"),
    ],
)
def test_votes_that_do_not_hold_are_not_counted(measures: Measures, output: bytes | None, reason: str) -> None:
    """A vote across classes is the digest of the measures that come with it, one for each receipt."""
    story, slotted = begun()
    story.disputed(slotted, (GOOD, BAD, GOOD))
    voter = story.seeds[1]
    said = story.vote_output(slotted, measures) if output is None else output
    story.seal(slotted, dict.fromkeys(story.seeds[1:], said))
    story.vote(slotted, voter, said, measures)
    state = story.cut(CUT_EPOCH + 4)
    assert state.totals[f"vote: {reason}"] == 1
    assert not state.disputes[slotted.key].votes


def test_measures_have_no_place_in_a_dispute_within_a_class() -> None:
    """The digest is the answer there."""
    story = Story(across_percent=0, panel_size=2)
    slotted = story.panel_slot(story.seeds[0], is_across=False)
    story.publish(story.audit(slotted, (), differ=True, sealed=None))
    assert slotted.key in story.cut(CUT_EPOCH + 2).disputes
    voter = story.seeds[1]
    story.seal(slotted, dict.fromkeys(story.seeds[:3], bytes(32)))
    story.vote(slotted, voter, bytes(32), (GOOD, GOOD))
    assert story.cut(CUT_EPOCH + 4).totals["vote: measures in a dispute within a class"] == 1


def test_a_question_that_does_not_follow_from_its_slot_is_the_challengers_loss() -> None:
    """Voters that cannot derive it say so. Responders could not know, so they get nothing."""
    story, slotted = begun()
    found = (GOOD, BAD, GOOD)
    story.disputed(slotted, found)
    story.seal(slotted, dict.fromkeys(story.seeds[1:], UNDERIVABLE))
    for seed in story.seeds[1:]:
        story.vote(slotted, seed, UNDERIVABLE, ())
    story.open_own(slotted, found)
    story.cut(CUT_EPOCH + 4)
    assert counts(story.member(slotted.challenger)) == (0, 1, 0, IN_CLASS.up)
    assert all(counts(story.member(seed)) == (0, 0, 0, 0) for seed in story.seeds[1:])


def test_withheld_evidence_counts_for_nobody() -> None:
    """Voters without the answers do not vote. The dispute ends undecided, and no peer has lost."""
    story, slotted = begun()
    found = (GOOD, BAD, GOOD)
    story.disputed(slotted, found)
    story.seal(slotted, {story.seeds[1]: story.vote_output(slotted, found)})
    for epoch in range(CUT_EPOCH + 4, CUT_EPOCH + 8):
        story.cut(epoch)
    story.vote(slotted, story.seeds[1], story.vote_output(slotted, found), found, CUT_EPOCH + 8)
    story.open_own(slotted, found, CUT_EPOCH + 8)
    for epoch in range(CUT_EPOCH + 8, CUT_EPOCH + 20):
        state = story.cut(epoch)
    assert state.totals["undecided disputes"] == 1
    assert slotted.key not in state.disputes
    assert all(counts(member) == (0, 0, 0, 0) for member in state.members.values())


def test_late_votes_are_settled_when_they_come() -> None:
    """A wrong vote that is opened after the decision is a dissent then. The verdicts do not count again."""
    story, slotted = begun()
    true, false = (GOOD, BAD, GOOD), (GOOD, GOOD, GOOD)
    late = next(seed for seed in story.seeds[1:] if sign.public_key(seed) not in slotted.panel.targets)
    story.disputed(slotted, true)
    votes = {seed: false if seed == late else true for seed in story.seeds[1:]}
    story.seal(slotted, {seed: story.vote_output(slotted, votes[seed]) for seed in votes})
    for seed in story.seeds[1:]:
        if seed != late:
            story.vote(slotted, seed, story.vote_output(slotted, true), true)
    story.open_own(slotted, true)
    story.cut(CUT_EPOCH + 4)
    assert story.member(late).dissents == 0
    story.vote(slotted, late, story.vote_output(slotted, false), false, CUT_EPOCH + 5)
    story.cut(CUT_EPOCH + 5)
    story.cut(CUT_EPOCH + 6)
    assert counts(story.member(late)) == (0, 1, 0, IN_CLASS.up)
    assert [member.agreements for member in targets(story, slotted)] == [1, 0, 1]
    assert [member.dissents for member in targets(story, slotted)] == [0, 1, 0]


def test_an_undisputed_slot_that_is_spot_checked_is_voted_on() -> None:
    """So a challenger that calls its friends' answers matches does not know when it is checked."""
    story, slotted = begun(spot_check_permille=1000)
    state = story.undisputed(slotted, (GOOD, GOOD, GOOD))
    assert slotted.key in state.disputes
    assert all(member.agreements == 0 for member in state.members.values())


# ---------------------------------------------------------------- the sequential test


def test_seven_mismatches_across_convict_and_six_do_not() -> None:
    """The step up of a class judged across is 2,357, so seven pass the bound. In a bit-exact class four do."""
    assert (ACROSS.up, ACROSS.down) == (2357, 98)
    assert -(-ACROSS.threshold // ACROSS.up) == 7
    assert -(-IN_CLASS.threshold // IN_CLASS.up) == 4


def test_one_peer_has_one_sum_for_both_kinds() -> None:
    """After a mismatch and an agreement across classes, the sum falls by the step of its own kind."""
    story, slotted = begun()
    found = (GOOD, BAD, GOOD)
    story.decide(slotted, found, dict.fromkeys(story.seeds[1:], found))
    accused = slotted.panel.targets[1]
    other = next(
        each
        for seed in story.seeds[1:]
        for each in story.slots(seed, CUT_EPOCH + 4)
        if accused in each.panel.targets and each.panel.is_across
    )
    measures = tuple(GOOD for _ in other.panel.targets)
    story.publish(story.audit(other, measures), [story.opening(other, measures)])
    story.cut(CUT_EPOCH + 6)
    assert story.latest.members[accused].cusum == ACROSS.up - ACROSS.down


# ---------------------------------------------------------------- order


@pytest.fixture(scope="module")
def told() -> Story:
    """An undisputed slot, and a dispute with a liar, a false voter and a slandered peer."""
    story, slotted = begun("aabbbc*")
    other = story.panel_slot(story.seeds[2])
    measures = (GOOD, UNSURE, GOOD)
    story.publish(story.audit(other, measures), [story.opening(other, measures)])
    found = (GOOD, BAD, SHORT)
    votes = dict.fromkeys(story.seeds[1:], found)
    votes[story.seeds[3]] = (GOOD, GOOD, GOOD)
    story.decide(slotted, found, votes)
    return story


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(seed=st.integers(0, 2**32))
def test_the_order_of_records_across_classes_does_not_matter(told: Story, seed: int) -> None:
    """The same records, shuffled and repeated, give the same view bytes."""
    dice = random.Random(seed)
    mixed = told.book.order + dice.sample(told.book.order, len(told.book.order) // 3)
    dice.shuffle(mixed)
    fold = Fold(told.network, Ledger())
    for record in mixed:
        with contextlib.suppress(GossipIgnore):  # known already
            for added in fold.ledger.add(record):
                fold.take(added)
    fold.settle()
    assert fold.latest.id == told.latest.id
    assert view_head(told.network, fold.latest) == view_head(told.network, told.latest)
