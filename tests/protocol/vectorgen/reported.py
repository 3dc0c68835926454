"""Cases of reports: Alice's client got a wrong answer of Carol."""

from dataclasses import replace
from pathlib import Path
from typing import Any

from vectorgen.case import Case, changed, forged, judged, reject, said
from vectorgen.examples import (
    ALICE,
    CAROL,
    DAVE,
    EPOCH,
    LOGITS,
    NETWORK_ID,
    PANEL_SLOT,
    RIGHT,
    WRONG,
    Peer,
    question_of,
    receipt,
    record,
    salt,
)

from p2pverify.core.contract.output import Output
from p2pverify.core.encoding.canon import decode
from p2pverify.core.inference.question import Request
from p2pverify.core.records.envelope import Kind, Record
from p2pverify.core.records.payloads.report import AnswerReport, sealed_nonce


def _report(reporter: Peer, responder: Peer) -> AnswerReport:
    asked = replace(question_of(PANEL_SLOT), requester=reporter.key)
    opened = salt(255, responder.key)
    nonce = sealed_nonce(NETWORK_ID, reporter.key, responder.key, EPOCH, asked.id, opened)
    request = Request(NETWORK_ID, reporter.key, responder.key, asked.id, nonce, EPOCH + 4)
    signed = receipt(responder, request, WRONG)
    return AnswerReport(reporter.key, EPOCH, asked.id, EPOCH + 4, responder.key, nonce, opened, signed, None)


REPORT = _report(ALICE, CAROL)
REPORT_RECORD: Record = record(ALICE, Kind.REPORT, REPORT.encode())


def reports() -> list[Case]:
    good: Any = decode(REPORT.encode(), size_max=65_536)
    private: Any = decode(REPORT.hidden.encode(), size_max=65_536)
    bad: list[tuple[str, object, str]] = [
        ("six items", good[:6], "report: not 7 items"),
        ("a request of 31 bytes", changed(private, 1, bytes(31)), "request: not 32 bytes"),
        ("a private report of the reporter itself", changed(private, 2, ALICE.key), "a reporter asked itself"),
        ("a private report with the question's salt", [*private, salt(255, CAROL.key)], "report: not 7 items"),
        ("a private report in two epochs", changed(private, 0, [12, 13]), "epoch: not an unsigned integer"),
        ("a question of 31 bytes", changed(good, 1, bytes(31)), "question: not 32 bytes"),
        ("an answer of the reporter itself", changed(good, 3, ALICE.key), "a reporter asked itself"),
        ("a salt that is null", changed(good, 4, None), "salt: not a byte string"),
        ("a receipt of four items", changed(good, 5, good[5][:4]), "receipt: not 5 items"),
        ("an output of 33 bytes", changed(good, 6, bytes(33)), "output: not 32 bytes"),
    ]
    unsigned = "a receipt's signature does not hold for the sealed request"
    early = record(ALICE, Kind.REPORT, REPORT.encode(), epoch=EPOCH)
    return [
        judged("the seats of the dispute get the question", REPORT_RECORD.data),
        judged(
            "without the question: it opens no dispute",
            record(
                ALICE,
                Kind.REPORT,
                replace(REPORT, output=Output(RIGHT, "stop", LOGITS).digest(REPORT.question)).encode(),
            ).data,
        ),
        judged(
            "by a peer without weight: only the fold can see that",
            record(DAVE, Kind.REPORT, _report(DAVE, CAROL).encode()).data,
        ),
        judged("a private report", record(ALICE, Kind.REPORT, REPORT.hidden.encode()).data),
        judged(
            "a private report of another epoch: only the seats can see that",
            said(ALICE, Kind.REPORT, changed(private, 0, EPOCH - 1)).data,
        ),
        *[
            reject(comment, said(ALICE, Kind.REPORT, value), f"malformed report: {reason}")
            for comment, value, reason in bad
        ],
        reject("in the request's own epoch", early, "report of its own or a later epoch"),
        reject("a request of another epoch", said(ALICE, Kind.REPORT, changed(good, 0, EPOCH - 1)), unsigned),
        reject("another request", said(ALICE, Kind.REPORT, changed(private, 1, bytes(32))), unsigned),
        reject("another responder", said(ALICE, Kind.REPORT, changed(private, 2, DAVE.key)), unsigned),
        reject("another salt", said(ALICE, Kind.REPORT, changed(good, 4, bytes(32))), unsigned),
        reject("by another member", record(DAVE, Kind.REPORT, REPORT.encode()), unsigned),
        reject("signature of another message", forged(REPORT_RECORD), "bad signature"),
    ]


def cases() -> dict[Path, list[Case]]:
    return {Path("report"): reports()}
