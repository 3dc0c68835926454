"""Cases of sync: invalid negentropy messages, and requests and answers of sessions."""

from pathlib import Path

from vectorgen.case import Case
from vectorgen.examples import CAROL, CUT, CUT_RECORD, NETWORK_ID, join

from p2pverify.core.encoding.canon import encode
from p2pverify.core.errors import DecodeError
from p2pverify.core.sync.messages import (
    AskCommon,
    AskDigests,
    AskFinal,
    AskIds,
    Between,
    Common,
    Digests,
    Fetch,
    Final,
    FinalCut,
    Ids,
    Reconcile,
    Reconciled,
    Records,
    decode_answer,
    decode_request,
)
from p2pverify.core.sync.negentropy import FINGERPRINTS_MAX, RANGES_MAX, read_ranges

EMPTY = b"\x61\x00\x00\x02\x00"  # a newcomer's first message: no ids in the whole range
RECORD = join(CAROL)
LIST = b"\x61\x00\x00\x02\x01" + RECORD.id


def _message(comment: str, message: bytes, reason: str) -> Case:
    try:
        read_ranges(message)
        found = None
    except DecodeError as error:
        found = error.reason
    assert found == reason, f"{comment}: {found}"
    return {"comment": comment, "input": {"message": message.hex()}, "expect": "refuse", "reason": reason}


def messages() -> list[Case]:
    one = b"\xaa" * 32
    return [
        _message("nothing", b"", "truncated"),
        _message("a version byte that is none", b"\x51\x00\x00\x00", "not negentropy version 1"),
        _message("a range without mode", b"\x61\x00\x00", "truncated"),
        _message("a fingerprint of 15 bytes", b"\x61\x00\x00\x01" + bytes(15), "truncated"),
        _message("a list of two with one", b"\x61\x00\x00\x02\x02" + one, "truncated"),
        _message("a list of 2^60", b"\x61\x00\x00\x02\x90\x80\x80\x80\x80\x80\x80\x80\x00" + one, "truncated"),
        _message("an id twice", b"\x61\x00\x00\x02\x02" + one + one, "an id twice in a list"),
        _message("mode 3", b"\x61\x00\x00\x03", "unknown mode of a range"),
        _message("a bound of 33 bytes", b"\x61\x01\x21" + bytes(33) + b"\x00", "a bound longer than an id"),
        _message("infinity with an id", b"\x61\x00\x01\xaa\x00", "a bound beyond the last"),
        _message(
            "a timestamp beyond 64 bits",
            b"\x61" + b"\x81\xff\xff\xff\xff\xff\xff\xff\xff\x7f\x00\x00" + b"\x02\x00\x00",
            "a bound beyond the last",
        ),
        _message("a range behind the last", b"\x61\x00\x00\x00\x01\x00\x00", "a range after the last"),
        _message("bounds out of order", b"\x61\x05\x01\xaa\x00\x01\x01\xa9\x00", "ranges out of order"),
        _message("a leading zero digit", b"\x61\x80\x01\x00\x00", "a number not in shortest form"),
        _message("a number of 65 bits", b"\x61" + b"\x83" + b"\xff" * 8 + b"\x7f\x00\x00", "a number beyond 64 bits"),
        _message("8,193 ranges", b"\x61" + b"\x01\x00\x00" * (RANGES_MAX + 1), "too many ranges"),
        _message(
            "2,049 fingerprints",
            b"\x61" + (b"\x01\x00\x01" + bytes(16)) * (FINGERPRINTS_MAX + 1),
            "too many fingerprints",
        ),
    ]


def _request(comment: str, data: bytes, reason: str | None = None) -> Case:
    try:
        assert decode_request(data).encode() == data
        found = None
    except DecodeError as error:
        found = error.reason
    assert found == reason, f"{comment}: {found}"
    expect = "accept" if reason is None else "refuse"
    return {"comment": comment, "input": {"request": data.hex()}, "expect": expect, "reason": reason}


def _answer(comment: str, data: bytes, reason: str | None = None) -> Case:
    try:
        assert decode_answer(data).encode() == data
        found = None
    except DecodeError as error:
        found = error.reason
    assert found == reason, f"{comment}: {found}"
    expect = "accept" if reason is None else "refuse"
    return {"comment": comment, "input": {"answer": data.hex()}, "expect": expect, "reason": reason}


MANY = tuple(n.to_bytes(32, "big") for n in range(513))
COMMON_ASKED = AskCommon(NETWORK_ID, (NETWORK_ID,)).encode()
COMMON_TOLD = Common(NETWORK_ID, None).encode()
REQUEST = Reconcile(NETWORK_ID, EMPTY).encode()
ANSWER = Reconciled(LIST).encode()
FETCH = Fetch((RECORD.id,)).encode()
RECORDS = Records((RECORD.data,)).encode()


SHOWN = (
    (COMMON_ASKED, "sync-ask-common"),
    (COMMON_TOLD, "sync-common"),
    (REQUEST, "sync-reconcile"),
    (ANSWER, "sync-reconciled"),
    (FETCH, "sync-fetch"),
    (RECORDS, "sync-records"),
)


def requests() -> list[Case]:
    return [
        _request("a newcomer's first request", REQUEST),
        _request("one record by its id", FETCH),
        _request("512 records", Fetch(MANY[:512]).encode()),
        _request("the newest certified cut", AskFinal().encode()),
        _request("the cuts that a newcomer knows", COMMON_ASKED),
        _request("a cut that both know, of 64", AskCommon(NETWORK_ID, MANY[:64]).encode()),
        _request("the records after a cut, without the first 1,000", Between(CUT_RECORD.id, 1_000).encode()),
        _request("digests of all epochs", AskDigests(NETWORK_ID, 0).encode()),
        _request("the ids of epoch 7 from the first on", AskIds(NETWORK_ID, 7, bytes(32)).encode()),
        _request("the largest epoch", AskDigests(NETWORK_ID, 2**40).encode()),
        _request("65 cuts", encode(["common", NETWORK_ID, list(MANY[:65])]), "ids: more than 64 items"),
        _request("no network", encode(["common", []]), "request: not 3 items"),
        _request("a network of 31 bytes", encode(["common", bytes(31), []]), "network: not 32 bytes"),
        _request("a number above 2^40", encode(["between", NETWORK_ID, 2**40 + 1]), "number: above 1099511627776"),
        _request("nothing", b"", "truncated"),
        _request("98,369 bytes", bytes(98_369), "too long"),
        _request("no array", encode({}), "request: not an array"),
        _request("an empty array", encode([]), "unknown request"),
        _request("an unknown word", encode(["push", []]), "unknown request"),
        _request("the word as a byte string", encode([b"final"]), "unknown request"),
        _request("an item too many", encode(["final", None]), "request: not 1 items"),
        _request("no cut", encode(["reconcile", EMPTY]), "request: not 3 items"),
        _request("a cut of 31 bytes", encode(["reconcile", bytes(31), EMPTY]), "cut: not 32 bytes"),
        _request("a message that is text", encode(["reconcile", NETWORK_ID, "a"]), "message: not a byte string"),
        _request("no ids", encode(["fetch", []]), "nothing to fetch"),
        _request("an id twice", encode(["fetch", [bytes(32), bytes(32)]]), "an id twice"),
        _request("513 ids", encode(["fetch", list(MANY)]), "ids: more than 512 items"),
        _request("an id of 31 bytes", encode(["fetch", [bytes(31)]]), "id: not 32 bytes"),
        _request("an epoch beyond 2^40", encode(["digests", NETWORK_ID, 2**40 + 1]), "epoch: above 1099511627776"),
        _request("a list after nothing", encode(["list", NETWORK_ID, 7, b""]), "id: not 32 bytes"),
    ]


def answers() -> list[Case]:
    cut = FinalCut(CUT_RECORD.id, 1, CUT.ledger_root, CUT.view_root)
    ids = MANY[:3]
    fields = [cut.cut, 1, cut.ledger_root, cut.view_root]
    return [
        _answer("the network's beginning, before the first cut", COMMON_TOLD),
        _answer("a common cut, and the newest one", Common(CUT_RECORD.id, cut).encode()),
        _answer("no common cut", Common(None, cut).encode()),
        _answer("a common cut of 31 bytes", encode(["common", bytes(31), None]), "cut: not 32 bytes"),
        _answer("what the newcomer lacks", ANSWER),
        _answer("the record itself", RECORDS),
        _answer("none of the records is here", Records(()).encode()),
        _answer("no cut is certified yet", Final(None).encode()),
        _answer("the first cut", Final(cut).encode()),
        _answer("digests of two epochs, and more", Digests(((0, bytes(32)), (3, b"d" * 32)), more=True).encode()),
        _answer("no epochs", Digests((), more=False).encode()),
        _answer("three ids", Ids(ids).encode()),
        _answer("nothing", b"", "truncated"),
        _answer("an unknown word", encode(["fetch", []]), "unknown answer"),
        _answer("a record of 65,537 bytes", encode(["records", [bytes(65_537)]]), "record: longer than 65536 bytes"),
        _answer("513 records", encode(["records", [b""] * 513]), "records: more than 512 items"),
        _answer("a cut of three items", encode(["final", fields[:3]]), "cut: not 4 items"),
        _answer(
            "a cut without a number", encode(["final", [cut.cut, None, *fields[2:]]]), "index: not an unsigned integer"
        ),
        _answer(
            "epochs out of order", encode(["digests", [[3, bytes(32)], [3, bytes(32)]], False]), "epochs out of order"
        ),
        _answer("more of nothing", encode(["digests", [], True]), "more of nothing"),
        _answer("more as a number", encode(["digests", [], 0]), "more: not a boolean"),
        _answer("ids out of order", encode(["ids", [ids[1], ids[0]]]), "ids out of order"),
        _answer("an id twice", encode(["ids", [ids[1], ids[1]]]), "ids out of order"),
        _answer("2,001 ids", encode(["ids", [bytes(32)] * 2_001]), "ids: more than 2000 items"),
    ]


def cases() -> dict[Path, list[Case]]:
    return {
        Path("negentropy/invalid.json"): messages(),
        Path("sync-request"): requests(),
        Path("sync-answer"): answers(),
    }
