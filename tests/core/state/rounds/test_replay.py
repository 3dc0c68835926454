"""Erasures in lines that are trained: what is tainted, when rounds are repeated, and what a replay may cost."""

from dataclasses import replace

import pytest

from p2pverify.core.contract.history.training import HELD_OUT, REPLAY, REPLAYED_ROUNDS_MAX, read_training
from p2pverify.core.encoding.canon import decode, encode
from p2pverify.core.errors import DecodeError
from p2pverify.core.records.envelope import Kind
from p2pverify.core.records.payloads.lines.recall import Reason, Recall
from p2pverify.core.records.payloads.lines.signatures import sign_statement
from p2pverify.core.records.payloads.settle.pledge import PledgeOffer
from p2pverify.core.settle.books import POOL, account_rows
from p2pverify.core.state.lines.versions import is_tainted, notes_of
from p2pverify.core.training.budget import round_rho
from p2pverify.core.training.result import UpdateFinding
from p2pverify.core.training.terms import TrainingTerms
from tests.support.lines import PUBLISHERS
from tests.support.money import with_tariff
from tests.support.rounds import RoundStory
from tests.support.training import NOISE, RULE

TERMS = TrainingTerms(HELD_OUT, 99, 0)


def replaying(**changes: object) -> RoundStory:
    """A story of a line that replays, with rows for many rounds."""
    return RoundStory(terms=TERMS, erasure_policy=REPLAY, **changes)  # type: ignore[arg-type]


def tainted(story: RoundStory) -> list[int]:
    notes = notes_of(story.network, story.state, 0)
    return [version.number for version in notes.versions if is_tainted([notes], version)]


def repeats(story: RoundStory) -> list[tuple[int, int, int]]:
    """Of each closed round: its number, the round that it repeats, and the version that it made."""
    return [(over.number, over.repeats, over.version) for over in story.known.closed]


def test_an_erasure_within_a_round_counts_when_the_round_is_over() -> None:
    """A contributor that has sealed loses nothing, and its drawn rows stay as they were. A second erasure adds up."""
    story = RoundStory(terms=TERMS)
    owner = story.contributors[0]
    dataset = story.datasets[owner]
    for author in story.contributors:
        story.seal(author)
    story.erase(owner, 10)
    story.cut()
    assert story.state.totals["erasures"] == 1
    before = story.state.datasets[dataset]
    assert (before.rows, before.waiting) == (200, (b"\x07" * 32, 190))
    story.erase(owner, 0, root=b"\x06" * 32)
    story.erase(owner, 5, root=b"\x08" * 32)
    story.opened()
    assert story.refusals("erasure") == {"it leaves as many rows as there were": 1}
    opened = story.open.updates[owner]
    assert (opened.root, opened.rows, opened.erased) == (before.root, 200, 0)
    story.decided()
    after = story.state.datasets[dataset]
    assert (after.root, after.rows, after.erased, after.waiting) == (b"\x08" * 32, 185, 15, None)
    assert story.known.closed[0].contributions[0].row.finding is UpdateFinding.RIGHT


def test_an_erasure_before_the_seal_counts_at_once() -> None:
    story = RoundStory(terms=TERMS)
    owner = story.contributors[0]
    story.erase(owner, 10)
    story.cut()
    assert story.state.datasets[story.datasets[owner]].rows == 190
    story.round()
    assert story.known.decided == 1


def test_versions_of_erased_rows_are_tainted_and_kept() -> None:
    """With the rule to keep, the view says so and rounds go on. What descends from a tainted version is tainted."""
    story = RoundStory(contributors=6, terms=TERMS, seal_cuts=2)
    *others, owner = story.contributors
    story.sealed(others)  # the owner takes no part in the first round
    story.opened()
    story.decided()
    story.round()
    assert tainted(story) == []
    story.erase(owner, 10)
    story.cut()
    assert tainted(story) == [2]
    story.round()
    assert tainted(story) == [2, 3]
    assert (story.known.past, story.known.decided) == ((), 3)


def test_a_replay_repeats_the_rounds_since_the_first_use_of_the_rows() -> None:
    """With their seeds, their contributors and their drawn rows; then new rounds go on from its last version."""
    story = replaying(contributors=6, seal_cuts=2)
    *others, owner = story.contributors
    story.sealed(others)
    story.opened()
    story.decided()
    firsts = []
    for _ in range(2):
        current = story.open
        story.sealed()
        story.opened()
        firsts.append((current.beacon, story.open.drawn, {k: u.position for k, u in story.open.updates.items()}))
        story.decided()
    assert (story.known.decided, len(story.known.past)) == (3, 3)
    shown = {key: story.state.datasets[key].training for key in story.datasets.values()}
    story.erase(owner, 10)
    story.round()  # the open round goes on, and is repeated as well
    assert story.state.totals["replays"] == 1
    assert (story.known.decided, story.open.number, story.open.base) == (1, 5, 1)
    assert tainted(story) == [2, 3, 4]
    for number, (beacon, drawn, positions) in enumerate(firsts, 2):
        assert story.open.repeats is not None
        assert (story.open.repeats.number, story.open.seed_number, story.open.beacon) == (number, number, beacon)
        assert story.open.expected == positions.keys()
        story.sealed()
        story.opened()
        assert story.open.drawn == drawn
        assert {key: update.position for key, update in story.open.updates.items()} == positions
        story.decided()
    after = {key: story.state.datasets[key].training for key in story.datasets.values()}
    assert {key: use and use.shown for key, use in after.items()} == {
        key: use and use.shown + RULE.held_rows for key, use in shown.items()
    }
    story.round()
    assert repeats(story)[-3:] == [(5, 2, 5), (6, 3, 6), (7, 4, 7)]
    assert (story.known.decided, story.open.base, story.open.repeats) == (4, 7, None)
    assert tainted(story) == [2, 3, 4]
    story.round()
    assert tainted(story) == [2, 3, 4]


def test_a_repetition_without_a_change_takes_the_taint_away() -> None:
    """If the erased rows had no part in a version, its repetition makes the same one."""
    story = replaying()
    first = story.open.manifest
    story.sealed()
    story.opened()
    one = story.result()
    story.decided(dict.fromkeys(story.keys, one))
    story.erase(story.contributors[0], 1)
    story.round()
    assert (tainted(story), story.open.manifest) == ([1, 2], first)
    story.sealed()
    story.opened()
    again = replace(story.result(), weights=one.weights, manifest=one.manifest)
    story.decided(dict.fromkeys(story.keys, again))
    assert (story.open.base, story.open.manifest) == (1, one.manifest)
    assert repeats(story)[-1] == (3, 1, 1)
    assert tainted(story) == [2]
    story.round()
    assert (story.open.base, tainted(story)) == (3, [2])


def test_rounds_begin_from_no_version_that_was_replaced() -> None:
    """A replay whose last repetition keeps its base leaves tainted versions that are newer."""
    story = replaying(rounds=3)
    story.round()
    story.erase(story.contributors[0], 1)
    story.round()
    for _ in range(2):
        story.sealed()
        story.opened()
        kept = replace(story.result(), manifest=story.open.manifest)
        story.decided(dict.fromkeys(story.keys, kept))
    assert (story.open.base, story.open.repeats, story.known.decided) == (0, None, 2)
    assert tainted(story) == [1, 2]


def test_who_has_left_is_missing_and_with_too_few_a_round_is_left_out() -> None:
    story = replaying(contributors=6)
    one, two, *_ = story.contributors
    story.round()
    story.steps.leave(one)
    story.erase(two, 1)
    story.cut()
    while story.open.number == 2:
        story.cut()
    assert story.open.repeats is not None
    assert story.open.expected == frozenset(story.contributors) - {one}
    story.steps.leave(story.contributors[2])
    story.cut()
    number = story.open.number
    while story.known.open is not None and story.open.number == number:
        story.cut()
    assert story.refusals("void round")["too few updates sealed"] >= 1
    assert (story.known.replay.todo, story.known.past, story.known.decided) == ((), (), 0)


def test_a_replay_rests_as_long_as_the_last_one_took() -> None:
    """So an owner that erases a row in each epoch cannot keep a line from new rounds for more than half of the time."""
    story = replaying(rounds=20)
    owner = story.contributors[0]
    story.round()
    kinds: list[bool] = []
    roots = 0
    while len(kinds) < 12:
        roots += 1
        story.erase(owner, 1, root=roots.to_bytes(32, "big"))
        kinds.append(story.open.repeats is not None)
        story.round()
    assert story.state.totals["replays"] >= 2
    assert 2 * sum(kinds) <= len(kinds) + 1
    fresh = [over for over in story.known.closed if not over.repeats]
    assert fresh


def test_a_replay_pays_votes_and_no_updates() -> None:
    """The updates were paid in the round that is repeated. The sum of all accounts is 0."""
    story = replaying(change=with_tariff)
    sponsor = story.keys[-1]
    story.steps.say(sponsor, Kind.PLEDGE, PledgeOffer(0, 100_000, 1, 9).encode())
    story.round()
    story.erase(story.contributors[0], 1)
    story.round()

    def earned(what: str) -> int:
        assert story.state.books is not None
        rows = account_rows(story.state.books)
        assert sum(row.total for row in rows) == 0
        return sum(getattr(row, what) for row in rows if row.key != POOL)

    training, votes = earned("training"), earned("votes")
    assert story.open.repeats is not None
    story.round()
    assert earned("training") == training > 0
    assert earned("votes") > votes
    story.round()
    story.round()
    assert story.open.repeats is None
    assert earned("training") > training


def test_a_replay_with_noise_costs_the_budget_again() -> None:
    """Its noise is new, so it tells more about the rows. Without budget a contributor takes no part."""
    rho = round_rho(replace(RULE, **NOISE))
    story = RoundStory(terms=replace(TERMS, budget=3 * rho), erasure_policy=REPLAY, **NOISE)
    story.round()
    story.erase(story.contributors[0], 1)
    story.round()
    assert story.open.repeats is not None
    story.round()
    assert {each.training.spent for each in story.state.datasets.values() if each.training} == {3 * rho}
    assert (story.known.open, story.known.decided) == (None, 1)
    assert story.state.totals["rounds not repeated"] == 1


def test_marks_count_once_and_quarantines_are_taken_over() -> None:
    story = replaying(rounds=9, quarantine_rounds=1)
    bad = story.contributors[2]
    for _ in range(5):
        story.round(c2={"is_marked": True, "credit": -5000})
    assert [past.left_out for past in story.known.past] == [frozenset()] * 4 + [{bad}]
    marks = dict(story.known.marks)
    story.erase(story.contributors[0], 1)
    story.round()
    marks = dict(story.known.marks)
    for _ in range(5):
        story.round(c2={"is_marked": True, "credit": -5000})
    assert story.known.marks == marks
    assert [past.left_out for past in story.known.past][4] == {bad}


def test_a_recalled_version_does_not_come_back_by_a_replay() -> None:
    story = replaying()
    story.round()
    made = Recall(0, 1, Reason.DEFECTIVE, 0)
    signatures = sign_statement(made.statement(story.network.id), PUBLISHERS[:2])
    story.steps.say(story.keys[0], Kind.RECALL, replace(made, signatures=signatures).encode())
    story.cut()
    assert story.known.past == ()
    story.erase(story.contributors[0], 1)
    story.cut()
    assert (story.open.repeats, story.open.base) == (None, 0)


def test_a_recall_within_a_replay_takes_what_is_still_to_be_repeated() -> None:
    """The round that is open goes on. The next new one begins from its version."""
    story = replaying()
    story.round()
    story.round()
    story.erase(story.contributors[0], 1)
    story.round()
    assert [past.outcome for past in story.known.replay.todo] == [1, 2, 3]
    made = Recall(0, 3, Reason.DEFECTIVE, 1)
    signatures = sign_statement(made.statement(story.network.id), PUBLISHERS[:2])
    story.steps.say(story.keys[0], Kind.RECALL, replace(made, signatures=signatures).encode())
    story.round()
    assert (story.known.replay.todo, story.known.decided) == ((), 1)
    assert (story.open.repeats, story.open.base) == (None, 4)


def test_another_data_set_than_in_the_repeated_round_does_not_count() -> None:
    story = replaying()
    story.round()
    owner = story.contributors[0]
    other = story.steps.say(owner, Kind.DATASET, story.offered("more").encode()).id
    story.erase(owner, 1)
    story.round()
    story.seal(owner, dataset=other)
    story.cut()
    assert story.refusals("update seal") == {"another data set than in the round that is repeated": 1}


def test_a_rule_that_replays_has_few_rounds() -> None:
    """All of them are remembered, so that each can be repeated."""
    rule = replace(RULE, erasure_policy=REPLAY, rounds=REPLAYED_ROUNDS_MAX)
    assert read_training(decode(encode(rule.to_value()), size_max=9999)) == rule
    with pytest.raises(DecodeError, match="at most 32 rounds"):
        read_training(decode(encode(replace(rule, rounds=REPLAYED_ROUNDS_MAX + 1).to_value()), size_max=9999))
