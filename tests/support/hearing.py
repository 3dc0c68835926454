"""A dispute before a large electorate, cut by cut: the drawn committees, their seals, and their openings.

Records are written by hand and certified by all members. No answer is computed.
"""

from collections.abc import Iterable

from p2pverify.core.blind import committees, rounds
from p2pverify.core.blind.committees import EVERYONE
from p2pverify.core.encoding import sign, vrf
from p2pverify.core.encoding.canon import sha256
from p2pverify.core.inference.compare import Measures
from p2pverify.core.records.envelope import Kind
from p2pverify.core.records.payloads import lots
from p2pverify.core.records.payloads.lots import Lot
from p2pverify.core.records.payloads.objection import Objection
from p2pverify.core.records.payloads.vote import Commit, Vote, vote_commit
from p2pverify.core.state.state import State
from p2pverify.core.state.verdicts.notes import Dispute
from tests.support.across import BAD, CUT_EPOCH, GOOD, Slotted, Story

#: The measures of right and wrong votes are digests of these.
WORK = sha256(b"what the referee finds")


class Hearing:
    """A dispute across two classes. The first founder opens it over two wrong answers."""

    def __init__(self, voters: int, **changes: int) -> None:
        self.story = Story("ab" * (voters // 2) + "a" * (voters % 2), panel_size=2, **changes)
        self.challenger = self.story.seeds[0]
        self.slotted: Slotted = self.story.panel_slot(self.challenger)
        count = len(self.slotted.panel.targets)
        self.right: Measures = (BAD,) * count
        self.wrong: Measures = (GOOD,) * count
        self.epoch = CUT_EPOCH + 2
        self.story.disputed(self.slotted, self.right)

    # ------------------------------------------------------------ looking

    @property
    def state(self) -> State:
        return self.story.latest

    @property
    def dispute(self) -> Dispute:
        return self.state.disputes[self.slotted.key]

    @property
    def parties(self) -> set[bytes]:
        """Seeds of the challenger and of the peers whose answers are disputed."""
        return {seed for seed in self.story.seeds if sign.public_key(seed) in self.dispute.audit.parties}

    def lot(self, seed: bytes, *, stage: int | None = None, beacon: bytes | None = None) -> Lot:
        """A voter's lot for the current committee, low enough or not."""
        where = self.dispute.round.stage if stage is None else stage
        chosen = self.dispute.round.beacon if beacon is None else beacon
        own = vrf.derive_seed(seed)
        alpha = lots.lot_alpha(self.story.network.id, self.slotted.key, where, chosen)
        return Lot(where, chosen, vrf.public_key(own), vrf.prove(own, alpha))

    def drawn(self) -> list[bytes]:
        """Seeds of the peers whose lots are low enough, the lowest lot first."""
        dispute = self.dispute
        free = [seed for seed in self.story.seeds if sign.public_key(seed) in rounds.voters(dispute)]
        outputs = {seed: vrf.proof_to_beta(self.lot(seed).proof) for seed in free}
        low = [seed for seed in free if committees.is_drawn(outputs[seed], dispute.round.stage, dispute.round.voters)]
        return sorted(low, key=outputs.__getitem__)

    def dissents(self) -> set[bytes]:
        """Seeds of the peers that have lost."""
        return {seed for seed in self.story.seeds if self.story.member(seed).dissents}

    # ------------------------------------------------------------ going on

    def cut(self, count: int = 1) -> State:
        for _ in range(count):
            self.epoch += 1
            self.story.cut(self.epoch)
        return self.state

    def seal(self, seeds: Iterable[bytes], measures: Measures, *, work: bytes = WORK, lot: Lot | None = None) -> None:
        """Seal measures in the dispute's current stage. `lot` replaces every voter's own lot."""
        dispute = self.dispute
        for seed in seeds:
            own = None if dispute.round.stage == EVERYONE else self.lot(seed) if lot is None else lot
            made = self._commit(seed, measures, dispute.round.stage, work)
            self._say(seed, Kind.VOTE_COMMIT, Commit(self.slotted.key, self.state.id, made, own).encode())

    def _commit(self, seed: bytes, measures: Measures, stage: int, work: bytes) -> bytes:
        said = (
            self.story.class_of(seed),
            self.story.vote_output(self.slotted, measures),
            _salt(seed),
            self._shown(stage, work),
        )
        return vote_commit(self.story.network.id, self.slotted.key, sign.public_key(seed), *said)

    def open(self, seeds: Iterable[bytes], measures: Measures, *, work: bytes = WORK, stage: int | None = None) -> None:
        """Open measures that were sealed in the dispute's current stage, or in `stage`."""
        for seed in seeds:
            vote = Vote(
                self.slotted.key,
                self.state.id,
                self.story.class_of(seed),
                self.story.vote_output(self.slotted, measures),
                (_salt(seed),),
                measures,
                self._shown(self.dispute.round.stage if stage is None else stage, work),
            )
            self._say(seed, Kind.VOTE, vote.encode())

    def open_challenger(self) -> None:
        self.story.open_own(self.slotted, self.right, self.epoch + 1)

    def object(self, seeds: Iterable[bytes], measures: Measures, *, certificate: bytes | None = None) -> None:
        """Object with these measures to the decision."""
        work = lots.shown_work(self.story.network.id, self.slotted.key, lots.OBJECTION, WORK)
        for seed in seeds:
            objection = Objection(
                self.slotted.key,
                self.state.id if certificate is None else certificate,
                self.story.class_of(seed),
                self.story.vote_output(self.slotted, measures),
                measures,
                work,
            )
            self._say(seed, Kind.OBJECTION, objection.encode())

    def _shown(self, stage: int, work: bytes) -> bytes | None:
        if not rounds.is_informed(self.dispute, stage):
            return None
        return lots.shown_work(self.story.network.id, self.slotted.key, stage, work)

    def _say(self, seed: bytes, kind: Kind, payload: bytes) -> None:
        self.story.book.say(seed, kind, payload, self.epoch + 1)

    # ------------------------------------------------------------ whole stages

    def sit(self, measures: Measures, *, wrong: int = 0, absent: int = 0) -> list[bytes]:
        """Play a committee from its beginning until its answers are opened. Returns its seats, the lowest lot first.

        The first `wrong` seats give the wrong measures, and the last `absent` seats do not open.
        """
        self.cut()
        drawn = self.drawn()
        seats = drawn[: committees.COMMITTEES[self.dispute.round.stage].seats]
        liars = set(seats[:wrong])
        other = self.wrong if measures == self.right else self.right
        self.seal([seed for seed in drawn if seed not in liars], measures)
        self.seal(seats[:wrong], other)
        self.cut(rounds.SEAL_CUTS)
        assert {sign.public_key(seed) for seed in seats} == self.dispute.round.seats
        opening = seats[: len(seats) - absent]
        self.open([seed for seed in opening if seed not in liars], measures)
        self.open(seats[:wrong], other)
        self.cut()
        return seats


def _salt(seed: bytes) -> bytes:
    return sha256(b"hearing" + seed)
