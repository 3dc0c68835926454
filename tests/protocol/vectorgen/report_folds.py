"""Cases of the fold of reports: one dispute from the report to its decision, slander, digests alone, and a conviction.

Five founders of one class: the first reports, the second is reported, the other three have the seats. A private report
is decided by them, and another one in a class of twelve, where nine of the ten seats are named first.
"""

from collections.abc import Sequence
from pathlib import Path

from vectorgen.book import Book
from vectorgen.case import Case

from p2pverify.core.encoding import box, sign, vrf
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
CROWD = 12
RIGHT, WRONG = sha256(b"the answer of the class"), sha256(b"another answer")
#: Two lost disputes convict.
CONVICTION_ODDS = 1_000
#: What late voters show; nobody checks that it follows from an answer.
WORK = sha256(b"the work of late voters")


class Story:
    """The founders' records. `cuts` are the cases' cuts, by comment."""

    def __init__(self, peers: int = PEERS) -> None:
        self.seeds = seeds(peers, "reports")
        self.reporter, self.accused, *self.seats = self.seeds
        self.network = make_network(self.seeds, conviction_odds=CONVICTION_ODDS)
        self.book = Book(self.network)
        self.epoch = 1
        self.cuts: dict[str, Record] = {}
        for seed in self.seeds:
            self.book.say(seed, Kind.JOIN, _join(seed), self.epoch)
        self.cut()

    def cut(self, comment: str = "") -> None:
        """A cut of the next epoch, which the reporter proposes and the seats sign with it."""
        self.epoch += 1
        made = self.book.step(self.reporter, self.epoch, (self.reporter, *self.seats))
        if comment:
            self.cuts[comment] = made

    def report(self, said: bytes, output: bytes | None = None, *, is_private: bool = False) -> DisputeKey:
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
        self.book.say(self.reporter, Kind.REPORT, (found.hidden if is_private else found).encode(), at + 1)
        return DisputeKey(one, at, REPORT_SLOT)

    def seal(self, key: DisputeKey, seats: Sequence[bytes] | None = None, shown: bytes | None = None) -> None:
        cited = self.book.fold.latest.id
        for seed in self.seats if seats is None else seats:
            sealed = vote_commit(self.network.id, key, sign.public_key(seed), 0, RIGHT, _salt(seed), shown)
            self.book.say(seed, Kind.VOTE_COMMIT, Commit(key, cited, sealed).encode(), self.epoch + 1)

    def vote(self, key: DisputeKey) -> None:
        """All steps of a vote but its last cut."""
        self.cut()
        self.seal(key)
        self.cut()
        self.open(key)

    def open(self, key: DisputeKey, seats: Sequence[bytes] | None = None, shown: bytes | None = None) -> None:
        cited = self.book.fold.latest.id
        for seed in self.seats if seats is None else seats:
            vote = Vote(key, cited, 0, RIGHT, (_salt(seed),), (), shown)
            self.book.say(seed, Kind.VOTE, vote.encode(), self.epoch + 1)

    def dissents(self) -> tuple[int, int]:
        """Of the reporter and the accused."""
        members = self.book.fold.latest.members
        one, other = (members[sign.public_key(seed)].dissents for seed in (self.reporter, self.accused))
        return one, other


def _join(seed: bytes) -> bytes:
    box_key = box.public_key(box.derive_secret(seed))
    return Join(0, vrf.public_key(vrf.derive_seed(seed)), "", box_key).encode()


def _salt(seed: bytes) -> bytes:
    return sha256(b"vote" + seed)


def _told() -> Story:
    story = Story()
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


def _told_privately() -> Story:
    """Twelve founders: first the nine named seats decide, and then one of them is away, so that all ten vote."""
    story = Story(CROWD)
    key = story.report(WRONG, is_private=True)
    story.cut("a private report opens a dispute: nine of ten seats are named")
    story.seal(key)
    story.cut()
    nine = [seed for seed in story.seats if sign.public_key(seed) in story.book.fold.latest.disputes[key].shown_to]
    story.open(key, nine)
    story.cut()
    assert story.dissents() == (0, 0)
    for _ in range(2):
        story.cut()
    story.cut("the nine decided, and three cuts later this takes effect; the seal of the tenth seat did not count")
    assert story.dissents() == (0, 1)
    key = story.report(WRONG, is_private=True)
    story.cut()
    named = story.book.fold.latest.disputes[key].shown_to
    nine = [seed for seed in story.seats if sign.public_key(seed) in named]
    rest = [seed for seed in story.seats if seed not in nine]
    story.seal(key, nine[1:])
    for _ in range(2):
        story.cut()
    story.cut()
    assert story.book.fold.latest.disputes[key].shown_to == frozenset(map(sign.public_key, story.seats))
    story.seal(key, rest, WORK)
    story.cut()
    for _ in range(2):
        story.cut()
    story.open(key, nine[1:])
    story.open(key, rest, WORK)
    story.cut("one of the nine was away: nine of all ten seats decide, and the second lost dispute convicts")
    assert story.dissents() == (0, 2)
    return story


def cases() -> dict[Path, list[Case]]:
    return {Path("fold/reports.json"): _cases(_told()), Path("fold/private.json"): _cases(_told_privately())}


def _cases(story: Story) -> list[Case]:
    (first, opened), *others = story.cuts.items()
    known = (first, story.book.order)
    told = [story.book.case(comment, cut.id, like=known) for comment, cut in others]
    return [story.book.case(first, opened.id), *told]
