"""Cases of data: the three kinds of records, schemas, and rows with their commitments."""

from dataclasses import replace
from fractions import Fraction
from functools import partial
from pathlib import Path

from vectorgen import case, examples
from vectorgen.case import Case, changed, forged
from vectorgen.examples import ALICE, BOB, CAROL, DAVE, EPOCH
from vectorgen.lines import LINED

from p2pverify.core.data.commitments import (
    ERASED_ROW,
    RowProof,
    commit_card,
    commit_document,
    commit_row,
    commit_subject,
    row_path,
    rows_root,
)
from p2pverify.core.data.schema import DataFeature
from p2pverify.core.data.texts import TextSchema, decode_row_schema
from p2pverify.core.encoding import sign
from p2pverify.core.encoding.canon import decode, encode, sha256
from p2pverify.core.errors import DecodeError
from p2pverify.core.records.envelope import EPOCH_MAX, Kind, Record
from p2pverify.core.records.payloads.data import CoSignature, Dataset, Erasure, Statement
from tests.support.datasets import SCHEMA

#: A network without lines knows no records of data.
NETWORK_ID = LINED.id
judged, reject = partial(case.judged, network=LINED), partial(case.reject, network=LINED)
said, record = partial(case.said, network=NETWORK_ID), partial(examples.record, network=NETWORK_ID)

VALUES = (
    ("17.99", "10.38", 1),
    ("20.57", "17.77", 1),
    ("13.54", "14.36", 0),
    ("13.08", "15.71", 0),
    ("9.5", "12.44", 0),
)
ROWS = tuple(SCHEMA.row((Fraction(one), Fraction(two)), label) for one, two, label in VALUES)
SALTS = tuple(sha256(b"salt %d" % number) for number in range(len(ROWS)))
COMMITMENTS = [commit_row(salt, row) for salt, row in zip(SALTS, ROWS, strict=True)]
#: After the erasure of row 1.
LEFT = [COMMITMENTS[0], ERASED_ROW, *COMMITMENTS[2:]]
ROWS_LEFT = len(LEFT) - 1
DATASET = Dataset(
    rows_root(COMMITMENTS),
    len(ROWS),
    SCHEMA.id,
    "CC-BY-4.0",
    1,
    (),
    None,
    commit_card(sha256(b"card salt"), b'{"name": "example"}'),
    EPOCH + 1000,
)
STATEMENT = Statement(
    "consent/1",
    commit_subject(sha256(b"subject salt"), "study 12"),
    commit_document(sha256(b"document salt"), b"The patients consent."),
    (),
)


def dataset_record() -> Record:
    return record(ALICE, Kind.DATASET, DATASET.encode(), epoch=EPOCH)


def erasure_record() -> Record:
    erasure = Erasure(dataset_record().id, rows_root(LEFT), ROWS_LEFT, 1)
    return record(ALICE, Kind.ERASURE, erasure.encode(), epoch=EPOCH)


def cosigned(statement: Statement = STATEMENT, *, author: bytes = ALICE.key, network: bytes = NETWORK_ID) -> Statement:
    return replace(
        statement, co_signature=CoSignature(BOB.key, sign.sign(BOB.seed, statement.signed_bytes(network, author)))
    )


def statement_record() -> Record:
    above = replace(STATEMENT, parents=(dataset_record().id,))
    return record(ALICE, Kind.STATEMENT, cosigned(above).encode(), epoch=EPOCH)


def _malformed(kind: Kind, bad: list[tuple[str, object, str]]) -> list[Case]:
    name = kind.name.lower()
    return [reject(comment, said(ALICE, kind, value), f"malformed {name}: {why}") for comment, value, why in bad]


def _datasets() -> list[Case]:
    good = list(DATASET_FIELDS)
    two = sorted((sha256(b"one"), sha256(b"two")))
    bad: list[tuple[str, object, str]] = [
        ("no rows", changed(good, 1, 0), "rows: none"),
        ("2^32 rows", changed(good, 1, 2**32), "rows: above 4294967295"),
        ("a root of 31 bytes", changed(good, 0, bytes(31)), "root: not 32 bytes"),
        ("no licence", changed(good, 3, ""), "licence: not an SPDX expression"),
        ("a licence with a comma", changed(good, 3, "MIT, or so"), "licence: not an SPDX expression"),
        ("a licence of 129 bytes", changed(good, 3, "x" * 129), "licence: longer than 128 bytes"),
        ("a basis that is none", changed(good, 4, 7), "basis: above 6"),
        ("nine parents", changed(good, 5, [sha256(bytes([n])) for n in range(9)]), "parents: more than 8 items"),
        ("parents out of order", changed(good, 5, two[::-1]), "parents are not sorted and distinct"),
        ("one parent twice", changed(good, 5, two[:1] * 2), "parents are not sorted and distinct"),
        ("a recipe in words", changed(good, 6, "by hand"), "recipe: not a byte string"),
        ("no card", changed(good, 7, None), "card: not a byte string"),
        ("an end beyond all epochs", changed(good, 8, EPOCH_MAX + 1), f"until: above {EPOCH_MAX}"),
        ("eight items", good[:8], "dataset: too few items"),
        ("eleven items", [*good, [1, 1, 0], 0], "dataset: more than 10 items"),
        ("terms of two items", [*good, [1, 1]], "training terms: not 3 items"),
        ("all rows held out", [*good, [1, 5, 0]], "all rows are held out of training"),
        ("nothing held out", [*good, [1, 0, 0]], "held rows are 0 in mode 2, and in no other"),
        ("a mode that is none", [*good, [3, 1, 0]], "mode: above 2"),
        ("a budget beyond the range", [*good, [1, 1, 10**12 + 1]], "budget: above 1000000000000"),
    ]
    made = replace(DATASET, parents=tuple(two), recipe=sha256(b"recipe"), licence="MIT OR (0BSD AND CC-BY-4.0)")
    return [
        judged("a member offers rows", dataset_record().data),
        judged("made from others, by a recipe", said(ALICE, Kind.DATASET, _fields(made)).data),
        judged("by a peer that nobody knows: it counts for nothing", said(DAVE, Kind.DATASET, good).data),
        judged("one row, about nobody", said(ALICE, Kind.DATASET, changed(changed(good, 1, 1), 4, 0)).data),
        judged(
            "again: what that counts for is not judged here",
            record(ALICE, Kind.DATASET, DATASET.encode(), epoch=EPOCH, seq=9).data,
        ),
        judged("until the next epoch", said(ALICE, Kind.DATASET, changed(good, 8, EPOCH + 2)).data),
        judged("until the last epoch of all", said(ALICE, Kind.DATASET, changed(good, 8, EPOCH_MAX)).data),
        judged("parents that nobody knows", said(ALICE, Kind.DATASET, changed(good, 5, [bytes(32)])).data),
        judged("for training rounds: two rows are held out", said(ALICE, Kind.DATASET, [*good, [1, 2, 10**9]]).data),
        judged("for rounds in which owners report", said(ALICE, Kind.DATASET, [*good, [2, 0, 0]]).data),
        *_malformed(Kind.DATASET, bad),
        reject(
            "until its own epoch",
            said(ALICE, Kind.DATASET, changed(good, 8, EPOCH + 1)),
            "a data set that is over when it begins",
        ),
        reject("signature of another message", forged(dataset_record()), "bad signature"),
    ]


def _fields(dataset: Dataset) -> list[object]:
    head = [dataset.root, dataset.rows, dataset.schema, dataset.licence, dataset.basis]
    return [*head, list(dataset.parents), dataset.recipe, dataset.card, dataset.until]


DATASET_FIELDS = _fields(DATASET)


def _erasures() -> list[Case]:
    good: list[object] = [dataset_record().id, rows_root(LEFT), ROWS_LEFT, 1]
    bad: list[tuple[str, object, str]] = [
        ("no data set", changed(good, 0, None), "dataset: not a byte string"),
        ("a root of 33 bytes", changed(good, 1, bytes(33)), "root: not 32 bytes"),
        ("fewer rows than none", changed(good, 2, -1), "rows: not an unsigned integer"),
        ("a code that is none", changed(good, 3, 5), "code: above 4"),
        ("a fifth item", [*good, 0], "erasure: not 4 items"),
    ]
    return [
        judged("one row is erased", erasure_record().data),
        judged(
            "all rows are erased", said(ALICE, Kind.ERASURE, [good[0], rows_root([ERASED_ROW] * len(ROWS)), 0, 3]).data
        ),
        judged("of another owner: it counts for nothing", said(BOB, Kind.ERASURE, good).data),
        judged("of a data set that nobody knows", said(ALICE, Kind.ERASURE, changed(good, 0, bytes(32))).data),
        judged("without a reason", said(ALICE, Kind.ERASURE, changed(good, 3, 0)).data),
        judged("more rows than there were", said(ALICE, Kind.ERASURE, changed(good, 2, 2**32 - 1)).data),
        *_malformed(Kind.ERASURE, bad),
        reject("signature of another message", forged(erasure_record()), "bad signature"),
    ]


def _statements() -> list[Case]:
    good: list[object] = [STATEMENT.profile, STATEMENT.subject, STATEMENT.commit, [], None]
    signed = cosigned()
    other = signed.co_signature
    assert other is not None
    own = CoSignature(ALICE.key, sign.sign(ALICE.seed, STATEMENT.signed_bytes(NETWORK_ID, ALICE.key)))
    moved = "the other party's signature does not hold"
    bad: list[tuple[str, object, str]] = [
        ("no profile", changed(good, 0, ""), "profile: not a name in lower case"),
        ("a profile in capitals", changed(good, 0, "Consent/1"), "profile: not a name in lower case"),
        ("a profile of 65 bytes", changed(good, 0, "x" * 65), "profile: longer than 64 bytes"),
        ("a subject in words", changed(good, 1, "study 12"), "subject: not a byte string"),
        ("a commitment of 31 bytes", changed(good, 2, bytes(31)), "commit: not 32 bytes"),
        ("one parent twice", changed(good, 3, [bytes(32)] * 2), "parents are not sorted and distinct"),
        ("a party without a signature", changed(good, 4, [BOB.key]), "with: not 2 items"),
        ("a short signature", changed(good, 4, [BOB.key, bytes(63)]), "signature: not 64 bytes"),
        ("four items", good[:4], "statement: not 5 items"),
    ]
    return [
        judged("two parties, about a data set", statement_record().data),
        judged("one party", said(ALICE, Kind.STATEMENT, good).data),
        judged("by a peer that nobody knows", said(DAVE, Kind.STATEMENT, good).data),
        judged("a party that is no member", record(ALICE, Kind.STATEMENT, _with_dave().encode(), epoch=EPOCH).data),
        judged("another profile", said(ALICE, Kind.STATEMENT, changed(good, 0, "fhir/provenance")).data),
        judged("again, later in the log", record(ALICE, Kind.STATEMENT, signed.encode(), epoch=EPOCH, seq=9).data),
        *_malformed(Kind.STATEMENT, bad),
        reject(
            "the author signs as the other party",
            record(ALICE, Kind.STATEMENT, replace(STATEMENT, co_signature=own).encode(), epoch=EPOCH),
            "a peer cannot be its own other party",
        ),
        reject(
            "a signature over the words of another author",
            record(CAROL, Kind.STATEMENT, signed.encode(), epoch=EPOCH),
            moved,
        ),
        reject(
            "a signature over another document",
            record(ALICE, Kind.STATEMENT, replace(signed, commit=bytes(32)).encode(), epoch=EPOCH),
            moved,
        ),
        reject(
            "a signature of another network",
            record(ALICE, Kind.STATEMENT, cosigned(network=bytes(32)).encode(), epoch=EPOCH),
            moved,
        ),
        reject("signature of another message", forged(statement_record()), "bad signature"),
    ]


def _with_dave() -> Statement:
    signed = sign.sign(DAVE.seed, STATEMENT.signed_bytes(NETWORK_ID, ALICE.key))
    return replace(STATEMENT, co_signature=CoSignature(DAVE.key, signed))


def _schemas() -> list[Case]:
    feature = ["x", "", 0, 1, [0] * 17]
    good: list[object] = ["p2pverify/schema/1", [feature], "y", ["no", "yes"]]
    texts: list[object] = decode(TextSchema("note", 300).encode(), size_max=100)  # type: ignore[assignment]
    many = [[f"x{number}", *feature[1:]] for number in range(257)]

    def with_feature(at: int, item: object) -> object:
        return changed(good, 1, [changed(feature, at, item)])

    values: list[tuple[str, object, str | None]] = [
        ("one feature", good, None),
        ("256 features", changed(good, 1, many[:256]), None),
        ("a negative offset", with_feature(2, -(2**62)), None),
        ("257 features", changed(good, 1, many), "features: more than 256 items"),
        ("no features", changed(good, 1, []), "a schema has a feature and two labels"),
        ("one label", changed(good, 3, ["no"]), "a schema has a feature and two labels"),
        ("one label twice", changed(good, 3, ["no", "no"]), "names repeat"),
        ("a feature with the label's name", changed(good, 2, "x"), "names repeat"),
        ("a name of no letters", with_feature(0, ""), "feature name: not a printable name"),
        ("a name of two lines", with_feature(0, "a\nb"), "feature name: not a printable name"),
        ("a scale of 0", with_feature(3, 0), "scale is below 1"),
        ("an offset beyond the range", with_feature(2, 2**62 + 1), f"offset: not an integer of at most {2**62}"),
        ("16 grid points", with_feature(4, [0] * 16), "grid: not 17 items"),
        ("a grid that falls", with_feature(4, [1] + [0] * 16), "grid: not ascending"),
        ("a grid beyond the range", with_feature(4, [0] * 16 + [32768]), "grid: not an integer of at most 32767"),
        ("another domain", changed(good, 0, "p2pverify/schema/2"), "not a schema"),
        ("texts", texts, None),
        ("texts of the most bytes", changed(texts, 2, 1024), None),
        ("texts of more bytes", changed(texts, 2, 1025), "bytes_max: above 1024"),
        ("texts of no bytes", changed(texts, 2, 0), "bytes_max is below 1"),
        ("texts in a column without a name", changed(texts, 1, ""), "column: not a printable name"),
        ("texts without a length", texts[:2], "schema: not 3 items"),
    ]
    found = [_schema("two features", SCHEMA.encode(), None)]
    return [*found, *(_schema(comment, encode(value), why) for comment, value, why in values)]


def _schema(comment: str, data: bytes, reason: str | None) -> Case:
    try:
        shown, why = decode_row_schema(data).id.hex(), None
    except DecodeError as error:
        shown, why = "", error.reason
    assert why == reason, f"{comment}: {why}"
    expect: object = {"id": shown} if reason is None else "reject"
    return {"comment": comment, "input": {"schema": data.hex()}, "expect": expect, "reason": reason}


def _rows() -> list[Case]:
    proofs = [RowProof(at, SALTS[at], ROWS[at], row_path(COMMITMENTS, at)) for at in range(5)]
    found = [_row(f"row {at} of five", at, proofs[at], 5, DATASET.root) for at in (0, 3, 4)]
    alone = RowProof(0, SALTS[0], ROWS[0], ())
    kept = RowProof(2, SALTS[2], ROWS[2], row_path(LEFT, 2))
    found.append(_row("the only row", 0, alone, 1, rows_root(COMMITMENTS[:1])))
    found.append(_row("a row after an erasure before it", 2, kept, 5, rows_root(LEFT)))
    proof = proofs[3]
    lacks = "the row is not in the data set"
    high = ROWS[3][:-1] + b"\x02"
    bad = [
        ("another salt", replace(proof, salt=SALTS[2]), 5, lacks),
        ("another row", replace(proof, row=ROWS[2]), 5, lacks),
        ("another place", replace(proof, index=2), 5, lacks),
        ("a path that is too short", replace(proof, path=proof.path[:-1]), 5, lacks),
        ("a place behind the last", replace(proof, index=5), 5, lacks),
        ("a label that the schema does not have", replace(proof, row=high), 5, "row: no such label"),
        ("a row without label", replace(proof, row=ROWS[3][:-1]), 5, "row: not 5 bytes"),
        ("the number -32768", replace(proof, row=b"\x80\x00" + ROWS[3][2:]), 5, "row: a number is too small"),
    ]
    found += [_row(comment, each.index, each, count, DATASET.root, reason) for comment, each, count, reason in bad]
    erased = "an erased row, under the root after its erasure"
    return [*found, _row(erased, 1, RowProof(1, SALTS[1], ROWS[1], row_path(LEFT, 1)), 5, rows_root(LEFT), lacks)]


def _row(comment: str, index: int, proof: RowProof, count: int, root: bytes, reason: str | None = None) -> Case:
    try:
        SCHEMA.cells(proof.row)
        why = None if proof.root(count) == root else "the row is not in the data set"
    except DecodeError as error:
        why = error.reason
    assert why == reason, f"{comment}: {why}"
    inputs = {
        "schema": SCHEMA.encode().hex(),
        "salt": proof.salt.hex(),
        "row": proof.row.hex(),
        "index": index,
        "rows": count,
        "path": [each.hex() for each in proof.path],
        "root": root.hex(),
    }
    expect: object = {"commitment": commit_row(proof.salt, proof.row).hex()} if reason is None else "reject"
    return {"comment": comment, "input": inputs, "expect": expect, "reason": reason}


def _cells() -> list[Case]:
    values = [
        ("the offset", "14.127", 14_127_000, 3_524_000, 0),
        ("one scale above it", "17.651", 14_127_000, 3_524_000, 4096),
        ("half of the last place goes up", "0.0005", 0, 4_096_000, 1),
        ("also below 0", "-0.0005", 0, 4_096_000, 0),
        ("a little less than half stays", "0.0004999999", 0, 4_096_000, 0),
        ("beyond the upper end", "1e9", 0, 1_000_000, 32767),
        ("beyond the lower end", "-1e9", 0, 1_000_000, -32767),
        ("a negative offset", "-3", -4_000_000, 1_000_000, 4096),
    ]
    found: list[Case] = []
    for comment, value, offset, scale, cell in values:
        assert DataFeature("x", "", offset, scale, ()).cell(Fraction(value)) == cell, comment
        inputs = {"value": value, "offset": offset, "scale": scale}
        found.append({"comment": comment, "input": inputs, "expect": cell, "reason": None})
    return found


def cases() -> dict[Path, list[Case]]:
    return {
        Path("dataset"): _datasets(),
        Path("erasure"): _erasures(),
        Path("statement"): _statements(),
        Path("data-schema"): _schemas(),
        Path("row"): _rows(),
        Path("row/cells.json"): _cells(),
    }
