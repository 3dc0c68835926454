"""Reports in the fold: which count, and which open a dispute.

No lot draws who is reported, so a report can do less than an owed slot. It never gives an agreement or credit, and it
takes no room from the disputes of slots. The question cannot be derived, so the reporter could show it to its friends
alone. Therefore a decision needs more than half of all seats, not only of those that have sealed an answer.
"""

from collections.abc import Sequence

from p2pverify.core.blind import rounds
from p2pverify.core.blind.committees import COMMITTEES, EVERYONE, EVERYONE_MAX
from p2pverify.core.encoding.canon import digest
from p2pverify.core.records.envelope import Record
from p2pverify.core.records.payloads.audit import Audit
from p2pverify.core.records.payloads.report import Report, report_of
from p2pverify.core.state.state import State
from p2pverify.core.state.transition import Transition
from p2pverify.core.state.verdicts import disputes
from p2pverify.core.state.verdicts.notes import Dispute, first_stage
from p2pverify.core.state.verdicts.targets import IN_CLASS_MIN

SEATS = "p2pverify/report-seats/1"
#: Reports that open a dispute with one cut. Each costs every seat one answer.
REPORTS_PER_CUT = 2

#: A report that may open a dispute, and the number of its record.
Reported = tuple[Audit, int]


def take_report(step: Transition, record: Record) -> list[Reported]:
    """Note a report; returns it if it may open a dispute. A second, different one for the same epoch convicts."""
    state = step.state
    report = report_of(record)
    known = state.reports.get((record.author, report.epoch))
    if known is not None:
        if known != record.header.body:
            state.convict(record.author, "two reports for one epoch")
        return []
    refused = refuse_report(step, report)
    if refused is not None:
        state.count(f"report: {refused}")
        return []
    state.reports[record.author, report.epoch] = record.header.body
    state.count("reports")
    if report.output is not None:
        state.count("reports without a question")
        return []
    return [(report.audit, record.seq)]


def refuse_report(step: Transition, report: Report) -> str | None:
    """Why a report does not count, or None."""
    state, network = step.state, step.network
    member, accused = state.members.get(report.reporter), state.members.get(report.responder)
    if member is None or not member.may_vote(state.epoch):
        return "author has no weight"
    if state.epoch > report.epoch + step.reach.duty_epochs:
        return "too late"
    if accused is None or not (accused.active or accused.successor is not None):
        return "responder is no member"
    own = member.class_index
    if network.classes[own].is_any or not own == accused.class_index == report.receipt.class_index:
        return "answers of two classes"
    return None


def open_reports(step: Transition, reported: Sequence[Reported]) -> None:
    """Open disputes about reports, after those of slots. The others lapse.

    A peer takes part in one open dispute about a report at a time, and in none if it is convicted, or if the loss of
    its other open disputes would convict it.
    """
    state = step.state
    busy = disputes.saturated(step) | _parties(state)
    opened = 0
    for audit, seq in sorted(reported, key=lambda each: disputes.rank(each[0])):
        drawn = draw_seats(state, audit)
        seats = frozenset(drawn)
        convicted = any(state.members[peer].is_convicted for peer in audit.parties)
        if convicted or audit.parties & busy or len(seats) < IN_CLASS_MIN or opened == REPORTS_PER_CUT:
            state.count("lapsed reports")
            continue
        opened += 1
        busy |= audit.parties
        stage = first_stage(audit, seats)
        named = () if stage == EVERYONE else drawn[: COMMITTEES[stage].seats]
        state.disputes[audit.key] = Dispute(
            audit=audit,
            electorate=seats,
            opened_index=state.index,
            opened_epoch=state.epoch,
            duty_seq=seq,
            sampled=False,
            is_long=False,
            round=rounds.begin(stage, state.index, seats=frozenset(named)),
            version=state.version_of(audit.asked[0].responder),
        )
        state.count("disputes about reports")


def draw_seats(state: State, audit: Audit) -> tuple[bytes, ...]:
    """The members that may see the question and vote, in the order of their draw.

    They are all of the class but the parties, or EVERYONE_MAX of them. Those of a private report have a box key.
    """
    own = state.members[audit.challenger].class_index
    (accused,) = audit.asked
    voters = state.electorate((own,), state.version_of(accused.responder)) - audit.parties
    if audit.is_private:
        voters = frozenset(peer for peer in voters if state.members[peer].box_key is not None)
    key = audit.key.to_value()
    return tuple(sorted(voters, key=lambda peer: digest([SEATS, state.beacon, key, peer]))[:EVERYONE_MAX])


def _parties(state: State) -> set[bytes]:
    """The parties to the disputes about reports that are not decided yet."""
    found: set[bytes] = set()
    for dispute in state.disputes.values():
        if dispute.is_report and not dispute.has_effect:
            found |= dispute.audit.parties
    return found
