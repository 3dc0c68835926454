"""The driver: the one loop around a machine. It turns calls from outside into events, and time into ticks.

Gossip is judged and sync requests are answered at once. The effects of an event go to the outbox, which writes, answers
and publishes them in order. Everything is bounded: beyond a limit other peers get the answer "busy", and their requests
do not reach the machine. The driver implements the network adapter's port `Inbox`.
"""

import logging
import math
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import TYPE_CHECKING, TypeVar

import trio

from p2pverify.core.counters import Counters
from p2pverify.core.errors import DecodeError, GossipVerdict
from p2pverify.core.events import (
    OWN,
    Computed,
    ComputeFailed,
    Effect,
    Event,
    Finalised,
    Follow,
    GossipArrived,
    Judged,
    Note,
    Order,
    RecordBatch,
    RecordsArrived,
    RequestArrived,
    SponsorPeer,
    StoredAnswer,
    StoredEvidence,
    Synced,
    Tick,
    TwinMet,
    WriteRecord,
)
from p2pverify.core.inference.question import Question, RequestRefused, encode_refusal, is_refusal
from p2pverify.core.machine import Machine
from p2pverify.core.proofs.exchange import NO_PASSPORTS
from p2pverify.core.records.envelope import Kind
from p2pverify.core.replica.load import OnOutcome
from p2pverify.core.roles.disputes.evidence import NO_EVIDENCE
from p2pverify.core.roles.publisher import outcome_of
from p2pverify.core.settle.exchange import BUSY_CREDITOR, ChequeArrived, StoredCredit, decode_sent_cheque
from p2pverify.core.state import sponsors
from p2pverify.core.sync.session import SyncSession
from p2pverify.node import ports
from p2pverify.node.clock import unix_ms
from p2pverify.node.ending import Ending
from p2pverify.node.engines.shelf import OpenVersion
from p2pverify.node.engines.worker import Worker
from p2pverify.node.journal import Journal
from p2pverify.node.messages import decode_batch
from p2pverify.node.outbox import Outbox, Train, refuse_training
from p2pverify.node.reports.signing import StandstillLog
from p2pverify.node.requests.tickets import Tickets
from p2pverify.node.sync import CatchUp
from p2pverify.node.timing import Times
from p2pverify.node.user_error import TwinError, UserError

if TYPE_CHECKING:
    from trio_typing import TaskStatus  # the stubs that libp2p brings hide trio's own name

TICK_MS_MAX = 5_000  # the wall clock may be set, and a laptop may have slept
log = logging.getLogger(__name__)
_T = TypeVar("_T")


def _are_passed_over(effects: Sequence[Effect]) -> bool:
    """Whether records came and none was judged. Then nothing else is done, so that a flood costs little."""
    return len(effects) == 1 and isinstance(effects[0], Judged) and not effects[0].reasons


class Driver:
    """Runs one machine. `open_referee` opens the engine that judges across classes, when it is first needed, and
    `open_version` the engines of later versions. `train` carries out orders of training rounds.

    `silent` is a cheat for testnets: requests are never answered. With `alone` the operator states that nobody can show
    more of the own log than this home holds.
    """

    def __init__(
        self,
        machine: Machine,
        journal: Journal,
        engine: ports.Engine,
        *,
        open_referee: Callable[[], ports.Engine] | None = None,
        open_version: OpenVersion | None = None,
        train: Train = refuse_training,
        clock: Callable[[], int] = unix_ms,
        silent: bool = False,
        alone: bool = False,
    ) -> None:
        self.machine = machine
        self._clock = clock
        self._silent = silent
        self._alone = alone
        model = next(iter(machine.context.held))  # a machine that ran before may hold later versions too
        self._worker = Worker(engine, open_referee, model=model, open_version=open_version, clock=clock)
        self._counters = Counters()
        self._tickets = Tickets(self._counters)
        self._outbox = Outbox(
            journal,
            self._worker,
            clock=clock,
            respond=self._tickets.respond,
            feed=self._feed,
            train=train,
            stalled=self._note_stalled,
        )
        self._catchup = CatchUp(machine.context, self._take_slice, self._outbox.wait_room)
        self.answer_times = Times()
        self._changed = trio.Event()
        self._finalised = trio.Event()
        self._listeners: list[Callable[[], None]] = []
        self._excluded: frozenset[bytes] = frozenset()
        self._ending = Ending()
        self._standing = StandstillLog()

    @property
    def is_engine_busy(self) -> bool:
        """Whether a thread still uses an engine, so that the engine must not be closed."""
        return self._worker.is_busy

    @property
    def ask_times(self) -> Times:
        """How long others took to answer."""
        return self._outbox.ask_times

    def now_ms(self) -> int:
        return self._clock()

    def load(
        self,
        records: Iterable[bytes],
        answers: Iterable[StoredAnswer],
        evidence: Iterable[StoredEvidence] = (),
        on_outcome: OnOutcome | None = None,
        credit: Iterable[StoredCredit] = (),
        *,
        are_judged: bool = False,
    ) -> int:
        """Load stored data: see `Machine.load`. Call it once, before `run`. Blocks."""
        stored = (records, answers, self._clock(), evidence, on_outcome, credit)
        return self.machine.load(*stored, alone=self._alone, are_judged=are_judged)

    async def run(
        self, network: ports.NetworkPort, *, task_status: "TaskStatus[None]" = trio.TASK_STATUS_IGNORED
    ) -> None:
        """Drive the machine until cancelled.

        Raises the journal's error if something cannot be written, or if a record cannot be read again. Raises TwinError
        if another process runs with this identity and this one has signed nothing yet.
        """
        self.on_final(partial(self._exclude_convicted, network))
        self._exclude_convicted(network)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._worker.run, self._feed, self._tickets.tell)
            nursery.start_soon(self._outbox.run, network)
            nursery.start_soon(self._tick)
            nursery.start_soon(self._ending.wait)
            task_status.started()

    def cost_ms(self, question: Question) -> int:
        """How long the own engine would take for a question, by the jobs before; 0 if it has done none."""
        return self._worker.cost_ms(question.ask)

    def close_versions(self) -> None:
        """Close the engines of later versions. No engine may be busy."""
        self._worker.close_versions()

    async def use_engine(self, do: Callable[[ports.Engine], _T], *, role: str = OWN, model: bytes | None = None) -> _T:
        """Call `do` with this peer's engine or the referee, when no other job waits for it.

        `model` is the digest of a manifest (32 B); without it, that of the model with which the node started. Raises
        EngineBusy, RefereeUnavailable, ModelUnavailable, and what `do` raises.
        """
        return await self._worker.call(do, role=role, model=model)

    def order(self, order: Order) -> None:
        """Give the machine an order. What has to be signed for it is signed as soon as this peer may sign."""
        self._handle(order)

    def look_again(self) -> None:
        """Let the machine act on what was changed beside its events."""
        self._handle(Tick())

    def sponsor(self, peer: bytes) -> str | None:
        """Stand for a newcomer (its key), as soon as this peer may sign. Returns why that has no effect, or None."""
        machine = self.machine
        refused = sponsors.refuse(machine.fold.latest, machine.network.params, machine.key, peer)
        if refused is None:
            self._handle(SponsorPeer(peer))
        return refused

    async def sign(self, kind: Kind, payload: bytes) -> tuple[bytes | None, str | None]:
        """Sign a record. Returns its id (32 B) once it is on disk, or the reason why it was not signed."""
        data = await self._outcome(lambda ticket: WriteRecord(ticket, kind, payload))
        if data is None:
            return None, "this node has too much to do"
        return outcome_of(data) if data else (None, "this node could not take the order")

    def on_final(self, listener: Callable[[], None]) -> None:
        """Call `listener` whenever a cut becomes final."""
        self._listeners.append(listener)

    async def wait_final(self, index: int) -> None:
        """Wait until a cut with this path index, or a later one, is final here."""
        while self.machine.fold.latest.index < index:
            await self._finalised.wait()

    def engine_statistics(self) -> dict[str, int]:
        """How far the engine is behind: see `Worker.statistics`."""
        return self._worker.statistics()

    def statistics(self) -> dict[str, int]:
        return {
            **self._counters,
            **self.machine.admission.statistics(),
            **self._outbox.statistics(),
            **self._catchup.statistics(),
            **self._worker.statistics(),
            "requests waiting": len(self._tickets),
        }

    # ------------------------------------------------------------ the port Inbox

    def judge(self, message: bytes, source: bytes) -> GossipVerdict:
        """Judge one gossip message: a batch of records. Never raises."""
        try:
            records = decode_batch(message)
        except DecodeError as error:
            self._counters.count(f"malformed gossip: {error.reason}")
            return GossipVerdict.REJECT
        judged = self._take_gossip(RecordBatch(tuple(records), source))
        return GossipVerdict.IGNORE if judged is None else judged.verdicts[0]

    async def serve(self, request: bytes, source: bytes, hear: ports.Hear = ports.unheard) -> bytes:
        """Answer one inference request; `hear` gets all tokens of the answer. A refusal is an answer too."""
        if self._silent:
            self._counters.count("requests met with silence")
            await trio.sleep_forever()
        if self._outbox.is_full or self._tickets.is_full:
            self._counters.count("requests refused as busy")
            return encode_refusal(RequestRefused("busy", "this peer has too much to do; ask again later"))
        began = trio.current_time()
        waits_s = trio.current_effective_deadline() - began
        waits_ms = None if waits_s == math.inf else round(1000 * waits_s)
        with self._tickets.take(hear) as waiter:
            if self._handle(RequestArrived(waiter.ticket, request, source, waits_ms)) is None:
                return encode_refusal(RequestRefused("failed", "this peer could not take the request"))
            await waiter.done.wait()
            if not is_refusal(waiter.data):
                self.answer_times.note(trio.current_time() - began)
            return waiter.data

    def is_member(self, peer: bytes) -> bool:
        """Whether a peer is a member by the newest final cut, and not convicted."""
        return self.machine.admission.is_member(peer)

    def evidence(self, request: bytes, source: bytes) -> bytes:
        """The answer to a peer that requests evidence of a dispute. Raises RemoteProtocolError."""
        answer = self.machine.evidence(request, source)
        self._counters.count("evidence served" if answer != NO_EVIDENCE else "evidence not had")
        return answer

    def passports(self, request: bytes, source: bytes) -> bytes:
        """The answer to a request for passports. Raises RemoteProtocolError."""
        answer = self.machine.passports(request, source)
        self._counters.count("passports served" if answer != NO_PASSPORTS else "passports not had")
        return answer

    async def cheque(self, request: bytes, source: bytes) -> bytes:
        """The answer to a cheque of a client, once it is on disk. Raises RemoteProtocolError."""
        cheque = decode_sent_cheque(request)
        return await self._outcome(lambda ticket: ChequeArrived(ticket, cheque, source)) or BUSY_CREDITOR

    def sync_answer(self, request: bytes) -> bytes:
        """The answer to a neighbour's sync request. Raises RemoteProtocolError."""
        return self._catchup.answer(request)

    def sync_session(self, peer: bytes) -> SyncSession:
        """A session that fetches from a neighbour the records that are missing here."""
        return self._catchup.session(peer)

    def synced(self, peer: bytes) -> None:
        """A session with a neighbour was complete."""
        self._handle(Synced(peer))

    def met_twin(self, where: str) -> None:
        """Another process has proven to hold our key."""
        self._handle(TwinMet(where))

    async def take_records(self, records: Sequence[bytes], source: bytes) -> None:
        """Take the records of a session. Each is judged by itself, so that a refused record does not affect others."""
        await self._catchup.take_records(records, source)

    # ------------------------------------------------------------ the loop

    async def _outcome(self, event: Callable[[int], Event]) -> bytes | None:
        """The machine's answer to an event with a ticket; None if this node has too much to do, empty after a fault."""
        if self._outbox.is_full or self._tickets.is_full:
            return None
        with self._tickets.take(ports.unheard) as waiter:
            if self._handle(event(waiter.ticket)) is None:
                return b""
            await waiter.done.wait()
            return waiter.data

    def _take_gossip(self, batch: RecordBatch) -> Judged | None:
        """The machine's verdict on a message, or None if it was not asked or failed."""
        if self._outbox.is_full:
            self._counters.count("batches dropped as busy")
            return None
        effects = self._handle(GossipArrived((batch,))) or ()
        return next((effect for effect in effects if isinstance(effect, Judged)), None)

    def _take_slice(self, records: tuple[bytes, ...], source: bytes) -> None:
        """Take records of a session. The outbox must have room for their effects."""
        effects = self._handle(RecordsArrived(records, source)) or ()
        if any(isinstance(effect, Judged) and effect.faults for effect in effects):
            self._counters.count("sync slices with a rejected record")

    def _exclude_convicted(self, network: ports.NetworkPort) -> None:
        """Keep the peers that are convicted in the newest final cut out of the mesh."""
        convicted = frozenset(k for k, member in self.machine.fold.latest.members.items() if member.is_convicted)
        if convicted != self._excluded:
            self._excluded = convicted
            network.exclude(convicted)

    def _note_stalled(self, why: str) -> None:
        """Note why the disk cannot be written. An empty `why` means that it can be written again, so send a tick."""
        self.machine.context.cannot_store = why
        if not why:
            self._handle(Tick())
            self._changed.set()

    def _feed(self, event: Event) -> None:
        self._handle(event)
        if isinstance(event, Computed | ComputeFailed):
            self._tickets.ended(event.job)

    def _handle(self, event: Event) -> list[Effect] | None:
        """Handle one event, and pass its effects on. Returns the effects, or None after a fault."""
        try:
            effects = self.machine.handle(event, self._clock())
        except UserError as error:
            self._ending.note(error)  # the disk does not give a record back, so nothing more can be decided
            return None
        except Exception:
            # A bug must not let a stranger end the node. The effects before the fault are whole, so carry them out.
            self._counters.count("internal faults")
            log.exception("the machine failed on %s", type(event).__name__)
            self._enqueue(self.machine.effects, received=isinstance(event, RecordsArrived | GossipArrived))
            return None
        if _are_passed_over(effects):
            return effects
        self._enqueue(effects, received=isinstance(event, RecordsArrived | GossipArrived))
        context = self.machine.context
        if context.silence.stopped and not context.has_signed and self.machine.fold.contradiction is None:
            self._ending.note(TwinError(context.silence.stopped))
        if not isinstance(event, Tick):
            self._changed.set()
        return effects

    def _enqueue(self, effects: list[Effect], *, received: bool = False) -> None:
        for effect in effects:
            if isinstance(effect, Note):
                log.log(logging.WARNING if effect.level == "warning" else logging.INFO, "%s", effect.text)
            elif isinstance(effect, Follow):
                self._tickets.follow(effect)
            elif isinstance(effect, Finalised):
                log.info("cut %s of epoch %d is final", effect.cut.hex()[:16], effect.epoch)
                self._finalised.set()
                self._finalised = trio.Event()
                for listener in self._listeners:
                    listener()
        # The caller has read the verdict, so it is left out: a flood of ignored messages takes no room in the outbox.
        self._outbox.put_nowait([one for one in effects if not isinstance(one, Judged)], received=received)

    async def _tick(self) -> None:
        """Send a tick whenever the machine wants one. Other events can change its time, so they wake us."""
        while True:
            self._handle(Tick())
            self._standing.note(self.machine, self._clock())
            is_due = False
            while not is_due:
                self._changed = trio.Event()
                now = self._clock()
                wait_ms = min(TICK_MS_MAX, max(1, self.machine.next_wake_ms(now) - now))
                with trio.move_on_after(wait_ms / 1000) as scope:
                    await self._changed.wait()
                is_due = scope.cancelled_caught
