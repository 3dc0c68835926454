"""Reports in the fold: who may report, what opens a dispute, what a decision costs whom, and what it cannot do."""

import pytest

from p2pverify.core.blind.committees import COMMITTEES, EVERYONE_MAX
from p2pverify.core.encoding import sign
from p2pverify.core.encoding.canon import sha256
from p2pverify.core.inference.question import Receipt, request_id, salted_digest
from p2pverify.core.records.envelope import Kind
from p2pverify.core.records.payloads.audit import REPORT_SLOT
from p2pverify.core.records.payloads.lots import DisputeKey
from p2pverify.core.records.payloads.report import AnswerReport, sealed_nonce
from p2pverify.core.records.payloads.vote import UNDERIVABLE, Commit, Vote, vote_commit
from p2pverify.core.state.verdicts import disputes, reports
from p2pverify.core.state.verdicts.notes import Dispute
from tests.support.networks import make_network, seeds
from tests.support.steps import Steps

RIGHT, WRONG = sha256(b"right"), sha256(b"wrong")


class Court:
    """Founders in one class, of which the first ones report and are reported."""

    def __init__(self, count: int = 8, classes: int = 1) -> None:
        self.seeds = seeds(count)
        self.network = make_network(self.seeds, classes=classes)
        self.keys = [sign.public_key(seed) for seed in self.seeds]
        self.steps = Steps(self.network)
        for number, key in enumerate(self.keys):
            self.steps.join(key) if classes == 1 else self.steps.say(key, Kind.JOIN, _join(number % classes))
        self.cut(2)

    def cut(self, count: int = 1):
        for _ in range(count):
            state = self.steps.certify(self.keys[0], self.keys)
        return state

    @property
    def state(self):
        return self.steps.latest

    def report(
        self,
        reporter: int = 0,
        responder: int = 1,
        *,
        said: bytes = WRONG,
        epoch: int = -1,
        class_index: int = 0,
        output: bytes | None = None,
    ) -> AnswerReport:
        """A report of an answer that has the digest `said`."""
        one, other = self.keys[reporter], self.keys[responder]
        at, question, salt = self.state.epoch if epoch < 0 else epoch, sha256(b"question"), sha256(b"salt")
        nonce = sealed_nonce(self.network.id, one, other, at, question, salt)
        request = request_id(self.network.id, one, other, question, nonce, at + 4)
        salted = salted_digest(request, other, class_index, said)
        receipt = Receipt(self.network.id, other, request, class_index, salted, 3, 0, 1, 2, bytes(64))
        return AnswerReport(one, at, question, at + 4, other, nonce, salt, receipt, output)

    def say(self, report: AnswerReport) -> DisputeKey:
        self.steps.say(report.reporter, Kind.REPORT, report.encode())
        return DisputeKey(report.reporter, report.epoch, REPORT_SLOT)

    def vote(self, key: DisputeKey, by_voter: dict[int, bytes]) -> Dispute:
        """Let voters seal and open outputs."""
        salt = bytes(32)
        cited = self.state.id
        for voter, output in by_voter.items():
            sealed = vote_commit(self.network.id, key, self.keys[voter], 0, output, salt)
            self.steps.say(self.keys[voter], Kind.VOTE_COMMIT, Commit(key, cited, sealed).encode())
        self.cut(4)
        for voter, output in by_voter.items():
            vote = Vote(key, self.state.id, 0, output, (salt,))
            self.steps.say(self.keys[voter], Kind.VOTE, vote.encode())
        self.cut()
        return self.state.disputes[key]

    def lost(self) -> dict[int, int]:
        """The dissents of each member that has some."""
        members = self.state.members
        return {n: members[key].dissents for n, key in enumerate(self.keys) if members[key].dissents}

    def agreements(self) -> int:
        return sum(member.agreements for member in self.state.members.values())


def _join(class_index: int) -> bytes:
    from p2pverify.core.records.payloads.membership import Join
    from tests.support.steps import BOX_KEY, VRF_KEY

    return Join(class_index, VRF_KEY, box_key=BOX_KEY).encode()


def all_of(court: Court, output: bytes) -> dict[int, bytes]:
    return dict.fromkeys(range(2, len(court.keys)), output)


def test_a_wrong_answer_that_is_reported_is_a_dissent() -> None:
    """Nobody gets an agreement or credit, because the reporter has chosen the question."""
    court = Court()
    key = court.say(court.report())
    court.cut()
    dispute = court.state.disputes[key]
    assert dispute.electorate == frozenset(court.keys[2:])
    assert court.vote(key, all_of(court, RIGHT)).decision == RIGHT
    assert (court.lost(), court.agreements()) == ({1: 1}, 0)
    assert not any(member.credits for member in court.state.members.values())
    court.cut(20)
    assert court.lost() == {1: 1}
    assert sum(member.unopened for member in court.state.members.values()) == 0
    assert not court.state.disputes


def test_four_reports_convict() -> None:
    """As four lost disputes about slots do. Each is of another epoch."""
    court = Court()
    for _ in range(4):
        assert not court.state.members[court.keys[1]].is_convicted
        key = court.say(court.report())
        court.cut()
        court.vote(key, all_of(court, RIGHT))
    assert court.state.members[court.keys[1]].conviction == "lost disputes"


@pytest.mark.parametrize("decision", [WRONG, UNDERIVABLE], ids=["right", "underivable"])
def test_slander_costs_what_a_lost_dispute_costs(decision: bytes) -> None:
    """The reported answer is right, or the seats say that there is no such question."""
    court = Court()
    key = court.say(court.report(said=WRONG))
    court.cut()
    court.vote(key, all_of(court, decision))
    assert court.lost() == {0: 1}


def test_voters_that_lose_have_a_dissent() -> None:
    court = Court()
    key = court.say(court.report())
    court.cut()
    court.vote(key, {**all_of(court, RIGHT), 7: WRONG})
    assert court.lost() == {1: 1, 7: 1}


def test_who_sees_the_question_alone_decides_nothing() -> None:
    """A reporter that shows it to three friends of six seats brings no decision, and nobody pays."""
    court = Court()
    key = court.say(court.report(said=RIGHT))
    court.cut()
    assert court.vote(key, {2: WRONG, 3: WRONG, 4: WRONG}).decision is None
    court.cut(20)
    assert (court.lost(), court.state.totals["undecided disputes"]) == ({}, 1)


def test_a_reporter_has_no_vote() -> None:
    court = Court()
    key = court.say(court.report())
    court.cut(5)
    vote = Vote(key, court.state.id, 0, WRONG, (sha256(b"salt"),))
    court.steps.say(court.keys[0], Kind.VOTE, vote.encode())
    court.cut()
    assert court.state.totals["vote: a reporter has no vote"] == 1
    assert court.keys[0] not in court.state.disputes[key].votes


def test_one_report_for_each_epoch() -> None:
    """A repeat counts once, and a second, different one convicts. Old ones are forgotten."""
    court = Court()
    first = court.report()
    court.say(first)
    court.cut()
    court.say(first)
    court.cut()
    assert court.state.totals["reports"] == 1
    assert not court.state.members[court.keys[0]].is_convicted
    court.say(court.report(responder=2, epoch=first.epoch))
    court.cut()
    assert court.state.members[court.keys[0]].conviction == "two reports for one epoch"
    court.cut(12)
    assert court.state.reports == {}


def test_a_report_without_the_question_opens_no_dispute() -> None:
    """It is counted, and has no effect on anybody."""
    court = Court()
    court.say(court.report(output=RIGHT))
    state = court.cut()
    assert (state.disputes, state.totals["reports without a question"]) == ({}, 1)
    assert court.lost() == {}


@pytest.mark.parametrize(
    ("why", "epoch", "class_index"),
    [("author has no weight", -1, 0), ("too late", 0, 0), ("answers of two classes", -1, 1)],
)
def test_what_does_not_count(why: str, epoch: int, class_index: int) -> None:
    """Free keys do not report, and a report is of its class and in time."""
    court = Court()
    court.cut(8)
    if why == "author has no weight":
        court.state.members[court.keys[0]].weight = 0
    court.say(court.report(epoch=epoch, class_index=class_index))
    state = court.cut()
    assert state.totals[f"report: {why}"] == 1
    assert (state.disputes, state.reports) == ({}, {})


def test_of_a_peer_that_is_no_member() -> None:
    court = Court()
    court.steps.leave(court.keys[1])
    court.cut()
    court.say(court.report())
    assert court.cut().totals["report: responder is no member"] == 1


def test_so_many_open_and_each_peer_is_in_one() -> None:
    """Six report: those with a common peer lapse, and a cut opens two."""
    court = Court(16)
    for reporter, responder in ((0, 1), (2, 1), (3, 4), (5, 6), (7, 8), (9, 0)):
        court.say(court.report(reporter, responder))
    state = court.cut()
    assert len(state.disputes) == reports.REPORTS_PER_CUT
    assert state.totals["lapsed reports"] == 6 - reports.REPORTS_PER_CUT
    parties = [dispute.audit.parties for dispute in state.disputes.values()]
    assert len(frozenset().union(*parties)) == 4
    (busy, *_) = state.disputes.values()
    reporter = court.keys.index(busy.audit.challenger)
    court.say(court.report(reporter, 15))
    assert court.cut().totals["lapsed reports"] == 7 - reports.REPORTS_PER_CUT


def test_friends_of_a_liar_cannot_shield_it() -> None:
    """Reports that stay undecided take no room from the disputes of slots, however near the accused is."""
    court = Court()
    court.say(court.report())
    court.cut()
    accused = court.keys[1]
    step = _step(court)
    step.state.change(accused, cusum=step.steps[0].threshold - 1)
    assert disputes.saturated(step) == set()
    assert disputes._silent(step.state) == set()


def _step(court: Court):
    from p2pverify.core.state.transition import Frame, Transition, class_steps

    state = court.state.successor(bytes(32), court.state.epoch + 1, court.state.heads)
    frame = Frame(lambda cuts: [None] * len(cuts))
    return Transition(court.network, court.network.id, court.state, state, frame, class_steps(court.network))


def test_few_see_the_question_in_a_large_class() -> None:
    """Of 60 members 31 are drawn, and 26 equal answers decide: a third of liars almost never has so many."""
    court = Court(60)
    key = court.say(court.report())
    court.cut()
    seats = court.state.disputes[key].electorate
    assert len(seats) == EVERYONE_MAX
    assert not seats & set(court.keys[:2])
    voters = [number for number, one in enumerate(court.keys) if one in seats]
    needed = COMMITTEES[2].equal
    assert court.vote(key, dict.fromkeys(voters[: needed - 1], RIGHT)).decision is None
    other = Court(60)
    other.say(other.report())
    other.cut()
    assert other.vote(key, dict.fromkeys(voters[:needed], RIGHT)).decision == RIGHT


def test_too_few_voters_open_none() -> None:
    """Three members besides the parties are needed, so that one liar among them is outvoted."""
    court = Court(4)
    court.say(court.report())
    assert court.cut().totals["lapsed reports"] == 1
