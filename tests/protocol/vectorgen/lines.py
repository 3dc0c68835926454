"""Cases of lines: definitions with them, releases, recalls, rotations and serve records."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from vectorgen.case import Case, changed, defined, forged, ignore, judged, reject, said
from vectorgen.examples import ALICE, BOB, DAVE, MANIFEST, NETWORK, Peer, record

from p2pverify.core.contract.history.lines import LINES_MAX, PUBLISHERS_MAX, ModelLine, Publishers
from p2pverify.core.contract.history.recipe import Quantise, encode_recipe
from p2pverify.core.contract.history.release import RELEASE_NUMBER_MAX, How, Release
from p2pverify.core.contract.network import Network
from p2pverify.core.contract.shapes import RequestShape
from p2pverify.core.encoding import sign
from p2pverify.core.encoding.canon import decode, encode, sha256
from p2pverify.core.records.envelope import PAYLOAD_BYTES_MAX, Kind, Record
from p2pverify.core.records.payloads.lines.recall import Reason, Recall
from p2pverify.core.records.payloads.lines.release import SignedRelease
from p2pverify.core.records.payloads.lines.rotation import Rotation
from p2pverify.core.records.payloads.lines.serve import Serve
from p2pverify.core.records.payloads.lines.signatures import Signatures, sign_statement
from tests.support.releases import FILE

#: Seeds of publishers' keys, which are no peers' keys, in the order of the keys.
PUBLISHERS = tuple(sorted((bytes(range(start, start + 32)) for start in (160, 192, 224)), key=sign.public_key))
TWO = PUBLISHERS[:2]
STRANGER = bytes(range(1, 33))


def publishers_of(secrets: Sequence[bytes], threshold: int) -> Publishers:
    return Publishers(tuple(sorted(map(sign.public_key, secrets))), threshold)


LINE = ModelLine("example", MANIFEST.digest, publishers_of(PUBLISHERS, 2), 4, 8, 2)
#: The network of the examples, in which its model has a line.
LINED = replace(NETWORK, lines=(LINE,))
LATER = replace(MANIFEST, weights=sha256(b"weights of version 1"), provenance="trained further", parent=MANIFEST.digest)
RELEASE = Release(0, 1, LATER.encode(), (MANIFEST.digest,), How.FINE_TUNE)
RECALL = Recall(0, 1, Reason.DEFECTIVE, 0)
ROTATION = Rotation(0, 1, publishers_of((PUBLISHERS[0], STRANGER), 2), ())
SERVE = Serve(LATER.digest)


def signed_release(release: Release, secrets: Sequence[bytes] = TWO, network: Network = LINED) -> SignedRelease:
    return SignedRelease(release, sign_statement(release.statement(network.id), secrets))


def signed_recall(recall: Recall, secrets: Sequence[bytes] = TWO, network: Network = LINED) -> Recall:
    return replace(recall, signatures=sign_statement(recall.statement(network.id), secrets))


def signed_rotation(rotation: Rotation, secrets: Sequence[bytes] = TWO, network: Network = LINED) -> Rotation:
    return replace(rotation, signatures=sign_statement(rotation.statement(network.id), secrets))


def _record(kind: Kind, payload: bytes, peer: Peer = BOB, network: Network = LINED) -> Record:
    return record(peer, kind, payload, network=network.id)


RELEASE_RECORD = _record(Kind.RELEASE, signed_release(RELEASE).encode())
RECALL_RECORD = _record(Kind.RECALL, signed_recall(RECALL).encode())
ROTATION_RECORD = _record(Kind.ROTATION, signed_rotation(ROTATION).encode())
SERVE_RECORD = _record(Kind.SERVE, SERVE.encode(), ALICE)


def _good(comment: str, found: Record) -> Case:
    return judged(comment, found.data, network=LINED)


def _bad(comment: str, found: Record | bytes, reason: str) -> Case:
    return reject(comment, found, reason, network=LINED)


def _malformed(kind: Kind, rows: Sequence[tuple[str, object, str]]) -> list[Case]:
    name = kind.name.lower()
    return [
        _bad(comment, said(BOB, kind, value, network=LINED.id), f"malformed {name}: {reason}")
        for comment, value, reason in rows
    ]


def _value(payload: bytes) -> list[Any]:
    value: Any = decode(payload, size_max=PAYLOAD_BYTES_MAX)
    assert isinstance(value, list)
    return value


def _moved(signatures: Signatures) -> Signatures:
    """The signatures under each other's keys."""
    (one, first), (other, second) = signatures
    return (one, second), (other, first)


NO_LINE, NO_SIGNATURE = "no such line", "a publisher's signature does not hold"


def releases() -> list[Case]:
    kind, good = Kind.RELEASE, signed_release(RELEASE)
    value, pair = _value(good.encode()), list(good.signatures[0])

    def said_by(made: Release, *secrets: bytes, network: Network = LINED) -> Record:
        return _record(kind, signed_release(made, secrets or TWO, network).encode(), DAVE)

    quantised = replace(
        RELEASE,
        number=2,
        manifest=replace(LATER, weights=FILE.sha256).encode(),
        how=How.QUANTISE,
        recipe=encode_recipe(Quantise("q5_0")),
        files=(FILE,),
        oms=sha256(b"a bundle"),
    )
    many = [bytes([number]) * 32 for number in range(1, PUBLISHERS_MAX + 2)]
    elsewhere = replace(LINED, name="elsewhere")
    return [
        _good("two of three publishers signed a version that was trained further", RELEASE_RECORD),
        _good("with a recipe, a file and a bundle of Model Signing", said_by(quantised)),
        _good("one signature of two: that it counts for nothing is not judged here", said_by(RELEASE, PUBLISHERS[0])),
        _good("by a key that is no publisher's: only the fold knows the publishers", said_by(RELEASE, STRANGER)),
        _good("the last number that there is", said_by(replace(RELEASE, number=RELEASE_NUMBER_MAX))),
        _good("eight signatures", said_by(RELEASE, *many[:PUBLISHERS_MAX])),
        *_malformed(
            kind,
            [
                ("eight items", value[:8], "release: not 9 items"),
                ("nobody signed", changed(value, 8, []), "nobody signed the release"),
                ("one signature twice", changed(value, 8, [pair, pair]), "signatures are not sorted and distinct"),
                ("nine signatures", changed(value, 8, [pair] * 9), "signatures: more than 8 items"),
                ("a signature of 63 bytes", changed(value, 8, [[pair[0], pair[1][1:]]]), "signature: not 64 bytes"),
                ("version 0", changed(value, 1, 0), "number is 0: versions are counted from 1"),
                ("a manifest that is none", changed(value, 2, b"\x80"), "manifest: not 12 items"),
                ("its own parent", changed(value, 3, [LATER.digest]), "a release is its own parent"),
            ],
        ),
        _bad("a second line of a network with one", said_by(replace(RELEASE, line=1)), NO_LINE),
        _unknown(kind, signed_release(RELEASE, TWO, NETWORK).encode()),
        _bad("signed for another network", said_by(RELEASE, network=elsewhere), NO_SIGNATURE),
        _bad(
            "signed for another number",
            _record(kind, replace(good, release=replace(RELEASE, number=2)).encode()),
            NO_SIGNATURE,
        ),
        _bad(
            "each signature under the key of the other publisher",
            _record(kind, replace(good, signatures=_moved(good.signatures)).encode()),
            NO_SIGNATURE,
        ),
        _bad("the author's signature is of another message", forged(RELEASE_RECORD), "bad signature"),
    ]


def _unknown(kind: Kind, payload: bytes) -> Case:
    """A record of the network of the examples, which has no lines."""
    return ignore("a network without lines", _record(kind, payload, network=NETWORK), "unknown kind")


def recalls() -> list[Case]:
    kind, good = Kind.RECALL, signed_recall(RECALL)
    value = _value(good.encode())

    def said_by(made: Recall, *secrets: bytes, network: Network = LINED) -> Record:
        return _record(kind, signed_recall(made, secrets, network).encode(), DAVE)

    return [
        _good("two of three publishers take a version back", RECALL_RECORD),
        _good("a member votes for it: nobody else signed", _record(kind, RECALL.encode(), ALICE)),
        _good("by a peer without weight: only the fold can see that", _record(kind, RECALL.encode(), DAVE)),
        _good("several versions at once", said_by(replace(RECALL, number=7, reason=Reason.OTHER, back_to=3), *TWO)),
        _good("of a version that nobody has released", said_by(replace(RECALL, number=RELEASE_NUMBER_MAX), *TWO)),
        *_malformed(
            kind,
            [
                ("four items", value[:4], "recall: not 5 items"),
                ("the fold's own reason", changed(value, 2, 0), "no recall has this reason"),
                ("a reason that there is not", changed(value, 2, 7), "reason: above 6"),
                ("back to itself", changed(value, 3, 1), "a recall goes back to an earlier version"),
                ("version 0", changed(value, 1, 0), "a recall goes back to an earlier version"),
                ("a signature without its key", changed(value, 4, [value[4][0][1:]]), "signature: not 2 items"),
            ],
        ),
        _bad("a second line of a network with one", said_by(replace(RECALL, line=1)), NO_LINE),
        _unknown(kind, RECALL.encode()),
        _bad(
            "signed for another reason",
            _record(kind, replace(good, reason=Reason.LICENCE).encode()),
            NO_SIGNATURE,
        ),
        _bad("the author's signature is of another message", forged(RECALL_RECORD), "bad signature"),
    ]


def rotations() -> list[Case]:
    kind, good = Kind.ROTATION, signed_rotation(ROTATION)
    value = _value(good.encode())
    keys = value[2][0]

    def said_by(made: Rotation, *secrets: bytes) -> Record:
        return _record(kind, signed_rotation(made, secrets or TWO).encode(), DAVE)

    def named(*listed: object, threshold: int = 1) -> list[object]:
        return changed(value, 2, [list(listed), threshold])

    return [
        _good("two of three publishers name one of them and a new one", ROTATION_RECORD),
        _good("one key, and a threshold of one", said_by(replace(ROTATION, publishers=publishers_of((STRANGER,), 1)))),
        _good("one signature of two: that it counts for nothing is not judged here", said_by(ROTATION, PUBLISHERS[2])),
        _good("a later rotation", said_by(replace(ROTATION, number=2))),
        *_malformed(
            kind,
            [
                ("three items", value[:3], "rotation: not 4 items"),
                ("rotation 0", changed(value, 1, 0), "number is 0: rotations are counted from 1"),
                ("nobody signed", changed(value, 3, []), "nobody signed the rotation"),
                ("no keys", named(), "the threshold does not fit the publisher keys"),
                ("a threshold of none", named(*keys, threshold=0), "the threshold does not fit the publisher keys"),
                (
                    "a threshold of three of two keys",
                    named(*keys, threshold=3),
                    "the threshold does not fit the publisher keys",
                ),
                ("keys out of order", named(*keys[::-1]), "publisher keys are not sorted and distinct"),
                ("a key that is no point", named(bytes(31) + b"\1"), "a publisher's key is not a valid point"),
            ],
        ),
        _bad("a second line of a network with one", said_by(replace(ROTATION, line=1)), NO_LINE),
        _bad("signed for other keys", _record(kind, encode(named(keys[0]))), NO_SIGNATURE),
        _bad("the author's signature is of another message", forged(ROTATION_RECORD), "bad signature"),
    ]


def serves() -> list[Case]:
    kind = Kind.SERVE
    return [
        _good("a member serves version 1 from now on", SERVE_RECORD),
        _good("version 0 again", _record(kind, Serve(MANIFEST.digest).encode())),
        _good("a manifest of no version: only the fold can see that", _record(kind, Serve(bytes(32)).encode())),
        _good("by a peer that never joined", _record(kind, SERVE.encode(), DAVE)),
        *_malformed(
            kind,
            [
                ("two manifests", [LATER.digest, MANIFEST.digest], "serve: not 1 items"),
                ("a digest of 31 bytes", [bytes(31)], "manifest: not 32 bytes"),
                ("a number in place of a digest", [1], "manifest: not a byte string"),
            ],
        ),
        _unknown(kind, SERVE.encode()),
        _bad("the author's signature is of another message", forged(SERVE_RECORD), "bad signature"),
    ]


def definitions() -> list[Case]:
    """Definitions with lines, in the form that a network file gives."""
    good, (line,) = LINED.to_value(), LINED.to_value()[8]
    table = (RequestShape(1, 1, 8, 1, 8, 0),)
    shaped = replace(LINED, params=replace(LINED.params, shapes=table))
    second = replace(MANIFEST, weights=sha256(b"other weights"))
    begun = tuple(sorted((MANIFEST.digest, second.digest)))
    both = replace(
        LINED,
        manifests=begun,
        lines=tuple(replace(LINE, name=f"line {at}", genesis=each) for at, each in enumerate(begun)),
    )
    greatest = replace(
        LINE,
        publishers=publishers_of([bytes([number]) * 32 for number in range(PUBLISHERS_MAX)], PUBLISHERS_MAX),
        notice_epochs=2**20,
        overlap_epochs=1,
        recall_epochs=0,
    )
    names = [[name, *each[1:]] for name, each in zip(("same", "same"), both.to_value()[8], strict=True)]
    keys = line[2][0]
    bad: list[tuple[str, object, str]] = [
        ("no lines", [], "a definition without lines has no item for them"),
        (f"{LINES_MAX + 1} lines", [line] * (LINES_MAX + 1), "lines: more than 8 items"),
        ("a line of five items", [line[:5]], "line: not 6 items"),
        ("a line without a name", [changed(line, 0, "")], "a line name is not empty, and has no @"),
        ("a name that looks like a version", [changed(line, 0, "a@1")], "a line name is not empty, and has no @"),
        (
            "a line of a model that is not listed",
            [changed(line, 1, bytes(32))],
            "a line begins with a manifest that the network does not list",
        ),
        ("two lines of one model", [line, changed(line, 0, "other")], "lines are not sorted and distinct"),
        ("no publishers", [changed(line, 2, [[], 1])], "the threshold does not fit the publisher keys"),
        (
            "a threshold of four of three",
            [changed(line, 2, [keys, 4])],
            "the threshold does not fit the publisher keys",
        ),
        ("nine publishers", [changed(line, 2, [keys * 3, 2])], "publisher keys: more than 8 items"),
        ("publishers out of order", [changed(line, 2, [keys[::-1], 2])], "publisher keys are not sorted and distinct"),
        ("no notice", [changed(line, 3, 0)], "notice and overlap take an epoch at least"),
        ("no overlap", [changed(line, 4, 0)], "notice and overlap take an epoch at least"),
        ("a recall of 1,048,577 epochs", [changed(line, 5, 2**20 + 1)], "recall_epochs: above 1048576"),
    ]
    return [
        defined("a line, and no table of shapes", LINED.encode()),
        defined("a line and a table of shapes", shaped.encode()),
        defined("two lines", both.encode()),
        defined(
            "a line with the most publishers, and epochs at the ends of their ranges",
            replace(LINED, lines=(greatest,)).encode(),
        ),
        *(defined(comment, encode(changed(good, 8, value)), reason) for comment, value, reason in bad),
        defined("two lines of one name", encode(changed(both.to_value(), 8, names)), "line names repeat"),
    ]


def cases() -> dict[Path, list[Case]]:
    return {
        Path("release"): releases(),
        Path("recall"): recalls(),
        Path("serve"): serves(),
        Path("rotation"): rotations(),
    }
