"""The phases of a round, cut by cut, and what its decision does."""

from dataclasses import replace

import pytest

from p2pverify.core.contract.history.training import DP, HELD_OUT
from p2pverify.core.records.envelope import Kind
from p2pverify.core.records.payloads.lines.recall import Reason, Recall
from p2pverify.core.records.payloads.lines.signatures import sign_statement
from p2pverify.core.state.lines.versions import Status, notes_of, status_of
from p2pverify.core.state.rounds.notes import TrainingPhase
from p2pverify.core.state.rounds.phases import CLOSED_ROUNDS_KEPT
from p2pverify.core.training.budget import round_rho
from p2pverify.core.training.result import UpdateFinding
from p2pverify.core.training.terms import TrainingTerms
from tests.support.lines import PUBLISHERS
from tests.support.rounds import RoundStory
from tests.support.training import NOISE, RULE


def test_a_round_takes_four_cuts_and_makes_a_version() -> None:
    """Seals, updates, commits and votes come with a cut each. The next round opens with the cut that decides."""
    story = RoundStory()
    began = story.state.index
    assert (story.open.number, story.open.phase) == (1, TrainingPhase.SEALING)
    assert story.open.expected == frozenset(story.contributors)
    story.sealed()
    assert (story.open.phase, story.open.drawn) == (TrainingPhase.OPENING, story.state.beacon)
    story.opened()
    assert story.open.phase is TrainingPhase.VOTING
    result = story.result()
    story.decided()
    assert story.state.index - began == 4
    assert (story.open.number, story.open.base, story.open.manifest) == (2, 1, result.manifest)
    (over,) = story.known.closed
    assert (over.number, over.version, over.gain, over.voters) == (1, 1, 5000, (7, 7))
    assert [(note.row.author, note.row.credit, note.rows, note.late) for note in over.contributions] == [
        (author, 100, 60, 0) for author in story.contributors
    ]
    notes = notes_of(story.network, story.state, 0)
    version = notes.versions[0]
    assert (version.manifest, version.is_trained, version.statement) == (result.manifest, True, result.digest)
    line = story.network.lines[0]
    assert status_of(line, notes, 1, story.state.epoch) is Status.ANNOUNCED
    assert status_of(line, notes, 1, story.state.epoch + line.notice_epochs) is Status.CURRENT


def test_who_seals_late_is_waited_for_and_its_lateness_is_noted() -> None:
    story = RoundStory(seal_cuts=3)
    *prompt, late = story.contributors
    for author in prompt:
        story.seal(author)
    story.cut()
    story.seal(late)
    story.cut()
    assert story.open.phase is TrainingPhase.OPENING
    assert {author: seal.late for author, seal in story.open.seals.items()} == dict.fromkeys(prompt, 0) | {late: 1}


def test_the_sealing_of_a_vote_waits_for_as_many_as_can_decide() -> None:
    """With four seals of six nothing could be decided, so the fifth is waited for."""
    story = RoundStory(6, 5)
    story.sealed()
    story.opened()
    right = story.result()
    for voter in story.keys[:4]:
        story.commit(voter, right)
    story.cut()
    assert story.open.vote is not None
    assert story.open.vote.closed_index < 0
    story.commit(story.keys[4], right)
    story.cut()
    for voter in story.keys[:5]:
        story.vote(voter, right)
    story.cut()
    assert story.known.closed[-1].voters == (5, 6)


@pytest.mark.parametrize(("seal_cuts", "cuts"), [(1, 3), (3, 3), (7, 7)])
def test_voters_have_as_long_as_contributors(seal_cuts: int, cuts: int) -> None:
    """Results can be sealed for the rule's cuts, and for three at least."""
    story = RoundStory(seal_cuts=seal_cuts)
    story.sealed()
    story.opened()
    assert story.open.vote is not None
    opened = story.state.index
    while story.open.vote.closed_index < 0:
        story.cut()
    assert story.open.vote.closed_index - opened == cuts


def test_who_does_not_seal_or_open_holds_nothing_up_for_long() -> None:
    """Sealing and opening end after their cuts. With too few houses the round is void, and the next one opens."""
    story = RoundStory(contributors=6, seal_cuts=2, open_cuts=2)
    began = story.state.index
    story.sealed(story.contributors[:5])
    assert story.state.index - began == story.rule.seal_cuts
    story.opened(story.contributors[:4])
    (void,) = story.known.closed
    assert (void.version, void.contributions, story.open.number) == (-1, (), 2)
    assert story.refusals("void round") == {"too few updates opened": 1}
    story.sealed(story.contributors[:4])
    assert story.refusals("void round") == {"too few updates opened": 1, "too few updates sealed": 1}
    assert story.open.number == 3


def test_a_vote_without_a_decision_is_void_and_names_who_opened_nothing() -> None:
    story = RoundStory(dispute_epochs=6)
    story.sealed()
    story.opened()
    one, two = story.result("one"), story.result("two")
    for voter, result in zip(story.keys, (one, one, one, one, two, two, two), strict=True):
        story.commit(voter, result)
    story.cut()
    for voter in story.keys[:4]:
        story.vote(voter, one)
    while story.open.number == 1:
        story.cut()
    assert story.refusals("void round") == {"no decision": 1}
    assert {key for key in story.keys if story.state.members[key].unopened} == set(story.keys[4:])
    assert not any(story.state.members[key].dissents for key in story.keys)


def test_two_thirds_decide_and_the_others_have_a_dissent() -> None:
    """Also a contributor whose training gives another update. It is one dissent of the sequential test."""
    story = RoundStory()
    story.sealed()
    story.opened()
    right, wrong = story.result(c1={"finding": UpdateFinding.FALSE, "credit": 0}), story.result("other")
    story.decided({**dict.fromkeys(story.keys[:5], right), story.keys[5]: wrong, story.keys[6]: wrong})
    dissents = {key for key in story.keys if story.state.members[key].dissents}
    assert dissents == {story.contributors[1], *story.keys[5:]}
    assert all(story.state.members[key].cusum > 0 for key in dissents)


def test_who_had_other_bytes_before_it_has_no_dissent() -> None:
    """A hostile contributor shows its bytes to some voters only. What could not be checked is never failed."""
    story = RoundStory()
    story.sealed()
    story.opened()
    seen, unseen = story.result(), story.result(c0={"finding": UpdateFinding.UNSEEN, "credit": 0})
    story.decided({**dict.fromkeys(story.keys[:5], seen), **dict.fromkeys(story.keys[5:], unseen)})
    assert story.known.decided == 1
    assert not any(story.state.members[key].dissents for key in story.keys)


def test_a_result_that_keeps_the_base_makes_no_version() -> None:
    story = RoundStory()
    story.sealed()
    story.opened()
    kept = replace(story.result(), manifest=story.open.manifest)
    story.decided(dict.fromkeys(story.keys, kept))
    assert (story.known.closed[0].version, story.open.base, story.known.decided) == (-1, 0, 1)
    assert notes_of(story.network, story.state, 0).versions == ()


def test_the_rounds_of_a_rule_end() -> None:
    """Closed rounds are remembered up to a bound."""
    story = RoundStory(rounds=CLOSED_ROUNDS_KEPT + 1, terms=TrainingTerms(HELD_OUT, 99, 0))
    for _ in range(CLOSED_ROUNDS_KEPT + 1):
        story.round()
    story.cut()
    assert (story.known.open, story.known.newest) == (None, CLOSED_ROUNDS_KEPT + 1)
    assert [over.number for over in story.known.closed] == list(range(2, CLOSED_ROUNDS_KEPT + 2))


def test_held_out_rows_are_shown_once_and_run_out() -> None:
    """In each round the rows after those of the rounds before. Who has none left is not expected any more."""
    story = RoundStory(terms=TrainingTerms(HELD_OUT, 2 * RULE.held_rows + 1, 0))
    positions = []
    for _ in range(2):
        story.sealed()
        story.opened()
        positions.append({opened.position for opened in story.open.updates.values()})
        story.decided()
    assert positions == [{0}, {RULE.held_rows}]
    story.cut()
    assert (story.known.open, story.known.newest) == (None, 2)


def test_the_privacy_budget_of_a_data_set_is_a_rule() -> None:
    """A round with noise costs its rho. A data set whose budget is used up is in no further round."""
    rho = round_rho(replace(RULE, **NOISE))
    assert rho > 0
    story = RoundStory(**NOISE, terms=TrainingTerms(HELD_OUT, 40, 2 * rho + rho // 2))
    assert story.rule.trainer == DP
    for spent in (rho, 2 * rho):
        story.round()
        assert {offered.training.spent for offered in story.state.datasets.values() if offered.training} == {spent}
    story.cut()
    assert (story.known.open, story.known.newest) == (None, 2)


def test_an_erasure_leaves_the_order_of_rows_and_spends_nothing_back() -> None:
    story = RoundStory(**NOISE, terms=TrainingTerms(HELD_OUT, 40, 10**10))
    story.round()
    owner = story.contributors[0]
    before = story.state.datasets[story.datasets[owner]]
    story.erase(owner, 10)
    story.cut()
    after = story.state.datasets[story.datasets[owner]]
    assert before.training == after.training is not None
    assert (after.rows, after.erased, after.size, after.root) == (190, 10, 200, b"\x07" * 32)


def test_a_recall_of_the_base_voids_the_round_and_the_next_one_begins_before_it() -> None:
    story = RoundStory()
    story.round()
    story.sealed()
    made = Recall(0, 1, Reason.DEFECTIVE, 0)
    signatures = sign_statement(made.statement(story.network.id), PUBLISHERS[:2])
    story.steps.say(story.keys[0], Kind.RECALL, replace(made, signatures=signatures).encode())
    story.cut()
    assert story.refusals("void round") == {"the base was recalled": 1}
    assert (story.open.number, story.open.base, story.open.manifest) == (3, 0, story.network.lines[0].genesis)


@pytest.mark.parametrize(("marked", "rounds"), [(True, 4), (False, 5)])
def test_marks_quarantine_and_never_convict(marked: bool, rounds: int) -> None:
    """Four marks in a row leave a contributor out of the aggregate for the rule's rounds. It may seal again."""
    story = RoundStory(terms=TrainingTerms(HELD_OUT, 99, 0), rounds=9, quarantine_rounds=2)
    bad = story.contributors[2]
    for _ in range(rounds):
        story.round(c2={"is_marked": marked, "credit": -5000})
    assert story.known.quarantined == ({bad: rounds + 3} if marked else {})
    assert not story.state.members[bad].is_convicted
    assert bad in story.open.expected
    story.round()
    story.round()
    assert story.known.quarantined == {}
