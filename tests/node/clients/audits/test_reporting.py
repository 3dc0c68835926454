"""From a wrong answer to its report: what the client agrees to, what the request has sealed, and restarts."""

from collections.abc import Iterator
from dataclasses import replace

import pytest
import trio

from p2pverify.core.encoding import sign
from p2pverify.core.encoding.canon import encode
from p2pverify.core.events import WrongAnswer
from p2pverify.core.inference.question import decode_request
from p2pverify.core.proofs.receipt import check_answer
from p2pverify.core.records.envelope import Kind, make_record
from p2pverify.core.records.judge import FAR_FUTURE, judge
from p2pverify.core.records.kind_rule import Rules
from p2pverify.core.records.payloads.report import report_of
from p2pverify.node.clients.audits import reporting
from p2pverify.node.clients.paper import read_receipt
from tests.node.clients.test_door import order, read
from tests.support.doors import DoorBench, grown_world, open_door
from tests.support.lines import overlap_world


@pytest.fixture(scope="module")
def world():
    return grown_world()


@pytest.fixture
def reported(monkeypatch) -> Iterator[list[WrongAnswer]]:
    """What the node hands to its machine."""
    found: list[WrongAnswer] = []
    monkeypatch.setattr("p2pverify.node.driver.Driver.order", lambda _driver, one: found.append(one))
    return found


async def wrong_answer_of(bench: DoorBench, **changes: object) -> str:
    """The id of a receipt with a wrong answer, after its audit."""
    bench.lies(bench.others[0])
    opened = bench.door.begin(order(peer=bench.others[0], **changes))
    await read(opened)
    await bench.door.auditor.wait_idle()
    return opened.document.id


@pytest.mark.parametrize("wish", ["never", "digest", "reveal", "private"])
async def test_the_client_says_what_others_may_learn(tmp_path, world, reported, wish):
    """The record holds by itself. It has no prompt, and no digest of the right answer if others are to vote."""
    with trio.fail_after(60):
        async with open_door(tmp_path, world, audit_rate=1) as bench:
            await wrong_answer_of(bench, report=wish)
            if wish == "never":
                assert reported == []
                return
            (found,) = reported
            assert (found.said.output is None) == (wish in reporting.SHOWING)
            assert found.is_private == (wish == "private")
            machine = world.peers[0].machine
            record = make_record(
                machine.context.seed,
                machine.key,
                machine.network.id,
                epoch=found.report.epoch + 1,
                seq=0,
                prev=bytes(32),
                kind=Kind.REPORT,
                payload=found.said.encode(),
            )
            assert report_of(judge(record.data, Rules(machine.network, machine.network.id, FAR_FUTURE))) == found.said
            assert encode(list(found.question.prompt)) not in record.data
            assert (found.question.id in record.data) == (wish != "private")


async def test_right_answers_are_not_reported(tmp_path, world, reported):
    with trio.fail_after(60):
        async with open_door(tmp_path, world, audit_rate=1) as bench:
            await read(bench.door.begin(order(peer=bench.others[1], report="reveal")))
            await bench.door.auditor.wait_idle()
            assert reported == []


@pytest.mark.parametrize("wish", reporting.SHOWING)
async def test_a_restart_shows_the_question_again(tmp_path, world, reported, wish):
    """The salt follows from the home's secret, so nothing besides the receipt is stored."""
    with trio.fail_after(60):
        async with open_door(tmp_path, world, audit_rate=1) as bench:
            await wrong_answer_of(bench, report=wish)
        async with open_door(tmp_path, world, audit_rate=1) as bench:
            await bench.door.auditor.wait_idle()
            first, again = reported
            assert first == again


async def test_what_cannot_be_decided_is_not_reported(tmp_path, world, reported, monkeypatch):
    """A question too long to be shown, and a request whose nonce has sealed something else."""
    with trio.fail_after(60):
        async with open_door(tmp_path, world, audit_rate=1) as bench:
            monkeypatch.setattr(reporting, "can_show", lambda _question: False)
            await wrong_answer_of(bench, report="reveal")
            monkeypatch.setattr(reporting, "can_show", lambda _question: True)
            monkeypatch.setattr(reporting, "client_salt", lambda *_: bytes(32))
            await wrong_answer_of(bench, report="reveal", seed=9)
            assert reported == []


async def test_no_two_requests_share_a_nonce(tmp_path, world):
    """Not even those for one question in one epoch. To others a sealed nonce is 32 random bytes."""
    with trio.fail_after(60):
        async with open_door(tmp_path, world) as bench:
            nonces = set()
            for _ in range(6):
                opened = bench.door.begin(order(peer=bench.others[0]))
                await read(opened)
                (answer,) = opened.document.answers
                request, _ = decode_request(bytes.fromhex(answer.request))
                nonces.add(request.nonce)
            assert len(nonces) == 6
            assert sign.public_key(world.peers[0].machine.context.seed) == request.requester


async def test_only_answers_of_the_version_that_the_peer_serves_are_reported(tmp_path, reported):
    """Voters compute with this version, so they could not decide about another one."""
    with trio.fail_after(60):
        async with open_door(tmp_path, overlap_world(), audit_rate=1) as bench:
            await bench.door.auditor.wait_idle()
            moved, stays = (bench.world.peers[number].machine.key for number in (3, 1))
            for peer, number in ((moved, 5), (stays, 6)):
                bench.versions[peer]._weights = bench.engines[peer]._weights = bytes([number]) * 32
                await read(
                    bench.door.begin(order(peer=peer, report="reveal", model=_model(bench, peer), seed=1000 + number))
                )
            await bench.door.auditor.wait_idle()
            assert [found.report.responder for found in reported] == [moved, stays]
            receipt = (await bench.door.auditor.book.all())[0].receipt
            shown = read_receipt((await bench.book.find(receipt)).document).answers[0]
            facts = check_answer(bench.world.network, bytes.fromhex(shown.request), bytes.fromhex(shown.response), None)
            context = bench.world.peers[0].machine.context
            assert reporting.wrong_answer(context, receipt, 0, facts, "reveal", None) is not None
            first = replace(facts, question=replace(facts.question, manifest=context.network.manifests[0]))
            assert reporting.wrong_answer(context, receipt, 0, first, "reveal", None) is None


def _model(bench: DoorBench, peer: bytes) -> bytes:
    return next(each.model for each in bench.door._view.peers() if each.peer == peer)
