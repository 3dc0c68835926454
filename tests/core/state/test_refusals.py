"""Commits, votes and duties that do not count, and the price of saying two things at once."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from p2pverify.core.inference.compare import Measure
from p2pverify.core.inference.question import Opening
from p2pverify.core.records.envelope import Header, Kind, Record
from p2pverify.core.records.payloads.duty import Duty, decode_duty
from p2pverify.core.records.payloads.vote import Commit, Vote, decode_commit, decode_vote
from p2pverify.core.state.state import State
from p2pverify.core.state.transition import Frame, Transition, class_steps
from p2pverify.core.state.verdicts import disputes, duties
from p2pverify.testnet.world import World
from tests.support.cheating import quiet_world

UNKNOWN = b"\x07" * 32
LIAR = 4


@pytest.fixture(scope="module")
def world() -> World:
    """A network with a liar, whose answers are disputed."""
    found = quiet_world(slots_milli=1500, kinds={LIAR: "always-wrong"})
    found.run_epochs(9)
    return found


def on(world: World, base: State) -> Transition:
    """The step after a state of the path, with only the cuts and signatures of the next cut's records."""
    fold = world.peers[0].machine.fold
    state = base.successor(UNKNOWN, base.epoch + 1, base.heads)
    path = fold.latest.path
    following = fold.state(path[path.index(base.id) + 1])
    assert following is not None
    state.cuts, state.signatures = dict(following.cuts), dict(following.signatures)
    frame = Frame(lambda cuts: [None] * len(cuts))
    return Transition(world.network, world.network.id, base, state, frame, class_steps(world.network))


def counting(world: World, kind: Kind, counts: Callable[[Transition, Record], bool]) -> tuple[State, Record]:
    """The first record of a kind that counts on a state of the path, and this state."""
    fold = world.peers[0].machine.fold
    for cut_id in fold.latest.path[:-1]:
        base = fold.state(cut_id)
        assert base is not None
        for record in fold.ledger.records():
            if record.kind == kind and counts(on(world, base), record):
                return base, record
    raise AssertionError


def changed(record: Record, payload: bytes, author: bytes | None = None) -> Record:
    """A record as if its author had written another payload."""
    header: Header = replace(record.header, author=author or record.author, body=b"\x01" * 32)
    return replace(record, header=header, payload=payload)


# ---------------------------------------------------------------- commits


def commit_refused(step: Transition, record: Record) -> str | None:
    commit = decode_commit(record.payload)
    dispute = step.state.disputes.get(commit.dispute)
    if dispute is None or record.author in dispute.commits:
        return "not open"
    return disputes.refuse_commit(step, dispute, record.author, commit)


@pytest.fixture(scope="module")
def sealed(world: World) -> tuple[State, Record, Commit]:
    base, record = counting(world, Kind.VOTE_COMMIT, lambda step, record: commit_refused(step, record) is None)
    return base, record, decode_commit(record.payload)


def test_a_commit_names_a_certified_cut_with_its_dispute(world: World, sealed: tuple[State, Record, Commit]) -> None:
    """Otherwise it does not count. A peer outside of the electorate cannot commit at all."""
    base, record, commit = sealed
    for payload, author, reason in (
        (commit, UNKNOWN, "not of the electorate"),
        (replace(commit, certificate=UNKNOWN), None, "certificate is not one here"),
        (replace(commit, certificate=base.path[1]), None, "certificate does not hold the dispute"),
    ):
        step = on(world, base)
        disputes.take_commit(step, changed(record, payload.encode(), author))
        assert step.state.totals[f"commit: {reason}"] == base.totals.get(f"commit: {reason}", 0) + 1
        assert step.state.disputes == base.disputes


def test_two_commits_convict(world: World, sealed: tuple[State, Record, Commit]) -> None:
    """The first commit counts. A repeat has no effect, another commit convicts, and an unknown dispute is ignored."""
    base, record, commit = sealed
    step = on(world, base)
    for payload in (commit, commit, replace(commit, dispute=replace(commit.dispute, slot=255))):
        disputes.take_commit(step, changed(record, payload.encode()))
    assert record.author in step.state.disputes[commit.dispute].commits
    assert record.author not in step.state.convicted
    disputes.take_commit(step, changed(record, replace(commit, commit=UNKNOWN).encode()))
    assert step.state.members[record.author].conviction == "two commits for one dispute"


# ---------------------------------------------------------------- votes


def vote_refused(step: Transition, record: Record) -> str | None:
    vote = decode_vote(record.payload)
    dispute = step.state.disputes.get(vote.dispute)
    if dispute is None or record.author in dispute.votes:
        return "not open"
    return disputes.refuse_vote(step, dispute, record.author, vote)


def opened(world: World, *, challenger: bool) -> tuple[State, Record, Vote]:
    """A vote that counts: that of a challenger, or of another voter."""

    def counts(step: Transition, record: Record) -> bool:
        is_challenger = decode_vote(record.payload).dispute.challenger == record.author
        return is_challenger == challenger and vote_refused(step, record) is None

    base, record = counting(world, Kind.VOTE, counts)
    return base, record, decode_vote(record.payload)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"certificate": UNKNOWN}, "certificate is not one here"),
        ({"class_index": 9}, "another class"),
        ({"measures": (Measure(1, 2, 2, 0),)}, "measures in a dispute within a class"),
        ({"shown": UNKNOWN}, "shows work without need"),
        ({"output": UNKNOWN}, "does not open the commit"),
        ({"salts": (UNKNOWN,)}, "does not open the commit"),
    ],
)
def test_a_vote_opens_its_commit(world: World, changes: dict[str, Any], reason: str) -> None:
    """A vote that opens something else, or cites no cut with the closed sealing, does not count."""
    base, record, vote = opened(world, challenger=False)
    step = on(world, base)
    disputes.take_vote(step, changed(record, replace(vote, **changes).encode()))
    assert step.state.totals[f"vote: {reason}"] == base.totals.get(f"vote: {reason}", 0) + 1
    assert step.state.disputes == base.disputes


def test_a_vote_cites_a_cut_after_the_sealing(world: World) -> None:
    """An earlier cut of the path does not do, because the voter could still have seen no commit."""
    base, record, vote = opened(world, challenger=False)
    step = on(world, base)
    closed = {cut for cut in base.path if (then := world.peers[0].machine.fold.state(cut)) and _is_closed(then, vote)}
    before = set(base.path[1:]) - closed
    assert before
    for cut in before:
        early = changed(record, replace(vote, certificate=cut).encode())
        assert vote_refused(step, early) == "certificate is before the sealing was closed"


def _is_closed(state: State, vote: Vote) -> bool:
    dispute = state.disputes.get(vote.dispute)
    return dispute is not None and dispute.closed_index >= 0


def test_a_challenger_opens_its_nonces(world: World) -> None:
    """Salts that do not give the nonces of the audit are forged."""
    base, record, vote = opened(world, challenger=True)
    forged = replace(vote, salts=tuple(UNKNOWN for _ in vote.salts))
    assert vote_refused(on(world, base), changed(record, forged.encode())) == "forged opening"


def test_two_votes_convict(world: World) -> None:
    """The first vote counts. A repeat has no effect, another output convicts, and an unknown dispute is ignored."""
    base, record, vote = opened(world, challenger=False)
    step = on(world, base)
    for payload in (vote, vote, replace(vote, dispute=replace(vote.dispute, slot=255))):
        disputes.take_vote(step, changed(record, payload.encode()))
    assert step.state.disputes[vote.dispute].votes[record.author].output == vote.output
    assert record.author not in step.state.convicted
    disputes.take_vote(step, changed(record, replace(vote, output=UNKNOWN).encode()))
    assert step.state.members[record.author].conviction == "two votes for one dispute"


# ---------------------------------------------------------------- duties


@pytest.fixture(scope="module")
def owed(world: World) -> tuple[State, Record, Duty]:
    def counts(step: Transition, record: Record) -> bool:
        duty = decode_duty(record.payload)
        is_new = (record.author, duty.epoch) not in step.state.duties
        return is_new and duties.refuse_duty(step, record.author, duty) is None

    base, record = counting(world, Kind.DUTY, counts)
    return base, record, decode_duty(record.payload)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"epoch": 0}, "anchor is not of the epochs before"),
        ({"anchor": UNKNOWN}, "anchor is not of the epochs before"),
        ({"beacon": UNKNOWN}, "beacon is not the anchor's"),
        ({"vrf_key": UNKNOWN}, "key was not a member's at the anchor"),
    ],
)
def test_a_duty_draws_from_a_cut_of_the_epochs_before(
    world: World, owed: tuple[State, Record, Duty], changes: dict[str, Any], reason: str
) -> None:
    """Its beacon is that cut's, and its key was the member's there."""
    base, record, duty = owed
    step = on(world, base)
    assert duties.take_duty(step, changed(record, replace(duty, **changes).encode())) == []
    assert step.state.totals[f"duty: {reason}"] == base.totals.get(f"duty: {reason}", 0) + 1
    assert step.state.members == base.members


def test_a_duty_draws_from_a_certified_cut(world: World, owed: tuple[State, Record, Duty]) -> None:
    """A cut that too few have signed is no anchor."""
    base, record, duty = owed
    step = on(world, base)
    step.state.signatures[duty.anchor] = frozenset({record.author})
    assert duties.refuse_duty(step, record.author, duty) == "anchor has no certificate here"


def test_a_late_duty_and_one_of_no_member_have_no_effect(world: World, owed: tuple[State, Record, Duty]) -> None:
    """A duty counts for a few epochs, and only for an active member."""
    base, record, duty = owed
    assert duties.refuse_duty(on(world, base), UNKNOWN, duty) == "author is not an active member"
    later = replace(base, epoch=duty.epoch + world.network.params.duty_epochs)
    assert duties.refuse_duty(on(world, later), record.author, duty) == "too late"


def test_two_duties_for_one_epoch_convict(world: World, owed: tuple[State, Record, Duty]) -> None:
    """The first duty counts, and its repeat has no effect. Another duty for the epoch convicts."""
    base, record, duty = owed
    step = on(world, base)
    duties.take_duty(step, record)
    duties.take_duty(step, record)
    assert step.state.members[record.author].duties_met == base.members[record.author].duties_met + 1
    assert record.author not in step.state.convicted
    other = Opening(99, 0, UNKNOWN, (UNKNOWN,))
    assert duties.take_duty(step, changed(record, replace(duty, openings=(other,)).encode())) == []
    assert step.state.members[record.author].conviction == "two duties for one epoch"
