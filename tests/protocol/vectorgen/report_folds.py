"""Cases of the fold of reports: one dispute from the report to its decision, slander, digests alone, and a conviction.

Five founders of one class: the first reports, the second is reported, the other three have the seats.
"""

from pathlib import Path

from vectorgen.book import Book
from vectorgen.case import Case

from p2pverify.core.encoding import sign, vrf
from p2pverify.core.encoding.canon import sha256
from p2pverify.core.inference.question import Receipt, request_id, salted_digest
from p2pverify.core.records.envelope import Kind, Record
from p2pverify.core.records.payloads.audit import REPORT_SLOT
from p2pverify.core.records.payloads.lots import DisputeKey
from p2pverify.core.records.payloads.membership import Join
from p2pverify.core.records.payloads.report import AnswerReport, sealed_nonce
from p2pverify.core.records.payloads.vote import Commit, Vote, vote_commit
from tests.support.networks import make_network, seeds

PEERS = 5
RIGHT, WRONG = sha256(b"the answer of the class"), sha256(b"another answer")
#: Two lost disputes convict.
CONVICTION_ODDS = 1_000


class _Story:
    """The founders' records. `cuts` are the cases' cuts, by comment."""

    def __init__(self) -> None:
        self.seeds = seeds(PEERS, "reports")
        self.reporter, self.accused, *self.seats = self.seeds
        self.network = make_network(self.seeds, conviction_odds=CONVICTION_ODDS)
        self.book = Book(self.network)
        self.epoch = 1
        self.cuts: dict[str, Record] = {}
        for seed in self.seeds:
            self.book.say(seed, Kind.JOIN, Join(0, vrf.public_key(vrf.derive_seed(seed))).encode(), self.epoch)
        self.cut()

    def cut(self, comment: str = "") -> None:
        """A cut of the next epoch, which the reporter proposes and the seats sign with it."""
        self.epoch += 1
        made = self.book.step(self.reporter, self.epoch, (self.reporter, *self.seats))
        if comment:
            self.cuts[comment] = made

    def report(self, said: bytes, output: bytes | None = None) -> DisputeKey:
        """Report an answer of this epoch that has the digest `said`; the record is of the next one."""
        one, other = sign.public_key(self.reporter), sign.public_key(self.accused)
        network, at = self.network.id, self.epoch
        question, salt = sha256(b"question %d" % at), sha256(b"salt %d" % at)
        nonce = sealed_nonce(network, one, other, at, question, salt)
        request = request_id(network, one, other, question, nonce, at + 4)
        fields = (network, other, request, 0, salted_digest(request, other, 0, said), 3, 0, 1, 2)
        signature = sign.sign(self.accused, Receipt(*fields, bytes(64)).signed_bytes())
        receipt = Receipt(*fields, signature)
        found = AnswerReport(one, at, question, at + 4, other, nonce, salt, receipt, output)
        self.book.say(self.reporter, Kind.REPORT, found.encode(), at + 1)
        return DisputeKey(one, at, REPORT_SLOT)

    def seal(self, key: DisputeKey) -> None:
        cited = self.book.fold.latest.id
        for seed in self.seats:
            sealed = vote_commit(self.network.id, key, sign.public_key(seed), 0, RIGHT, _salt(seed))
            self.book.say(seed, Kind.VOTE_COMMIT, Commit(key, cited, sealed).encode(), self.epoch + 1)

    def vote(self, key: DisputeKey) -> None:
        """All steps of a vote but its last cut."""
        self.cut()
        self.seal(key)
        self.cut()
        self.open(key)

    def open(self, key: DisputeKey) -> None:
        cited = self.book.fold.latest.id
        for seed in self.seats:
            self.book.say(seed, Kind.VOTE, Vote(key, cited, 0, RIGHT, (_salt(seed),)).encode(), self.epoch + 1)

    def dissents(self) -> tuple[int, int]:
        """Of the reporter and the accused."""
        members = self.book.fold.latest.members
        one, other = (members[sign.public_key(seed)].dissents for seed in (self.reporter, self.accused))
        return one, other


def _salt(seed: bytes) -> bytes:
    return sha256(b"vote" + seed)


def _told() -> _Story:
    story = _Story()
    key = story.report(WRONG)
    story.cut("a report opens a dispute: all of the class but its parties have seats")
    story.seal(key)
    story.cut("all seats have sealed: the sealing closes")
    story.open(key)
    story.cut("all seats have opened: the responder has a dissent, and nobody an agreement")
    assert story.dissents() == (0, 1)
    story.report(WRONG, output=RIGHT)
    story.cut("a report with digests alone counts, and opens no dispute")
    assert story.dissents() == (0, 1)
    key = story.report(RIGHT)
    story.vote(key)
    story.cut("the reported answer was right: the reporter has a dissent")
    assert story.dissents() == (1, 1)
    key = story.report(WRONG)
    story.vote(key)
    story.cut("a second wrong answer that is reported convicts its responder")
    assert story.dissents() == (1, 2)
    assert story.book.fold.latest.members[sign.public_key(story.accused)].conviction == "lost disputes"
    return story


def cases() -> dict[Path, list[Case]]:
    story = _told()
    (first, opened), *others = story.cuts.items()
    known = (first, story.book.order)
    told = [story.book.case(comment, cut.id, like=known) for comment, cut in others]
    return {Path("fold/reports.json"): [story.book.case(first, opened.id), *told]}
