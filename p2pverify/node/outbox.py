"""The outbox: carries out a machine's effects strictly in order, and writes records to disk before it sends them.

Effects that gather while the disk is busy are written in one commit. They are answered or published only after that.
The machine and its driver make the effects and read the events.
"""

import logging
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import replace

import trio

from p2pverify.core.counters import Counters
from p2pverify.core.events import (
    AskFailed,
    Compute,
    Computed,
    ComputeFailed,
    Effect,
    FetchEvidence,
    MeasureDone,
    MeasureJob,
    Persist,
    Publish,
    Respond,
    ResponseArrived,
    Send,
    StoredAnswer,
    StoredEvidence,
    TrainingDone,
    TrainingJob,
)
from p2pverify.core.inference.question import is_refusal
from p2pverify.core.records.floors import Prune
from p2pverify.core.settle.exchange import Pay, StoredCredit
from p2pverify.core.training.orders import TrainingFailed
from p2pverify.node import ports
from p2pverify.node.engines.worker import Worker
from p2pverify.node.journal import Journal, JournalStalled, Kept
from p2pverify.node.messages import encode_batches
from p2pverify.node.requests.asking import ask_streaming
from p2pverify.node.timing import Times

EFFECTS_MAX = 4096
BYTES_MAX = 32 * 1024 * 1024
RETRY_S = 1.0  # seconds between two tries while the disk accepts no writes
log = logging.getLogger(__name__)

Outcome = Computed | MeasureDone | ComputeFailed | TrainingDone | ResponseArrived | AskFailed
Train = Callable[[TrainingJob], TrainingDone | None]
"""Takes an order of a training round. It returns at once: why it refuses, or None if the outcome comes later."""


def refuse_training(job: TrainingJob) -> TrainingDone:
    """The `Train` of a node that takes no part in training rounds."""
    return TrainingDone(job.job, TrainingFailed("this node takes no part in training rounds"))


class Outbox:
    """One ordered queue of effects, and the task that empties it."""

    def __init__(
        self,
        journal: Journal,
        worker: Worker,
        *,
        clock: Callable[[], int],
        respond: Callable[[Respond], None],
        feed: Callable[[Outcome], None],
        train: Train,
        stalled: Callable[[str], None],
    ) -> None:
        """`stalled` is called with the reason while nothing can be written, and with "" when it works again."""
        self._journal = journal
        self._worker = worker
        self._clock = clock
        self._respond = respond
        self._feed = feed
        self._train = train
        self._on_stalled = stalled
        self._is_stalled = False
        self._queue: deque[tuple[Effect, bool]] = deque()
        self._bytes = 0
        self._woken = trio.Event()
        self._emptied = trio.Event()
        self._counters = Counters()
        self.ask_times = Times()

    @property
    def is_full(self) -> bool:
        """Whether the disk cannot keep up. Then the node should accept nothing more."""
        return self._is_stalled or len(self._queue) >= EFFECTS_MAX or self._bytes >= BYTES_MAX

    async def wait_room(self) -> None:
        """Wait until the outbox is not full."""
        while self.is_full:
            await self._emptied.wait()

    def put_nowait(self, effects: Sequence[Effect], *, received: bool = False) -> None:
        """Queue one ordered list of effects. `received`: the first Persist among them holds records of other peers."""
        for effect in effects:
            self._queue.append((effect, received))
            if isinstance(effect, Persist):
                received = False
                self._bytes += sum(len(record.data) for record in effect.records)
        if effects:
            self._woken.set()

    async def run(self, network: ports.NetworkPort) -> None:
        """Carry out effects until cancelled. Stops at the journal's error and raises it.

        While the disk accepts no writes, the same batch is tried again, and all others wait behind it.
        """
        async with trio.open_nursery() as nursery:
            while True:
                while not self._queue:
                    self._woken = trio.Event()
                    await self._woken.wait()
                batch = list(self._queue)
                self._queue.clear()
                self._bytes = 0
                self._emptied.set()
                self._emptied = trio.Event()
                await self._persist(batch)
                self._carry_out([effect for effect, _ in batch], network, nursery)

    async def _persist(self, batch: Sequence[tuple[Effect, bool]]) -> None:
        records: list[Kept] = []
        answers: list[StoredAnswer] = []
        evidence: list[StoredEvidence] = []
        credit: list[StoredCredit] = []
        evidence_from = 0
        prune: Prune | None = None
        for effect, received in batch:
            if isinstance(effect, Prune):
                # A later one holds what an earlier one says, except which authors were gone then.
                prune = effect if prune is None else replace(effect, gone=(*prune.gone, *effect.gone))
            elif isinstance(effect, Persist):
                records += [Kept(record, received) for record in effect.records]
                answers += effect.answers
                evidence += effect.evidence
                credit += effect.credit
                evidence_from = max(evidence_from, effect.evidence_from)
        if records or answers or evidence or credit or prune is not None:
            while True:
                if await self._is_kept(records, answers, evidence, evidence_from, credit, prune):
                    break
                await trio.sleep(RETRY_S)
            self._counters.count("commits")
            self._counters.count("records persisted", len(records))

    async def _is_kept(
        self,
        records: Sequence[Kept],
        answers: Sequence[StoredAnswer],
        evidence: Sequence[StoredEvidence],
        evidence_from: int,
        credit: Sequence[StoredCredit],
        prune: Prune | None,
    ) -> bool:
        """Whether the journal has kept these. False means that a later try may succeed."""
        try:
            await self._journal.persist(records, answers, evidence, evidence_from, credit, prune)
        except JournalStalled as stalled:
            self._counters.count("commits tried in vain")
            if not self._is_stalled:
                log.warning("%s: nothing is signed or answered meanwhile; %s", stalled.reason, stalled.hint)
                self._is_stalled = True
                self._on_stalled(f"{stalled.reason}; {stalled.hint}")
            return False
        if self._is_stalled:
            log.warning("the disk takes what is written again")
            self._is_stalled = False
            self._on_stalled("")
            self._emptied.set()
            self._emptied = trio.Event()
        return True

    def _carry_out(self, effects: Sequence[Effect], network: ports.NetworkPort, nursery: trio.Nursery) -> None:
        """Carry out all effects that are not done yet. Published records travel together, after the replies."""
        published: list[bytes] = []
        for effect in effects:
            match effect:
                case Respond():
                    self._respond(effect)
                case Publish():
                    published += effect.records
                case Send() | FetchEvidence() | Pay():
                    nursery.start_soon(self._ask, effect, network)
                case Compute() | MeasureJob():
                    refused = self._worker.submit_nowait(effect)
                    if refused is not None:
                        self._feed(refused)
                case TrainingJob():
                    refused_order = self._train(effect)
                    if refused_order is not None:
                        self._feed(refused_order)
                case _:
                    pass  # Persist and Prune are done, the driver handles the others
        for message in encode_batches(published):
            network.publish_nowait(message)
            self._counters.count("messages published")
        self._counters.count("records published", len(published))

    async def _ask(self, send: Send | FetchEvidence | Pay, network: ports.NetworkPort) -> None:
        outcome: Outcome = AskFailed(send.ask, "timeout")
        with trio.move_on_after(max(0, send.deadline_ms - self._clock()) / 1000):
            try:
                if isinstance(send, FetchEvidence):
                    outcome = ResponseArrived(send.ask, await network.fetch(send.peer, send.data))
                elif isinstance(send, Pay):
                    outcome = ResponseArrived(send.ask, await network.pay(send.peer, send.data))
                else:
                    reply = await ask_streaming(network, send.peer, send.data, tokens_max=send.tokens_max)
                    if not is_refusal(reply.data):
                        self.ask_times.note(reply.elapsed_ms / 1000)
                    # Without a time the audit has no sample of speed: a relay could make a peer look slow.
                    outcome = ResponseArrived(send.ask, reply.data, 0 if reply.relayed else reply.elapsed_ms)
            except ports.AskError as failed:
                outcome = AskFailed(send.ask, failed.reason)
            except Exception:
                log.exception("asking %s failed", send.peer.hex()[:16])
                outcome = AskFailed(send.ask, "failed")
        self._feed(outcome)

    def statistics(self) -> dict[str, int]:
        return {"effects waiting": len(self._queue), **self._counters}
