"""What nodes say to each other beside requests: batches of records by gossip, and the pages of catch-up.

Only bytes and their limits, see `protocol/catchup.md`; whether a record deserves to be taken is judged by the
machine.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from p2pverify.core.canon import as_array, as_bool, as_bytes, as_uint, decode, encode
from p2pverify.core.errors import DecodeError
from p2pverify.core.ledger import Ledger
from p2pverify.core.records import RECORD_BYTES_MAX, SEQ_MAX, Head, Record

FRONTIER = "p2pverify/frontier/1"
PAGE = "p2pverify/page/1"

BATCH_RECORDS_MAX = 16
BATCH_BYTES_MAX = 128 * 1024
FRONTIER_AUTHORS_MAX = 3072
FRONTIER_BYTES_MAX = 256 * 1024
PAGE_RECORDS_MAX = 512
PAGE_BYTES_MAX = 512 * 1024
_ITEM_HEAD_BYTES = 5  # a byte string's length, at most
_FRAME_HEAD_BYTES = 32  # array heads, domain and flag
#: How far back a branch is offered to a peer whose own branch is unknown here.
BRANCH_RECORDS_MAX = 256

# ---------------------------------------------------------------- gossip


def encode_batches(records: Iterable[bytes]) -> Iterator[bytes]:
    """Gossip messages that hold these records, in order: each a canonical array of byte strings."""
    batch: list[bytes] = []
    size = 1
    for record in records:
        cost = len(record) + _ITEM_HEAD_BYTES
        if batch and (len(batch) == BATCH_RECORDS_MAX or size + cost > BATCH_BYTES_MAX):
            yield encode(batch)
            batch, size = [], 1
        batch.append(record)
        size += cost
    if batch:
        yield encode(batch)


def decode_batch(message: bytes) -> tuple[bytes, ...]:
    """The records' bytes in a gossip message. Raises DecodeError."""
    items = as_array(decode(message, size_max=BATCH_BYTES_MAX, depth_max=1), "batch", length_max=BATCH_RECORDS_MAX)
    if not items:
        raise DecodeError("an empty batch")
    return tuple(as_bytes(item, "record", size_max=RECORD_BYTES_MAX) for item in items)


# ---------------------------------------------------------------- catch-up


@dataclass(frozen=True, slots=True)
class Frontier:
    """What a peer holds: the head of every author that it knows, sorted by author."""

    network: bytes
    heads: tuple[Head, ...]


@dataclass(frozen=True, slots=True)
class Page:
    """Records that the holder of a frontier lacks, and whether there are more."""

    more: bool
    records: tuple[bytes, ...]


def encode_frontier(frontier: Frontier) -> bytes:
    """Bytes of a frontier; of more than FRONTIER_AUTHORS_MAX authors the first."""
    heads = [list(head) for head in frontier.heads[:FRONTIER_AUTHORS_MAX]]
    return encode([FRONTIER, frontier.network, heads])


def decode_frontier(data: bytes) -> Frontier:
    """Read a frontier. Raises DecodeError."""
    top = as_array(decode(data, size_max=FRONTIER_BYTES_MAX, depth_max=3), "frontier", length=3)
    if top[0] != FRONTIER:
        raise DecodeError("not a frontier")
    heads = []
    for item in as_array(top[2], "heads", length_max=FRONTIER_AUTHORS_MAX):
        author, seq, record = as_array(item, "head", length=3)
        heads.append(
            (
                as_bytes(author, "author", size=32),
                as_uint(seq, "seq", SEQ_MAX),
                as_bytes(record, "head id", size=32),
            )
        )
    authors = [head[0] for head in heads]
    if authors != sorted(set(authors)):
        raise DecodeError("heads are not sorted by distinct authors")
    return Frontier(as_bytes(top[1], "network", size=32), tuple(heads))


def encode_page(page: Page) -> bytes:
    return encode([PAGE, page.more, list(page.records)])


def decode_page(data: bytes) -> Page:
    """Read a page. Raises DecodeError."""
    top = as_array(decode(data, size_max=PAGE_BYTES_MAX, depth_max=2), "page", length=3)
    if top[0] != PAGE:
        raise DecodeError("not a page")
    records = as_array(top[2], "records", length_max=PAGE_RECORDS_MAX)
    return Page(
        as_bool(top[1], "more"),
        tuple(as_bytes(item, "record", size_max=RECORD_BYTES_MAX) for item in records),
    )


def next_page(ledger: Ledger, theirs: Iterable[Head]) -> Page:
    """The first records that the holder of these heads lacks, within a page's limits."""
    records: list[bytes] = []
    size = _FRAME_HEAD_BYTES
    for record in missing(ledger, theirs):
        cost = len(record.data) + _ITEM_HEAD_BYTES
        if len(records) == PAGE_RECORDS_MAX or size + cost > PAGE_BYTES_MAX:
            return Page(True, tuple(records))
        records.append(record.data)
        size += cost
    return Page(False, tuple(records))


def missing(ledger: Ledger, theirs: Iterable[Head]) -> Iterator[Record]:
    """Records that the holder of these heads lacks: first what continues its chains, then our side of forks.

    Forks come last, so that an author who forks its log cannot hold up the records of others.
    """
    counts: dict[bytes, int] = {}
    apart: list[Head] = []
    for head in theirs:
        author, seq, record_id = head
        ours = ledger.head(author)
        if ours is not None and ours[1] >= seq and ledger.ancestor(ours, seq) == record_id:
            counts[author] = seq + 1
        else:
            counts[author] = SEQ_MAX + 1  # nothing: they are ahead, or on another branch
            if ours is not None and (ours[1] >= seq or record_id in ledger):
                apart.append(head)
    yield from ledger.missing_from(counts)
    for head in apart:
        yield from ledger.chain_from(head[0], _fork_point(ledger, head))


def _fork_point(ledger: Ledger, theirs: Head) -> int:
    """The number from which our chain differs from another branch; a guess if we do not hold that one."""
    author, seq, record_id = theirs
    ours = ledger.head(author)
    assert ours is not None
    record = ledger.get(record_id)
    if record is None or record.author != author or record.seq != seq:
        return max(0, seq - BRANCH_RECORDS_MAX)
    while record.seq > ours[1] or ledger.ancestor(ours, record.seq) != record.id:
        if record.seq == 0:
            return 0
        record = ledger.get(record.header.prev)
        assert record is not None  # the ledger holds whole prefixes
    return record.seq + 1
