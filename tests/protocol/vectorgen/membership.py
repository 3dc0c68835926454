"""Cases of the envelope, the network definition, join and leave."""

from dataclasses import replace
from pathlib import Path

from vectorgen import lines, money
from vectorgen.case import Case, changed, defined, enveloped, forged, ignore, judged, reject, said
from vectorgen.examples import (
    ALICE,
    BOB,
    CAROL,
    CUT_RECORD,
    DAVE,
    EPOCH,
    NETWORK,
    join,
    record,
)

from p2pverify.core.contract.network import Origin
from p2pverify.core.contract.shapes import RequestShape
from p2pverify.core.encoding import box
from p2pverify.core.encoding.canon import encode
from p2pverify.core.records.envelope import EPOCH_MAX, NO_PREV, Kind, Record, decode_record
from p2pverify.core.records.payloads.keys.handover import next_digest
from p2pverify.core.records.payloads.membership import Join
from p2pverify.core.records.payloads.sponsor import Sponsor

EMPTY = encode([])
SMALL_ORDER = bytes.fromhex("c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a")


def envelope() -> list[Case]:
    """The envelope with the smallest payload, that of a leave."""
    leave = record(ALICE, Kind.LEAVE, EMPTY, epoch=EPOCH)
    first = record(ALICE, Kind.LEAVE, EMPTY, epoch=EPOCH, seq=0)
    header = leave.header
    longer = encode([header.to_value(), leave.signature, leave.payload, 0])
    return [
        judged("the first record of a log: seq 0, prev zeroes", first.data),
        judged("a later record", leave.data),
        judged("dated one epoch ahead of the reader's clock", leave.data, epoch_now=EPOCH - 1),
        judged("very old", leave.data, epoch_now=10**6),
        judged("by a peer that nobody knows", record(DAVE, Kind.LEAVE, EMPTY, epoch=EPOCH).data),
        judged("before genesis the clock reads epoch 0", enveloped(ALICE, EMPTY, epoch=1), epoch_now=-5),
        reject("65,537 bytes", bytes(65_537), "record too large"),
        reject("nothing", b"", "malformed record: truncated"),
        reject("not an array", encode(7), "malformed record: record: not an array"),
        reject("an array of four", longer, "malformed record: record: not 3 items"),
        reject("one byte after the record", leave.data + b"\x00", "malformed record: trailing bytes"),
        reject(
            "the length of the outer array in two bytes",
            b"\x98\x03" + leave.data[1:],
            "malformed record: not in shortest form",
        ),
        reject(
            "another domain",
            enveloped(ALICE, EMPTY, domain="p2pverify/2"),
            "malformed record: not a p2pverify/1 record",
        ),
        reject(
            "an author of 31 bytes",
            enveloped(ALICE, EMPTY, author=ALICE.key[:31]),
            "malformed record: author: not 32 bytes",
        ),
        reject(
            "an epoch above the limit",
            enveloped(ALICE, EMPTY, epoch=EPOCH_MAX + 1),
            f"malformed record: epoch: above {EPOCH_MAX}",
        ),
        reject(
            "a negative epoch",
            enveloped(ALICE, EMPTY, epoch=-1),
            "malformed record: epoch: not an unsigned integer",
        ),
        reject(
            "seq 0 with a record before it",
            enveloped(ALICE, EMPTY, prev=leave.id),
            "malformed record: prev is zero exactly for seq 0",
        ),
        reject(
            "seq 1 without a record before it",
            enveloped(ALICE, EMPTY, seq=1, prev=NO_PREV),
            "malformed record: prev is zero exactly for seq 0",
        ),
        reject(
            "a header of seven items",
            encode([header.to_value()[:7], leave.signature, leave.payload]),
            "malformed record: header: not 8 items",
        ),
        reject(
            "another payload than the signed one",
            encode([header.to_value(), leave.signature, encode([1])]),
            "malformed record: the payload is not the one that was signed",
        ),
        reject(
            "a signature of 63 bytes",
            encode([header.to_value(), leave.signature[:63], leave.payload]),
            "malformed record: signature: not 64 bytes",
        ),
        reject(
            "a payload that is a list instead of bytes",
            encode([header.to_value(), leave.signature, []]),
            "malformed record: payload: not a byte string",
        ),
        reject("another network", enveloped(ALICE, EMPTY, network=bytes(32)), "wrong network"),
        ignore("dated two epochs ahead of the reader's clock", leave, "dated in the future", epoch_now=EPOCH - 2),
        ignore(
            "so dated, and with a bad signature: the clock comes first",
            early_and_forged(),
            "dated in the future",
            epoch_now=EPOCH - 2,
        ),
        ignore("a kind of a later version", enveloped(ALICE, EMPTY, kind=23), "unknown kind"),
        ignore("kind 0", enveloped(ALICE, EMPTY, kind=0), "unknown kind"),
        reject("one bit of the signature flipped", forged(leave), "bad signature"),
        reject(
            "a good signature of another key",
            encode([changed(header.to_value(), 2, BOB.key), leave.signature, leave.payload]),
            "bad signature",
        ),
        reject(
            "the signature moved to the next record of the log",
            encode([changed(header.to_value(), 4, 8), leave.signature, leave.payload]),
            "bad signature",
        ),
        reject(
            "a key of small order, for which many signatures would be good",
            encode([changed(header.to_value(), 2, SMALL_ORDER), leave.signature, leave.payload]),
            "bad signature",
        ),
    ]


def early_and_forged() -> bytes:
    """A record with two faults. The cheaper check finds the first."""
    return forged(record(ALICE, Kind.LEAVE, EMPTY, epoch=EPOCH))


def network_record() -> Record:
    return record(ALICE, Kind.NETWORK, NETWORK.encode(), epoch=9, seq=1, prev=join(ALICE).id)


def leave_record() -> Record:
    return record(CAROL, Kind.LEAVE, EMPTY, epoch=EPOCH)


def network_records() -> list[Case]:
    payload = NETWORK.encode()
    said_first = network_record()
    other = replace(NETWORK, name="example2").encode()
    return [
        judged("the definition, by a founder", said_first.data),
        judged("again, later in the log", record(ALICE, Kind.NETWORK, payload).data),
        judged("by a peer that is no founder", record(DAVE, Kind.NETWORK, payload).data),
        reject("one letter of the name added", record(ALICE, Kind.NETWORK, other), "not this network's definition"),
        reject("empty payload", record(ALICE, Kind.NETWORK, b""), "not this network's definition"),
        reject("signature of another message", forged(said_first), "bad signature"),
    ]


SPREADS = {"prompt_spread": NETWORK.params.prompt_tokens - 1, "answer_spread": NETWORK.params.answer_tokens - 1}


def definitions() -> list[Case]:
    """The definition alone, in the form that a network file gives."""
    good = NETWORK.to_value()
    one = replace(NETWORK, founders=NETWORK.founders[:1], classes=NETWORK.classes[:1])
    params = list(good[5])
    cls = list(good[4][0])
    found = [defined("three founders, three classes", NETWORK.encode())]
    alone = replace(NETWORK, classes=(replace(NETWORK.classes[0], across=None),), referee="")
    found.append(defined("no referee", alone.encode()))
    found.append(defined("one founder, one class", one.encode()))
    edge = replace(
        NETWORK,
        params=replace(NETWORK.params, epoch_ms=200, anchor_window=0, **SPREADS, long_permille=1000, long_tokens=1024),
    )
    found.append(defined("parameters at the ends of their ranges", edge.encode()))
    table = (RequestShape(5, 1, 8, 0, 0, 1000), RequestShape(3, 1, 8, 1, 8, 0), RequestShape(1, 9, 256, 256, 256, 700))
    shaped = replace(NETWORK, params=replace(NETWORK.params, shapes=table))
    found.append(defined("a table of shapes", shaped.encode()))
    rated = replace(NETWORK, params=replace(NETWORK.params, audits_per_epoch=200))
    found.append(defined("a total of audits", rated.encode()))
    noticed = replace(NETWORK, params=replace(NETWORK.params, notice_epochs=12))
    found.append(defined("a short notice of amendments", noticed.encode()))
    origin = Origin(NETWORK.id, bytes(range(32)), bytes(range(32, 64)))
    forked = replace(NETWORK, founders=(), origin=origin)
    found.append(defined("a network that goes on from a cut of another one", forked.encode()))
    begins = list(forked.to_value()[2])
    bad: list[tuple[str, object, str]] = [
        ("an origin without a state", changed(good, 2, begins[:3]), "origin: not 4 items"),
        ("an origin with a short cut", changed(good, 2, changed(begins, 2, bytes(31))), "origin cut: not 32 bytes"),
        ("an origin by another word", changed(good, 2, changed(begins, 0, "fork")), "founders: not a byte string"),
        ("another domain", changed(good, 0, "p2pverify/networks/2"), "not a network definition"),
        (
            "a definition of the version before",
            changed(good, 0, "p2pverify/network/1"),
            "a definition of protocol version 1; this p2pverify speaks version 2",
        ),
        ("six items", good[:6], "network: not 7 to 10 items"),
        ("a name of 65 bytes", changed(good, 1, "x" * 65), "name: longer than 64 bytes"),
        ("no founders", changed(good, 2, []), "a network needs founders and a class"),
        ("founders out of order", changed(good, 2, good[2][::-1]), "founders are not sorted and distinct"),
        ("one founder twice", changed(good, 2, [ALICE.key] * 2), "founders are not sorted and distinct"),
        ("no classes", changed(good, 4, []), "a network needs founders and a class"),
        ("33 classes", changed(good, 4, [cls] * 33), "classes: more than 32 items"),
        ("two classes of one name", changed(good, 4, [cls, cls]), "class names repeat"),
        (
            "a class of an unlisted manifest",
            changed(good, 4, [changed(cls, 1, bytes(32))]),
            "a class names a manifest that the network does not list",
        ),
        (
            "a class that is never wrong",
            changed(good, 4, [changed(cls, 4, 0)]),
            "honest_ppm is 0: nothing is certain",
        ),
        (
            "an honest rate that is not below the cheating rate",
            changed(good, 4, [changed(cls, 4, 100_000)]),
            "honest_ppm must be below cheat_ppm",
        ),
        ("27 parameters", changed(good, 5, params[:27]), "params: not 28 items"),
        (
            "a total of no audits",
            changed(good, 5, [*params, 0]),
            "params: audits_per_epoch is 0, so it is left out",
        ),
        (
            "the usual notice of amendments",
            changed(good, 5, [*params, 7, 10_080]),
            "params: notice_epochs is the usual one, so it is left out",
        ),
        *(
            (
                what,
                changed(good, 5, [*params[:25], *tail, *params[27:]]),
                "long_permille and long_tokens do not fit together",
            )
            for what, tail in (
                ("long answers that are not longer", [10, NETWORK.params.answer_tokens]),
                ("long answers of no length", [10, 0]),
                ("long answers in no slot", [0, NETWORK.params.answer_tokens + 1]),
            )
        ),
        (
            "prompts of no tokens",
            changed(good, 5, changed(params, 22, NETWORK.params.prompt_tokens)),
            "prompt_spread leaves nothing",
        ),
        (
            "sampled questions at temperature 0",
            changed(good, 5, changed(params, 24, NETWORK.params.temperature_milli)),
            "temperature_spread leaves nothing",
        ),
        *_wrong_shapes(good),
        *_wrong_referees(good, cls),
        ("an epoch of 199 ms", changed(good, 5, changed(params, 1, 199)), "epoch_ms is below 200"),
        ("a panel of 32", changed(good, 5, changed(params, 3, 32)), "panel_size: above 31"),
        (
            "a rate that is not a number",
            changed(good, 5, changed(params, 15, b"")),
            "cheat_ppm: not an unsigned integer",
        ),
    ]
    return found + [defined(comment, encode(value), reason) for comment, value, reason in bad]


def _wrong_shapes(good: list[object]) -> list[tuple[str, object, str]]:
    """Tables that are not sorted, or whose rows are no ranges."""
    row, more = [1, 1, 8, 1, 8, 0], [1, 9, 16, 0, 0, 1000]
    rows: list[tuple[str, object, str]] = [
        ("a table of no shapes", [], "shapes: empty"),
        ("65 shapes", [row] * 65, "shapes: more than 64 items"),
        ("shapes out of order", [more, row], "shapes are not sorted and distinct"),
        ("one shape with two weights", [row, [2, *row[1:]]], "shapes are not sorted and distinct"),
        ("a shape of five numbers", [row[:5]], "shape: not 6 items"),
        ("a shape of no weight", [[0, *row[1:]]], "weight is below 1"),
        ("a shape with prompts of no tokens", [changed(row, 1, 0)], "prompt_from is below 1"),
        ("a shape with prompts of 257 tokens", [changed(row, 2, 257)], "prompt_to: above 256"),
        ("a shape whose prompts end before they begin", [changed(row, 1, 9)], "a shape's range ends before it begins"),
        ("a shape with answers of 1,025 tokens", [changed(row, 4, 1025)], "answer_to: above 1024"),
        ("a shape with answers of no tokens", [changed(row, 3, 0)], "a shape has answers of no tokens"),
        ("a shape whose answers end before they begin", [changed(row, 4, 0)], "a shape's range ends before it begins"),
        ("a shape that is too hot", [changed(row, 5, 2001)], "temperature_milli: above 2000"),
    ]
    found = [(comment, [*good, table], reason) for comment, table, reason in rows]
    return [*found, ("eleven items", [*good, [row], [row], [row], [row]], "network: not 7 to 10 items")]


def _wrong_referees(good: list[object], cls: list[object]) -> list[tuple[str, object, str]]:
    """Contradictions between the referee and the classes that it judges."""
    across = list(cls[5])  # type: ignore[call-overload]
    both = [cls, changed(changed(cls, 0, "other"), 2, "*")]
    any_path = changed(changed(cls, 2, "*"), 3, "*")
    return [
        ("a referee of 129 bytes", changed(good, 6, "x" * 129), "referee: longer than 128 bytes"),
        (
            "a class that is judged across, and no referee",
            changed(good, 6, ""),
            "a class is judged across classes, and there is no referee",
        ),
        ("a class of five items", changed(good, 4, [cls[:5]]), "class: not 6 items"),
        ("five thresholds", changed(good, 4, [changed(cls, 5, across[:5])]), "across: not 7 items"),
        (
            "an end that may be missing",
            changed(good, 4, [changed(cls, 5, changed(across, 4, 2**32 - 1))]),
            "end_max: above 4294967294",
        ),
        (
            "a match that is a mismatch as well",
            changed(good, 4, [changed(cls, 5, changed(across, 0, across[2] + 1))]),
            "what matches would be a mismatch as well",
        ),
        (
            "a referee that is never wrong",
            changed(good, 4, [changed(cls, 5, changed(across, 5, 0))]),
            "honest_ppm is 0: nothing is certain",
        ),
        (
            "a referee that is wrong too often",
            changed(good, 4, [changed(cls, 5, changed(across, 5, 100_000))]),
            "honest_ppm must be below cheat_ppm",
        ),
        *_wrong_pools(good, cls, across),
        (
            "an unknown engine of a known path",
            changed(good, 4, both),
            "engine and numeric path are both unknown or both known",
        ),
        (
            "an unknown path that nobody judges",
            changed(good, 4, [changed(any_path, 5, None)]),
            "a class of unknown engine is judged across classes or not at all",
        ),
        (
            "two classes of unknown path for one model",
            changed(good, 4, [any_path, changed(any_path, 0, "other")]),
            "a manifest has two classes of unknown engine",
        ),
    ]


def _wrong_pools(good: list[object], cls: list[object], across: list[object]) -> list[tuple[str, object, str]]:
    """Pooled tests that bet everything, or on nothing."""
    line = [1, 1, 1]
    rows: list[tuple[str, object, str]] = [
        ("a pooled test that keeps nothing", [0, [line]], "a pool keeps nothing or has no lines"),
        ("a pooled test without lines", [850_000, []], "a pool keeps nothing or has no lines"),
        ("a pooled test that bets nothing", [1_000_000, [line]], "keeps_ppm: above 999999"),
        ("nine lines", [850_000, [[base, 1, 1] for base in range(9)]], "lines: more than 8 items"),
        ("lines out of order", [850_000, [[2, 1, 1], line]], "lines are not sorted and distinct"),
        ("a line that no honest answer exceeds", [850_000, [[1, 1, 0]]], "rate_ppm is 0: nothing is certain"),
    ]
    return [
        (comment, changed(good, 4, [changed(cls, 5, changed(across, 6, pool))]), reason)
        for comment, pool, reason in rows
    ]


CLAIM_FAULT = "hardware: not 1 to 64 lower-case letters, digits and ' ._+/-' between them"


def joins() -> list[Case]:
    key = CAROL.vrf_key
    high_bit = key[:31] + bytes([key[31] ^ 0x80])
    bad: list[tuple[str, object, str]] = [
        ("three items", [0, key, ""], "malformed join: join: not 5 items"),
        ("six items", [0, key, "", None, None, 0], "malformed join: join: not 5 items"),
        ("a next key of 31 bytes", [0, key, "", None, key[:31]], "malformed join: next key: not 32 bytes"),
        ("a box key of 31 bytes", [0, key, "", key[:31], None], "malformed join: box key: not 32 bytes"),
        ("a box key that is text", [0, key, "", "key", None], "malformed join: box key: not a byte string"),
        ("a class by name", ["example-avx2", key, "", None, None], "malformed join: class: not an unsigned integer"),
        ("class 32", [32, key, "", None, None], "malformed join: class: above 31"),
        ("a VRF key of 33 bytes", [0, key + b"\0", "", None, None], "malformed join: VRF key: not 32 bytes"),
        (
            "a VRF key of small order",
            [0, SMALL_ORDER, "", None, None],
            "malformed join: the VRF key is not a valid point",
        ),
        (
            "the identity as VRF key",
            [0, b"\1" + bytes(31), "", None, None],
            "malformed join: the VRF key is not a valid point",
        ),
        ("hardware in capitals", [0, key, "Testbox", None, None], f"malformed join: {CLAIM_FAULT}"),
        ("hardware of 65 bytes", [0, key, "x" * 65, None, None], "malformed join: hardware: longer than 64 bytes"),
        ("hardware as a number", [0, key, 4090, None, None], "malformed join: hardware: not text"),
    ]
    return [
        judged("a founder, first record of its log", join(CAROL).data),
        judged("with a claim of hardware", record(CAROL, Kind.JOIN, Join(0, key, "rtx 4090").encode()).data),
        judged("with a box key", record(CAROL, Kind.JOIN, Join(0, key, "", box.public_key(key)).encode()).data),
        judged(
            "a class that the definition lacks: the cut decides", said(CAROL, Kind.JOIN, [3, key, "", None, None]).data
        ),
        judged("with a next key", record(CAROL, Kind.JOIN, Join(0, key, next_key=next_digest(DAVE.key)).encode()).data),
        judged("the other class", record(CAROL, Kind.JOIN, Join(1, key).encode()).data),
        judged("a peer that is no founder", record(DAVE, Kind.JOIN, Join(0, DAVE.vrf_key).encode()).data),
        judged("another point as VRF key", record(CAROL, Kind.JOIN, Join(0, high_bit).encode()).data),
        judged(
            "again, with another key: what that counts for is not judged here",
            record(CAROL, Kind.JOIN, Join(0, DAVE.vrf_key).encode(), seq=9).data,
        ),
        *[reject(comment, said(CAROL, Kind.JOIN, value), reason) for comment, value, reason in bad],
        reject("signature of another message", forged(join(CAROL)), "bad signature"),
    ]


def leaves() -> list[Case]:
    last = leave_record()
    return [
        judged("after a join", last.data),
        judged("by a peer that never joined", record(DAVE, Kind.LEAVE, EMPTY, seq=0).data),
        judged("again", record(CAROL, Kind.LEAVE, EMPTY, seq=12).data),
        reject("a reason given", said(CAROL, Kind.LEAVE, ["tired"]), "malformed leave: leave: not 0 items"),
        reject("null", said(CAROL, Kind.LEAVE, None), "malformed leave: leave: not an array"),
        reject("no payload", record(CAROL, Kind.LEAVE, b""), "malformed leave: truncated"),
        reject("signature of another message", forged(last), "bad signature"),
    ]


def sponsor_record() -> Record:
    return record(BOB, Kind.SPONSOR, Sponsor(DAVE.key).encode(), epoch=EPOCH)


def sponsorships() -> list[Case]:
    own = said(ALICE, Kind.SPONSOR, [ALICE.key])
    return [
        judged("a founder stands for a newcomer", sponsor_record().data),
        judged("again: what that counts for is not judged here", said(ALICE, Kind.SPONSOR, [DAVE.key]).data),
        judged("by a peer without weight: it counts for nothing", said(DAVE, Kind.SPONSOR, [BOB.key]).data),
        reject("for itself", own, "a peer cannot stand for itself"),
        reject("two peers", said(ALICE, Kind.SPONSOR, [BOB.key, CAROL.key]), "malformed sponsor: sponsor: not 1 items"),
        reject("a key of 31 bytes", said(ALICE, Kind.SPONSOR, [BOB.key[:31]]), "malformed sponsor: peer: not 32 bytes"),
        reject("signature of another message", forged(sponsor_record()), "bad signature"),
    ]


def cases() -> dict[Path, list[Case]]:
    assert decode_record(CUT_RECORD.data) == CUT_RECORD
    return {
        Path("record"): envelope(),
        Path("network"): network_records(),
        Path("join"): joins(),
        Path("leave"): leaves(),
        Path("sponsor"): sponsorships(),
        Path("network-definition"): [*definitions(), *lines.definitions(), *money.definitions()],
    }
