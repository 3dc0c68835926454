"""Cases of the audit and the duty."""

from dataclasses import replace
from pathlib import Path
from typing import Any

from vectorgen.case import Case, changed, forged, judged, reject, said
from vectorgen.examples import (
    ACROSS_AUDIT,
    AGREED,
    ALICE,
    AUDIT_RECORD,
    BOB,
    CAROL,
    CUT_RECORD,
    DAVE,
    DISPUTED,
    DUTY,
    DUTY_RECORD,
    EPOCH,
    MEASURES,
    NETWORK_ID,
    PANEL_SLOT,
    audit_of,
    record,
)

from p2pverify.core.contract.sortition import duty_alpha
from p2pverify.core.encoding.canon import decode, encode
from p2pverify.core.encoding.vrf import prove
from p2pverify.core.inference.question import Receipt
from p2pverify.core.records.envelope import Kind
from p2pverify.core.records.payloads.audit import AskedPeer, Audit
from p2pverify.core.records.payloads.duty import Duty


def _value(payload: bytes) -> Any:
    return decode(payload, size_max=65_536)


def _with(audit: Audit, which: int, asked: AskedPeer) -> Audit:
    return replace(audit, asked=tuple(changed([*audit.asked], which, asked)))


def _receipt(audit: Audit, which: int) -> Receipt:
    found = audit.asked[which].receipt
    assert found is not None
    return found


def audits() -> list[Case]:
    silent = audit_of(PANEL_SLOT, silent=BOB)
    nobody = replace(DISPUTED, asked=tuple(replace(a, receipt=None, elapsed_ms=0) for a in DISPUTED.asked))
    across = record(ALICE, Kind.AUDIT, ACROSS_AUDIT.encode(), epoch=EPOCH)
    later = record(ALICE, Kind.AUDIT, DISPUTED.encode(), epoch=EPOCH + 1)
    return [
        judged("a panel of two whose answers differ", AUDIT_RECORD.data),
        judged("one peer asked, and it agrees", record(ALICE, Kind.AUDIT, AGREED.encode(), epoch=EPOCH).data),
        judged("one of two did not answer", record(ALICE, Kind.AUDIT, silent.encode(), epoch=EPOCH).data),
        judged("nobody answered", record(ALICE, Kind.AUDIT, nobody.encode(), epoch=EPOCH).data),
        judged("published an epoch later", later.data),
        judged(
            "across classes: what the referee says is sealed",
            across.data,
        ),
        judged(
            "sealed with anything at all: only the opening shows what",
            record(ALICE, Kind.AUDIT, replace(ACROSS_AUDIT, sealed=bytes(32)).encode(), epoch=EPOCH).data,
        ),
        judged(
            "differing answers called equal: only the opening shows that",
            record(ALICE, Kind.AUDIT, audit_of(PANEL_SLOT, liar=CAROL, differ=False).encode()).data,
        ),
        *_malformed_audits(),
        *_wrong_receipts(),
        reject(
            "dated before the audited epoch",
            record(ALICE, Kind.AUDIT, DISPUTED.encode(), epoch=EPOCH - 1),
            "audit of a later epoch than its record",
        ),
        reject("signature of another message", forged(AUDIT_RECORD), "bad signature"),
    ]


def _malformed_audits() -> list[Case]:
    good = _value(DISPUTED.encode())
    one, two = good[7]
    no_receipt = [two[0], two[1], None, 0]
    bad: list[tuple[str, object, str]] = [
        ("seven items", good[:7], "audit: not 8 items"),
        ("slot 256", changed(good, 1, 256), "slot: above 255"),
        ("an anchor that is a number", changed(good, 2, 11), "anchor: not a byte string"),
        ("differ as a number", changed(good, 5, 1), "differ: not a boolean"),
        ("nobody asked", changed(good, 7, []), "asked peers are none or repeat"),
        ("one peer asked twice", changed(good, 7, [one, one]), "asked peers are none or repeat"),
        ("32 peers asked", changed(good, 7, [one] * 32), "asked: more than 31 items"),
        (
            "the challenger among the asked",
            changed(good, 7, [one, [ALICE.key, two[1], None, 0]]),
            "a challenger asked itself",
        ),
        ("one nonce for both", changed(good, 7, [one, [two[0], one[1], None, 0]]), "a nonce is used twice"),
        ("a nonce of 16 bytes", changed(good, 7, [[one[0], one[1][:16], None, 0]]), "nonce: not 32 bytes"),
        (
            "a receipt of four items",
            changed(good, 7, [changed(one, 2, one[2][:4])]),
            "receipt: not 5 items",
        ),
        (
            "131,073 tokens",
            changed(good, 7, [changed(one, 2, changed(one[2], 2, 131_073))]),
            "token count: above 131072",
        ),
        (
            "a measured time without a receipt",
            changed(good, 7, [changed(no_receipt, 3, 7)]),
            "a time without a receipt",
        ),
        ("no measured time", changed(good, 7, [one[:3]]), "asked peer: not 4 items"),
        ("a measured time of 2^32 ms", changed(good, 7, [changed(one, 3, 2**32)]), "elapsed_ms: above 4294967295"),
        ("sealed measures as a boolean", changed(good, 6, False), "sealed measures: not a byte string"),
        ("31 bytes of sealed measures", changed(good, 6, bytes(31)), "sealed measures: not 32 bytes"),
    ]
    return [
        reject(comment, said(ALICE, Kind.AUDIT, value), f"malformed audit: {reason}") for comment, value, reason in bad
    ]


def _wrong_receipts() -> list[Case]:
    """Each of these changes the responder's signed values."""
    first, second = DISPUTED.asked
    bob = _receipt(DISPUTED, 0)
    elsewhere = _receipt(AGREED, 0)
    changes = [
        ("another token count", _with(DISPUTED, 0, replace(first, receipt=replace(bob, token_count=5)))),
        ("another salted digest", _with(DISPUTED, 0, replace(first, receipt=replace(bob, salted=bytes(32))))),
        ("another class", _with(DISPUTED, 0, replace(first, receipt=replace(bob, class_index=1)))),
        ("another timing", _with(DISPUTED, 0, replace(first, receipt=replace(bob, total_ms=188)))),
        ("the receipt of another slot", _with(DISPUTED, 0, replace(first, receipt=elsewhere))),
        ("another nonce under the receipt", _with(DISPUTED, 0, replace(first, nonce=bytes(32)))),
        ("another expiry epoch than in the request", replace(DISPUTED, expiry_epoch=99)),
        ("another question than in the request", replace(DISPUTED, question=bytes(32))),
        (
            "the receipts of the two peers exchanged",
            replace(
                DISPUTED,
                asked=(replace(first, receipt=second.receipt), replace(second, receipt=first.receipt)),
            ),
        ),
    ]
    reason = "a receipt's signature does not hold for this request"
    cases = [
        reject(comment, record(ALICE, Kind.AUDIT, audit.encode(), epoch=EPOCH), reason) for comment, audit in changes
    ]
    stolen = record(DAVE, Kind.AUDIT, DISPUTED.encode(), epoch=EPOCH)
    return [*cases, reject("published by a peer that did not ask", stolen, reason)]


def duties() -> list[Case]:
    none = replace(DUTY, openings=())
    abstained = replace(DUTY.openings[0], class_index=None, output=bytes(32))
    return [
        judged("every slot but the disputed one opened", DUTY_RECORD.data),
        judged("no opening", record(ALICE, Kind.DUTY, none.encode()).data),
        judged("published late", record(ALICE, Kind.DUTY, DUTY.encode(), epoch=EPOCH + 3).data),
        judged(
            "the challenger abstained in a slot",
            record(ALICE, Kind.DUTY, replace(DUTY, openings=(abstained,)).encode()).data,
        ),
        judged(
            "what the referee said in a slot across classes",
            record(ALICE, Kind.DUTY, replace(DUTY, openings=(replace(abstained, measures=MEASURES),)).encode()).data,
        ),
        judged(
            "any key and beacon for which the proof holds: whose they are is not judged here",
            record(ALICE, Kind.DUTY, _elsewhere().encode()).data,
        ),
        *_malformed_duties(),
        reject(
            "revealed in its own epoch",
            record(ALICE, Kind.DUTY, DUTY.encode(), epoch=EPOCH),
            "duty revealed before its epoch ended",
        ),
        *_wrong_proofs(),
        reject("signature of another message", forged(DUTY_RECORD), "bad signature"),
    ]


def _elsewhere() -> Duty:
    beacon = bytes(32)
    proof = prove(CAROL.vrf_seed, duty_alpha(NETWORK_ID, EPOCH, beacon))
    return Duty(EPOCH, CUT_RECORD.id, beacon, CAROL.vrf_key, proof, ())


def _wrong_proofs() -> list[Case]:
    low_gamma = bytes([1]) + bytes(31) + DUTY.proof[32:]
    wrong = [
        ("the proof of another epoch", replace(DUTY, epoch=EPOCH - 1)),
        ("another beacon", replace(DUTY, beacon=bytes(32))),
        ("another peer's key", replace(DUTY, vrf_key=BOB.vrf_key)),
        ("one bit of the proof flipped", replace(DUTY, proof=DUTY.proof[:79] + bytes([DUTY.proof[79] ^ 1]))),
        ("the identity as Gamma", replace(DUTY, proof=low_gamma)),
    ]
    return [
        reject(comment, record(ALICE, Kind.DUTY, duty.encode()), "VRF proof does not hold") for comment, duty in wrong
    ]


def _malformed_duties() -> list[Case]:
    good = _value(DUTY.encode())
    one, two = good[5][:2]
    bad: list[tuple[str, object, str]] = [
        ("five items", good[:5], "duty: not 6 items"),
        ("a proof of 64 bytes", changed(good, 4, bytes(64)), "VRF proof: not 80 bytes"),
        ("openings out of order", changed(good, 5, [two, one]), "openings are not sorted by distinct slots"),
        ("one slot opened twice", changed(good, 5, [one, one]), "openings are not sorted by distinct slots"),
        ("65 openings", changed(good, 5, [one] * 65), "openings: more than 64 items"),
        ("an opening without measures", changed(good, 5, [one[:4]]), "opening: not 5 items"),
        ("a measure of three items", changed(good, 5, [changed(one, 4, [[4, 0, 0]])]), "measure: not 4 items"),
        ("a measure of 1,025 tokens", changed(good, 5, [changed(one, 4, [[1025, 0, 0, 0]])]), "count: above 1024"),
        ("an end of 2^32", changed(good, 5, [changed(one, 4, [[4, 0, 0, 2**32]])]), "end: above 4294967295"),
        ("32 measures", changed(good, 5, [changed(one, 4, [None] * 32)]), "measures: more than 31 items"),
        ("a salt of 31 bytes", changed(good, 5, [changed(one, 3, [bytes(31)])]), "salt: not 32 bytes"),
        ("class 32", changed(good, 5, [changed(one, 1, 32)]), "class: above 31"),
    ]
    return [
        reject(comment, said(ALICE, Kind.DUTY, value), f"malformed duty: {reason}") for comment, value, reason in bad
    ]


def cases() -> dict[Path, list[Case]]:
    assert encode(_value(DUTY.encode())) == DUTY.encode()
    return {Path("audit"): audits(), Path("duty"): duties()}
