"""The sequential test over long answers alone: what counts in it, whom it convicts, and on what that rests."""

from dataclasses import replace

import pytest

from p2pverify.core.contract.odds import test_steps as steps_of
from p2pverify.core.inference.compare import Measure, as_usual
from p2pverify.core.inference.pooled import reserve
from p2pverify.core.records.payloads.lots import DisputeKey
from p2pverify.core.state.process import _test
from p2pverify.core.state.score import Standing
from p2pverify.core.state.state import LOST_DISPUTES, WRONG_WHEN_LONG, Loss, Member, State, genesis
from p2pverify.core.state.transition import Frame, Transition, class_steps
from p2pverify.core.state.verdicts.cross_class import verdicts
from p2pverify.core.state.verdicts.objections import contesting, forget_contested, grounds, stands_without
from p2pverify.core.state.view import score_rows, scores
from p2pverify.testnet.processes.conviction import Chances, survival
from tests.core.state.bounds.authors import audit_of
from tests.support.across import BAD, CUT_EPOCH, GOOD, POOLED, Slotted, Story
from tests.support.networks import make_network, seeds
from tests.support.steps import key

NETWORK = make_network(seeds(4, "long"))
PEER, CHALLENGER = NETWORK.founders[:2]
STEPS = class_steps(NETWORK)[0]


def state_of(**changes: object) -> State:
    state = genesis(NETWORK).successor(bytes(32), 20, {})
    state.change(PEER, active=True, **changes)
    return state


def count(state: State, *, wrong: int = 0, right: int = 0, epoch: int = 1, is_long: bool = True) -> Member:
    """Count dissents, one in each epoch from `epoch` on, and then agreements."""
    frame = Frame(lambda cuts: [None] * len(cuts))
    step = Transition(NETWORK, NETWORK.id, genesis(NETWORK), state, frame, class_steps(NETWORK))
    for number in range(wrong):
        step.dissent(PEER, audit_of(CHALLENGER, epoch + number, 0), is_long=is_long)
    for _ in range(right):
        step.agree(PEER, audit_of(CHALLENGER, epoch, 1), is_long=is_long)
    _test(step)
    return state.members[PEER]


def lost(number: int) -> DisputeKey:
    return DisputeKey(CHALLENGER, number, 0)


# ---------------------------------------------------------------- what counts


def test_a_long_answer_counts_in_both_tests_and_another_one_in_one() -> None:
    both = count(state_of(), wrong=2, right=3)
    assert both.cusum == both.long_cusum == 2 * STEPS.up - 3 * STEPS.down
    assert both.losses == both.long_losses == tuple(Loss(lost(n), STEPS.up) for n in (1, 2))
    one = count(state_of(), wrong=2, right=3, is_long=False)
    assert (one.cusum, one.long_cusum, len(one.losses), one.long_losses) == (both.cusum, 0, 2, ())


def test_right_answers_of_the_usual_length_do_not_make_up_for_long_lies() -> None:
    """One answer in a hundred is long, and each of them is a lie. The sum over all answers is 0 again each time."""
    state = state_of()
    for lie in range(1, 5):
        member = count(state, right=99, is_long=False)
        assert (member.is_convicted, member.cusum) == (False, 0)
        member = count(state, wrong=1, epoch=lie)
        assert member.is_convicted is (lie == 4)
    assert (member.conviction, member.cusum, member.convicted_after) == (WRONG_WHEN_LONG, STEPS.up, 400)


def test_the_sum_of_long_answers_never_goes_below_zero_and_forgets_its_losses_there() -> None:
    state = state_of()
    count(state, wrong=1)
    member = count(state, right=STEPS.up // STEPS.down + 1)
    assert (member.long_cusum, member.long_losses) == (0, ())


def test_after_its_conviction_the_test_ends() -> None:
    state = state_of(long_cusum=STEPS.long_threshold - 1)
    before = count(state, wrong=1)
    assert before.conviction == WRONG_WHEN_LONG
    frozen = before.long_cusum
    assert count(state, wrong=1, epoch=5).long_cusum == frozen


def test_a_conviction_for_lost_disputes_stands_first() -> None:
    """If one cut is enough for both tests, the reason is that of the test over all answers."""
    assert count(state_of(), wrong=4).conviction == LOST_DISPUTES


def test_three_tests_share_the_odds() -> None:
    """The test over long answers has an eighth, so its bound is higher. It needs as many dissents in a row."""
    for honest, dissents in ((10_000, 7), (1_000, 4)):
        steps = steps_of(honest, 100_000, 10**6)
        assert steps.long_threshold == steps_of(honest, 100_000, 8 * 10**6).threshold > steps.threshold
        assert (dissents - 1) * steps.up < steps.threshold < steps.long_threshold <= dissents * steps.up


@pytest.mark.parametrize(
    ("honest_ppm", "rate_ppm", "most"),
    [(10_000, 1_591, 1e-9), (1_000, 1_000, 2e-6), (1_000, 100, 2e-10)],
    ids=["across, at the calibrated bound", "in a class, at the allowed rate", "in a class, at a tenth of it"],
)
def test_an_honest_peer_is_not_convicted_for_its_long_answers(honest_ppm: int, rate_ppm: int, most: float) -> None:
    """The exact chance within 100 long answers, which at the usual share are those of 10,000 audits."""
    made = steps_of(honest_ppm, 100_000, 10**6)
    chances = Chances(rate_ppm / 10**6, 1 - rate_ppm / 10**6)
    convicted = 1 - survival(replace(made, threshold=made.long_threshold), chances, 100)[100]
    assert convicted < most
    # Each answer is a new start, and by Ville's inequality a start convicts with a probability of at most 1 / (8 odds).
    assert convicted < 100 / (8 * 10**6)


# ---------------------------------------------------------------- by decisions


def decided(story: Story, slotted: Slotted) -> State:
    found = (GOOD, GOOD, BAD)
    story.decide(slotted, found, dict.fromkeys(story.seeds[1:], found))
    return story.cut(CUT_EPOCH + 5)


@pytest.mark.parametrize("long_permille", [0, 1000])
def test_a_decision_counts_in_the_test_of_its_slot(long_permille: int) -> None:
    """The length that a slot asks for follows from its draw, so no receipt can say otherwise."""
    tail = {"long_permille": long_permille, "long_tokens": 32} if long_permille else {}
    story = Story("aaabbb", POOLED, **tail)
    slotted = story.panel_slot(story.seeds[0])
    assert slotted.slot.is_long(story.network.params) is bool(long_permille)
    state = decided(story, slotted)
    liar = state.members[slotted.panel.targets[2]]
    assert liar.cusum > 0
    assert liar.long_cusum == (liar.cusum if long_permille else 0)
    assert [loss.dispute for loss in liar.long_losses] == ([slotted.key] if long_permille else [])


def test_an_undisputed_long_slot_counts_for_its_peers() -> None:
    story = Story("aaabbb", POOLED, long_permille=1000, long_tokens=32)
    slotted = story.panel_slot(story.seeds[0])
    peer = slotted.panel.targets[0]
    story.latest.members[peer].long_cusum = 500
    state = story.undisputed(slotted, (GOOD, GOOD, GOOD))
    assert 0 < state.members[peer].long_cusum < 500


# ---------------------------------------------------------------- long answers across classes


def test_a_long_answer_is_judged_by_its_mean_margin() -> None:
    """Thresholds are fitted to answers of the usual length."""
    assert as_usual(Measure(16, 900, 7, 3), 16) == Measure(16, 900, 7, 3)
    assert as_usual(Measure(160, 9_009, 7, 3), 16) == Measure(16, 900, 7, 3)
    story = Story("aaabbb", POOLED, long_permille=1000, long_tokens=64)
    usual = story.network.params.answer_tokens
    asked = story.audit(story.panel_slot(story.seeds[0]), (GOOD, GOOD, GOOD)).asked
    bound = POOLED.mismatch_total(usual)
    totals = (POOLED.match_total(usual), bound, bound + 1)
    found = verdicts(story.network, asked, tuple(Measure(4 * usual, 4 * total, 0, 0) for total in totals))
    assert [(one.verdict, one.evidence) for one in found] == [
        ("match", None),
        ("inconclusive", None),
        ("mismatch", None),
    ]
    short = verdicts(story.network, asked, tuple(Measure(usual, total, 0, 0) for total in totals))
    assert [one.verdict for one in short] == [one.verdict for one in found]
    assert all(one.evidence is not None for one in short)


# ---------------------------------------------------------------- what people see, and contested convictions


def convicted(answers: int) -> Member:
    losses = tuple(Loss(lost(number), STEPS.up) for number in range(answers))
    return Member(
        active=True,
        long_cusum=STEPS.long_threshold,
        long_losses=losses,
        convicted_epoch=3,
        conviction=WRONG_WHEN_LONG,
    )


def test_a_conviction_for_long_answers_rests_on_the_disputes_about_them() -> None:
    member, one = convicted(4), key("objector")
    assert grounds(member) == member.long_losses
    assert stands_without(NETWORK, member, set())
    assert not stands_without(NETWORK, member, {lost(0)})
    assert stands_without(NETWORK, replace(member, long_cusum=STEPS.long_threshold + STEPS.up), {lost(0)})
    state = state_of()
    state.members[PEER] = member
    state.contested = {lost(0): frozenset([one]), lost(77): frozenset([key("another")])}
    assert contesting(NETWORK, state, member) == [one]
    forget_contested(state)
    assert set(state.contested) == {lost(0)}


def test_the_row_shows_the_test() -> None:
    state = state_of(long_cusum=STEPS.up - 1, agreements=3)
    before = score_rows(NETWORK, state)
    found = {score.peer: score for score in scores(NETWORK, state)}[PEER]
    assert (found.long_cusum, found.long_threshold, found.standing) == (
        STEPS.up - 1,
        STEPS.long_threshold,
        Standing.PROBATION,
    )
    state.change(PEER, long_cusum=STEPS.up)
    assert score_rows(NETWORK, state) != before
    assert {score.peer: score for score in scores(NETWORK, state)}[PEER].standing is Standing.SUSPECT


def test_at_first_the_tests_are_empty() -> None:
    member = Member()
    assert (member.cusum, member.long_cusum, member.capital) == (0, 0, reserve(0))
