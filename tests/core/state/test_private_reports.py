"""Private reports in the fold: they decide what open ones decide, and nine seats see the question first."""

from dataclasses import replace

import pytest

from p2pverify.core.blind.committees import EVERYONE, EVERYONE_MAX
from p2pverify.core.encoding.canon import encode
from p2pverify.core.errors import DecodeError
from p2pverify.core.inference.question import Receipt, receipt_fields
from p2pverify.core.records.envelope import Kind
from p2pverify.core.records.payloads.lots import DisputeKey
from p2pverify.core.records.payloads.report import AnswerReport, PrivateReport, decode_report
from p2pverify.core.records.payloads.vote import Commit, Vote, vote_commit
from p2pverify.core.state.verdicts.notes import Dispute
from tests.core.state.test_reports import RIGHT, WRONG, Court

SALT = bytes(32)
WORK = bytes(31) + b"\x07"


def say(court: Court, report: AnswerReport) -> DisputeKey:
    court.steps.say(report.reporter, Kind.REPORT, report.hidden.encode())
    return report.audit.key


def opened(court: Court, report: AnswerReport) -> Dispute:
    key = say(court, report)
    court.cut()
    return court.state.disputes[key]


def numbers(court: Court, peers: frozenset[bytes]) -> list[int]:
    return [number for number, key in enumerate(court.keys) if key in peers]


def seal(court: Court, key: DisputeKey, voter: int, output: bytes, shown: bytes | None = None) -> None:
    sealed = vote_commit(court.network.id, key, court.keys[voter], 0, output, SALT, shown)
    court.steps.say(court.keys[voter], Kind.VOTE_COMMIT, Commit(key, court.state.id, sealed).encode())


def open_(court: Court, key: DisputeKey, voter: int, output: bytes, shown: bytes | None = None) -> None:
    vote = Vote(key, court.state.id, 0, output, (SALT,), (), shown)
    court.steps.say(court.keys[voter], Kind.VOTE, vote.encode())


@pytest.mark.parametrize("said", [WRONG, RIGHT], ids=["a lie", "slander"])
@pytest.mark.parametrize("count", [8, 16, 60])
def test_the_decision_is_that_of_the_open_form(said: bytes, count: int) -> None:
    """The same case both ways: the same seats, the same decision and the same dissents, by votes that are all alike."""
    found = []
    for is_private in (False, True):
        court = Court(count)
        report = court.report(said=said)
        key = say(court, report) if is_private else court.say(report)
        court.cut()
        dispute = court.state.disputes[key]
        for voter in numbers(court, dispute.electorate):
            seal(court, key, voter, RIGHT)
        court.cut()
        for voter in numbers(court, dispute.electorate):
            open_(court, key, voter, RIGHT)
        court.cut(4)
        decision = court.state.disputes[key].decision
        found.append((dispute.electorate, decision, court.lost(), court.agreements()))
    assert found[0] == found[1]
    assert found[0][1:] == (RIGHT, {1: 1} if said == WRONG else {0: 1}, 0)


def test_the_record_has_the_request_alone() -> None:
    """Neither the question's id nor the salt of the request is in it, and what is read is what was written."""
    report = Court().report()
    said = report.hidden.encode()
    assert report.question not in said
    assert report.salt not in said
    found = decode_report(said, report.receipt.network, report.reporter)
    assert found == report.hidden == PrivateReport(*_fields(report))
    assert found.audit.is_private
    assert not report.audit.is_private
    assert found.audit.parties == report.audit.parties


def _fields(report: AnswerReport) -> tuple[bytes, int, bytes, bytes, Receipt]:
    return report.reporter, report.epoch, report.receipt.request, report.responder, report.receipt


@pytest.mark.parametrize(
    ("place", "value"), [(0, -1), (1, bytes(31)), (2, "the reporter"), (3, [0]), (None, 5), (None, 3)]
)
def test_payloads_that_are_none(place: int | None, value: object) -> None:
    report = Court().report()
    items = [report.epoch, report.receipt.request, report.responder, receipt_fields(report.receipt)]
    if place is None:
        items = (items * 2)[: int(str(value))]
    else:
        items[place] = report.reporter if value == "the reporter" else value
    with pytest.raises(DecodeError):
        decode_report(encode(items), report.receipt.network, report.reporter)


def test_nine_seats_see_the_question_first() -> None:
    """Only they may seal, and nine equal answers decide. The decision waits for appeals, as that of every committee."""
    court = Court(24)
    dispute = opened(court, court.report())
    nine = numbers(court, dispute.shown_to)
    rest = numbers(court, dispute.electorate - dispute.shown_to)
    assert (len(nine), len(rest), dispute.round.stage) == (9, 13, 1)
    for voter in (*nine, rest[0]):
        seal(court, dispute.key, voter, RIGHT)
    court.cut()
    assert court.state.totals["commit: not of the electorate"] == 1
    for voter in nine:
        open_(court, dispute.key, voter, RIGHT)
    court.cut()
    decided = court.state.disputes[dispute.key]
    assert (decided.decision, decided.round.stage, court.lost()) == (RIGHT, 1, {})
    court.cut(3)
    assert court.lost() == {1: 1}
    assert court.state.disputes[dispute.key].shown_to == dispute.shown_to


@pytest.mark.parametrize("fault", ["one differs", "one is away", "one does not open"])
def test_all_seats_vote_if_the_nine_are_not_of_one_mind(fault: str) -> None:
    """The others seal after answers were opened, so they show their work. The seats are those of the open form."""
    court = Court(24)
    dispute = opened(court, court.report())
    key, nine = dispute.key, numbers(court, dispute.shown_to)
    rest = numbers(court, dispute.electorate - dispute.shown_to)
    first, *others = nine
    for voter in others if fault == "one is away" else nine:
        seal(court, key, voter, WRONG if (voter, fault) == (first, "one differs") else RIGHT)
    court.cut(3)
    for voter in others if fault != "one differs" else nine:
        open_(court, key, voter, WRONG if voter == first else RIGHT)
    court.cut(2)
    wider = court.state.disputes[key]
    assert (wider.round.stage, wider.shown_to, wider.decision) == (EVERYONE, dispute.electorate, None)
    for voter in rest:
        seal(court, key, voter, RIGHT, WORK)
    court.cut()
    for voter in rest:
        open_(court, key, voter, RIGHT, WORK)
    court.cut()
    assert court.state.disputes[key].decision == RIGHT
    lost = {1: 1, first: 1} if fault == "one differs" else {1: 1}
    assert court.lost() == lost


def test_a_seat_that_says_two_things_is_convicted() -> None:
    court = Court(24)
    dispute = opened(court, court.report())
    voter = numbers(court, dispute.shown_to)[0]
    seal(court, dispute.key, voter, RIGHT)
    court.cut()
    seal(court, dispute.key, voter, WRONG)
    court.cut()
    assert court.state.members[court.keys[voter]].conviction == "two commits for one dispute"


def test_a_reporter_that_shows_nothing_decides_nothing() -> None:
    """Nobody seals, so nobody pays, the reporter neither: could not check is never failed."""
    court = Court(24)
    dispute = opened(court, court.report())
    court.cut(20)
    assert dispute.key not in court.state.disputes
    assert (court.lost(), court.state.totals["undecided disputes"]) == ({}, 1)


def test_members_without_a_box_key_have_no_seat() -> None:
    """Nobody could seal the question to them. With fewer than three seats the report lapses."""
    court = Court(8)
    court.state.members[court.keys[7]].box_key = None
    dispute = opened(court, court.report())
    assert dispute.electorate == frozenset(court.keys[2:7])
    other = Court(8)
    for key in other.keys[4:]:
        other.state.members[key].box_key = None
    say(other, other.report())
    assert other.cut().totals["lapsed reports"] == 1


def test_two_reports_for_one_epoch_in_two_forms_convict() -> None:
    court = Court()
    report = court.report()
    court.say(report)
    court.cut()
    say(court, replace(report))
    court.cut()
    assert court.state.members[court.keys[0]].conviction == "two reports for one epoch"


def test_seats_are_bounded() -> None:
    court = Court(60)
    dispute = opened(court, court.report())
    assert (len(dispute.electorate), len(dispute.shown_to)) == (EVERYONE_MAX, 9)
