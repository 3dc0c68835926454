"""The pooled test in the fold: whose word counts, what a decision adds, starts, and convictions for far answers."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from p2pverify.core.inference import pooled
from p2pverify.core.inference.compare import Measure, Measures
from p2pverify.core.records.payloads.lots import DisputeKey
from p2pverify.core.state import capital
from p2pverify.core.state.memory import FAR_MAX
from p2pverify.core.state.score import Standing
from p2pverify.core.state.state import FAR_OFF, LOST_DISPUTES, Loss, Member, State, genesis
from p2pverify.core.state.transition import Frame, Transition, class_steps
from p2pverify.core.state.verdicts.objections import contesting, stands_without
from p2pverify.core.state.view import score_rows, scores
from tests.support.across import BAD, BOUNDS, CUT_EPOCH, GOOD, POOLED, SHORT, UNSURE, Slotted, Story

LOSES, FAR, WORST = (pooled.evidence(measure, POOLED) or 0 for measure in (GOOD, UNSURE, BAD))
START = pooled.reserve(0)


def begun(members: str = "aaabbb", **changes: int) -> tuple[Story, Slotted]:
    story = Story(members, POOLED, **changes)
    return story, story.panel_slot(story.seeds[0])


def capitals(story: Story, slotted: Slotted) -> list[tuple[int, int]]:
    members = [story.latest.members[key] for key in slotted.panel.targets]
    return [(member.judged, member.capital) for member in members]


def decided(story: Story, slotted: Slotted, found: Measures) -> State:
    story.decide(slotted, found, dict.fromkeys(story.seeds[1:], found))
    return story.cut(CUT_EPOCH + 5)


# ---------------------------------------------------------------- whose word counts


def test_evidence_is_for_and_against() -> None:
    assert LOSES < 0 < FAR < WORST
    assert pooled.evidence(SHORT, POOLED) == WORST


def test_a_challenger_can_lower_a_capital_and_not_raise_it() -> None:
    """An answer that is far off counts only after a vote; its challenger should have disputed it."""
    story, slotted = begun()
    story.undisputed(slotted, (GOOD, UNSURE, GOOD))
    assert capitals(story, slotted) == [(1, START + LOSES), (0, START), (1, START + LOSES)]


def test_the_word_of_a_challenger_without_weight_counts_for_nothing() -> None:
    """Other keys are free, so their owner could publish only what suits it."""
    story = Story("aaabbb", POOLED, founders=5)
    slotted = story.panel_slot(story.seeds[5])
    assert not story.member(story.seeds[5]).weight
    story.undisputed(slotted, (GOOD, GOOD, GOOD))
    assert capitals(story, slotted) == [(0, START)] * 3


@pytest.mark.parametrize("found", [(GOOD, UNSURE, BAD), (SHORT, GOOD, UNSURE)])
def test_a_decision_counts_for_and_against(found: Measures) -> None:
    story, slotted = begun()
    decided(story, slotted, found)
    expected = [pooled.evidence(measure, POOLED) or 0 for measure in found if measure is not None]
    assert capitals(story, slotted) == [(1, START + value) for value in expected]
    for peer, value in zip(slotted.panel.targets, expected, strict=True):
        assert story.latest.members[peer].far == ((Loss(slotted.key, value),) if value > 0 else ())


def test_a_decision_about_an_audit_of_a_challenger_without_weight_counts_for_nothing() -> None:
    story = Story("aaabbb", POOLED, founders=5)
    slotted = story.panel_slot(story.seeds[5])
    found = (GOOD, UNSURE, BAD)
    story.decide(slotted, found, dict.fromkeys(story.seeds[:5], found))
    state = story.cut(CUT_EPOCH + 5)
    assert state.totals["decided disputes"] == 1
    assert capitals(story, slotted) == [(0, START)] * 3


def test_without_a_pool_there_is_no_test() -> None:
    story = Story("aaabbb", BOUNDS)
    slotted = story.panel_slot(story.seeds[0])
    decided(story, slotted, (GOOD, UNSURE, BAD))
    assert capitals(story, slotted) == [(0, START)] * 3


def test_one_answer_that_is_far_enough_off_convicts_at_low_odds() -> None:
    """At odds of 10 the sequential test does not convict for one dissent, and the pooled test does."""
    story, slotted = begun(conviction_odds=10)
    assert pooled.threshold(10) <= START + WORST
    decided(story, slotted, (GOOD, UNSURE, BAD))
    members = [story.latest.members[key] for key in slotted.panel.targets]
    assert [member.conviction for member in members] == ["", "", FAR_OFF]
    assert members[2].dissents == 1
    rows = {score.peer: score for score in scores(story.network, story.latest)}
    assert rows[slotted.panel.targets[2]].standing is Standing.CONVICTED
    assert rows[slotted.panel.targets[1]].standing is Standing.SUSPECT


# ---------------------------------------------------------------- steps of the test

NETWORK = Story("aaabbb", POOLED).network
PEER = NETWORK.founders[3]
CHALLENGER = NETWORK.founders[0]
LIMIT = pooled.threshold(NETWORK.params.conviction_odds)


def lost(number: int) -> DisputeKey:
    return DisputeKey(CHALLENGER, number, 0)


def state_of(**changes: object) -> State:
    state = genesis(NETWORK).successor(bytes(32), 20, {})
    state.change(PEER, active=True, class_index=1, **changes)
    return state


def take(state: State, *found: int) -> Member:
    """Count these answers in one step."""
    frame = Frame(lambda cuts: [None] * len(cuts))
    step = Transition(NETWORK, NETWORK.id, genesis(NETWORK), state, frame, class_steps(NETWORK))
    for number, value in enumerate(found):
        step.bets.setdefault(PEER, []).append(Loss(lost(number), value))
    capital.take_bets(step)
    return state.members[PEER]


@given(st.lists(st.integers(-500, 4_000), min_size=1, max_size=8))
@settings(deadline=None, max_examples=100)
def test_the_order_inside_a_step_does_not_matter(found: list[int]) -> None:
    one, two = take(state_of(), *found), take(state_of(), *reversed(found))
    assert (one.capital, one.judged, one.is_convicted) == (two.capital, two.judged, two.is_convicted)
    assert one.capital == START + sum(found)


@pytest.mark.parametrize("judged", [0, 1, 100, 10_000])
def test_a_low_capital_starts_again_from_its_reserve(judged: int) -> None:
    """The answers of the old start are forgotten, because the capital does not rest on them any more."""
    old = (Loss(lost(99), 3_000),)
    member = take(state_of(judged=judged, capital=-50_000, far=old), LOSES, LOSES)
    assert (member.capital, member.far) == (pooled.reserve(judged) + 2 * LOSES, ())
    kept = take(state_of(judged=judged, capital=5_000, far=old), LOSES)
    assert (kept.capital, kept.far) == (5_000 + LOSES, old)


def test_a_capital_does_not_start_again_with_evidence_against_the_peer() -> None:
    """A decision is about an answer that came before."""
    member = take(state_of(judged=10, capital=-50_000), LOSES, FAR)
    assert (member.capital, member.far) == (-50_000 + LOSES + FAR, (Loss(lost(1), FAR),))


def test_a_capital_does_not_start_again_while_a_dispute_is_open() -> None:
    """Otherwise the evidence of the dispute would count without the evidence that came before."""
    story, slotted = begun()
    state = story.disputed(slotted, (GOOD, UNSURE, GOOD))
    target = slotted.panel.targets[1]
    assert state.members[target].capital == START
    later = state.successor(bytes(32), state.epoch + 1, state.heads)
    later.change(target, capital=-50_000)
    frame = Frame(lambda cuts: [None] * len(cuts))
    step = Transition(story.network, story.network.id, state, later, frame, class_steps(story.network))
    step.bets[target] = [Loss(slotted.key, LOSES)]
    capital.take_bets(step)
    assert later.members[target].capital == -50_000 + LOSES


def test_the_oldest_far_answers_are_forgotten_first() -> None:
    member = take(state_of(), *([1] * (FAR_MAX + 4)))
    assert [loss.dispute.epoch for loss in member.far] == list(range(4, FAR_MAX + 4))


def test_after_its_conviction_the_test_ends() -> None:
    state = state_of()
    assert take(state, LIMIT - START - 1).conviction == ""
    before = take(state, 1)
    assert before.conviction == FAR_OFF
    frozen = (before.capital, before.judged, before.far)
    after = take(state, 5_000)
    assert (after.capital, after.judged, after.far) == frozen


def test_a_conviction_for_lost_disputes_stands_first() -> None:
    state = state_of()
    state.convict(PEER, LOST_DISPUTES)
    assert take(state, LIMIT - START).conviction == LOST_DISPUTES


# ---------------------------------------------------------------- contested


def convicted(answers: int) -> Member:
    far = tuple(Loss(lost(number), FAR) for number in range(answers))
    return Member(active=True, capital=LIMIT, far=far, convicted_epoch=3, conviction=FAR_OFF)


def test_a_conviction_for_far_answers_rests_on_each_of_them() -> None:
    """A member that objects to one of just enough answers contests the conviction."""
    member, one = convicted(5), b"\x01" * 32
    assert stands_without(NETWORK, member, set())
    assert not stands_without(NETWORK, member, {lost(0)})
    assert stands_without(NETWORK, replace(member, capital=LIMIT + FAR), {lost(0)})
    state = state_of()
    state.members[PEER] = member
    state.contested = {lost(0): frozenset([one]), lost(77): frozenset([b"\x02" * 32])}
    assert contesting(NETWORK, state, member) == [one]


def test_the_row_shows_the_test() -> None:
    state = state_of(judged=7, capital=-1_234)
    state.change(CHALLENGER, judged=1, capital=99)
    rows = score_rows(NETWORK, state)
    assert len({*rows}) == len(NETWORK.founders)
    found = {score.peer: score for score in scores(NETWORK, state)}
    assert (found[PEER].judged, found[PEER].capital, found[PEER].capital_threshold) == (7, -1_234, LIMIT)
    state.change(PEER, capital=-1_235)
    assert score_rows(NETWORK, state) != rows


@given(st.lists(st.tuples(st.integers(0, 8), st.integers(0, 9_000_000)), max_size=20))
@settings(deadline=None, max_examples=100)
def test_right_answers_never_convict(answers: list[tuple[int, int]]) -> None:
    """Whatever they say, challengers alone convict nobody: only answers that lose their bets count on their word."""
    values = [pooled.evidence(Measure(count, total, total, 0), POOLED) or 0 for count, total in answers]
    member = take(state_of(), *(value for value in values if value <= 0))
    assert not member.is_convicted
    assert member.capital <= START
