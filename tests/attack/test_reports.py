"""Attacks by reports of wrong answers: forged, by keys without weight, and questions that others may not see."""

import trio

from p2pverify.core.encoding import sign
from p2pverify.core.encoding.canon import sha256
from p2pverify.core.inference.question import Receipt, request_id, salted_digest
from p2pverify.core.records.envelope import Kind, Record
from p2pverify.core.records.payloads.audit import REPORT_SLOT
from p2pverify.core.records.payloads.lots import DisputeKey
from p2pverify.core.records.payloads.report import AnswerReport, sealed_nonce
from p2pverify.core.roles.disputes.evidence import NO_EVIDENCE, encode_evidence_request
from tests.attack.enemy import gossiper, insider
from tests.attack.live import PATIENCE_S, Author, Live, until

QUESTION, SALT = sha256(b"question"), sha256(b"salt")


def report(
    live: Live, author: Author, friend: Author, *, epoch: int, forged: bool = False, private: bool = False
) -> Record:
    """A report by a stranger, with a receipt that its friend signed, or that nobody did."""
    network = live.node.context.network_id
    nonce = sealed_nonce(network, author.key, friend.key, epoch, QUESTION, SALT)
    request = request_id(network, author.key, friend.key, QUESTION, nonce, epoch + 4)
    salted = salted_digest(request, friend.key, 0, sha256(b"wrong"))
    fields = (network, friend.key, request, 0, salted, 3, 0, 1, 2)
    unsigned = Receipt(*fields, bytes(64))
    receipt = unsigned if forged else Receipt(*fields, sign.sign(friend.seed, unsigned.signed_bytes()))
    said = AnswerReport(author.key, epoch, QUESTION, epoch + 4, friend.key, nonce, SALT, receipt, None)
    return author.record(Kind.REPORT, (said.hidden if private else said).encode(), live.node.epoch)


async def test_forged_reports(live: Live) -> None:
    """A receipt that nobody signed is rejected with the peer that forwards it, in both forms of a report."""
    reason = "judged a receipt's signature does not hold for the sealed request"
    with trio.fail_after(PATIENCE_S):
        async with gossiper(live.node) as mallory:
            for number in range(6):
                author, friend = live.new_author(), live.new_author()
                is_private = number % 2 == 0
                made = report(live, author, friend, epoch=live.node.epoch - 1, forged=True, private=is_private)
                await mallory.publish_records([made.data])
            await until(lambda: live.node.count(reason) == 6, "all are rejected")
    await live.survives(reason)


async def test_reports_of_keys_without_weight(live: Live) -> None:
    """Keys are free, so a member without weight opens no dispute, however often it reports."""
    node = live.node
    machine = node.driver.machine
    with trio.fail_after(PATIENCE_S):
        async with gossiper(node) as mallory:
            author = live.new_author()
            await live.admit(author)
            made = [
                report(live, author, live.new_author(), epoch=epoch, private=epoch % 2 == 0)
                for epoch in range(node.epoch - 6, node.epoch)
            ]
            await mallory.publish_records([record.data for record in made])
            await until(lambda: made[-1].id in node.context.ledger, "all are taken")
            refused = "report: author has no weight"
            await until(lambda: machine.fold.latest.totals.get(refused) == len(made), "none counts")
            assert not [key for key in machine.fold.latest.disputes if key.slot == REPORT_SLOT]
    await live.survives()


async def test_questions_of_reports_are_shown_to_nobody_else(live: Live) -> None:
    """A member that has no seat gets nothing, whether there is such a report or not."""
    with trio.fail_after(PATIENCE_S):
        async with insider(live.node) as (mesh, _):
            for key in (live.node.key, live.neighbour.key, bytes(32)):
                request = encode_evidence_request(DisputeKey(key, 12, REPORT_SLOT), 0)
                assert await mesh.fetch(live.node.key, request) == NO_EVIDENCE
    await live.survives("driver evidence not had")
