"""Cases of the fold of data: data sets that count or not, an erasure, statements, and the end of an offer.

Three founders of one class. The first one is the owner.
"""

from pathlib import Path

from vectorgen.book import Book
from vectorgen.case import Case

from p2pverify.core.encoding import vrf
from p2pverify.core.encoding.canon import encode, sha256
from p2pverify.core.records.envelope import Kind, Record
from p2pverify.core.records.payloads.data import Erasure
from p2pverify.core.records.payloads.membership import Join
from tests.support.datasets import dataset_of, statement_of
from tests.support.lines import with_line
from tests.support.networks import make_network, seeds

PEERS = 3
ENDS = 6


def _told() -> tuple[Book, dict[str, Record]]:
    """The book of all records, and the cuts of the cases by comment."""
    founders = seeds(PEERS, "data")
    owner, other, third = founders
    book = Book(with_line(make_network(founders)))
    cuts: dict[str, Record] = {}

    def cut(epoch: int, comment: str = "") -> None:
        made = book.step(owner, epoch, founders)
        if comment:
            cuts[comment] = made

    for seed in founders:
        book.say(seed, Kind.JOIN, Join(0, vrf.public_key(vrf.derive_seed(seed))).encode(), 1)
    cut(2)
    first = book.say(owner, Kind.DATASET, dataset_of("first").encode(), 2)
    book.say(owner, Kind.DATASET, dataset_of("first", rows=9).encode(), 2)
    brief = book.say(other, Kind.DATASET, dataset_of("brief", until=ENDS).encode(), 2)
    cut(3, "two data sets count, and one of a root that is live does not")
    book.say(owner, Kind.ERASURE, Erasure(first.id, sha256(b"less"), 2, 1).encode(), 3)
    book.say(owner, Kind.ERASURE, Erasure(first.id, sha256(b"more"), 2, 1).encode(), 3)
    book.say(owner, Kind.ERASURE, Erasure(brief.id, sha256(b"less"), 0, 1).encode(), 3)
    book.say(third, Kind.STATEMENT, statement_of().encode(), 3)
    cut(4, "one erasure of three counts, and a statement")
    book.say(third, Kind.DATASET, dataset_of("late", until=ENDS - 1).encode(), 4)
    book.say(other, Kind.ERASURE, Erasure(brief.id, sha256(b"none"), 0, 2).encode(), 4)
    cut(5, "an offer that is over by the epoch of the cut does not count, and one without rows ends")
    book.say(third, Kind.LEAVE, encode([]), 5)
    book.say(third, Kind.DATASET, dataset_of("gone").encode(), 5)
    book.say(third, Kind.STATEMENT, statement_of("gone").encode(), 5)
    cut(7, "a member that left offers and states nothing")
    assert list(book.fold.latest.datasets) == [first.id]
    return book, cuts


def cases() -> dict[Path, list[Case]]:
    book, cuts = _told()
    (first, opened), *others = cuts.items()
    told = [book.case(comment, cut.id, like=(first, book.order)) for comment, cut in others]
    return {Path("fold/data.json"): [book.case(first, opened.id), *told]}
