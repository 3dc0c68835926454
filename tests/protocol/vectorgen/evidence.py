"""Cases of evidence: requests for the answer behind a receipt, and the responses."""

from pathlib import Path
from typing import Any

from vectorgen.case import Case, changed
from vectorgen.examples import ALICE, BOB, DISPUTED, LOGITS, RIGHT, WRONG, receipt
from vectorgen.streams import REQUEST

from p2pverify.core.contract.output import Output
from p2pverify.core.encoding.canon import decode, encode
from p2pverify.core.errors import DecodeError
from p2pverify.core.inference.question import receipt_fields
from p2pverify.core.roles.disputes.evidence import (
    NO_EVIDENCE,
    decode_evidence,
    decode_evidence_request,
    encode_evidence,
    encode_evidence_request,
)

WHICH = next(which for which, asked in enumerate(DISPUTED.asked) if asked.responder == BOB.key)
ASKS = encode_evidence_request(DISPUTED.key, WHICH)
SHOWN = encode_evidence(Output(RIGHT, "stop", LOGITS))
RECEIPT = receipt(BOB, REQUEST, RIGHT)


def _request(comment: str, data: bytes, reason: str | None = None) -> Case:
    try:
        decode_evidence_request(data)
        found = None
    except DecodeError as error:
        found = error.reason
    assert found == reason, f"{comment}: {found}"
    expect = "accept" if reason is None else "reset"
    return {"comment": comment, "input": {"request": data.hex()}, "expect": expect, "reason": reason}


def requests() -> list[Case]:
    value: Any = decode(ASKS, size_max=256)
    key, which = value
    return [
        _request("Bob's answer in a slot of Alice's", ASKS),
        _request("the last peer that a slot can ask", encode([key, 30])),
        _request("a slot of an author that nobody knows: there is nothing to show", encode([[bytes(32), 0, 255], 0])),
        _request("nothing", b"", "truncated"),
        _request("257 bytes", bytes(257), "too long"),
        _request("no index", encode([key]), "evidence request: not 2 items"),
        _request("one item more", encode([key, which, 0]), "evidence request: not 2 items"),
        _request("the 32nd peer", encode([key, 31]), "index: above 30"),
        _request("a key of 31 bytes", encode([changed(key, 0, ALICE.key[:31]), which]), "challenger: not 32 bytes"),
        _request("slot 256", encode([changed(key, 2, 256), which]), "slot: above 255"),
        _request("an epoch that is text", encode([changed(key, 1, "12"), which]), "epoch: not an unsigned integer"),
    ]


def _evidence(comment: str, data: bytes, expect: str = "fits", reason: str | None = None) -> Case:
    try:
        output = decode_evidence(data)
        found: tuple[str, str | None] = ("none", None)
        if output is not None:
            fits = RECEIPT.covers(output, DISPUTED.question)
            found = ("fits", None) if fits else ("other", "the receipt is for another answer")
    except DecodeError as error:
        found = ("invalid", error.reason)
    assert found == (expect, reason), f"{comment}: {found}"
    inputs = {
        "question": DISPUTED.question.hex(),
        "request_id": REQUEST.id.hex(),
        "responder": BOB.key.hex(),
        "receipt": encode(receipt_fields(RECEIPT)).hex(),
        "evidence": data.hex(),
    }
    return {"comment": comment, "input": inputs, "expect": expect, "reason": reason}


def shown() -> list[Case]:
    value: Any = decode(SHOWN, size_max=8_192)
    another = "the receipt is for another answer"
    return [
        _evidence("the four tokens that Bob's receipt is for", SHOWN),
        _evidence("nothing to show", NO_EVIDENCE, "none"),
        _evidence("other tokens", encode_evidence(Output(WRONG, "stop", LOGITS)), "other", another),
        _evidence("a token fewer", encode_evidence(Output(RIGHT[:3], "stop", LOGITS)), "other", another),
        _evidence("another finish", encode_evidence(Output(RIGHT, "length", LOGITS)), "other", another),
        _evidence("other logits", encode_evidence(Output(RIGHT, "stop", bytes(32))), "other", another),
        _evidence("null", encode(None), "invalid", "evidence: not an array"),
        _evidence("24,577 bytes", bytes(24_577), "invalid", "too long"),
        _evidence("no logits digest", encode(value[:2]), "invalid", "evidence: not 3 items"),
        _evidence("1,025 tokens", encode(changed(value, 0, [1] * 1025)), "invalid", "tokens: more than 1024 items"),
        _evidence("a finish that there is not", encode(changed(value, 1, "eos")), "invalid", "unknown finish"),
        _evidence(
            "31 bytes of logits digest", encode(changed(value, 2, bytes(31))), "invalid", "logits digest: not 32 bytes"
        ),
    ]


def cases() -> dict[Path, list[Case]]:
    return {Path("evidence-request"): requests(), Path("evidence"): shown()}
