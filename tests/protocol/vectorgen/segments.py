"""Cases of segments of an archive: whole files, and what is wrong with a file of which some items are others."""

from dataclasses import replace
from pathlib import Path

from vectorgen.case import Case, forged

from p2pverify.core.encoding import vrf
from p2pverify.core.proofs.archiving import Archiving
from p2pverify.core.records.envelope import Kind, decode_record
from p2pverify.core.records.payloads.cut import decode_cut_signature
from p2pverify.core.records.payloads.membership import Join
from tests.support.archives import SegmentParts, segments_of, shown_segment
from tests.support.book import Book
from tests.support.networks import make_network, seeds

WHOLE, LATER = "from the network itself", "from a cut"
CUTS = 9
#: An item, and the bytes in its place; none to leave it out.
Change = tuple[int, bytes | None]


def _segments() -> list[SegmentParts]:
    """Three founders, and two segments of a few cuts."""
    founders = seeds(3)
    book = Book(make_network(founders))
    for seed in founders:
        book.say(seed, Kind.JOIN, Join(0, vrf.public_key(vrf.derive_seed(seed))).encode(), 0)
    for epoch in range(1, CUTS + 1):
        book.step(founders[epoch % 3], epoch, founders)
    return segments_of(Archiving(book.fold), 6)


def _valid(comment: str, parts: SegmentParts) -> Case:
    expect = shown_segment(parts.file())
    return {"comment": comment, "input": {"segment": parts.file().hex()}, "expect": expect, "reason": None}


def _invalid(comment: str, of: str, parts: SegmentParts, reason: str, *changes: Change) -> Case:
    found = shown_segment(parts.changed(changes).file())
    assert found == reason, f"{comment}: {found}"
    items = [{"item": place, "bytes": None if data is None else data.hex()} for place, data in changes]
    return {"comment": comment, "input": {"of": of, "items": items}, "expect": "reject", "reason": reason}


def cases() -> dict[Path, list[Case]]:
    whole, later = _segments()
    header, first = later.header, 1 + later.header.states

    def at(place: int) -> bytes:
        return later.records[place]

    signs = [
        place
        for place, data in enumerate(later.records)
        if (record := decode_record(data)).kind == Kind.CUT_SIGNATURE
        and decode_cut_signature(record.payload).cut == header.last
    ]
    return {
        Path("segment"): [
            _valid(WHOLE, whole),
            _valid(LATER, later),
            _invalid("a record is missing", LATER, later, "a record before it is missing", (first + 3, None)),
            _invalid("a record comes twice", LATER, later, "known", (first + 3, at(2))),
            _invalid("a signature of nobody", LATER, later, "bad signature", (first, forged(decode_record(at(0))))),
            _invalid(
                *("a state in the place of a later one", LATER, later),
                "base: a state has not the root that its cut names",
                (4, later.states[2]),
            ),
            _invalid(
                *("the last cut is not certified", LATER, later),
                "the last cut has no certificate of two thirds of the weight",
                *((first + place, None) for place in range(len(later.records)) if place in _from(later, signs[1:])),
            ),
            _invalid(
                *("another root of the last state", LATER, later),
                "the state at the last cut has another root than the header says",
                (0, replace(header, last_root=bytes(32)).encode()),
            ),
            _invalid(
                *("another root of the first state", LATER, later),
                "the state at the first cut has another root than the header says",
                (0, replace(header, first_root=bytes(32)).encode()),
            ),
            _invalid(
                *("a last cut that is not in the file", LATER, later),
                "the last cut is not in the file",
                (0, replace(header, last=bytes(32)).encode()),
            ),
            _invalid(
                *("another network id", LATER, later),
                "the network definition is not that of the network id",
                (0, replace(header, network_id=bytes(32)).encode()),
            ),
        ]
    }


def _from(parts: SegmentParts, places: list[int]) -> set[int]:
    """The places of records, and of all later ones of their authors."""
    since = {decode_record(parts.records[place]).author: place for place in places}
    authors = [decode_record(data).author for data in parts.records]
    return {place for place, author in enumerate(authors) if place >= since.get(author, len(authors))}
