"""Mode 2 in the fold: owners seal and open losses before the vote, and nothing that they say convicts them."""

from collections.abc import Callable

import pytest

from p2pverify.core.contract.history.training import REPORTED
from p2pverify.core.roles.rounds.evaluator import evaluate_order
from p2pverify.core.state.codec.sections import decode_state, encode_state
from p2pverify.core.state.rounds.notes import TrainingPhase
from p2pverify.core.training.losses import LossTable, losses_count
from p2pverify.core.training.terms import TrainingTerms
from tests.support.rounds import RoundStory

COUNT = losses_count(5)


def story_of(**changes: object) -> RoundStory:
    """Five contributors, each a house, whose updates are open."""
    made = RoundStory(terms=TrainingTerms(REPORTED, 0, 0), mode=REPORTED, held_rows=0, **changes)  # type: ignore[arg-type]
    made.sealed()
    for author in made.contributors:
        made.update(author)
    made.cut()
    assert made.open.phase is TrainingPhase.REPORTING
    return made


def losses_of(story: RoundStory, author: bytes) -> LossTable:
    return tuple(600_000 + 1000 * story.contributors.index(author) - number for number in range(COUNT))


def all_sealed(story: RoundStory) -> None:
    for author in story.contributors:
        story.report_seal(author, losses_of(story, author))
    story.cut()


def test_losses_take_two_cuts_more_and_stand_in_the_order_of_voters() -> None:
    story = story_of()
    all_sealed(story)
    phases = [story.open.phase]
    for author in story.contributors:
        story.report(author, losses_of(story, author))
    phases.append(story.cut().rounds[0].open.phase)
    assert phases == [TrainingPhase.DISCLOSING, TrainingPhase.VOTING]
    order = evaluate_order(story.place, story.rule, story.known, story.open, bytes(32))
    assert order.reports == tuple((author, losses_of(story, author)) for author in story.contributors)
    written = encode_state(story.network.id, story.state)
    assert decode_state(written).state.rounds == story.state.rounds
    story.decided()
    assert story.known.decided == 1
    assert not any(story.state.members[key].dissents for key in story.keys)


SEALS: dict[str, Callable[[RoundStory, bytes], object]] = {
    "author has no update in the round": lambda story, author: story.report_seal(
        story.keys[-1], losses_of(story, author)
    ),
    "certificate is before the updates were open": lambda story, author: story.report_seal(
        author, losses_of(story, author), certificate=story.state.path[story.open.opened_index]
    ),
}
REPORTS: dict[str, Callable[[RoundStory, bytes], object]] = {
    "no loss seal was counted": lambda story, author: story.report(story.keys[-1], losses_of(story, author)),
    "certificate is before the sealing of losses was closed": lambda story, author: story.report(
        author, losses_of(story, author), certificate=story.state.path[story.open.reported_index - 1]
    ),
    "does not open the loss seal": lambda story, author: story.report(author, losses_of(story, author)[::-1]),
}


@pytest.mark.parametrize("why", SEALS)
def test_loss_seals_that_do_not_count(why: str) -> None:
    story = story_of()
    SEALS[why](story, story.contributors[0])
    story.cut()
    assert story.refusals("loss seal") == {why: 1}
    assert story.open.losses == {}


@pytest.mark.parametrize("why", REPORTS)
def test_loss_reports_that_do_not_count(why: str) -> None:
    story = story_of()
    all_sealed(story)
    REPORTS[why](story, story.contributors[0])
    story.cut()
    assert story.refusals("loss report") == {why: 1}


def test_out_of_time_and_other_tables_do_not_count() -> None:
    story = story_of()
    short = losses_of(story, story.contributors[0])[:-1]
    for author in story.contributors:
        story.report_seal(author, short if author == story.contributors[0] else losses_of(story, author))
        story.report(author, losses_of(story, author))
    story.cut()
    story.report_seal(story.contributors[1], losses_of(story, story.contributors[1]))
    story.report(story.contributors[0], short)
    story.cut()
    early = "certificate is before the sealing of losses was closed"
    assert story.refusals("loss report") == {early: 5, "another number of losses": 1}
    other = story_of()
    all_sealed(other)
    latecomer = other.contributors[0]
    del other.open.losses[latecomer]  # type: ignore[attr-defined]  # as if it had not come in time
    other.report_seal(latecomer, losses_of(other, latecomer))
    other.cut()
    assert other.refusals("loss seal") == {"not while losses are sealed": 1}
    first = story_of()
    first.report(first.contributors[0], losses_of(first, first.contributors[0]))
    first.cut()
    assert first.refusals("loss report") == {"not while losses are opened": 1}


def test_two_loss_seals_convict() -> None:
    """A repeat that cites another certificate does not."""
    story = story_of()
    one, two = story.contributors[:2]
    story.report_seal(one, losses_of(story, one))
    story.report_seal(one, losses_of(story, two))
    story.report_seal(two, losses_of(story, two))
    story.cut()
    story.report_seal(two, losses_of(story, two))
    story.cut()
    assert story.state.members[one].conviction == "two loss seals for one round"
    assert not story.state.members[two].is_convicted


def test_with_too_few_reports_a_round_is_void() -> None:
    """Owners that say nothing hold a round up for some cuts, and have no verdict."""
    for told in (0, 4):
        story = story_of(seal_cuts=2, open_cuts=2)
        for author in story.contributors[: 5 if told else 4]:
            story.report_seal(author, losses_of(story, author))
        story.cut()
        for author in story.contributors[:told]:
            story.report(author, losses_of(story, author))
        while story.open.number == 1:
            story.cut()
        why = "too few losses opened" if told else "too few losses sealed"
        assert story.refusals("void round") == {why: 1}
        assert not any(story.state.members[key].dissents for key in story.keys)
