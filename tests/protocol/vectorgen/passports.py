"""Cases of passports: one row of a view for readers without the ledger."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from vectorgen import folds, line_folds
from vectorgen.case import Case
from vectorgen.examples import ALICE, BOB, CAROL, CUT_RECORD, CUT_SIGNATURE, NETWORK, first_state, join, record

from p2pverify.core.contract.network import Network
from p2pverify.core.encoding import sign
from p2pverify.core.encoding.canon import encode
from p2pverify.core.errors import DecodeError
from p2pverify.core.proofs.exchange import (
    NO_PASSPORTS,
    PassportSet,
    PassportsWanted,
    decode_passports,
    decode_passports_wanted,
)
from p2pverify.core.proofs.issuing import Issuer, issue
from p2pverify.core.proofs.passport import (
    CutStub,
    Passport,
    Refuted,
    SignatureStub,
    check_passport,
    check_passports,
    decode_passport,
)
from p2pverify.core.records.envelope import Kind
from p2pverify.core.records.payloads.cut import CutSignature
from p2pverify.core.replica.fold import Fold
from p2pverify.core.replica.ledger import Ledger
from tests.support.proofs import shown_passport

REQUESTED = "p2pverify/passport-request/1"


def example(peer: bytes = ALICE.key) -> Passport:
    """A peer's row in the cut of the page, signed by Alice and Carol; by default it is Alice's."""
    ledger = Ledger()
    fold = Fold(NETWORK, ledger)
    signed = record(
        ALICE, Kind.CUT_SIGNATURE, CutSignature(CUT_RECORD.id).encode(), epoch=10, seq=1, prev=join(ALICE).id
    )
    for each in (join(ALICE), join(BOB), join(CAROL), CUT_RECORD, CUT_SIGNATURE, signed):
        for added in ledger.add(each):
            fold.take(added)
    fold.settle()
    found = issue(fold, peer)
    assert found is not None
    return found


def _case(comment: str, network: Network, data: bytes, reason: str | None = None) -> Case:
    expect: object = "reject"
    try:
        expect = shown_passport(check_passport(network, decode_passport(data)))
        found = None
    except (DecodeError, Refuted) as refused:
        found = refused.reason
    assert found == reason, f"{comment}: {found}"
    inputs = {"network": network.encode().hex(), "passport": data.hex()}
    return {"comment": comment, "input": inputs, "expect": expect, "reason": reason}


def _set_case(comment: str, network: Network, data: bytes, reason: str | None = None) -> Case:
    expect: object = "reject"
    try:
        decoded = decode_passports(data)
        shown = [] if decoded is None else check_passports(network, decoded.certificate, decoded.scores)
        expect = None if decoded is None else [shown_passport(each) for each in shown]
        found = None
    except (DecodeError, Refuted) as refused:
        found = refused.reason
    assert found == reason, f"{comment}: {found}"
    inputs = {"network": network.encode().hex(), "passports": data.hex()}
    return {"comment": comment, "input": inputs, "expect": expect, "reason": reason}


def _wanted_case(comment: str, data: bytes, reason: str | None = None) -> Case:
    try:
        decode_passports_wanted(data)
        found = None
    except DecodeError as refused:
        found = refused.reason
    assert found == reason, f"{comment}: {found}"
    expect = "accept" if reason is None else "reset"
    return {"comment": comment, "input": {"request": data.hex()}, "expect": expect, "reason": reason}


def _wanted() -> list[Case]:
    model, keys = NETWORK.manifests[0], tuple(sorted((ALICE.key, BOB.key)))
    good = [REQUESTED, model, list(keys), 2]
    return [
        _wanted_case("the best of two peers", PassportsWanted(model, keys, 2).encode()),
        _wanted_case("the best of all peers", PassportsWanted(model, (), 16).encode()),
        _wanted_case("another domain", encode(["x", *good[1:]]), "not a p2pverify/passport-request/1"),
        _wanted_case("no peer", encode([*good[:3], 0]), "count: at least 1"),
        _wanted_case("17 peers", encode([*good[:3], 17]), "count: above 16"),
        _wanted_case(
            "keys out of order", encode([*good[:2], list(keys[::-1]), 2]), "among are not sorted and distinct"
        ),
        _wanted_case("a short key", encode([*good[:2], [bytes(31)], 2]), "key: not 32 bytes"),
        _wanted_case("a missing item", encode(good[:3]), "passport request: not 4 items"),
    ]


def _sets(story: folds.Story) -> list[Case]:
    wanted = PassportsWanted(story.network.manifests[0], (), 16)
    found = Issuer(story.book.fold).best(wanted, ALICE.key)
    assert found is not None
    shared, (first, *others) = found.certificate, found.scores
    moved = replace(first, position=first.position + 1)
    unsigned = replace(shared, signatures=shared.signatures[:1])
    other = replace(NETWORK, name="another")
    return [
        _set_case("all peers of a network, the best first", story.network, found.encode()),
        _set_case("no cut that serves", story.network, NO_PASSPORTS),
        _set_case("a cut without the rows", story.network, PassportSet(shared, ()).encode()),
        _set_case("another network", other, found.encode(), "it is of another network"),
        _set_case(
            *("a row at another place", story.network, PassportSet(shared, (*others, moved)).encode()),
            "the row is not in the view",
        ),
        _set_case(
            *("one signature", story.network, PassportSet(unsigned, found.scores).encode()),
            f"1 of {len(shared.weighted)} peers with weight signed: fewer than two thirds",
        ),
        _set_case(*("17 rows", story.network, PassportSet(shared, (first,) * 17).encode()), "rows: more than 16 items"),
        _set_case("no passports", story.network, encode([]), "passports: not 6 items"),
    ]


def _flipped(data: bytes) -> bytes:
    return bytes([data[0] ^ 1]) + data[1:]


def _bad(good: Passport) -> list[tuple[str, bytes, str]]:
    """Changed passports: comment, bytes, reason."""
    score, cut, signatures = good.score, good.cut, good.signatures
    first = signatures[0]
    another = sign.sign(BOB.seed, b"another message")

    def with_cut(change: Callable[[CutStub], CutStub]) -> bytes:
        return replace(good, cut=change(cut)).encode()

    def with_first(changed: SignatureStub) -> bytes:
        return replace(good, signatures=(changed, *signatures[1:])).encode()

    def with_head(**changes: Any) -> bytes:
        return replace(good, score=replace(score, head=replace(score.head, **changes))).encode()

    no_signature = "a signature does not hold"
    return [
        ("another domain", good.encode().replace(b"passport/1", b"passport/2"), "not a p2pverify/passport/1"),
        ("a byte more", good.encode() + b"\x00", "trailing bytes"),
        (
            "another row",
            replace(good, score=replace(score, row=score.row + b"\x00")).encode(),
            "the row is not in the view",
        ),
        (
            "another place of the row",
            replace(good, score=replace(score, position=1)).encode(),
            "the row is not in the view",
        ),
        (
            "a path too short",
            replace(good, score=replace(score, path=score.path[1:])).encode(),
            "the row is not in the view",
        ),
        ("another epoch", with_head(epoch=score.head.epoch + 1), no_signature),
        ("another ledger root", with_head(ledger_root=bytes(32)), no_signature),
        ("another root of disputes", with_head(disputes=(0, bytes(32))), no_signature),
        (
            "a key with weight is left out, and its signature",
            replace(good, weighted=good.weighted[1:], signatures=signatures[1:]).encode(),
            "the keys are not those with weight in the view",
        ),
        (
            "keys out of order",
            replace(good, weighted=good.weighted[::-1]).encode(),
            "weighted are not sorted and distinct",
        ),
        (
            "fewer than two thirds",
            replace(good, signatures=signatures[:1]).encode(),
            f"1 of {len(good.weighted)} peers with weight signed: fewer than two thirds",
        ),
        ("one signature twice", with_first(signatures[1]), "signatures are not sorted and distinct"),
        (
            "a signature of no key with weight",
            replace(good, signatures=(*signatures[:-1], replace(signatures[-1], place=len(good.weighted)))).encode(),
            "a signature of no key with weight",
        ),
        ("a signature of another message", with_first(replace(first, signature=another)), no_signature),
        ("a signature with another number", with_first(replace(first, seq=first.seq + 1)), no_signature),
        ("a cut of another author", with_cut(lambda stub: replace(stub, author=CAROL.key)), no_signature),
        ("a cut on another base", with_cut(lambda stub: replace(stub, base=_flipped(stub.base))), no_signature),
        ("a cut with other heads", with_cut(lambda stub: replace(stub, heads=_flipped(stub.heads))), no_signature),
    ]


def cases() -> dict[Path, list[Case]]:
    story = folds.Story()
    found = []
    for comment, peer in (
        ("four peers: one that was convicted", sign.public_key(story.cheater)),
        ("four peers: one that convicted it", sign.public_key(story.honest[0])),
    ):
        passport = issue(story.book.fold, peer)
        assert passport is not None
        found.append(_case(comment, story.network, passport.encode()))
    tale = line_folds.told()
    for comment, seed in (
        ("six peers of a model with versions: one went back after a recall", tale.movers[0]),
        ("six peers of a model with versions: one is behind", tale.movers[1]),
    ):
        passport = issue(tale.book.fold, sign.public_key(seed))
        assert passport is not None
        found.append(_case(comment, tale.network, passport.encode()))
    good = example()
    assert len(first_state().members) == len(good.weighted)
    other = replace(NETWORK, name="another")
    return {
        Path("passport-request"): _wanted(),
        Path("passport-set"): _sets(story),
        Path("passport"): [
            _case("the example of the page", NETWORK, good.encode()),
            *found,
            _case("another network", other, good.encode(), "it is of another network"),
            _case("no passport", NETWORK, encode([]), "passport: not 8 items"),
            *(_case(comment, NETWORK, data, reason) for comment, data, reason in _bad(good)),
        ],
    }
