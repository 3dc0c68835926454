"""The whole peer as one state machine: `handle(event, now_ms) -> effects`.

It answers requests, issues audits, votes, and makes cuts. The same machine runs in a process, in a test, and thousands
at a time in a simulated world. It never waits, and never reads a clock.
"""

from collections.abc import Iterable, Mapping

from p2pverify.core.admission import Admission
from p2pverify.core.contract.manifest import Manifest
from p2pverify.core.contract.network import Network
from p2pverify.core.counters import Counters
from p2pverify.core.errors import GossipIgnore, GossipReject
from p2pverify.core.events import (
    AskFailed,
    Computed,
    ComputeFailed,
    Effect,
    Effects,
    Event,
    Finalised,
    GossipArrived,
    HeldModel,
    Leave,
    MeasureDone,
    Note,
    RecordsArrived,
    RequestArrived,
    ResponseArrived,
    SponsorPeer,
    StoredAnswer,
    StoredEvidence,
    Synced,
    TrainingDone,
    TwinMet,
    VersionHeld,
    WriteRecord,
    WrongAnswer,
)
from p2pverify.core.inference.question import RequestRefused
from p2pverify.core.intake import Intake
from p2pverify.core.parts import Parts
from p2pverify.core.proofs.exchange import NO_PASSPORTS, decode_passports_wanted
from p2pverify.core.proofs.issuing import Issuer
from p2pverify.core.records.envelope import Record
from p2pverify.core.records.floors import Floor
from p2pverify.core.records.judge import FAR_FUTURE, read_record
from p2pverify.core.records.kind_rule import Rules
from p2pverify.core.records.payloads.audit import REPORT_SLOT
from p2pverify.core.replica.base import Base
from p2pverify.core.replica.clocks import Clocks
from p2pverify.core.replica.fold import Fold
from p2pverify.core.replica.load import OnOutcome, take_records
from p2pverify.core.replica.logs.shelf import Shelf
from p2pverify.core.replica.memo import Memo
from p2pverify.core.roles.context import Context
from p2pverify.core.roles.disputes.evidence import decode_evidence_request, encode_evidence
from p2pverify.core.roles.keys.farewell import say_farewell
from p2pverify.core.roles.keys.successor import Succession
from p2pverify.core.roles.rounds.contributor import Contributor
from p2pverify.core.roles.rounds.evaluator import Evaluator
from p2pverify.core.settle.credit import DEFAULT_CREDIT, CreditLimits
from p2pverify.core.settle.exchange import AnswerTaken, ChequeArrived, StoredCredit
from p2pverify.core.state.rules.following import Following
from p2pverify.core.state.state import State

#: Events that by themselves give the parts of a machine nothing to do.
_ARRIVALS = (RecordsArrived, GossipArrived, RequestArrived, ChequeArrived)


class Machine:
    """One peer.

    `manifest` describes the model that it serves. `context_tokens` is the most tokens that its engine can hold.
    `vocab_tokens` is the number of tokens that the engine knows (None: any). `hardware` is its hardware claim (see
    `speed`). A peer that left joins again only with `rejoin`. Without `objects` it does not check decisions, because a
    cheater of a testnet knows that it lies. With `follows` it serves the current version of its model's line, once the
    engine is ready (`VersionHeld`). A network with an origin needs the state `start` with which it begins. A peer with
    a `base` begins there, without the records below it. If it `forgets`, it drops records below its horizon (see
    `horizon`). `credit` is what clients may owe this peer. `following` says which amendments it follows. `next_key` is
    the digest of the key that may take over from it (32 B). With a `succession` it takes over the row of another key
    itself.

    Its records are on the `shelf`, or in memory without one. `memo` is shared by all machines of this process and
    network; its shelf takes the place of the other. The effects are the same without it.
    """

    #: The type of the context that its parts share. A simulated peer that signs dishonestly has its own type.
    context_type: type[Context] = Context
    #: The type of its part in training rounds. A cheater of a testnet has its own type.
    contributor_type: type[Contributor] = Contributor
    evaluator_type: type[Evaluator] = Evaluator

    def __init__(
        self,
        network: Network,
        seed: bytes,
        class_index: int,
        manifest: Manifest,
        context_tokens: int,
        *,
        vocab_tokens: int | None = None,
        hardware: str = "",
        rejoin: bool = False,
        objects: bool = True,
        follows: bool = False,
        memo: Memo | None = None,
        start: State | None = None,
        base: Base | None = None,
        shelf: Shelf | None = None,
        forgets: bool = True,
        credit: CreditLimits = DEFAULT_CREDIT,
        following: Following | None = None,
        next_key: bytes | None = None,
        succession: Succession | None = None,
    ) -> None:
        held = HeldModel(manifest, context_tokens, vocab_tokens)
        self._context = context = self.context_type(
            *(network, seed, class_index, memo),
            start=start,
            base=base,
            held=held,
            shelf=shelf,
            forgets=forgets,
            following=following,
            next_key=next_key,
        )
        parts = self._parts = Parts(
            context,
            manifest,
            hardware,
            credit,
            objects=objects,
            follows=follows,
            rejoin=rejoin,
            succession=succession,
            contributor=self.contributor_type,
            evaluator=self.evaluator_type,
        )
        self.money, self.responder, self.challenger = parts.money, parts.responder, parts.challenger
        self.objector, self.reporter = parts.objector, parts.reporter
        self.issuer = Issuer(context.fold)
        self.clocks = Clocks(context.key, context.fold)
        self._intake = Intake(context, self.clocks, self._note_taken)
        self.effects: list[Effect] = []  # of the last event
        self._is_resumed = False
        self._is_due = True  # an event gave `_act` something to do
        self._act_at_ms = 0  # the time of the next `_act` if no event comes before

    # ------------------------------------------------------------ reading

    @property
    def key(self) -> bytes:
        return self._context.key

    @property
    def network(self) -> Network:
        return self._context.network

    @property
    def fold(self) -> Fold:
        return self._context.fold

    @property
    def context(self) -> Context:
        """The shared internals, for reading only."""
        return self._context

    @property
    def admission(self) -> Admission:
        return self._intake.admission

    @property
    def judged(self) -> Counters:
        """The number of accepted records, and the number of refusals for each reason."""
        return self._intake.judged

    def provisional(self, now_ms: int) -> State:
        """The state from all records held here. Nothing in it is final."""
        return self._context.provisional(now_ms)

    # ------------------------------------------------------------ start

    def begin_at(self, base: Base, floors: Mapping[bytes, Floor], named: Iterable[Record] = ()) -> None:
        """Begin where `Prune` let this peer forget records, with the `named` ones, before `load` brings later ones."""
        self._context.begin_at(base, floors, named)

    def load(
        self,
        records: Iterable[bytes],
        answers: Iterable[StoredAnswer],
        now_ms: int,
        evidence: Iterable[StoredEvidence] = (),
        on_outcome: OnOutcome | None = None,
        credit: Iterable[StoredCredit] = (),
        *,
        alone: bool = False,
        are_judged: bool = False,
    ) -> int:
        """Load stored data, then begin the silence (see `silence`). Returns the number of records that were taken.

        Stored records were judged before they were written. Unless the caller knows that this program judged them, and
        that they are as written (`are_judged`), they are judged again. Only the clock is left out, because it may have
        been set back. `on_outcome` is called with the outcome of each record before the next one is read.
        """

        def refused(_number: int, why: GossipIgnore | GossipReject) -> None:
            self._intake.judged.count(f"stored record: {why.reason}")
            if on_outcome is not None:
                on_outcome(why)

        taken = 0
        self.money.load(credit)
        rules = Rules(self.network, self._context.network_id, FAR_FUTURE)
        judge_one = read_record if are_judged else self._intake.judge
        for _, record, added in take_records(self.fold, rules, records, refused, judge_one):
            if on_outcome is not None:
                on_outcome(record)
            taken += len(added)
            for found in added:
                self._parts.cutter.take(found, now_ms)
                self._parts.accuser.take(found, now_ms)
                self.money.see(found, now_ms)
        for answer in answers:
            self.responder.remember(answer)
        for kept in evidence:
            self.challenger.evidence.keep(kept)
        self.fold.follow_branches()
        self._settle()  # without its effects, because these cuts became final before this start
        self._context.silence.begin(now_ms, alone=alone)
        return taken

    def expect_own(self, number: int) -> None:
        """Sign nothing until all own records with lower numbers are here, because they were signed before."""
        self._context.signed_before = number

    # ------------------------------------------------------------ events

    def handle(self, event: Event, now_ms: int) -> list[Effect]:
        """The effects of an event, in order. After an exception, `effects` has those that were made before it."""
        context = self._context
        effects: list[Effect] = []
        self.effects = effects
        self._is_due |= not isinstance(event, _ARRIVALS)
        match event:
            case RecordsArrived() | GossipArrived():
                effects += self._take_records(event, now_ms)
            case RequestArrived() | ChequeArrived():
                effects += self._take_request(event, now_ms)
            case Computed() | MeasureDone() | ComputeFailed():
                effects += context.job_done(event, now_ms)
            case TrainingDone():
                self._parts.training.take(event)
            case ResponseArrived() | AskFailed():
                effects += context.ask_done(event, now_ms)
            case Leave() | SponsorPeer() | WriteRecord() | WrongAnswer() | VersionHeld() | AnswerTaken():
                effects += self._parts.orders.carry_out(event, now_ms, is_awake=self._is_resumed)
            case Synced():
                context.silence.synced(event.peer)
            case TwinMet():
                self._stop(f"another process signs with this identity, {event.where}")
        if context.fold.is_unsettled:
            effects += self._settle()
        while self._is_due or now_ms >= self._act_at_ms:
            effects += self._act(now_ms)
        return effects

    def next_wake_ms(self, now_ms: int) -> int:
        """The latest time of the next Tick."""
        return max(self._act_at_ms, now_ms + 1)

    def evidence(self, request: bytes, source: bytes) -> bytes:
        """The answer to a peer that requests evidence of a dispute. Raises RemoteProtocolError if it is malformed."""
        key, which = decode_evidence_request(request)
        if key.slot == REPORT_SLOT:
            return self.reporter.show(key, source)
        if key.challenger == self.key:
            return encode_evidence(self.challenger.find_evidence(key, which))
        dispute = self._context.fold.latest.disputes.get(key)
        return encode_evidence(None if dispute is None else self.responder.find_evidence(dispute.audit, which))

    def passports(self, request: bytes, asker: bytes) -> bytes:
        """The answer to a stranger's request for passports. Raises RemoteProtocolError if it is malformed."""
        found = self.issuer.best(decode_passports_wanted(request), asker)
        return NO_PASSPORTS if found is None else found.encode()

    # ------------------------------------------------------------ records

    def _take_records(self, event: RecordsArrived | GossipArrived, now_ms: int) -> list[Effect]:
        effects = self._intake.take(event, now_ms)
        if self._parts.cutter.is_due or self._context.ledger.has_forks:
            self._is_due = True
        return effects

    def _note_taken(self, record: Record, added: list[Record], now_ms: int) -> None:
        """A new record was taken. `added` are the records whose whole prefix is now here."""
        if record.author == self._context.key:
            self._note_own(record, now_ms)
        for found in added:
            self._context.fold.take(found)
            self._parts.cutter.take(found, now_ms)
            self._parts.accuser.take(found, now_ms)
            self.money.see(found, now_ms)

    def _note_own(self, record: Record, now_ms: int) -> None:
        """Others sent a record of our key that was not written in this run."""
        silence = self._context.silence
        if record.epoch > silence.since_epoch:
            self._stop(f"another process signs with this identity: it wrote a record of epoch {record.epoch}")
        elif not self._context.has_signed:
            if self._is_resumed:  # the silence was already over
                self._is_resumed = False
                silence.begin(now_ms)
            silence.learned_own(now_ms)
            self._is_due = True
        else:
            self._stop(f"this home had lost a record of epoch {record.epoch}, and has signed another in its place")

    def _stop(self, why: str) -> None:
        """Sign nothing more in this run."""
        self._context.silence.stop(why)
        self._is_due = True

    def _take_request(self, event: RequestArrived | ChequeArrived, now_ms: int) -> Effects[None]:
        if isinstance(event, ChequeArrived):
            yield from self.money.creditor.receive(event, now_ms)
        elif self._context.silence.stopped or self._context.halt(now_ms) is not None:
            yield self.responder.refuse(event.ticket, RequestRefused("failed", "this peer has stopped signing"))
        else:
            yield from self.responder.serve(event.ticket, event.data, event.source, now_ms, event.waits_ms)

    def _settle(self) -> list[Effect]:
        """Move to the newest certified cut."""
        fold = self._context.fold
        before = fold.latest
        effects: list[Effect] = [Finalised(cut_id, epoch) for cut_id, epoch in fold.settle()]
        latest = fold.latest
        if fold.contradiction is not None and not self._context.silence.stopped:
            effects.append(Note("warning", self._context.silence.contradict(*fold.contradiction)))
        if latest is before:
            return effects
        self._is_due = True
        effects += self._context.horizon.advance()
        effects += say_farewell(self._context, before)
        for peer in sorted(latest.convicted - before.convicted):
            member = latest.members[peer]
            text = f"peer {peer.hex()[:16]} convicted in epoch {member.convicted_epoch}: {member.conviction}"
            effects.append(Note("warning", text))
        return effects

    # ------------------------------------------------------------ acting

    def _act(self, now_ms: int) -> Effects[None]:
        """Let each part do what is due, and set the time of the next call."""
        context = self._context
        self._is_due = False
        epoch = max(0, context.params.epoch_at(now_ms))
        self.clocks.turn(epoch)
        context.ledger.turn(epoch)
        if context.silence.is_on:
            context.silence.look(now_ms)
        if not context.may_write(now_ms):
            self._act_at_ms = context.wait_until_ms(now_ms)
            return
        if not self._is_resumed:
            context.silence.wake(now_ms)
            self._resume()
        # Of a row that is about to move, a cut may still need the weight.
        parts = self._parts.in_order if context.moves_to is None else (self._parts.cutter,)
        yield from self._parts.act(parts, now_ms)
        if context.fold.is_unsettled:
            yield from self._settle()
        times = [part.next_wake_ms(now_ms) for part in parts]
        self._act_at_ms = min((time for time in times if time is not None), default=context.wait_until_ms(now_ms))

    def _resume(self) -> None:
        """After the silence: let each part read its earlier records from the own log."""
        self._is_resumed = True
        for part in self._parts.in_order:
            part.resume()

    def statistics(self) -> dict[str, int]:
        return {
            **self._context.ledger.statistics(),
            **self._context.statistics(),
            **self.money.statistics(),
            "final_index": self._context.fold.latest.index,
            "final_epoch": self._context.fold.latest.epoch,
        }
