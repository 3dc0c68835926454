"""Cases of the fold of money: what a cut pays, and which pledges, cheques and payments count.

Three founders of one class, with a line and a tariff. The slots of the first one are undisputed.
"""

from pathlib import Path

from vectorgen.book import Book
from vectorgen.case import Case

from p2pverify.core.encoding import sign, vrf
from p2pverify.core.encoding.canon import encode
from p2pverify.core.records.envelope import Kind, Record
from p2pverify.core.records.payloads.membership import Join
from p2pverify.core.records.payloads.settle.payment import Payment
from p2pverify.core.records.payloads.settle.pledge import PledgeOffer
from p2pverify.core.settle.books import account_rows
from tests.support.lines import with_line
from tests.support.money import CLIENT, cheque_of, with_tariff
from tests.support.networks import make_network, seeds

PEERS = 3
DEBTOR = sign.public_key(CLIENT)
UNTIL = 30


def _told() -> tuple[Book, dict[str, Record]]:
    """The book of all records, and the cuts of the cases by comment."""
    founders = seeds(PEERS, "money")
    one, two, three = founders
    book = Book(with_tariff(with_line(make_network(founders)), vest_epochs=3, limit=50_000))
    network = book.network.id
    keys = [sign.public_key(seed) for seed in founders]
    cuts: dict[str, Record] = {}

    def cut(epoch: int, comment: str = "") -> None:
        made = book.step(one, epoch, founders)
        assert book.fold.latest.books is not None
        assert sum(row.total for row in account_rows(book.fold.latest.books)) == 0
        if comment:
            cuts[comment] = made

    def cheque(seed: bytes, cumulative: int, count: int, epoch: int, *, until: int = UNTIL) -> None:
        creditor = sign.public_key(seed)
        book.say(seed, Kind.CHEQUE, cheque_of(network, creditor, cumulative, count, until=until).encode(), epoch)

    for seed in founders:
        book.say(seed, Kind.JOIN, Join(0, vrf.public_key(vrf.derive_seed(seed))).encode(), 1)
    cut(2)
    cheque(one, 900, 9, 2)
    cheque(one, 700, 7, 2)
    cheque(two, 5_000, 1, 2)
    book.say(three, Kind.PLEDGE, PledgeOffer(0, 20_000, 1, 2).encode(), 2)
    book.say(three, Kind.PLEDGE, PledgeOffer(0, 1, 1, 2).encode(), 2)
    book.say(two, Kind.PLEDGE, PledgeOffer(0, 20_000, 1, 3).encode(), 2)
    cut(3, "two cheques and a pledge count, and three records do not")
    book.say(one, Kind.PAYMENT, Payment(DEBTOR, 900, b"").encode(), 3)
    cheque(two, 6_000, 2, 3)
    cut(5, "what is in escrow cannot be paid yet")
    book.say(one, Kind.PAYMENT, Payment(DEBTOR, 800, b"transfer 17").encode(), 6)
    cut(7, "the first cheques have vested, and one of them is paid in part")
    book.say(one, Kind.PAYMENT, Payment(DEBTOR, 100, b"").encode(), 8)
    book.say(two, Kind.LEAVE, encode([]), 8)
    cheque(two, 7_000, 3, 8)
    cut(31, "a creditor that left gets no more; a series that is over and paid is forgotten")
    books = book.fold.latest.books
    assert books is not None
    assert set(books.claims) == {keys[1]}
    return book, cuts


def cases() -> dict[Path, list[Case]]:
    book, cuts = _told()
    (first, opened), *others = cuts.items()
    told = [book.case(comment, cut.id, like=(first, book.order)) for comment, cut in others]
    return {Path("fold/money.json"): [book.case(first, opened.id), *told]}
