"""Cases of the fold of amendments: words that count or not, a notice, and a cut with which the rules change.

Three founders of one class, whose network gives a notice of two epochs.
"""

from pathlib import Path

from vectorgen.book import Book
from vectorgen.case import Case

from p2pverify.core.contract.classes import DeterminismClass
from p2pverify.core.contract.rules.changes import ClassChange, ManifestChange
from p2pverify.core.encoding import vrf
from p2pverify.core.encoding.canon import sha256
from p2pverify.core.records.envelope import Kind, Record
from p2pverify.core.records.payloads.amendment import Amendment, Approval, Word
from p2pverify.core.records.payloads.membership import Join
from p2pverify.core.state.rules.notes import rules_of
from tests.support.amending import TEXT, param
from tests.support.networks import make_network, seeds

PEERS, NOTICE = 3, 2


def _told() -> tuple[Book, dict[str, Record]]:
    """The book of all records, and the cuts of the cases by comment."""
    founders = seeds(PEERS, "amended")
    one, two, three = founders
    book = Book(make_network(founders, notice_epochs=NOTICE))
    cuts: dict[str, Record] = {}

    def cut(epoch: int, comment: str = "") -> None:
        made = book.step(one, epoch, founders)
        if comment:
            cuts[comment] = made

    def propose(seed: bytes, epoch: int, *changes: object, features: int = 0, activation: int = 0) -> Record:
        root = rules_of(book.network, book.fold.latest.rules).root
        said = Amendment(root, changes, features, activation, epoch + 30, TEXT)  # type: ignore[arg-type]
        return book.say(seed, Kind.AMENDMENT, said.encode(), epoch)

    def say(seed: bytes, epoch: int, found: Record, word: Word) -> None:
        book.say(seed, Kind.APPROVAL, Approval(found.id, word).encode(), epoch)

    for seed in founders:
        book.say(seed, Kind.JOIN, Join(0, vrf.public_key(vrf.derive_seed(seed))).encode(), 1)
    cut(2)
    other = sha256(b"a later model")
    kind = DeterminismClass("later", other, "toy", "later", 1_000)
    first = propose(one, 2, param("slots_milli", 2_000), ManifestChange(other), ClassChange(kind))
    propose(one, 2, param("panel_size", 3))
    propose(two, 2, param("panel_size", 31))
    later = propose(two, 2, features=1 << 7)
    cut(3, "two amendments open: an author has one, and a change beyond the corridor is none")
    say(two, 3, first, Word.YES)
    say(one, 3, later, Word.YES)
    say(one, 3, later, Word.READY)
    cut(4, "two thirds approve one; of the other, too few can run it")
    say(two, 4, first, Word.NO)
    cut(5, "the approval is withdrawn, so the notice ends")
    say(two, 5, first, Word.YES)
    say(three, 5, first, Word.YES)
    cut(6)
    cut(7)
    cut(9, "the rules change with the first cut of the start or later, and the other amendment closes")
    say(one, 9, later, Word.YES)
    propose(three, 9, param("slots_milli", 4_000))
    cut(10, "no word counts about an amendment that is closed; another one is about the new rules")
    assert book.fold.latest.rules
    assert len(book.fold.latest.amendments) == 1
    return book, cuts


def cases() -> dict[Path, list[Case]]:
    book, cuts = _told()
    (first, opened), *others = cuts.items()
    told = [book.case(comment, cut.id, like=(first, book.order)) for comment, cut in others]
    return {Path("fold/amended.json"): [book.case(first, opened.id), *told]}
