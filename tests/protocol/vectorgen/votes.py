"""Cases of vote-commit, vote, cut, cut-signature and conflict."""

from dataclasses import replace
from pathlib import Path
from typing import Any

from vectorgen.case import Case, changed, enveloped, forged, judged, reject, said
from vectorgen.examples import (
    ALICE,
    AUDIT_RECORD,
    BEACON,
    BOB,
    CAROL,
    COMMIT,
    COMMIT_RECORD,
    CUT,
    CUT_RECORD,
    CUT_SIGNATURE,
    DAVE,
    DISPUTE,
    DISPUTED,
    DUTY,
    DUTY_RECORD,
    EPOCH,
    MEASURES,
    NETWORK_ID,
    PANEL_SLOT,
    PROOF,
    VOTE,
    VOTE_RECORD,
    audit_of,
    join,
    opening_of,
    record,
    salt,
)

from p2pverify.core.encoding import vrf
from p2pverify.core.encoding.canon import decode, digest, encode, sha256
from p2pverify.core.inference.compare import verdict_digest
from p2pverify.core.records.envelope import Kind, Record
from p2pverify.core.records.payloads import lots
from p2pverify.core.records.payloads.conflict import Conflict, Evidence
from p2pverify.core.records.payloads.cut import CutSignature
from p2pverify.core.records.payloads.lots import Lot, lot_alpha, shown_work
from p2pverify.core.records.payloads.objection import Objection
from p2pverify.core.records.payloads.vote import UNDERIVABLE

VERDICT = verdict_digest(DISPUTED.question, MEASURES)


def _value(payload: bytes) -> Any:
    return decode(payload, size_max=65_536)


LOT = Lot(1, BEACON, BOB.vrf_key, vrf.prove(BOB.vrf_seed, lot_alpha(NETWORK_ID, DISPUTE, 1, BEACON)))


def _drawn(lot: Lot) -> Record:
    return record(BOB, Kind.VOTE_COMMIT, replace(COMMIT, lot=lot).encode())


def commits() -> list[Case]:
    good = _value(COMMIT.encode())
    bad: list[tuple[str, object, str]] = [
        ("three items", good[:3], "vote-commit: not 4 items"),
        ("a dispute of two items", changed(good, 0, good[0][:2]), "dispute: not 3 items"),
        ("slot 256", changed(good, 0, changed(good[0], 2, 256)), "slot: above 255"),
        ("a commit of 20 bytes", changed(good, 2, bytes(20)), "commit: not 32 bytes"),
        ("a certificate that is null", changed(good, 1, None), "certificate: not a byte string"),
        ("a lot of three items", changed(good, 3, LOT.to_value()[:3]), "lot: not 4 items"),
        ("a lot for stage 0", changed(good, 3, changed(LOT.to_value(), 0, 0)), "stages count from 1"),
        ("a lot for stage 3", changed(good, 3, changed(LOT.to_value(), 0, 3)), "stage: above 2"),
        (
            "a lot whose proof has 79 bytes",
            changed(good, 3, changed(LOT.to_value(), 3, bytes(79))),
            "VRF proof: not 80 bytes",
        ),
    ]
    early = record(BOB, Kind.VOTE_COMMIT, COMMIT.encode(), epoch=EPOCH)
    own = record(ALICE, Kind.VOTE_COMMIT, COMMIT.encode())
    return [
        judged("Bob seals his answer", COMMIT_RECORD.data),
        judged("with a lot for a committee", _drawn(LOT).data),
        judged("a peer outside of the electorate", record(DAVE, Kind.VOTE_COMMIT, COMMIT.encode()).data),
        judged(
            "on a slot that nobody knows",
            record(BOB, Kind.VOTE_COMMIT, replace(COMMIT, dispute=replace(DISPUTE, slot=200)).encode()).data,
        ),
        *[
            reject(comment, said(BOB, Kind.VOTE_COMMIT, value), f"malformed vote_commit: {reason}")
            for comment, value, reason in bad
        ],
        reject("by the challenger", own, "a challenger committed in its own dispute"),
        reject("in the slot's own epoch", early, "vote on a slot of its own or a later epoch"),
        reject("a lot for stage 1, called one for stage 2", _drawn(replace(LOT, stage=2)), "lot does not hold"),
        reject("a lot by another beacon", _drawn(replace(LOT, beacon=bytes(32))), "lot does not hold"),
        reject("a lot by another key", _drawn(replace(LOT, vrf_key=ALICE.vrf_key)), "lot does not hold"),
        reject("signature of another message", forged(COMMIT_RECORD), "bad signature"),
    ]


def votes() -> list[Case]:
    good = _value(VOTE.encode())
    bad: list[tuple[str, object, str]] = [
        ("six items", good[:6], "vote: not 7 items"),
        ("class 32", changed(good, 2, 32), "class: above 31"),
        ("a class that is null", changed(good, 2, None), "class: not an unsigned integer"),
        ("an output of 33 bytes", changed(good, 3, bytes(33)), "output: not 32 bytes"),
        ("a salt that is text", changed(good, 4, ["salt"]), "salt: not a byte string"),
        ("32 salts", changed(good, 4, [bytes(32)] * 32), "salts: more than 31 items"),
        ("32 measures", changed(good, 5, [None] * 32), "measures: more than 31 items"),
        ("a measure of three items", changed(good, 5, [[4, 0, 0]]), "measure: not 4 items"),
        ("measures that are null", changed(good, 5, None), "measures: not an array"),
    ]
    targets = tuple(asked.responder for asked in DISPUTED.asked)
    opening = opening_of(PANEL_SLOT, targets)
    own = replace(VOTE, salts=opening.salts)
    early = record(BOB, Kind.VOTE, VOTE.encode(), epoch=EPOCH)
    return [
        judged("Bob opens his commit", VOTE_RECORD.data),
        judged("the challenger opens its nonces, one salt each", record(ALICE, Kind.VOTE, own.encode()).data),
        judged(
            "across classes: the digest of what the referee says",
            record(BOB, Kind.VOTE, replace(VOTE, output=VERDICT, measures=MEASURES).encode()).data,
        ),
        judged(
            "the same with measures of which it is no digest: only the fold can see that",
            record(BOB, Kind.VOTE, replace(VOTE, measures=MEASURES[::-1]).encode()).data,
        ),
        judged(
            "the question does not follow from the slot",
            record(BOB, Kind.VOTE, replace(VOTE, output=UNDERIVABLE).encode()).data,
        ),
        judged(
            "another salt than the commit's: only the fold can see that",
            record(BOB, Kind.VOTE, replace(VOTE, salts=(salt("other"),)).encode()).data,
        ),
        *[reject(comment, said(BOB, Kind.VOTE, value), f"malformed vote: {reason}") for comment, value, reason in bad],
        reject("no salt", record(BOB, Kind.VOTE, replace(VOTE, salts=()).encode()), "a vote opens one commit"),
        reject("two salts by a voter", record(BOB, Kind.VOTE, own.encode()), "a vote opens one commit"),
        reject("in the slot's own epoch", early, "vote on a slot of its own or a later epoch"),
        reject("signature of another message", forged(VOTE_RECORD), "bad signature"),
    ]


OBJECTION = Objection(
    VOTE.dispute,
    VOTE.certificate,
    VOTE.class_index,
    VOTE.output,
    (),
    shown_work(NETWORK_ID, VOTE.dispute, lots.OBJECTION, sha256(b"the part that is never published")),
)


def objection_record() -> Record:
    return record(BOB, Kind.OBJECTION, OBJECTION.encode())


def objections() -> list[Case]:
    good = _value(OBJECTION.encode())
    bad: list[tuple[str, object, str]] = [
        ("five items", good[:5], "objection: not 6 items"),
        ("class 32", changed(good, 2, 32), "class: above 31"),
        ("an output of 33 bytes", changed(good, 3, bytes(33)), "output: not 32 bytes"),
        ("32 measures", changed(good, 4, [None] * 32), "measures: more than 31 items"),
        ("no work shown", changed(good, 5, None), "shown: not a byte string"),
    ]
    across = replace(OBJECTION, output=VERDICT, measures=MEASURES)
    early = record(BOB, Kind.OBJECTION, OBJECTION.encode(), epoch=EPOCH)
    return [
        judged("within a class", objection_record().data),
        judged(
            "across classes: the digest of what the referee says",
            said(BOB, Kind.OBJECTION, _value(across.encode())).data,
        ),
        judged(
            "by a peer without weight: only the fold can see that",
            record(DAVE, Kind.OBJECTION, OBJECTION.encode()).data,
        ),
        *[
            reject(comment, said(BOB, Kind.OBJECTION, value), f"malformed objection: {reason}")
            for comment, value, reason in bad
        ],
        reject("in the slot's own epoch", early, "objection to a slot of its own or a later epoch"),
        reject("signature of another message", forged(objection_record()), "bad signature"),
    ]


def cuts() -> list[Case]:
    good = _value(CUT.encode())
    heads = good[4]
    bad: list[tuple[str, object, str]] = [
        ("heads out of order", changed(good, 4, heads[::-1]), "heads are not sorted by distinct authors"),
        ("one author twice", changed(good, 4, [heads[0]] * 2), "heads are not sorted by distinct authors"),
        ("a head of two items", changed(good, 4, [heads[0][:2]]), "head: not 3 items"),
        ("701 heads", changed(good, 4, [heads[0]] * 701), "heads: more than 700 items"),
        ("a head id of 31 bytes", changed(good, 4, [changed(heads[0], 2, bytes(31))]), "head id: not 32 bytes"),
        ("a view root that is null", changed(good, 6, None), "view root: not a byte string"),
        ("a state root of 31 bytes", changed(good, 7, bytes(31)), "state root: not 32 bytes"),
        ("a proof of 79 bytes", changed(good, 3, bytes(79)), "VRF proof: not 80 bytes"),
    ]
    headless: list[tuple[str, object, str]] = [
        ("seven items", good[:7], "cut: not 8 items"),
        ("the digest of the heads in their place", changed(good, 4, digest(heads)), "heads: not an array"),
    ]
    many = tuple(sorted((bytes([which // 256, which % 256]) + bytes(30), 3, bytes(32)) for which in range(700)))
    return [
        judged("the first cut, on top of the network itself", CUT_RECORD.data),
        judged("no heads", record(BOB, Kind.CUT, replace(CUT, moved=()).encode(), epoch=10).data),
        judged("700 heads", record(BOB, Kind.CUT, replace(CUT, moved=many).encode(), epoch=10).data),
        judged(
            "another peer's VRF proof: whether it holds is seen only with the base",
            record(BOB, Kind.CUT, replace(CUT, proof=PROOF, vrf_key=ALICE.vrf_key).encode(), epoch=10).data,
        ),
        *[
            reject(comment, said(BOB, Kind.CUT, value, epoch=10), f"malformed cut: {reason}")
            for comment, value, reason in bad
        ],
        *[
            reject(
                comment,
                enveloped(BOB, encode(value), kind=int(Kind.CUT), epoch=10),
                f"malformed record: {reason}",
            )
            for comment, value, reason in headless
        ],
        reject(
            "proposed in an epoch before its record's",
            record(BOB, Kind.CUT, CUT.encode(), epoch=11),
            "cut of another epoch than its record",
        ),
        reject(
            "proposed in an epoch after its record's",
            record(BOB, Kind.CUT, CUT.encode(), epoch=9),
            "cut of another epoch than its record",
        ),
        reject("signature of another message", forged(CUT_RECORD), "bad signature"),
    ]


def cut_signatures() -> list[Case]:
    bad: list[tuple[str, object, str]] = [
        ("nothing signed", [], "cut-signature: not 1 items"),
        ("two cuts at once", [bytes(32), bytes(32)], "cut-signature: not 1 items"),
        ("a cut by number", [10], "cut: not a byte string"),
        ("an id of 33 bytes", [bytes(33)], "cut: not 32 bytes"),
    ]
    unknown = CutSignature(bytes(32)).encode()
    return [
        judged("Carol signs Bob's cut", CUT_SIGNATURE.data),
        judged("a cut that the reader does not hold", record(CAROL, Kind.CUT_SIGNATURE, unknown).data),
        judged(
            "by a peer without weight",
            record(DAVE, Kind.CUT_SIGNATURE, CutSignature(CUT_RECORD.id).encode()).data,
        ),
        *[
            reject(comment, said(CAROL, Kind.CUT_SIGNATURE, value), f"malformed cut_signature: {reason}")
            for comment, value, reason in bad
        ],
        reject("signature of another message", forged(CUT_SIGNATURE), "bad signature"),
    ]


def _side(found: Record, *, payload: bool = True) -> Evidence:
    return Evidence(found.header, found.signature, found.payload if payload else None)


def _accuse(one: Record, two: Record, *, payloads: bool = True, peer: Any = CAROL) -> Record:
    sides = sorted((_side(one, payload=payloads), _side(two, payload=payloads)), key=lambda side: side.id)
    return record(peer, Kind.CONFLICT, Conflict(sides[0], sides[1]).encode())


FORK = _accuse(record(ALICE, Kind.LEAVE, encode([]), seq=3, epoch=EPOCH), AUDIT_RECORD, payloads=False)
TWO_AUDITS = _accuse(
    AUDIT_RECORD,
    record(ALICE, Kind.AUDIT, audit_of(PANEL_SLOT).encode(), epoch=EPOCH, seq=4, prev=AUDIT_RECORD.id),
)


def _pairs() -> list[tuple[str, Record, Record]]:
    """Two payloads of one author for one slot, for each kind with slots."""
    other_commit = replace(COMMIT, commit=bytes(32))
    return [
        ("two duties for one epoch", DUTY_RECORD, record(ALICE, Kind.DUTY, replace(DUTY, openings=()).encode())),
        (
            "two commits in one dispute",
            COMMIT_RECORD,
            record(BOB, Kind.VOTE_COMMIT, other_commit.encode(), seq=9),
        ),
        (
            "two votes in one dispute",
            VOTE_RECORD,
            record(BOB, Kind.VOTE, replace(VOTE, output=UNDERIVABLE).encode(), seq=9),
        ),
        (
            "two cuts of one epoch and base",
            CUT_RECORD,
            record(BOB, Kind.CUT, replace(CUT, moved=()).encode(), epoch=10),
        ),
    ]


def conflicts() -> list[Case]:
    same_slot = record(ALICE, Kind.AUDIT, DISPUTED.encode(), epoch=EPOCH, seq=9)
    return [
        judged("a fork: two records of one number, payloads left out", FORK.data),
        judged("two audits of one slot", TWO_AUDITS.data),
        *[judged(comment, _accuse(one, two).data) for comment, one, two in _pairs()],
        judged("one number, and one commit that cites two certificates: a fork", _accuse(*_repeats(seq=7)[0]).data),
        judged("published by the accused itself", _accuse(AUDIT_RECORD, same_slot_fork(), peer=ALICE).data),
        *_malformed_conflicts(),
        *_unfounded(same_slot),
        reject("signature of another message", forged(FORK), "bad signature"),
    ]


def same_slot_fork() -> Record:
    return record(ALICE, Kind.LEAVE, encode([]), seq=3, epoch=EPOCH)


def _repeats(*, seq: int) -> list[tuple[Record, Record]]:
    """A commit and a vote, each signed twice, possibly with another number, and citing a later certificate."""
    later = bytes(31) + b"\1"
    commit = replace(COMMIT, certificate=later)
    vote = replace(VOTE, certificate=later, salts=(salt("other"),))
    return [
        (COMMIT_RECORD, record(BOB, Kind.VOTE_COMMIT, commit.encode(), seq=seq)),
        (VOTE_RECORD, record(BOB, Kind.VOTE, vote.encode(), seq=seq)),
    ]


def _unfounded(same_slot: Record) -> list[Case]:
    one, two = _value(FORK.payload)
    reason = "the two records do not conflict"
    elsewhere = [record(ALICE, Kind.LEAVE, encode([]), seq=seq, network=bytes(32), epoch=EPOCH) for seq in (3, 3)]
    elsewhere[1] = record(ALICE, Kind.LEAVE, encode([0]), seq=3, network=bytes(32), epoch=EPOCH)
    unsigned = [one, changed(two, 1, bytes(64))]
    return [
        reject("two numbers of one log", _accuse(AUDIT_RECORD, DUTY_RECORD), reason),
        reject("one payload twice, under two numbers", _accuse(AUDIT_RECORD, same_slot), reason),
        *[
            reject(f"one {what} twice, citing two certificates", _accuse(*pair), reason)
            for what, pair in zip(("commit", "vote"), _repeats(seq=9), strict=True)
        ],
        reject(
            "two audits of one slot, payloads left out",
            _accuse(AUDIT_RECORD, record(ALICE, Kind.AUDIT, audit_of(PANEL_SLOT).encode()), payloads=False),
            reason,
        ),
        reject("records of another network", _accuse(*elsewhere), "conflict of another network"),
        reject(
            "one side without a good signature",
            said(CAROL, Kind.CONFLICT, unsigned),
            "a side of the conflict is not signed",
        ),
    ]


def _malformed_conflicts() -> list[Case]:
    one, two = _value(FORK.payload)
    joined = join(BOB)
    bob = [joined.header.to_value(), joined.signature, None]
    swapped = [changed(one, 2, b"another"), two]
    unread = record(ALICE, Kind.AUDIT, b"\x80", seq=3, epoch=EPOCH)
    bad: list[tuple[str, object, str]] = [
        ("one side", [one], "conflict: not 2 items"),
        ("a side of two items", [one[:2], two], "evidence: not 3 items"),
        ("sides exchanged", [two, one], "the two sides are equal or out of order"),
        ("one record twice", [one, one], "the two sides are equal or out of order"),
        ("records of two authors", [one, bob], "the two sides are not of one author"),
        ("another payload than the signed one", swapped, "the payload is not the one that was signed"),
        (
            "a side whose header has another domain",
            [changed(one, 0, changed(one[0], 0, "x")), two],
            "not a p2pverify/1 record",
        ),
    ]
    return [
        *[
            reject(comment, said(CAROL, Kind.CONFLICT, value), f"malformed conflict: {reason}")
            for comment, value, reason in bad
        ],
        reject(
            "a side with a payload that is no audit",
            _accuse(AUDIT_RECORD, unread),
            "malformed conflict: audit: not 8 items",
        ),
    ]


def cases() -> dict[Path, list[Case]]:
    return {
        Path("vote-commit"): commits(),
        Path("vote"): votes(),
        Path("objection"): objections(),
        Path("cut"): cuts(),
        Path("cut-signature"): cut_signatures(),
        Path("conflict"): conflicts(),
    }
