"""Cases of the records of training rounds: seals and updates, commits and votes, and the losses of mode 2."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from vectorgen.case import Case, changed, forged, judged, reject, said
from vectorgen.examples import ALICE, BOB, CAROL, MANIFEST, Peer, record
from vectorgen.lines import LINED

from p2pverify.core.encoding.canon import sha256
from p2pverify.core.records.envelope import Kind, Record
from p2pverify.core.records.payloads.rounds.losses import LossReport, LossSeal, loss_seal
from p2pverify.core.records.payloads.rounds.place import RoundPlace
from p2pverify.core.records.payloads.rounds.seal import Trained, UpdateSeal, update_seal
from p2pverify.core.records.payloads.rounds.update import Update
from p2pverify.core.records.payloads.rounds.votes import RoundCommit, RoundVote, round_commit
from p2pverify.core.training.losses import LOSS_MICRONATS_MAX, REPORTED_LOSSES_MAX
from p2pverify.core.training.result import MICRONATS_MAX, ResultRow, RoundResult, UpdateFinding
from p2pverify.core.training.shown import SHOWN_BYTES_MAX
from tests.support.datasets import SCHEMA
from tests.support.training import RULE

PEERS = (ALICE, BOB, CAROL)
_LISTED = tuple((key, house) for house, key in enumerate(sorted(peer.key for peer in PEERS)))
_RULE = replace(RULE, schema=SCHEMA.id, contributors=_LISTED, aggregate=2, f=0)
#: The network of the examples, in which its model has a line that is trained in rounds.
TRAINED = replace(LINED, lines=(replace(LINED.lines[0], training=_RULE),))
PLACE = RoundPlace(0, 1)
DATASET, CUT, LATER_CUT = sha256(b"data set"), sha256(b"cut"), sha256(b"later cut")
SALT = sha256(b"round salt")
DONE = Trained(sha256(b"update"), None, 400)
RESULT = RoundResult(
    sha256(b"closing cut"),
    (
        ResultRow(ALICE.key, UpdateFinding.RIGHT, 5_200),
        ResultRow(BOB.key, UpdateFinding.RIGHT, -2_900, is_marked=True),
        ResultRow(CAROL.key, UpdateFinding.UNSEEN),
    ),
    12_000,
    sha256(b"weights of the round"),
    sha256(b"manifest of the round"),
)
RESULT = replace(RESULT, rows=tuple(sorted(RESULT.rows, key=lambda row: row.author)))


def seal_of(peer: Peer, trained: Trained = DONE, network: bytes = TRAINED.id) -> UpdateSeal:
    sealed = update_seal(network, peer.key, PLACE, MANIFEST.digest, DATASET, trained, SALT)
    return UpdateSeal(PLACE, MANIFEST.digest, DATASET, CUT, sealed)


UPDATE = Update(PLACE, LATER_CUT, DONE, sha256(b"shown rows"), 2_048, SALT)
COMMIT = RoundCommit(PLACE, LATER_CUT, round_commit(TRAINED.id, PLACE, BOB.key, RESULT.digest, SALT))
VOTE = RoundVote(PLACE, LATER_CUT, RESULT, SALT)
#: Of three houses: the base, seven sets of them, and the new weights.
LOSSES = (693_147, 640_200, 655_010, 631_777, 702_900, 660_404, 671_350, 645_120, 629_804)
LOSS_SEAL = LossSeal(PLACE, CUT, loss_seal(TRAINED.id, PLACE, ALICE.key, LOSSES, SALT))
LOSS_REPORT = LossReport(PLACE, LATER_CUT, LOSSES, SALT)


def _record(kind: Kind, payload: bytes, peer: Peer = BOB) -> Record:
    return record(peer, kind, payload, network=TRAINED.id)


SEAL_RECORD = _record(Kind.UPDATE_SEAL, seal_of(ALICE).encode(), ALICE)
UPDATE_RECORD = _record(Kind.UPDATE, UPDATE.encode(), ALICE)
COMMIT_RECORD = _record(Kind.ROUND_COMMIT, COMMIT.encode())
VOTE_RECORD = _record(Kind.ROUND_VOTE, VOTE.encode())
LOSS_SEAL_RECORD = _record(Kind.LOSS_SEAL, LOSS_SEAL.encode(), ALICE)
LOSS_REPORT_RECORD = _record(Kind.LOSS_REPORT, LOSS_REPORT.encode(), ALICE)

_SEAL_FIELDS: list[object] = [0, 1, MANIFEST.digest, DATASET, CUT, seal_of(ALICE).commit]
_UPDATE_FIELDS: list[object] = [0, 1, LATER_CUT, DONE.update, None, 400, UPDATE.shown, 2_048, SALT]
_COMMIT_FIELDS: list[object] = [0, 1, LATER_CUT, COMMIT.commit]
_VOTE_FIELDS: list[object] = [0, 1, LATER_CUT, RESULT.to_value(), SALT]
_LOSS_SEAL_FIELDS: list[object] = [0, 1, CUT, LOSS_SEAL.commit]
_LOSS_REPORT_FIELDS: list[object] = [0, 1, LATER_CUT, list(LOSSES), SALT]


def _good(comment: str, kind: Kind, value: object, peer: Peer = BOB) -> Case:
    return judged(comment, said(peer, kind, value, network=TRAINED.id).data, network=TRAINED)


def _bad(comment: str, kind: Kind, value: object, reason: str) -> Case:
    return reject(comment, said(BOB, kind, value, network=TRAINED.id), reason, network=TRAINED)


def _malformed(kind: Kind, rows: Sequence[tuple[str, object, str]]) -> list[Case]:
    name = kind.name.lower()
    return [_bad(comment, kind, value, f"malformed {name}: {why}") for comment, value, why in rows]


def _common(kind: Kind, fields: list[object], made: Record) -> list[Case]:
    """What all kinds of rounds refuse: places, a line that is not trained, a network without one, a false signature."""
    name = kind.name.lower().replace("_", "-")
    places: list[tuple[str, object, str]] = [
        ("round 0", changed(fields, 1, 0), "rounds count from 1"),
        ("round 2^32", changed(fields, 1, 2**32), "round: above 4294967295"),
        ("a ninth line", changed(fields, 0, 8), "line: above 7"),
        ("one item more", [*fields, 0], f"{name}: not {len(fields)} items"),
    ]
    in_lined = said(BOB, kind, fields, network=LINED.id)
    return [
        *_malformed(kind, places),
        _bad("a line that the network does not have", kind, changed(fields, 0, 1), "no such line that is trained"),
        judged("in a network whose line is not trained", in_lined.data, "ignore", "unknown kind", network=LINED),
        reject("signature of another message", forged(made), "bad signature", network=TRAINED),
    ]


def _seals() -> list[Case]:
    kind = Kind.UPDATE_SEAL
    bad: list[tuple[str, object, str]] = [
        ("a base of 31 bytes", changed(_SEAL_FIELDS, 2, bytes(31)), "base: not 32 bytes"),
        ("no data set", changed(_SEAL_FIELDS, 3, None), "dataset: not a byte string"),
        ("a commitment in words", changed(_SEAL_FIELDS, 5, "update"), "commit: not a byte string"),
    ]
    return [
        judged("a contributor seals its update", SEAL_RECORD.data, network=TRAINED),
        _good("by a peer that does not contribute: it counts for nothing", kind, _SEAL_FIELDS, CAROL),
        _good("of a round that nobody opened", kind, changed(_SEAL_FIELDS, 1, 9), ALICE),
        _good("on a data set that nobody knows", kind, changed(_SEAL_FIELDS, 3, bytes(32)), ALICE),
        _good("to another base", kind, changed(_SEAL_FIELDS, 2, bytes(32)), ALICE),
        *_malformed(kind, bad),
        *_common(kind, _SEAL_FIELDS, SEAL_RECORD),
    ]


def _updates() -> list[Case]:
    kind = Kind.UPDATE
    bad: list[tuple[str, object, str]] = [
        ("an update of 33 bytes", changed(_UPDATE_FIELDS, 3, bytes(33)), "update: not 32 bytes"),
        ("steps in words", changed(_UPDATE_FIELDS, 4, "steps"), "steps: not a byte string"),
        ("trained on no rows", changed(_UPDATE_FIELDS, 5, 0), "an update without rows"),
        ("shows no rows", changed(_UPDATE_FIELDS, 7, 0), "an update without rows"),
        ("shows too many bytes", changed(_UPDATE_FIELDS, 7, SHOWN_BYTES_MAX + 1), "shown bytes: above 16777216"),
        ("no salt", changed(_UPDATE_FIELDS, 8, None), "salt: not a byte string"),
    ]
    return [
        judged("a contributor opens its update", UPDATE_RECORD.data, network=TRAINED),
        _good("with its steps", kind, changed(_UPDATE_FIELDS, 4, bytes(32)), ALICE),
        _good("another salt: what it opens is not judged here", kind, changed(_UPDATE_FIELDS, 8, bytes(32)), ALICE),
        _good("the most bytes", kind, changed(_UPDATE_FIELDS, 7, SHOWN_BYTES_MAX), ALICE),
        _good("by a peer that sealed none", kind, _UPDATE_FIELDS, CAROL),
        *_malformed(kind, bad),
        *_common(kind, _UPDATE_FIELDS, UPDATE_RECORD),
    ]


def _commits() -> list[Case]:
    kind = Kind.ROUND_COMMIT
    bad: list[tuple[str, object, str]] = [
        ("a certificate of 31 bytes", changed(_COMMIT_FIELDS, 2, bytes(31)), "certificate: not 32 bytes"),
        ("a commitment in words", changed(_COMMIT_FIELDS, 3, "result"), "commit: not a byte string"),
    ]
    return [
        judged("a voter seals its result", COMMIT_RECORD.data, network=TRAINED),
        _good("by a peer that may not vote: it counts for nothing", kind, _COMMIT_FIELDS, CAROL),
        _good("of a round that nobody opened", kind, changed(_COMMIT_FIELDS, 1, 9)),
        *_malformed(kind, bad),
        *_common(kind, _COMMIT_FIELDS, COMMIT_RECORD),
    ]


def _votes() -> list[Case]:
    kind, value = Kind.ROUND_VOTE, RESULT.to_value()
    rows = [row.to_value() for row in RESULT.rows]

    def row(at: int, item: object, which: int = 0) -> object:
        return changed(_VOTE_FIELDS, 3, changed(value, 1, changed(list(rows), which, changed(rows[which], at, item))))

    unseen = next(at for at, each in enumerate(RESULT.rows) if each.finding is UpdateFinding.UNSEEN)
    many = [[bytes([number]) * 32, 0, 0, False] for number in range(33)]
    bad: list[tuple[str, object, str]] = [
        (
            "rows out of order",
            changed(_VOTE_FIELDS, 3, changed(value, 1, rows[::-1])),
            "result rows are not sorted and distinct",
        ),
        ("33 rows", changed(_VOTE_FIELDS, 3, changed(value, 1, many)), "result rows: more than 32 items"),
        ("a finding that is none", row(1, 4), "finding: above 3"),
        ("a credit beyond the range", row(2, 2 * MICRONATS_MAX + 1), f"credit: above {2 * MICRONATS_MAX}"),
        ("credit of an unseen update", row(2, 2, unseen), "an update that is not right has credit or a mark"),
        ("a mark in numbers", row(3, 1), "mark: not a boolean"),
        ("a gain in words", changed(_VOTE_FIELDS, 3, changed(value, 2, "more")), "gain: not an unsigned integer"),
        ("no manifest", changed(_VOTE_FIELDS, 3, changed(value, 4, None)), "manifest: not a byte string"),
        ("four items of a result", changed(_VOTE_FIELDS, 3, value[:4]), "result: not 5 items"),
    ]
    kept = replace(RESULT, gain=-3_000, weights=MANIFEST.weights, manifest=MANIFEST.digest)
    return [
        judged("a voter opens its result", VOTE_RECORD.data, network=TRAINED),
        _good("a round that keeps the base", kind, changed(_VOTE_FIELDS, 3, kept.to_value())),
        _good("no updates", kind, changed(_VOTE_FIELDS, 3, changed(value, 1, []))),
        _good("the greatest loss", kind, changed(_VOTE_FIELDS, 3, changed(value, 2, 2 * MICRONATS_MAX - 1))),
        _good("another salt: what it opens is not judged here", kind, changed(_VOTE_FIELDS, 4, bytes(32))),
        *_malformed(kind, bad),
        *_common(kind, _VOTE_FIELDS, VOTE_RECORD),
    ]


def _loss_seals() -> list[Case]:
    kind = Kind.LOSS_SEAL
    bad: list[tuple[str, object, str]] = [
        ("a certificate of 31 bytes", changed(_LOSS_SEAL_FIELDS, 2, bytes(31)), "certificate: not 32 bytes"),
        ("a commitment in words", changed(_LOSS_SEAL_FIELDS, 3, "losses"), "commit: not a byte string"),
    ]
    return [
        judged("an owner seals its losses", LOSS_SEAL_RECORD.data, network=TRAINED),
        _good("by a peer that has no update: it counts for nothing", kind, _LOSS_SEAL_FIELDS, CAROL),
        _good("of a round that nobody opened", kind, changed(_LOSS_SEAL_FIELDS, 1, 9)),
        *_malformed(kind, bad),
        *_common(kind, _LOSS_SEAL_FIELDS, LOSS_SEAL_RECORD),
    ]


def _loss_reports() -> list[Case]:
    kind = Kind.LOSS_REPORT

    def losses(value: object) -> object:
        return changed(_LOSS_REPORT_FIELDS, 3, value)

    most = LOSS_MICRONATS_MAX
    bad: list[tuple[str, object, str]] = [
        ("no losses", losses([]), "losses: empty"),
        ("258 losses", losses([0] * (REPORTED_LOSSES_MAX + 1)), "losses: more than 257 items"),
        ("a loss beyond the range", losses([most + 1]), f"loss: above {most}"),
        ("a loss below 0", losses([-1]), "loss: not an unsigned integer"),
        ("no salt", changed(_LOSS_REPORT_FIELDS, 4, None), "salt: not a byte string"),
    ]
    return [
        judged("an owner opens its losses", LOSS_REPORT_RECORD.data, network=TRAINED),
        _good("of eight houses", kind, losses([most] * REPORTED_LOSSES_MAX), ALICE),
        _good("of another number of houses: it counts for nothing", kind, losses([1, 2]), ALICE),
        _good("by a peer that sealed none", kind, _LOSS_REPORT_FIELDS, CAROL),
        *_malformed(kind, bad),
        *_common(kind, _LOSS_REPORT_FIELDS, LOSS_REPORT_RECORD),
    ]


def cases() -> dict[Path, list[Case]]:
    return {
        Path("loss-seal"): _loss_seals(),
        Path("loss-report"): _loss_reports(),
        Path("update-seal"): _seals(),
        Path("update"): _updates(),
        Path("round-commit"): _commits(),
        Path("round-vote"): _votes(),
    }
