"""Segments of an archive: anybody's are the same bytes, each holds alone, and whatever is changed is found."""

import io
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise

import pytest

from p2pverify.core.encoding import vrf
from p2pverify.core.errors import DecodeError
from p2pverify.core.proofs.archiving import Archiving
from p2pverify.core.proofs.auditing import NO_SEGMENT, join_fault
from p2pverify.core.proofs.segment import decode_segment_header
from p2pverify.core.records.envelope import Kind, decode_record
from p2pverify.core.records.payloads.cut import decode_cut_signature
from p2pverify.core.records.payloads.membership import Join
from p2pverify.core.replica import load
from p2pverify.core.replica.horizon import HORIZON_CUTS, PRUNE_CUTS
from p2pverify.core.replica.ledger import Ledger
from p2pverify.core.replica.verify import VerificationFailed
from p2pverify.core.state.codec.roots import state_root
from p2pverify.core.state.memory import NEAR_CARRY
from p2pverify.core.state.view import view_root
from p2pverify.store.archive.segmentfile import read_segment
from p2pverify.store.errors import ExportError
from p2pverify.testnet.world import World
from tests.support.archives import SegmentParts, flipped, read_back, replaced, segments_of, without
from tests.support.book import Book
from tests.support.networks import make_network, seeds
from tests.support.started import WatchedFold, base_at, folded, started
from tests.support.worlds import make_world

EPOCHS = 5
Change = Callable[[SegmentParts], SegmentParts]


@pytest.fixture(scope="module")
def world() -> World:
    """Seven founders, of whom one forks its log and one says two things."""
    world = make_world(7, seed=4, kinds={0: "forker", 1: "equivocator"}, fork_epochs=4)
    world.run_epochs(17)
    return world


def fold_of(world: World, number: int) -> WatchedFold:
    return folded(world.network, list(world.peers[number].machine.context.ledger.records()))


@pytest.fixture(scope="module")
def full(world: World) -> WatchedFold:
    return fold_of(world, 6)


@pytest.fixture(scope="module")
def segments(full: WatchedFold) -> list[SegmentParts]:
    found = segments_of(Archiving(full), EPOCHS)
    assert len(found) > 3
    return found


def test_each_segment_holds_alone(full: WatchedFold, segments: list[SegmentParts]) -> None:
    """Its last state is that of a fold of all records, and its epochs are those of its cuts."""
    for parts in segments:
        audited = parts.audit()
        state, known = audited.fold.state(parts.header.last), full.found[parts.header.last]
        assert state is not None
        assert known == (state_root(full.network_id, state), view_root(full.network, state))
        assert audited.records == len(parts.records)
        assert audited.first_epoch < audited.last_epoch
    assert sum(parts.audit().cuts for parts in segments) == full.latest.index - 1


def test_segments_join(segments: list[SegmentParts]) -> None:
    for before, parts in pairwise(segments):
        digest = read_back(before.file())[1]
        assert join_fault(parts.header, before.header, digest) is None
        assert join_fault(replace(parts.header, before=NO_SEGMENT), before.header, digest) is None
        assert "another segment" in (join_fault(parts.header, before.header, bytes(31) + b"x") or "")
    assert "another one" in (join_fault(segments[2].header, segments[0].header, NO_SEGMENT) or "")


def test_everybody_writes_the_same_bytes(world: World, segments: list[SegmentParts]) -> None:
    """The records came to another peer in another order, and it has other records beside the path."""
    files = [parts.file() for parts in segments[:-1]]
    for number in (2, 3):
        archiving = Archiving(fold_of(world, number))
        last = archiving.path.index(segments[-2].header.last)
        assert [parts.file() for parts in segments_of(archiving, EPOCHS, last=last)] == files


def test_a_ledger_that_begins_at_a_base_writes_the_later_segments(
    full: WatchedFold, segments: list[SegmentParts]
) -> None:
    """It cannot write the earlier ones."""
    path = Archiving(full).path
    at = path.index(segments[1].header.first)
    records = sorted(full.ledger.records(), key=lambda record: (record.epoch, record.author, record.seq))
    pruned = started(full, path[: at + 1], records)
    archiving = Archiving(pruned, base_at(full, path[: at + 1]))
    assert not archiving.has_beginning
    assert archiving.first == NEAR_CARRY
    written = segments_of(archiving, EPOCHS)
    assert written[0].header.before == NO_SEGMENT
    assert [replace(parts.header, before=NO_SEGMENT) for parts in written] == [
        replace(parts.header, before=NO_SEGMENT) for parts in segments[1:]
    ]
    assert [parts.records for parts in written] == [parts.records for parts in segments[1:]]


def _header(**changes: object) -> Change:
    return lambda parts: replace(parts, header=replace(parts.header, **changes))  # type: ignore[arg-type]


def _place_of(parts: SegmentParts, kind: Kind) -> int:
    """The place of the last record of a kind."""
    return max(place for place, data in enumerate(parts.records) if decode_record(data).kind == kind)


FALSE: dict[str, tuple[Change, str]] = {
    "a state is changed": (
        lambda parts: replace(parts, states=replaced(parts.states, -1, flipped(parts.states[-1], -40))),
        "a state has not the root that its cut names",
    ),
    "a state is another one": (
        lambda parts: replace(parts, states=replaced(parts.states, -1, parts.states[-2])),
        "a state has not the root that its cut names",
    ),
    "the states are in another order": (
        lambda parts: replace(parts, states=parts.states[::-1]),
        "a state has not the root that its cut names",
    ),
    "a record is changed": (
        lambda parts: replace(parts, records=replaced(parts.records, 20, flipped(parts.records[20], -1))),
        "malformed record",
    ),
    "a signature is another one": (
        lambda parts: replace(parts, records=replaced(parts.records, 20, _with_signature(parts.records[20]))),
        "bad signature",
    ),
    "a record is missing": (
        lambda parts: replace(parts, records=without(parts.records, 20)),
        "a record before it is missing",
    ),
    "the signatures of the last cut are missing": (
        lambda parts: replace(parts, records=parts.records[: _place_of(parts, Kind.CUT)]),
        "the last cut",
    ),
    "a record comes twice": (
        lambda parts: replace(parts, records=(*parts.records[:21], *parts.records[20:])),
        "known",
    ),
    "records are in another order": (
        lambda parts: replace(parts, records=(parts.records[21], parts.records[20], *parts.records[22:])),
        "a record before it is missing",
    ),
    "the last cut is not there": (_header(last=bytes(32)), "the last cut is not in the file"),
    "the first root is another one": (_header(first_root=bytes(32)), "the state at the first cut has another root"),
    "the last root is another one": (_header(last_root=bytes(32)), "the state at the last cut has another root"),
    "the first cut is another one": (_header(first=bytes(32)), "the first cut is not the last one at its beginning"),
    "the network is another one": (
        _header(network_id=bytes(32)),
        "the network definition is not that of the network id",
    ),
    "a cut at the beginning is another record": (
        lambda parts: replace(parts, header=replace(parts.header, cuts=(parts.records[0], *parts.header.cuts[1:]))),
        "a record at its beginning is no cut",
    ),
    "a cut at the beginning is missing": (
        lambda parts: replace(parts, header=replace(parts.header, cuts=parts.header.cuts[1:]), states=parts.states[1:]),
        "too few states",
    ),
}


def _with_signature(data: bytes) -> bytes:
    """The record with the signature of nobody."""
    record = decode_record(data)
    return data.replace(record.signature, bytes(64))


@pytest.mark.parametrize("name", FALSE)
def test_what_is_changed_is_found(segments: list[SegmentParts], name: str) -> None:
    change, reason = FALSE[name]
    with pytest.raises(VerificationFailed) as caught:
        change(segments[2]).audit()
    assert reason in caught.value.reason


@pytest.mark.parametrize("count", [3, 7])
def test_a_certificate_of_too_few_is_found(segments: list[SegmentParts], count: int) -> None:
    """The logs of three or all of seven members end before their signatures of the last cut."""
    parts, kept, gone = segments[2], list[bytes](), set[bytes]()
    for data in parts.records:
        record = decode_record(data)
        signs = record.kind == Kind.CUT_SIGNATURE and decode_cut_signature(record.payload).cut == parts.header.last
        if signs and len(gone) < count:
            gone.add(record.author)
        if record.author not in gone:
            kept.append(data)
    with pytest.raises(VerificationFailed, match="no certificate of two thirds of the weight"):
        replace(parts, records=tuple(kept)).audit()


def test_every_truncation_and_every_changed_byte_is_found(segments: list[SegmentParts]) -> None:
    """Truncations and changed bytes at a sample of places of the file."""
    file = segments[1].file()
    for place in range(1, len(file), 997):
        with pytest.raises(ExportError):
            read_back(file[:place])
        with pytest.raises(ExportError):
            read_back(flipped(file, place))
    with pytest.raises(ExportError, match="something follows the trailer"):
        read_back(file + b"\0")


def test_a_header_has_one_form(segments: list[SegmentParts]) -> None:
    for parts in segments:
        data = parts.header.encode()
        assert decode_segment_header(data) == parts.header
        for bad in (data[:-1], data + b"\0", data.replace(b"segment/1", b"segment/2")):
            with pytest.raises(DecodeError):
                decode_segment_header(bad)
    first = segments[0].header
    with pytest.raises(DecodeError, match="not the cuts with which a segment begins"):
        decode_segment_header(replace(first, cuts=segments[1].header.cuts).encode())


def test_a_file_is_read_once_and_in_pieces(segments: list[SegmentParts]) -> None:
    opened = read_segment(io.BytesIO(segments[0].file()))
    assert opened.sha256 == b""
    assert len(list(opened.records())) == len(segments[0].records)
    assert opened.sha256 == segments[1].header.before


def test_nothing_is_written_of_a_path_without_cuts(world: World) -> None:
    archiving = Archiving(WatchedFold(world.network, Ledger()))
    assert archiving.newest < 0


def test_an_audit_forgets_like_a_pruned_node(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a segment of 200 cuts the fold holds the records of the newest ones."""
    monkeypatch.setattr(load, "SETTLE_EVERY", 64)
    founders = seeds(3)
    book = Book(make_network(founders))
    for seed in founders:
        book.say(seed, Kind.JOIN, Join(0, vrf.public_key(vrf.derive_seed(seed))).encode(), 0)
    for epoch in range(1, 203):
        book.step(founders[epoch % 3], epoch, founders)
    whole, later = segments_of(Archiving(book.fold), 1000), segments_of(Archiving(book.fold), 30)
    assert (len(whole), len(later)) == (1, 7)
    audited = whole[0].audit()
    assert audited.cuts == 201
    cuts_held = sum(record.kind == Kind.CUT for record in audited.fold.ledger.records())
    assert HORIZON_CUTS <= cuts_held < HORIZON_CUTS + 2 * PRUNE_CUTS
    assert later[-1].audit().cuts == 22
