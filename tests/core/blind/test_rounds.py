"""Disputes before a large electorate: a committee of nine, then one of thirty-one, then all voters."""

import pytest

from p2pverify.core.blind import committees, rounds
from p2pverify.core.blind.committees import EVERYONE, EVERYONE_MAX
from p2pverify.core.blind.values import RoundPhase
from p2pverify.core.encoding import sign
from p2pverify.core.records.envelope import Kind
from p2pverify.core.records.payloads.vote import Commit
from p2pverify.core.state.verdicts.objections import APPEAL_CUTS
from p2pverify.core.state.view import view_root
from tests.support.book import Book
from tests.support.hearing import WORK, Hearing

VOTERS = 100


@pytest.fixture
def hearing() -> Hearing:
    return Hearing(VOTERS)


def keys(seeds: list[bytes]) -> set[bytes]:
    return {sign.public_key(seed) for seed in seeds}


# ---------------------------------------------------------------- stages


def test_a_small_electorate_votes_at_once() -> None:
    """Thirty-one voters all vote and seal in the cut after the opening. With one more, a committee does."""
    small = Hearing(EVERYONE_MAX)
    assert small.dispute.round.stage == EVERYONE
    small.seal([seed for seed in small.story.seeds if seed != small.challenger], small.right)
    small.cut()
    assert small.dispute.round.sealed_index == small.state.index
    assert Hearing(EVERYONE_MAX + 1).dispute.round.stage == 1


def test_a_round_goes_through_its_phases(hearing: Hearing) -> None:
    """A committee is drawn, seals and opens, and the next round begins with a drawing; everybody begins by sealing."""
    seen = [hearing.dispute.round.phase]
    hearing.cut()
    seen.append(hearing.dispute.round.phase)
    seats = hearing.drawn()[:9]
    hearing.seal(hearing.drawn(), hearing.right)
    hearing.cut(rounds.SEAL_CUTS)
    seen.append(hearing.dispute.round.phase)
    hearing.open(seats[:8], hearing.right)
    hearing.cut(rounds.SEAT_CUTS)
    seen.append(hearing.dispute.round.phase)
    assert seen == [RoundPhase.DRAWING, RoundPhase.SEALING, RoundPhase.OPENING, RoundPhase.DRAWING]
    assert Hearing(EVERYONE_MAX).dispute.round.phase is RoundPhase.SEALING


def test_a_decision_ends_no_phase(hearing: Hearing) -> None:
    """The round of a decided dispute stays in its phase, and no other round follows."""
    seats = hearing.sit(hearing.right, absent=0)
    assert hearing.dispute.decision is not None
    before = hearing.dispute.round
    hearing.cut(rounds.SEAT_CUTS)
    assert hearing.dispute.round == before
    assert before.phase is RoundPhase.OPENING
    assert before.seats == keys(seats)


def test_nine_decide_for_a_hundred(hearing: Hearing) -> None:
    """The beacon is that of the next cut. About eighteen seal, nine open, and this is the decision."""
    assert (hearing.dispute.round.stage, hearing.dispute.round.beacon) == (1, b"")
    hearing.cut()
    assert hearing.dispute.round.beacon == hearing.state.beacon
    assert hearing.dispute.round.voters == VOTERS - len(hearing.parties)
    drawn = hearing.drawn()
    assert 9 <= len(drawn) <= 30
    assert not hearing.parties & set(drawn)
    hearing.seal(drawn, hearing.right)
    hearing.cut(rounds.SEAL_CUTS - 1)
    assert hearing.dispute.round.sealed_index < 0
    assert len(hearing.dispute.commits) == len(drawn)
    hearing.cut()
    assert hearing.dispute.round.seats == keys(drawn[:9])
    hearing.open(drawn[:9], hearing.right)
    hearing.open_challenger()
    hearing.cut()
    assert hearing.dispute.decision == hearing.story.vote_output(hearing.slotted, hearing.right)
    assert (hearing.dissents(), len(hearing.dispute.votes)) == (set(), 10)
    hearing.cut(APPEAL_CUTS)
    assert hearing.dissents() == hearing.parties - {hearing.challenger}
    assert hearing.state.totals["decided disputes"] == 1
    assert (hearing.dispute.round.stage, len(hearing.dispute.commits)) == (1, len(drawn))


def test_one_against_eight_takes_it_to_thirty_one(hearing: Hearing) -> None:
    """Another beacon draws another committee, without the voters that have sealed. A voter that was wrong in the first
    stage has lost."""
    nine = hearing.sit(hearing.right, wrong=1)
    assert (hearing.dispute.decision, hearing.dispute.round.stage, hearing.dispute.round.beacon) == (None, 2, b"")
    assert hearing.dissents() == set()
    sealed = set(hearing.dispute.commits)
    many = hearing.sit(hearing.right, wrong=5)
    assert len(many) == 31
    assert not keys(many) & sealed
    assert hearing.dispute.decision == hearing.story.vote_output(hearing.slotted, hearing.right)
    hearing.cut(APPEAL_CUTS)
    assert hearing.dissents() == (hearing.parties - {hearing.challenger}) | {nine[0], *many[:5]}
    assert hearing.state.totals["committees of stage 1 without a decision"] == 1


def test_six_against_twenty_five_takes_it_to_all(hearing: Hearing) -> None:
    """In the last stage the earlier seats count, and drawn voters without a seat, and all others."""
    hearing.sit(hearing.right, wrong=2)
    first = set(hearing.dispute.commits)
    hearing.sit(hearing.right, wrong=6)
    assert (hearing.dispute.round.stage, hearing.dispute.decision) == (EVERYONE, None)
    by_key = {sign.public_key(seed): seed for seed in hearing.story.seeds}
    sealed = sorted(hearing.dispute.commits)
    own = sign.public_key(hearing.challenger)
    late = [by_key[key] for key in sorted(hearing.dispute.electorate - set(sealed)) if key != own]
    hearing.seal(late, hearing.right)
    hearing.cut()
    assert hearing.dispute.round.sealed_index == hearing.state.index
    without_seat = [key for key in sealed if key not in hearing.dispute.heard]
    assert len(without_seat) >= 5
    before = len(hearing.dispute.votes)
    for key in without_seat:
        hearing.open([by_key[key]], hearing.right, stage=1 if key in first else 2)
    hearing.open(late, hearing.right)
    hearing.cut()
    assert len(hearing.dispute.votes) == before + len(without_seat) + len(late)
    assert hearing.dispute.decision == hearing.story.vote_output(hearing.slotted, hearing.right)
    assert len(hearing.dissents() - hearing.parties) == 8


def test_a_seat_that_stays_closed_disagrees(hearing: Hearing) -> None:
    """Eight of nine decide nothing. The ninth may open for two cuts, and then the next stage begins."""
    seats = hearing.sit(hearing.right, absent=1)
    assert (hearing.dispute.round.stage, hearing.dispute.decision) == (1, None)
    hearing.open(seats[-1:], hearing.right)
    hearing.cut()
    assert hearing.dispute.round.stage == 1
    assert hearing.dispute.decision is not None
    other = Hearing(VOTERS)
    other.sit(other.right, absent=1)
    other.cut(rounds.SEAT_CUTS - 1)
    assert (other.dispute.round.stage, other.dispute.decision) == (2, None)


def test_too_few_volunteers_are_no_committee(hearing: Hearing) -> None:
    """With eight sealed answers there is no committee, nothing is opened, and the next stage begins at once."""
    hearing.cut()
    drawn = hearing.drawn()
    hearing.seal(drawn[:8], hearing.right)
    hearing.cut(rounds.SEAL_CUTS)
    assert (hearing.dispute.round.stage, hearing.dispute.round.seats, hearing.dispute.heard) == (
        2,
        frozenset(),
        frozenset(),
    )
    hearing.open(drawn[:8], hearing.right, stage=1)
    hearing.cut()
    assert hearing.dispute.votes == {}
    assert hearing.state.totals["vote: certificate gives it no turn"] == 8


def test_the_slowest_way_ends_in_time(hearing: Hearing) -> None:
    """Seats stay closed in both committees, and votes come as late as possible. The dispute is decided in the sixteenth
    epoch."""
    opened = hearing.dispute.opened_index
    for _ in (1, 2):
        hearing.sit(hearing.right, absent=6 if hearing.dispute.round.stage == 2 else 1)
        hearing.cut(rounds.SEAT_CUTS - 1)
    assert (hearing.dispute.round.stage, hearing.state.index - opened) == (EVERYONE, 12)
    by_key = {sign.public_key(seed): seed for seed in hearing.story.seeds}
    sealed = {key: each.stage for key, each in hearing.dispute.commits.items()}
    voted = hearing.dispute.votes.keys()
    hearing.cut(rounds.SEAL_CUTS)
    for key in sorted(sealed.keys() - voted):
        hearing.open([by_key[key]], hearing.right, stage=sealed[key])
    hearing.cut()
    assert hearing.dispute.decision is not None
    assert hearing.state.index - opened == hearing.state.epoch - hearing.dispute.opened_epoch == 16


@pytest.mark.parametrize("stage", [1, 2, EVERYONE])
def test_what_stays_undecided_counts_for_nobody(stage: int) -> None:
    """Sixteen epochs after its opening a dispute is closed in any stage. Its unopened seats are counted."""
    hearing = Hearing(VOTERS)
    if stage > 1:
        hearing.sit(hearing.right, wrong=1)
    if stage > 2:
        hearing.sit(hearing.right, wrong=6)
    assert hearing.dispute.round.stage == stage
    unopened: set[bytes] = set()
    if stage < EVERYONE:
        hearing.cut()
        drawn = hearing.drawn()
        hearing.seal(drawn, hearing.right)
        unopened = keys(drawn[: committees.COMMITTEES[stage].seats])
    opened = hearing.dispute.opened_epoch
    while hearing.slotted.key in hearing.state.disputes:
        assert hearing.state.epoch <= opened + hearing.story.network.params.dispute_epochs
        hearing.cut()
    totals = hearing.state.totals
    assert (totals["undecided disputes"], totals.get("decided disputes", 0)) == (1, 0)
    assert hearing.dissents() == set()
    members = hearing.state.members
    assert {key for key, member in members.items() if member.unopened} - {hearing.slotted.key.challenger} >= unopened


def test_nobody_is_shown_as_unopened_who_had_no_cut_to_open_in(hearing: Hearing) -> None:
    """Sealing was closed, and then no cut was certified until the dispute was over."""
    for _ in range(rounds.SEAL_CUTS):
        hearing.cut()
        hearing.seal(hearing.drawn(), hearing.right)
    while hearing.dispute.round.sealed_index < 0:
        hearing.cut()
    hearing.epoch += hearing.story.network.params.dispute_epochs
    hearing.cut()
    assert hearing.slotted.key not in hearing.state.disputes
    assert hearing.state.totals["undecided disputes"] == 1
    assert not any(member.unopened for member in hearing.state.members.values())


# ---------------------------------------------------------------- refusals


def test_lots_that_are_not_low(hearing: Hearing) -> None:
    """A voter that is not drawn has no seat, even if it seals early."""
    hearing.cut()
    drawn = set(hearing.drawn())
    high = [seed for seed in hearing.story.seeds if seed not in drawn | hearing.parties]
    hearing.seal(high[:5], hearing.right)
    hearing.cut()
    assert hearing.dispute.commits == {}
    assert hearing.state.totals["commit: lot was not drawn"] == 5


def test_lots_of_others_and_for_others(hearing: Hearing) -> None:
    """A lot is valid for its owner, one stage and one beacon, and never for a party. If all vote, no lot is needed."""
    before = hearing.state.beacon
    hearing.cut()
    one, two = hearing.drawn()[:2]
    hearing.seal([one], hearing.right, lot=hearing.lot(two))
    hearing.seal([two], hearing.right, lot=hearing.lot(two, beacon=before))
    party = next(seed for seed in sorted(hearing.parties) if seed != hearing.challenger)
    hearing.seal([party], hearing.right)
    three = hearing.drawn()[2]
    seal = Commit(hearing.slotted.key, hearing.state.id, bytes(32))
    hearing.story.book.say(three, Kind.VOTE_COMMIT, seal.encode(), hearing.epoch + 1)
    hearing.cut()
    totals = hearing.state.totals
    assert totals["commit: lot by another key"] == 1
    assert totals["commit: lot for another committee"] == 1
    assert totals["commit: lot of a party to the dispute"] == 1
    assert totals["commit: no lot where a committee votes"] == 1
    small = Hearing(EVERYONE_MAX)
    voter = small.story.seeds[5]
    seal = Commit(small.slotted.key, small.state.id, bytes(32), small.lot(voter, stage=1, beacon=bytes(32)))
    small.story.book.say(voter, Kind.VOTE_COMMIT, seal.encode(), small.epoch + 1)
    small.cut()
    assert small.state.totals["commit: a lot where everybody votes"] == 1


def test_who_has_no_seat_opens_nothing(hearing: Hearing) -> None:
    """Openings of volunteers without a seat do not count before all vote."""
    hearing.cut()
    drawn = hearing.drawn()
    hearing.seal(drawn, hearing.right)
    hearing.cut(rounds.SEAL_CUTS)
    hearing.open(drawn[9:], hearing.right)
    hearing.cut()
    assert hearing.dispute.votes == {}
    assert hearing.state.totals["vote: certificate gives it no turn"] == len(drawn) - 9


def test_who_copies_an_opened_answer_is_found_out(hearing: Hearing) -> None:
    """In the second stage the first stage's answers are known. A voter that copied one shows other work, and loses with
    it."""
    hearing.sit(hearing.right, wrong=1)
    hearing.cut()
    seats = hearing.drawn()[:31]
    copied = bytes(32)
    hearing.seal(seats[:4], hearing.right, work=copied)
    hearing.seal(seats[4:], hearing.right)
    hearing.cut(rounds.SEAL_CUTS)
    hearing.open(seats[:4], hearing.right, work=copied)
    hearing.open(seats[4:], hearing.right)
    hearing.cut()
    assert hearing.dispute.decision is not None
    hearing.cut(APPEAL_CUTS)
    assert set(seats[:4]) <= hearing.dissents()
    assert not set(seats[4:]) & hearing.dissents()


def test_work_is_shown_where_it_must_be(hearing: Hearing) -> None:
    """It is required from the second stage on, and forbidden before. Otherwise the vote does not count."""
    hearing.sit(hearing.right, wrong=1)
    hearing.cut()
    seats = hearing.drawn()
    hearing.seal(seats, hearing.right)
    hearing.cut(rounds.SEAL_CUTS)
    hearing.open(seats[:1], hearing.right, stage=1)
    hearing.cut()
    assert hearing.state.totals["vote: shows no work"] == 1
    first = Hearing(VOTERS)
    first.cut()
    drawn = first.drawn()
    first.seal(drawn, first.right)
    first.cut(rounds.SEAL_CUTS)
    first.open(drawn[:1], first.right, stage=2)
    first.cut()
    assert first.state.totals["vote: shows work without need"] == 1
    assert WORK not in {vote.shown for vote in hearing.dispute.votes.values()}


def test_two_seals_for_one_stage_convict(hearing: Hearing) -> None:
    """Two seals for two stages do not, because a voter that was too late for one stage may vote in the next."""
    hearing.cut()
    drawn = hearing.drawn()
    hearing.seal(drawn, hearing.right)
    hearing.seal(drawn[:1], hearing.wrong)
    hearing.cut()
    assert [m.conviction for m in hearing.state.members.values() if m.is_convicted] == ["two commits for one dispute"]


def test_the_order_of_arrival_does_not_matter(hearing: Hearing) -> None:
    """A peer that gets the records of all stages backwards has the same view."""
    hearing.sit(hearing.right, wrong=1)
    hearing.sit(hearing.right, wrong=6)
    reader = Book(hearing.story.network, reversed(hearing.story.book.order))
    assert reader.fold.latest.id == hearing.state.id
    assert view_root(reader.network, reader.fold.latest) == view_root(reader.network, hearing.state)
