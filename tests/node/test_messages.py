"""Batches, frontiers and pages: limits, strictness, and what a page holds."""

import re
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from p2pverify.core import sign
from p2pverify.core.canon import encode
from p2pverify.core.errors import DecodeError, GossipIgnore
from p2pverify.core.ledger import Ledger
from p2pverify.core.records import NO_PREV, Kind, Record, decode_record, make_record
from p2pverify.node import messages
from p2pverify.node.messages import (
    BATCH_BYTES_MAX,
    BATCH_RECORDS_MAX,
    FRONTIER_AUTHORS_MAX,
    FRONTIER_BYTES_MAX,
    PAGE_BYTES_MAX,
    PAGE_RECORDS_MAX,
    Frontier,
    Page,
    decode_batch,
    decode_frontier,
    decode_page,
    encode_batches,
    encode_frontier,
    encode_page,
    missing,
    next_page,
)

ID = b"n" * 32
SEEDS = sorted((bytes([n]) * 32 for n in range(1, 5)), key=sign.public_key)


@dataclass
class Author:
    """Writes records one after the other."""

    seed: bytes
    records: list[Record] = field(default_factory=list)

    def write(self, count: int, *, size: int = 1, salt: bytes = b"") -> list[Record]:
        for _ in range(count):
            before = self.records[-1] if self.records else None
            self.records.append(
                make_record(
                    self.seed,
                    sign.public_key(self.seed),
                    ID,
                    epoch=0,
                    seq=len(self.records),
                    prev=NO_PREV if before is None else before.id,
                    kind=Kind.LEAVE,
                    payload=encode([salt, bytes(size)]),
                )
            )
        return self.records

    def branch(self, at: int) -> "Author":
        return Author(self.seed, self.records[:at])


def ledger_of(*chains: list[Record]) -> Ledger:
    ledger = Ledger()
    for chain in chains:
        for record in chain:
            if record not in ledger:
                take(ledger, record)
    return ledger


def take(ledger: Ledger, record: Record) -> bool:
    try:
        return bool(ledger.add(record))
    except GossipIgnore:
        return False


@given(st.lists(st.binary(min_size=1, max_size=65_536).map(lambda b: b * (65_536 // len(b))), max_size=3))
@settings(max_examples=20)
def test_batches_keep_order_and_limits(big):
    """All records come through in order, and no message is beyond its limits."""
    records = [bytes([n]) * 100 for n in range(40)] + big
    found = []
    for message in encode_batches(records):
        assert len(message) <= BATCH_BYTES_MAX
        batch = decode_batch(message)
        assert 1 <= len(batch) <= BATCH_RECORDS_MAX
        found += batch
    assert found == records


@given(st.binary(max_size=300))
def test_any_bytes_are_read_or_refused(data):
    """The three decoders return a value or raise DecodeError, whatever comes."""
    for decode in (decode_batch, decode_frontier, decode_page):
        with suppress(DecodeError):
            decode(data)


def test_the_page_of_the_protocol_is_true():
    """The examples of protocol/catchup.md are a frontier of one head, and the page with that head's record."""
    text = (Path(__file__).parents[2] / "protocol" / "catchup.md").read_text(encoding="utf-8")
    blocks = re.findall(r"```hex\n(.*?)```", text, re.DOTALL)
    frontier, page = (bytes.fromhex("".join(block.split())) for block in blocks)
    (head,) = decode_frontier(frontier).heads
    (data,) = decode_page(page).records
    record = decode_record(data)
    assert record.is_signed()
    assert (record.author, record.seq, record.id) == head
    ledger = ledger_of([record])
    assert encode_frontier(Frontier(record.header.network, ledger.heads())) == frontier
    assert encode_page(next_page(ledger, ())) == page


def test_frontiers_are_sorted_and_bounded():
    """Heads out of order or of one author twice are refused; a full frontier fits its frame."""
    heads = tuple((n.to_bytes(32, "big"), 2**40, bytes(32)) for n in range(FRONTIER_AUTHORS_MAX + 1))
    data = encode_frontier(Frontier(ID, heads))
    assert len(data) <= FRONTIER_BYTES_MAX
    assert decode_frontier(data).heads == heads[:-1]
    for bad in (heads[1::-1], (heads[0], heads[0])):
        with pytest.raises(DecodeError, match="sorted"):
            decode_frontier(encode_frontier(Frontier(ID, bad)))


def test_pages_are_bounded_by_number_and_by_bytes():
    """A page is cut at its limits and says that there is more."""
    small = Author(SEEDS[0])
    page = next_page(ledger_of(small.write(PAGE_RECORDS_MAX + 1)), ())
    assert (page.more, len(page.records)) == (True, PAGE_RECORDS_MAX)
    big = Author(SEEDS[1])
    page = next_page(ledger_of(big.write(12, size=60_000)), ())
    assert page.more
    assert len(encode_page(page)) <= PAGE_BYTES_MAX
    assert decode_page(encode_page(page)) == page


def test_pages_bring_an_empty_ledger_up_to_date():
    """Page by page a newcomer gets everything, each record once."""
    authors = [Author(seed) for seed in SEEDS]
    full = ledger_of(*(author.write(300) for author in authors))
    mine, rounds, sent = Ledger(), 0, 0
    while True:
        page = next_page(full, mine.heads())
        sent += len(page.records)
        by_data = {record.data: record for author in authors for record in author.records}
        for data in page.records:
            assert take(mine, by_data[data])
        rounds += 1
        if not page.more:
            break
    assert mine.heads() == full.heads()
    assert (rounds, sent) == (3, 1200)
    assert next_page(full, mine.heads()) == Page(False, ())


def test_a_peer_that_is_ahead_gets_nothing():
    """Who holds more than we do lacks nothing of ours."""
    author = Author(SEEDS[0])
    author.write(5)
    ours = ledger_of(author.records[:3])
    assert list(missing(ours, ledger_of(author.records).heads())) == []


def test_both_sides_of_a_fork_are_exchanged():
    """Peers that follow different branches of one author get the other's, from where they part."""
    trunk = Author(SEEDS[0])
    trunk.write(4)
    left, right = trunk.branch(3), trunk.branch(3)
    left.write(3, salt=b"left")
    right.write(1, salt=b"right")
    mine, theirs = ledger_of(left.records), ledger_of(right.records)
    for record in list(missing(mine, theirs.heads())):
        take(theirs, record)
    assert all(record.id in theirs for record in left.records)
    sent = list(missing(theirs, mine.heads()))
    assert sent == right.records[3:]  # the other side's head is known by now, so only the difference travels


def test_a_fork_cannot_hold_up_other_records(monkeypatch):
    """Records beside a fork come after all others."""
    monkeypatch.setattr(messages, "PAGE_RECORDS_MAX", 10)
    forker, honest = Author(SEEDS[0]), Author(SEEDS[1])
    other = forker.branch(0)
    forker.write(50, salt=b"one")
    other.write(50, salt=b"two")
    page = next_page(ledger_of(forker.records, honest.write(10)), ledger_of(other.records).heads())
    assert list(page.records) == [record.data for record in honest.records]
    assert page.more
