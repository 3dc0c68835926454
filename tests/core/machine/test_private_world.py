"""Private reports among whole machines: who can read the question, and what hostile reporters and seats can do."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from nacl.public import PrivateKey, PublicKey, SealedBox

from p2pverify.core.encoding import box
from p2pverify.core.encoding.canon import encode
from p2pverify.core.events import WrongAnswer
from p2pverify.core.records.payloads.lots import DisputeKey
from p2pverify.core.roles.disputes.boxes import (
    NOT_SHOWN,
    BoxedQuestion,
    decode_box,
    encode_box,
    open_box,
)
from p2pverify.core.roles.disputes.evidence import NO_EVIDENCE, encode_evidence_request
from p2pverify.core.state.verdicts.notes import Dispute
from p2pverify.testnet.world import World
from tests.core.machine.test_reports_world import LIAR, REPORTER, found, latest, report
from tests.support.worlds import make_world


def private(world: World, **options: Any) -> WrongAnswer:
    return replace(found(world, **options), is_private=True)


def asked(world: World, key: DisputeKey, seat: bytes) -> bytes:
    """What the reporter answers a peer that asks for the question."""
    return world.peers[REPORTER].machine.evidence(encode_evidence_request(key, 0), seat)


def opened(world: World, answer: WrongAnswer) -> Dispute:
    """The dispute about a report, as soon as it is open."""
    key = report(world, answer)
    for _ in range(40):
        if key in latest(world).disputes:
            return latest(world).disputes[key]
        world.run_epochs(0.1)
    raise AssertionError("no dispute opened")


@pytest.mark.parametrize("is_honest", [False, True], ids=["a lie", "slander"])
@pytest.mark.parametrize("is_private", [False, True], ids=["open", "private"])
def test_a_dispute_ends_alike_in_both_forms(is_private: bool, is_honest: bool) -> None:
    world = make_world(6)
    world.run_epochs(6)
    answer = replace(found(world, honest=is_honest), is_private=is_private)
    opened(world, answer)
    world.run_epochs(8)
    members = latest(world).members
    dissents = [members[peer.machine.key].dissents for peer in world.peers]
    expected = [0] * 6
    expected[REPORTER if is_honest else LIAR] = 1
    assert dissents == expected
    assert latest(world).totals["disputes about reports"] == 1


def test_the_nine_seats_alone_can_read_the_question() -> None:
    """Other members get nothing. No box opens for another seat, and no record has a byte of the question."""
    world = make_world(14)
    world.run_epochs(6)
    answer = private(world)
    dispute = opened(world, answer)
    audit, network = dispute.audit, world.network.id
    assert (len(dispute.electorate), len(dispute.shown_to)) == (12, 9)
    boxes = {}
    for peer in world.peers:
        told = asked(world, dispute.key, peer.machine.key)
        if peer.machine.key not in dispute.shown_to:
            assert told == NO_EVIDENCE
            continue
        boxes[peer.machine.key] = told
        read = open_box(told, peer.machine.context.box_secret, audit, network)
        assert read == BoxedQuestion(answer.question, answer.report.expiry_epoch, answer.report.salt)
        assert asked(world, dispute.key, peer.machine.key) == told  # the same bytes each time
        assert encode(list(answer.question.prompt)) not in told
    assert len(set(boxes.values())) == 9
    one, other = sorted(boxes)[:2]
    secret = next(p.machine.context.box_secret for p in world.peers if p.machine.key == one)
    assert open_box(boxes[other], secret, audit, network) == "the reporter's box does not open"
    world.run_epochs(8)
    assert latest(world).members[world.peers[LIAR].machine.key].dissents == 1
    ledger = world.peers[2].machine.context.ledger
    known = b"".join(record.data for key in latest(world).heads for record in ledger.chain(key))
    assert answer.question.id not in known
    assert answer.report.salt not in known
    assert answer.report.receipt.request in known


#: What a hostile reporter answers a seat with this public box key instead of the true content of a box.
FalseBox = Callable[[BoxedQuestion, bytes], bytes]
EPHEMERAL = bytes(31) + b"\x03"


def _sealed(content: bytes, key: bytes) -> bytes:
    return encode_box(box.seal(content, key, EPHEMERAL))


FALSE_BOXES: dict[str, tuple[FalseBox, str]] = {
    "none": (lambda _true, _key: NO_EVIDENCE, NOT_SHOWN),
    "not sealed to the seat": (lambda _true, _key: encode_box(bytes(200)), "the reporter's box does not open"),
    "too short": (lambda _true, _key: encode_box(b"box"), "the reporter's box does not open"),
    "no box": (lambda _true, _key: encode(["box"]), "the reporter's box is malformed: box: not a byte string"),
    "two boxes": (lambda _true, _key: encode([b"", b""]), "the reporter's box is malformed: box: more than 1 items"),
    "no question": (
        lambda _true, key: _sealed(encode([]), key),
        "the reporter's box is malformed: boxed question: not 4 items",
    ),
    "another domain": (
        lambda true, key: _sealed(encode(["x", true.question.to_value(), 0, bytes(32)]), key),
        "the reporter's box is malformed: not a boxed question",
    ),
    "another question": (
        lambda true, key: _sealed(replace(true, question=replace(true.question, prompt=(7,))).encode(), key),
        "the reporter's box has another question than the reported one",
    ),
    "another salt": (
        lambda true, key: _sealed(replace(true, salt=bytes(32)).encode(), key),
        "the reporter's box has another question than the reported one",
    ),
    "another expiry": (
        lambda true, key: _sealed(replace(true, expiry_epoch=true.expiry_epoch + 1).encode(), key),
        "the reporter's box has another question than the reported one",
    ),
}


@pytest.mark.parametrize("name", FALSE_BOXES)
def test_a_reporter_that_shows_nothing_true_decides_nothing(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """No seat votes on what is not the reported request, and nobody pays. The reporter wins nothing by it."""
    false_box, why = FALSE_BOXES[name]
    world = make_world(6)
    world.run_epochs(6)
    answer = private(world)
    true = BoxedQuestion(answer.question, answer.report.expiry_epoch, answer.report.salt)
    keys = {peer.machine.key: peer.machine.context.box_key for peer in world.peers}
    reporter = world.peers[REPORTER].machine.reporter
    monkeypatch.setattr(reporter, "show", lambda _key, seat: false_box(true, keys[seat]))
    dispute = opened(world, answer)
    seat = world.peers[2].machine
    told = asked(world, dispute.key, seat.key)
    assert open_box(told, seat.context.box_secret, dispute.audit, world.network.id) == why
    world.run_epochs(8)
    assert latest(world).disputes[dispute.key].commits == {}
    assert all(member.dissents == 0 for member in latest(world).members.values())


def test_a_reporter_that_shows_the_question_to_some_seats_decides_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """More than half of all seats decide. The two that voted lose nothing, because there is no decision."""
    world = make_world(7)
    world.run_epochs(6)
    reporter = world.peers[REPORTER].machine.reporter
    show, some = reporter.show, {peer.machine.key for peer in world.peers[2:4]}
    monkeypatch.setattr(reporter, "show", lambda key, seat: show(key, seat) if seat in some else NO_EVIDENCE)
    dispute = opened(world, private(world))
    world.run_epochs(8)
    then = latest(world).disputes[dispute.key]
    assert (then.votes.keys(), then.decision) == (some, None)
    assert all(member.dissents == 0 for member in latest(world).members.values())


def test_a_report_that_was_sealed_for_another_epoch_is_not_voted_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """One wrong answer cannot be reported in two epochs: a request's nonce has sealed its epoch."""
    world = make_world(6)
    world.run_epochs(6)
    answer = private(world)
    later = replace(answer, report=replace(answer.report, epoch=answer.report.epoch - 1))
    dispute = opened(world, later)
    seat = world.peers[2].machine
    told = asked(world, dispute.key, seat.key)
    found_there = open_box(told, seat.context.box_secret, dispute.audit, world.network.id)
    assert found_there == "the reporter's box has another question than the reported one"
    world.run_epochs(8)
    assert latest(world).disputes[dispute.key].commits == {}


def test_after_a_restart_the_seats_still_get_their_boxes() -> None:
    """The node reports the answer again, and the reporter knows the report of its log."""
    world = make_world(6)
    world.run_epochs(6)
    answer = private(world)
    dispute = opened(world, answer)
    reporter, seat = world.peers[REPORTER].machine.reporter, world.peers[2].machine.key
    before = asked(world, dispute.key, seat)
    reporter._shown.clear()
    assert asked(world, dispute.key, seat) == NO_EVIDENCE
    reporter._reported.clear()
    reporter.resume()
    report(world, answer)
    assert asked(world, dispute.key, seat) == before != NO_EVIDENCE
    report(world, private(world, number=3))
    world.run_epochs(1)
    assert asked(world, dispute.key, seat) == before


def test_what_a_box_is() -> None:
    """It opens for its key alone, to its content, and with the same bytes each time."""
    secret, other = box.derive_secret(bytes(32)), box.derive_secret(bytes(31) + b"\x01")
    sealed = box.seal(b"content", box.public_key(secret), EPHEMERAL)
    assert sealed == box.seal(b"content", box.public_key(secret), EPHEMERAL)
    assert sealed is not None
    assert len(sealed) == len(b"content") + box.OVERHEAD
    assert (box.unseal(sealed, secret), box.unseal(sealed, other)) == (b"content", None)
    assert [box.unseal(sealed[:size], secret) for size in range(len(sealed))] == [None] * len(sealed)
    assert SealedBox(PrivateKey(secret)).decrypt(sealed) == b"content"
    assert box.unseal(SealedBox(PublicKey(box.public_key(secret))).encrypt(b"theirs"), secret) == b"theirs"
    assert box.seal(b"content", bytes(32), EPHEMERAL) is None  # a point of small order
    assert decode_box(encode_box(sealed)) == sealed
    assert decode_box(encode_box(None)) is None
