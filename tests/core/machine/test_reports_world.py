"""Reports among whole machines: the question reaches the seats, a lie to clients convicts, and slander costs."""

from dataclasses import replace

import pytest

from p2pverify.core.contract.output import Output
from p2pverify.core.encoding import sign
from p2pverify.core.errors import RemoteProtocolError
from p2pverify.core.events import Compute, WrongAnswer
from p2pverify.core.inference.jobs import Purpose
from p2pverify.core.inference.question import Question, Receipt, request_id, salted_digest
from p2pverify.core.records.payloads.audit import REPORT_SLOT
from p2pverify.core.records.payloads.lots import DisputeKey
from p2pverify.core.records.payloads.report import AnswerReport, sealed_nonce
from p2pverify.core.roles.disputes.evidence import NO_EVIDENCE, decode_shown_question, encode_evidence_request
from p2pverify.testnet.world import World
from p2pverify.testnet.world.peer.engine import honest_answer, logits_of
from tests.support.worlds import make_world

SALT = bytes(range(32))
REPORTER, LIAR = 0, 1


def found(world: World, *, honest: bool = False, shows: bool = True, number: int = 0) -> WrongAnswer:
    """A receipt that the liar signed for a wrong answer, or for the right one."""
    machine, liar = world.peers[REPORTER].machine, world.peers[LIAR].machine
    epoch = machine.network.params.epoch_at(world.now_ms)
    manifest = machine.network.classes[0].manifest
    question = Question(manifest, (1, 2, 3, number), 8, 800, bytes(16), machine.key)
    output = _right(world, question) if honest else Output((9, 9, 9), "length")
    nonce = sealed_nonce(machine.network.id, machine.key, liar.key, epoch, question.id, SALT)
    request = request_id(machine.network.id, machine.key, liar.key, question.id, nonce, epoch + 4)
    salted = salted_digest(request, liar.key, 0, output.digest(question.id))
    fields = (machine.network.id, liar.key, request, 0, salted, len(output.tokens), 0, 1, 2)
    unsigned = Receipt(*fields, bytes(64))
    receipt = Receipt(*fields, sign.sign(liar.context.seed, unsigned.signed_bytes()))
    said = (question.id, epoch + 4, liar.key, nonce, SALT, receipt)
    return WrongAnswer(AnswerReport(machine.key, epoch, *said, None if shows else bytes(32)), question)


def _right(world: World, question: Question) -> Output:
    path = world.peers[2].engine.path
    tokens = honest_answer(Compute(0, Purpose.VOTE, 0, question.ask), path)
    return Output(tokens, "length", logits_of(tokens, path))


def report(world: World, answer: WrongAnswer) -> DisputeKey:
    world.peers[REPORTER].feed(answer)
    return answer.report.audit.key


def latest(world: World):
    return world.peers[2].machine.fold.latest


def test_a_reported_lie_is_a_dissent_and_the_seats_alone_see_the_question() -> None:
    world = make_world(6)
    world.run_epochs(6)
    answer = found(world)
    key = report(world, answer)
    machine = world.peers[REPORTER].machine
    asked = encode_evidence_request(key, 0)
    assert machine.evidence(asked, world.peers[2].machine.key) == NO_EVIDENCE  # there is no dispute yet
    world.run_epochs(3)
    dispute = machine.fold.latest.disputes[key]
    for peer in world.peers:
        shown = decode_shown_question(machine.evidence(asked, peer.machine.key))
        assert shown == (answer.question if peer.machine.key in dispute.electorate else None)
    assert machine.evidence(asked, bytes(32)) == NO_EVIDENCE
    with pytest.raises(RemoteProtocolError):
        machine.evidence(b"\x00", bytes(32))
    world.run_epochs(5)
    members = latest(world).members
    assert members[world.peers[LIAR].machine.key].dissents == 1
    assert members[world.peers[REPORTER].machine.key].dissents == 0
    assert latest(world).totals["disputes about reports"] == 1


def test_four_reports_convict_a_peer_that_is_honest_to_slots() -> None:
    """One in each epoch, as soon as the one before it is decided."""
    world = make_world(6, slots_milli=200)
    world.run_epochs(6)
    for number in range(24):
        report(world, found(world, number=number))
        world.run_epochs(1)
    assert latest(world).members[world.peers[LIAR].machine.key].conviction == "lost disputes"
    honest = [peer.machine.key for peer in world.peers if peer is not world.peers[LIAR]]
    assert [latest(world).members[key].dissents for key in honest] == [0] * 5


def test_slander_counts_against_the_reporter() -> None:
    world = make_world(6)
    world.run_epochs(6)
    report(world, found(world, honest=True))
    world.run_epochs(8)
    members = latest(world).members
    assert members[world.peers[LIAR].machine.key].dissents == 0
    assert members[world.peers[REPORTER].machine.key].dissents == 1


def test_a_reporter_that_is_away_decides_nothing() -> None:
    """Nobody gets the question, so nobody votes, and nobody pays."""
    world = make_world(6)
    world.run_epochs(6)
    key = report(world, found(world))
    world.peers[REPORTER].machine.reporter._shown.clear()
    world.run_epochs(2)
    world.peers[REPORTER].machine.reporter._shown.clear()
    world.run_epochs(6)
    assert latest(world).disputes[key].votes == {}
    assert all(member.dissents == 0 for member in latest(world).members.values())


@pytest.mark.parametrize("is_private", [False, True], ids=["open", "private"])
def test_of_several_wrong_answers_in_an_epoch_the_reported_one_is_shown(is_private: bool) -> None:
    """The seats get the question of the report, and not that of a later wrong answer."""
    world = make_world(6)
    world.run_epochs(6)
    for number in range(3):
        report(world, replace(found(world, number=number), is_private=is_private))
    world.run_epochs(8)
    assert latest(world).members[world.peers[LIAR].machine.key].dissents == 1


def test_one_report_for_each_epoch_and_none_twice() -> None:
    """The one that shows the question is preferred. After a restart the question is shown again."""
    world = make_world(6)
    world.run_epochs(6)
    first, digest = found(world, number=1), found(world, number=2, shows=False)
    report(world, digest)
    key = report(world, first)
    report(world, found(world, number=3))
    world.run_epochs(3)
    state = latest(world)
    assert state.totals["reports"] == 1
    assert [each for each in state.disputes if each.slot == REPORT_SLOT] == [key]
    reporter = world.peers[REPORTER].machine.reporter
    reporter._shown.clear()
    reporter.resume()
    report(world, first)
    shown = reporter.show(key, world.peers[2].machine.key)
    assert decode_shown_question(shown) == first.question
    report(world, found(world, number=4))
    world.run_epochs(1)
    assert latest(world).totals["reports"] <= 2
