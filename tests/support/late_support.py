"""A cut beside the path convicts somebody, and gets the signature that makes it supported many cuts later.

Z signs two proposals that are not nested. The path takes in Z's signatures without the proposals, so they convict
nobody. A cut beside the path takes in all four, so it convicts Z. Two of seven members sign it at once.
"""

from p2pverify.core.encoding import sign, vrf
from p2pverify.core.records.envelope import Kind
from p2pverify.core.records.payloads.cut import CutSignature, Head
from p2pverify.core.records.payloads.membership import Join
from tests.support.book import Book
from tests.support.networks import make_network, seeds

MEMBERS = 7
#: Cuts of the path below those that conflict.
BEFORE = 5


class LateSupport:
    """The book of such a network. `convicts` says of the newest cut whether Z is convicted in it."""

    def __init__(self) -> None:
        self.seeds = seeds(MEMBERS, "late support")
        self.book = Book(make_network(self.seeds))
        for seed in self.seeds:
            self.book.say(seed, Kind.JOIN, Join(0, vrf.public_key(vrf.derive_seed(seed))).encode(), 0)
        for epoch in range(1, BEFORE + 1):
            self.go_on(epoch)
        self.liar, *others = self.seeds
        before = {seed: self._head(seed) for seed in self.seeds}
        epoch = BEFORE + 1
        for author, without in ((others[0], others[4]), (others[1], others[5])):
            heads = [before[seed] for seed in self.seeds if seed != without]
            proposed = self.book.certify(author, self.book.proposal(author, epoch, moved=self._moved(heads)), ())
            self._sign(self.liar, proposed.id, epoch)
        early = self._moved([before[seed] for seed in others] + [self._head(self.liar)])
        beside = self.book.proposal(others[3], epoch + 1, moved=self._moved([self._head(seed) for seed in self.seeds]))
        path = self.book.proposal(others[2], epoch + 1, moved=early)
        self.beside = self.book.certify(others[3], beside, others[3:5]).id
        self.book.certify(others[2], path, [seed for seed in self.seeds if seed not in others[3:5]])
        self.late = others[1]
        assert not self.convicts
        found = self.book.fold.state(self.beside)
        assert found is not None
        assert found.members[self._key(self.liar)].is_convicted

    @property
    def convicts(self) -> bool:
        return self.book.fold.latest.members[self._key(self.liar)].is_convicted

    def go_on(self, epoch: int) -> None:
        self.book.step(self.seeds[3], epoch, self.seeds)

    def support(self, gap: int) -> None:
        """Go on for so many cuts. Then one more member signs the cut beside the path, and the path takes that in."""
        epoch = self.book.fold.latest.epoch + 1
        for each in range(epoch, epoch + gap):
            self.go_on(each)
        self._sign(self.late, self.beside, epoch + gap)
        honest = [seed for seed in self.seeds if seed not in (self.liar, self.late)]
        for each in range(epoch + gap, epoch + gap + 2):
            self.book.step(self.seeds[3], each, honest)

    def _head(self, seed: bytes) -> Head:
        head = self.book.ledger.head(self._key(seed))
        assert head is not None
        return head

    def _moved(self, heads: list[Head]) -> tuple[Head, ...]:
        known = self.book.fold.latest.heads
        return tuple(sorted(head for head in heads if known.get(head[0]) != head))

    def _sign(self, seed: bytes, cut_id: bytes, epoch: int) -> None:
        self.book.say(seed, Kind.CUT_SIGNATURE, CutSignature(cut_id).encode(), epoch)

    @staticmethod
    def _key(seed: bytes) -> bytes:
        return sign.public_key(seed)
