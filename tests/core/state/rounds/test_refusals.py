"""Which records of a round do not count, by their counters, and which convict."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from p2pverify.core.contract.history.training import HELD_OUT, OPEN
from p2pverify.core.encoding.canon import sha256
from p2pverify.core.records.envelope import Kind
from p2pverify.core.records.payloads.rounds.seal import Trained
from p2pverify.core.training.terms import TrainingTerms
from tests.support.rounds import RoundStory

ABSENT = sha256(b"absent")

SEALS: dict[str, Callable[[RoundStory, bytes], object]] = {
    "another base": lambda story, author: story.seal(author, base=ABSENT),
    "certificate does not hold the round": lambda story, author: story.seal(author, certificate=ABSENT),
    "no data set of the author": lambda story, author: story.seal(author, dataset=ABSENT),
    "author does not contribute to the round": lambda story, _: story.seal(story.keys[-1]),
}
UPDATES: dict[str, Callable[[RoundStory, bytes], object]] = {
    "certificate is before the sealing was closed": lambda story, author: story.update(
        author, certificate=story.state.path[story.open.opened_index]
    ),
    "does not open the seal": lambda story, author: story.update(author, salt="other"),
    "no seal was counted": lambda story, _: story.update(story.keys[-1]),
}
COMMITS: dict[str, Callable[[RoundStory, bytes], object]] = {
    "not of the electorate": lambda story, _: story.commit(ABSENT, story.result()),
    "certificate does not open the vote": lambda story, voter: story.commit(
        voter, story.result(), certificate=story.state.path[story.open.closed_index]
    ),
}
VOTES: dict[str, Callable[[RoundStory, bytes], object]] = {
    "certificate is before the sealing was closed": lambda story, voter: story.vote(
        voter, story.result(), certificate=story.state.path[story.open.closed_index]
    ),
    "does not open the commit": lambda story, voter: story.vote(voter, story.result("other")),
    "no commit was counted": lambda story, _: story.vote(story.keys[-1], story.result()),
}


@pytest.mark.parametrize("why", SEALS)
def test_seals_that_do_not_count(why: str) -> None:
    story = RoundStory()
    SEALS[why](story, story.contributors[0])
    story.cut()
    assert story.refusals("update seal") == {why: 1}
    assert story.open.seals == {}


def test_a_seal_after_the_sealing_was_closed_does_not_count() -> None:
    story = RoundStory(contributors=6)
    story.sealed(story.contributors[:5])
    story.seal(story.contributors[5])
    story.cut()
    assert story.refusals("update seal") == {"after the sealing was closed": 1}


@pytest.mark.parametrize(
    ("terms", "why"),
    [
        (TrainingTerms(OPEN, 40, 0), "data set is not offered for the rule"),
        (TrainingTerms(HELD_OUT, 7, 0), "held-out rows are used up"),
    ],
)
def test_data_that_does_not_fit_opens_no_round(terms: TrainingTerms, why: str) -> None:
    """The reason of a seal, if the round is open because others have data that fits."""
    assert RoundStory(terms=terms).known.open is None
    story = RoundStory()
    author = story.contributors[0]
    offered = story.state.datasets[story.datasets[author]]
    assert offered.training is not None
    story.state.datasets[story.datasets[author]] = replace(offered, training=replace(offered.training, terms=terms))
    story.seal(author)
    story.cut()
    assert story.refusals("update seal") == {why: 1}


@pytest.mark.parametrize("why", UPDATES)
def test_updates_that_do_not_count(why: str) -> None:
    story = RoundStory()
    story.sealed()
    UPDATES[why](story, story.contributors[0])
    story.cut()
    assert story.refusals("update") == {why: 1}
    assert story.open.updates == {}


@pytest.mark.parametrize(
    ("trained", "why"),
    [
        (Trained(ABSENT, None, 161), "more rows than the data set has for training"),
        (Trained(ABSENT, ABSENT, 60), "steps do not fit the mode"),
    ],
)
def test_trainings_that_cannot_be(trained: Trained, why: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The rows and the steps that an update claims must be possible."""
    story = RoundStory()
    monkeypatch.setattr(story, "trained", lambda _author, _salt="": trained)
    story.sealed()
    story.update(story.contributors[0])
    story.cut()
    assert story.refusals("update") == {why: 1}


def test_an_update_before_the_sealing_is_closed_does_not_count() -> None:
    story = RoundStory(seal_cuts=4)
    story.seal(story.contributors[0])
    story.cut()
    story.update(story.contributors[0])
    story.cut()
    assert story.refusals("update") == {"not while updates are opened": 1}


@pytest.mark.parametrize("why", COMMITS)
def test_commits_that_do_not_count(why: str) -> None:
    story = RoundStory()
    story.sealed()
    story.opened()
    COMMITS[why](story, story.keys[0])
    story.cut()
    assert story.refusals("round commit") == {why: 1}


@pytest.mark.parametrize("why", VOTES)
def test_votes_that_do_not_count(why: str) -> None:
    story = RoundStory()
    story.sealed()
    story.opened()
    for voter in story.keys[:-1]:
        story.commit(voter, story.result())
    story.cut()
    story.cut()
    VOTES[why](story, story.keys[0])
    story.cut()
    assert story.refusals("round vote") == {why: 1}


@pytest.mark.parametrize("changed", ["closing", "rows"])
def test_results_of_another_round_do_not_count(changed: str) -> None:
    """A result names the cut that closed the opening, and has a row of each update that counted."""
    story = RoundStory()
    story.sealed()
    story.opened()
    right = story.result()
    wrong = replace(right, closing=ABSENT) if changed == "closing" else replace(right, rows=right.rows[1:])
    story.decided(dict.fromkeys(story.keys, wrong))
    why = "another closing cut" if changed == "closing" else "rows are not those of the round"
    assert story.refusals("round vote") == {why: 7}
    assert story.known.decided == 0


# ---------------------------------------------------------------- convictions


def test_two_seals_two_commits_or_two_votes_convict() -> None:
    """The same again does not, nor a repeat that cites another certificate."""
    story = RoundStory(contributors=6)
    one, two, three = story.contributors[:3]
    for author in story.contributors:
        story.seal(author)
    story.seal(one, salt="other")
    story.seal(two, certificate=story.state.path[-2])
    story.cut()
    assert story.state.members[one].conviction == "two updates in one round"
    assert not story.state.members[two].is_convicted
    while story.open.closed_index < 0:
        story.cut()
    story.opened()
    for voter in story.keys:
        story.commit(voter, story.result())
    story.commit(two, story.result("other"))
    story.cut()
    assert story.state.members[two].conviction == "two commits for one round"
    for voter in story.keys[:3]:
        story.vote(voter, story.result())
    story.cut()
    story.vote(three, story.result("other"))
    story.cut()
    assert story.state.members[three].conviction == "two votes for one round"


def test_a_copied_seal_opens_for_nobody() -> None:
    """A seal holds its author's key. So who copies another's seal cannot open it, even with the other's opening."""
    story = RoundStory()
    victim, thief = story.contributors[:2]
    for author in story.contributors:
        if author != thief:
            story.seal(author)
    seals = [record for record in story.steps.waiting if (record.author, record.kind) == (victim, Kind.UPDATE_SEAL)]
    story.steps.say(thief, Kind.UPDATE_SEAL, seals[0].payload)
    story.cut()
    assert story.refusals("update seal") == {"no data set of the author": 1}
    assert thief not in story.open.seals
