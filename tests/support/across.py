"""A small network of several classes with records written by hand: audits across classes, and votes on them.

The test chooses all measures; nothing is computed here.
"""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from p2pverify.core.contract import sortition
from p2pverify.core.contract.classes import ANY, Across, DeterminismClass
from p2pverify.core.contract.network import Network
from p2pverify.core.contract.output import Output
from p2pverify.core.contract.pool import Line, Pool
from p2pverify.core.encoding import sign, vrf
from p2pverify.core.encoding.canon import sha256
from p2pverify.core.inference.compare import END_MISSING, Measure, Measures, verdict_digest
from p2pverify.core.inference.question import (
    NO_OUTPUT,
    Opening,
    Question,
    Receipt,
    Request,
    opening_nonce,
    salted_digest,
)
from p2pverify.core.records.envelope import Kind, Record
from p2pverify.core.records.payloads.audit import AskedPeer, Audit, sealed_measures
from p2pverify.core.records.payloads.duty import Duty
from p2pverify.core.records.payloads.lots import DisputeKey
from p2pverify.core.records.payloads.membership import Join
from p2pverify.core.records.payloads.vote import Commit, Vote, vote_commit
from p2pverify.core.state.state import Member, State
from p2pverify.core.state.verdicts.notes import Panel
from p2pverify.core.state.verdicts.targets import make_panel, owed_slots
from tests.support.book import Book
from tests.support.networks import MANIFEST, params

BOUNDS = Across(
    match_base=250_000,
    match_slope=20_000,
    mismatch_base=500_000,
    mismatch_slope=40_000,
    end_max=2_000_000,
    honest_ppm=10_000,
)
#: The same with a pooled test, which bets on the lines of a match and of a mismatch.
POOLED = replace(BOUNDS, pool=Pool(900_000, (Line(250_000, 20_000, 10_000), Line(500_000, 40_000, 100))))
COUNT = 8
#: Measures of a right answer, an inconclusive one, one of another model, and one that was cut short.
GOOD = Measure(COUNT, 30_000, 30_000, 0)
UNSURE = Measure(COUNT, 500_000, 300_000, 0)
BAD = Measure(COUNT, 9_000_000, 4_000_000, 0)
SHORT = Measure(COUNT, 0, 0, END_MISSING)
CUT_EPOCH = 10


def identities(count: int) -> list[bytes]:
    found = [hashlib.sha256(f"across/{number}".encode()).digest() for number in range(count)]
    return sorted(found, key=sign.public_key)


def classes(names: str, bounds: Across | None = BOUNDS) -> tuple[DeterminismClass, ...]:
    """A class for each letter, and a class of unknown paths for '*'."""
    return tuple(
        DeterminismClass(
            name,
            MANIFEST.digest,
            ANY if name == ANY else "toy/1",
            ANY if name == ANY else f"toy/{name}",
            1_000,
            bounds,
        )
        for name in names
    )


@dataclass(frozen=True)
class Slotted:
    """A slot of a challenger in an epoch, with its targets and its question."""

    challenger: bytes  # identity seed
    epoch: int
    slot: sortition.Slot
    panel: Panel
    question: Question

    @property
    def key(self) -> DisputeKey:
        return DisputeKey(sign.public_key(self.challenger), self.epoch, self.slot.index)


class Story:
    """A network with a peer for each letter of `members`, the letter being its class. The first cut, of epoch 10, holds
    the joins.

    All peers are founders unless `founders` gives their number. All founders sign each cut.
    """

    def __init__(
        self,
        members: str = "aaabbb",
        bounds: Across = BOUNDS,
        /,
        *,
        founders: int | None = None,
        **changes: int,
    ) -> None:
        self.seeds = identities(len(members))
        names = "".join(sorted(set(members), key=members.index))
        self.founders = self.seeds[:founders]
        numbers = {"slots_milli": 8_000, "panel_size": 3, "across_percent": 100, **changes}
        self.network = Network(
            "across",
            tuple(sign.public_key(seed) for seed in self.founders),
            (MANIFEST.digest,),
            classes(names, bounds),
            params(**numbers),
            "toy-exact/1",
        )
        self.book = Book(self.network)
        for seed, name in zip(self.seeds, members, strict=True):
            join = Join(names.index(name), vrf.public_key(vrf.derive_seed(seed)))
            self.book.say(seed, Kind.JOIN, join.encode(), 9)
        self.anchor = self.cut(CUT_EPOCH)

    def cut(self, epoch: int, proposer: int = 0) -> State:
        self.book.step(self.founders[proposer], epoch, self.founders)
        return self.latest

    @property
    def latest(self) -> State:
        return self.book.fold.latest

    def member(self, seed: bytes) -> Member:
        return self.latest.members[sign.public_key(seed)]

    def seed_of(self, key: bytes) -> bytes:
        return next(seed for seed in self.seeds if sign.public_key(seed) == key)

    # ------------------------------------------------------------ slots

    def slots(self, challenger: bytes, epoch: int = CUT_EPOCH + 1) -> list[Slotted]:
        """All slots that a peer owes in an epoch, or in the period that begins with it."""
        beta = vrf.proof_to_beta(self.proof(challenger, epoch))
        key = sign.public_key(challenger)
        found = []
        for slot in owed_slots(self.network.params, self.anchor, key, epoch, beta):
            panel = make_panel(self.network, self.anchor, key, beta, slot)
            temperature = 0 if slot.greedy else self.network.params.temperature_milli
            question = Question(MANIFEST.digest, (1, 2, 3), COUNT, temperature, slot.sample_seed, key)
            found.append(Slotted(challenger, epoch, slot, panel, question))
        return found

    def panel_slot(self, challenger: bytes, *, is_across: bool = True) -> Slotted:
        """The first slot of a peer that has a panel of several targets."""
        return next(
            each
            for each in self.slots(challenger)
            if len(each.panel.targets) == self.network.params.panel_size and each.panel.is_across == is_across
        )

    def proof(self, challenger: bytes, epoch: int) -> bytes:
        alpha = sortition.duty_alpha(self.network.id, epoch, self.anchor.beacon)
        return vrf.prove(vrf.derive_seed(challenger), alpha)

    def opening(self, slotted: Slotted, measures: Measures = ()) -> Opening:
        salts = tuple(sha256(target + bytes([slotted.slot.index])) for target in slotted.panel.targets)
        return Opening(slotted.slot.index, None, NO_OUTPUT, salts, measures)

    def audit(
        self,
        slotted: Slotted,
        measures: Measures,
        *,
        differ: bool = False,
        silent: Iterable[int] = (),
        **changes: object,
    ) -> Audit:
        """The audit of a slot in which the challenger seals these measures."""
        key, question = sign.public_key(slotted.challenger), slotted.question.id
        opening = self.opening(slotted)
        asked = []
        for which, target in enumerate(slotted.panel.targets):
            nonce = opening_nonce(self.network.id, key, target, slotted.epoch, question, opening, which)
            request = Request(self.network.id, key, target, question, nonce, slotted.epoch + 4)
            receipt = None if which in silent else self._receipt(request, slotted.panel.classes[which])
            asked.append(AskedPeer(target, nonce, receipt, 0 if receipt is None else 25))
        sealed = sealed_measures(self.network.id, slotted.key, question, measures, opening.salts)
        audit = Audit(
            key,
            slotted.epoch,
            slotted.slot.index,
            self.anchor.id,
            question,
            slotted.epoch + 4,
            differ,
            tuple(asked),
            sealed,
        )
        return replace(audit, **changes)  # type: ignore[arg-type]  # field names

    def _receipt(self, request: Request, class_index: int) -> Receipt:
        output = Output(tuple(range(COUNT)), "length", bytes(32)).digest(request.question)
        salted = salted_digest(request.id, request.responder, class_index, output)
        unsigned = Receipt(
            self.network.id, request.responder, request.id, class_index, salted, COUNT, 1, 2, 3, bytes(64)
        )
        return replace(unsigned, signature=sign.sign(self.seed_of(request.responder), unsigned.signed_bytes()))

    def publish(self, audit: Audit, openings: Iterable[Opening] = ()) -> None:
        """Publish the audit and the duty that owed it."""
        seed = self.seed_of(audit.challenger)
        vrf_key = vrf.public_key(vrf.derive_seed(seed))
        duty = Duty(
            audit.epoch, self.anchor.id, self.anchor.beacon, vrf_key, self.proof(seed, audit.epoch), tuple(openings)
        )
        self.book.say(seed, Kind.AUDIT, audit.encode(), audit.epoch)
        self.book.say(seed, Kind.DUTY, duty.encode(), audit.epoch + 1)

    # ------------------------------------------------------------ disputes

    def undisputed(self, slotted: Slotted, measures: Measures, **changes: object) -> State:
        """The state of a cut with a slot that its challenger does not dispute."""
        self.publish(self.audit(slotted, measures), [replace(self.opening(slotted, measures), **changes)])  # type: ignore[arg-type]
        return self.cut(CUT_EPOCH + 2)

    def disputed(self, slotted: Slotted, sealed: Measures, **changes: object) -> State:
        """The state of a cut with a slot that its challenger disputes."""
        self.publish(self.audit(slotted, sealed, differ=True, **changes))  # type: ignore[arg-type]
        state = self.cut(CUT_EPOCH + 2)
        assert slotted.key in state.disputes
        return state

    def vote_output(self, slotted: Slotted, measures: Measures) -> bytes:
        return verdict_digest(slotted.question.id, measures)

    def seal(self, slotted: Slotted, votes: Mapping[bytes, bytes], epoch: int = CUT_EPOCH + 3) -> State:
        """Each voter (by its seed) seals its output, and a cut holds the seals."""
        opened = self.latest.id
        for seed, output in votes.items():
            made = vote_commit(
                self.network.id, slotted.key, sign.public_key(seed), self.class_of(seed), output, _salt(seed)
            )
            self.book.say(seed, Kind.VOTE_COMMIT, Commit(slotted.key, opened, made).encode(), epoch)
        return self.cut(epoch)

    def class_of(self, seed: bytes) -> int:
        return self.anchor.members[sign.public_key(seed)].class_index

    def vote(
        self, slotted: Slotted, seed: bytes, output: bytes, measures: Measures, epoch: int = CUT_EPOCH + 4
    ) -> Record:
        """A voter opens its seal."""
        vote = Vote(slotted.key, self.latest.id, self.class_of(seed), output, (_salt(seed),), measures)
        return self.book.say(seed, Kind.VOTE, vote.encode(), epoch)

    def open_own(self, slotted: Slotted, measures: Measures, epoch: int = CUT_EPOCH + 4, **changes: object) -> Record:
        """The challenger opens the seal of its audit."""
        seed = slotted.challenger
        salts = self.opening(slotted).salts
        output = self.vote_output(slotted, measures)
        vote = Vote(slotted.key, self.latest.id, self.class_of(seed), output, salts, measures)
        return self.book.say(seed, Kind.VOTE, replace(vote, **changes).encode(), epoch)  # type: ignore[arg-type]

    def decide(self, slotted: Slotted, sealed: Measures, votes: Mapping[bytes, Measures], **changes: object) -> State:
        """A whole dispute: the audit, the seals, and the votes of these voters and the challenger."""
        self.disputed(slotted, sealed, **changes)
        outputs = {seed: self.vote_output(slotted, measures) for seed, measures in votes.items()}
        self.seal(slotted, outputs)
        for seed, measures in votes.items():
            self.vote(slotted, seed, outputs[seed], measures)
        self.open_own(slotted, sealed)
        return self.cut(CUT_EPOCH + 4)


def _salt(seed: bytes) -> bytes:
    return sha256(b"salt" + seed)
