"""A machine in a committee: it works only if it is drawn, seals once, and opens its seal if it has a seat."""

from collections import Counter

from p2pverify.core.blind import rounds
from p2pverify.core.blind.committees import COMMITTEES
from p2pverify.core.contract.output import Output
from p2pverify.core.encoding import sign
from p2pverify.core.events import (
    Compute,
    Computed,
    Event,
    FetchEvidence,
    MeasureDone,
    MeasureJob,
    Publish,
    RecordsArrived,
    ResponseArrived,
    Tick,
)
from p2pverify.core.machine import Machine
from p2pverify.core.records.envelope import Kind, Record, decode_record
from p2pverify.core.records.payloads.vote import decode_commit, decode_vote
from p2pverify.core.roles.disputes.evidence import encode_evidence
from tests.support.across import COUNT
from tests.support.hearing import Hearing
from tests.support.networks import MANIFEST

VOTERS = 40
#: The answer of every responder of the hearing.
ANSWER = Output(tuple(range(COUNT)), "length", bytes(32))


class Seat:
    """The machine of one voter that holds the records of a hearing. Its referee finds large margins everywhere.

    A `started` machine loads the records from its disk. Any other machine received them.
    """

    def __init__(self, hearing: Hearing, seed: bytes, *, started: bool = False) -> None:
        self.hearing = hearing
        story = hearing.story
        self.machine = Machine(story.network, seed, story.class_of(seed), MANIFEST, 4096)
        self.said: list[Record] = []
        self.work: Counter[str] = Counter()
        records = tuple(record.data for record in story.book.order)
        if started:
            self.machine.load(records, (), self.now_ms, alone=True)
            self.run()
        else:
            self._handle(RecordsArrived(records, self.machine.key))

    @property
    def now_ms(self) -> int:
        return self.hearing.story.network.params.epoch_start_ms(self.hearing.epoch)

    def run(self) -> None:
        """Let the machine do its current work."""
        self._handle(Tick())

    def _handle(self, event: Event) -> None:
        at_ms = self.now_ms
        waiting = [event]
        while waiting:
            for effect in self.machine.handle(waiting.pop(0), at_ms):
                answer = self._answer(effect)
                if answer is not None:
                    waiting.append(answer)
                if isinstance(effect, Publish):
                    self.said += [decode_record(data) for data in effect.records]

    def _answer(self, effect: object) -> Event | None:
        slotted = self.hearing.slotted
        match effect:
            case Compute() if effect.prompt_seed == slotted.slot.prompt_seed:
                self.work["prompt"] += 1
                return Computed(effect.job, slotted.question.prompt, Output((), "length"), 0, 0, 0)
            case FetchEvidence():
                self.work["fetch"] += 1
                return ResponseArrived(effect.ask, encode_evidence(ANSWER))
            case MeasureJob():
                self.work["score"] += 1
                return MeasureDone(effect.job, (3_000_000,) * COUNT, (False,) * COUNT)
            case _:
                return None

    def records(self, kind: Kind) -> list[Record]:
        return [record for record in self.said if record.kind == kind]


def test_who_is_not_drawn_does_nothing() -> None:
    """It does not write the prompt, fetch evidence, score or seal."""
    hearing = Hearing(VOTERS)
    hearing.cut()
    idle = set(hearing.story.seeds) - set(hearing.drawn())
    for seed in sorted(idle)[:4]:
        seat = Seat(hearing, seed)
        assert seat.work == {}
        assert seat.records(Kind.VOTE_COMMIT) == []


def test_who_is_drawn_seals_once_and_opens_its_seat() -> None:
    """Its lot is valid. A restart does not seal again. It opens what it sealed."""
    hearing = Hearing(VOTERS, answer_tokens=COUNT)
    hearing.cut()
    drawn = hearing.drawn()
    one = drawn[0]
    seat = Seat(hearing, one)
    receipts = len(hearing.slotted.panel.targets)
    assert seat.work == {"prompt": 1, "fetch": receipts, "score": receipts}
    (sealed,) = seat.records(Kind.VOTE_COMMIT)
    lot = decode_commit(sealed.payload).lot
    assert lot == hearing.lot(one)
    fresh = Seat(hearing, one, started=True)  # from an older copy of the home, so it may have sealed already
    assert fresh.work == {}
    assert fresh.records(Kind.VOTE_COMMIT) == []
    for record in seat.said:
        hearing.story.book.take(record)
    again = Seat(hearing, one)
    assert again.records(Kind.VOTE_COMMIT) == []
    others = drawn[1 : COMMITTEES[1].seats]
    hearing.seal(others, hearing.right)
    hearing.cut(rounds.SEAL_CUTS + 1)
    assert sign.public_key(one) in hearing.dispute.round.seats
    opener = Seat(hearing, one)
    (opened,) = opener.records(Kind.VOTE)
    vote = decode_vote(opened.payload)
    assert (vote.shown, len(vote.measures)) == (None, receipts)
    for record in opener.said:
        if record.kind == Kind.VOTE:
            hearing.story.book.take(record)
    hearing.epoch += 1
    hearing.cut()
    assert sign.public_key(one) in hearing.dispute.votes
