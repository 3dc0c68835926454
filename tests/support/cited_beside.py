"""Two certified cuts on one base. The second one contains the first, so the path goes on from it, and records cite the
first one, which is beside the path.
"""

from collections.abc import Sequence

from p2pverify.core.contract import sortition
from p2pverify.core.encoding import sign, vrf
from p2pverify.core.records.envelope import Kind, Record
from p2pverify.core.records.payloads.cut import Cut, CutSignature
from p2pverify.core.records.payloads.duty import Duty
from p2pverify.core.records.payloads.membership import Join
from tests.support.book import Book
from tests.support.networks import make_network, seeds

MEMBERS = 5
#: Cuts of the path below the two.
BELOW = 5


class CitedBeside:
    """The book of such a network. The duty of one member has the cut beside the path as its anchor."""

    def __init__(self) -> None:
        self.seeds = seeds(MEMBERS, "cited beside")
        self.book = Book(make_network(self.seeds))
        for seed in self.seeds:
            self.book.say(seed, Kind.JOIN, Join(0, vrf.public_key(vrf.derive_seed(seed))).encode(), 0)
        for epoch in range(1, BELOW + 1):
            self.go_on(epoch)
        base, epoch = self.book.fold.latest, BELOW + 1
        small = self.book.certify(self.seeds[1], self.book.proposal(self.seeds[1], epoch), ())
        said = CutSignature(small.id).encode()
        signed = [self.book.say(each, Kind.CUT_SIGNATURE, said, epoch) for each in self.seeds]
        self.beside = small.id
        assert self.book.fold.latest.id == self.beside
        large = self._proposal_without(signed, epoch + 1)
        assert large.base == base.id
        path = self.book.certify(self.seeds[0], large, self.seeds)
        assert self.book.fold.latest.id == path.id
        for each in range(epoch + 2, epoch + 4):
            self.go_on(each)
        assert self.book.fold.is_certified(self.beside)
        assert self.beside not in self.book.fold.latest.path

    def _proposal_without(self, signed: Sequence[Record], epoch: int) -> Cut:
        """The proposal of a member that holds some signatures, but has not looked at them yet."""
        other = Book(self.book.network, [record for record in self.book.order if record not in signed])
        for record in signed:
            other.ledger.add(record)
        return other.proposal(self.seeds[0], epoch)

    @property
    def duties_met(self) -> int:
        return self.book.fold.latest.members[sign.public_key(self.seeds[2])].duties_met

    def go_on(self, epoch: int) -> None:
        self.book.step(self.seeds[3], epoch, self.seeds)

    def cite(self, gap: int) -> None:
        """Go on for so many cuts, and then write the duty of the epoch after the cut beside the path."""
        for _ in range(gap):
            self.go_on(self.book.fold.latest.epoch + 1)
        seed, anchor = self.seeds[2], self.book.fold.state(self.beside)
        assert anchor is not None
        own, at = vrf.derive_seed(seed), anchor.epoch + 1
        proof = vrf.prove(own, sortition.duty_alpha(self.book.network.id, at, anchor.beacon))
        duty = Duty(at, anchor.id, anchor.beacon, vrf.public_key(own), proof, ())
        self.book.say(seed, Kind.DUTY, duty.encode(), self.book.fold.latest.epoch)
        for _ in range(2):
            self.go_on(self.book.fold.latest.epoch + 1)
