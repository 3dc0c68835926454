"""Carries out the machine's orders of training rounds: finds rows and weights, fetches blobs, and computes in a thread.

What an outcome names is on disk before the machine hears of it, so that others can fetch it. An order of a round that
is over is given up. The time for a blob is a part of an epoch; a voter that waits in vain votes "unseen".
"""

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, TypeVar

import trio

from p2pverify.core.data.commitments import RowTable
from p2pverify.core.errors import DecodeError
from p2pverify.core.events import TrainingDone, TrainingJob
from p2pverify.core.machine import Machine
from p2pverify.core.records.payloads.rounds.place import RoundPlace
from p2pverify.core.state.rounds.take import open_round
from p2pverify.core.training.orders import (
    EvaluateOrder,
    ReportOrder,
    TrainedUpdate,
    TrainingFailed,
    TrainingOrder,
    TrainingOutcome,
    TrainOrder,
)
from p2pverify.core.training.result import RoundResult
from p2pverify.node.data.store import DataStore, OwnDataset
from p2pverify.node.training.blobs import RoundBlobs
from p2pverify.node.training.fetching import RoundFetcher
from p2pverify.node.training.ports import Trainer
from p2pverify.node.training.versions import RoundBase, TrainedVersions
from p2pverify.node.user_error import UserError

if TYPE_CHECKING:
    from trio_typing import TaskStatus  # the stubs that libp2p brings hide trio's own name

#: Orders that are carried out at a time, and wait for blobs or for the one thread that computes.
ORDERS_MAX = 16
#: The time for one blob, as a part of an epoch (1/1000).
BLOB_PERMILLE = 700
#: Blobs that are fetched at a time.
FETCHES_MAX = 8
_T = TypeVar("_T")
log = logging.getLogger(__name__)


class TrainingService:
    """The training of one node."""

    def __init__(
        self,
        machine: Machine,
        trainer: Trainer,
        rows: DataStore,
        versions: TrainedVersions,
        blobs: RoundBlobs,
    ) -> None:
        self._machine = machine
        self._trainer = trainer
        self._rows = rows
        self._versions = versions
        self._blobs = blobs
        self._taken = 0
        self._running: dict[int, tuple[RoundPlace, trio.CancelScope]] = {}
        self._sender, self._orders = trio.open_memory_channel[TrainingJob](ORDERS_MAX)
        self._computing = trio.CapacityLimiter(1)
        self._fetching = trio.Lock()  # what is fetched early need not be fetched again
        self._changed = trio.Event()

    def submit_nowait(self, job: TrainingJob) -> TrainingDone | None:
        """Take an order of the machine. Returns why it is refused; None if its outcome comes later."""
        if self._taken >= ORDERS_MAX:
            return TrainingDone(job.job, TrainingFailed("this node has too many orders of training rounds"))
        self._taken += 1
        self._sender.send_nowait(job)
        return None

    def look_again(self) -> None:
        """A cut has become final."""
        self._blobs.look(self._machine.fold.latest)
        for place, scope in self._running.values():
            if open_round(self._machine.fold.latest, place) is None:
                scope.cancel()
        self._changed.set()

    async def run(
        self,
        fetcher: RoundFetcher,
        feed: Callable[[TrainingDone], None],
        ready: Callable[[], None],
        *,
        task_status: "TaskStatus[None]" = trio.TASK_STATUS_IGNORED,
    ) -> None:
        """Carry out orders, and hold what trained versions need, until cancelled.

        `feed` takes the outcomes, and `ready` is called when a new version is here.
        """
        self.look_again()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._hold, fetcher, ready)
            nursery.start_soon(self._prepare, fetcher)
            task_status.started()
            async for job in self._orders:
                nursery.start_soon(self._carry_out, job, fetcher, feed)

    async def _prepare(self, fetcher: RoundFetcher) -> None:
        """Find out before the first round whether this machine can judge the updates of its line."""
        network = self._machine.network
        index = network.line_of(self._machine.context.class_index)
        line = None if index is None else network.lines[index]
        if line is None or line.training is None:
            return
        try:
            base = await self._versions.base(line.genesis, self._blobs, fetcher)
            if base is not None:
                await self._in_thread(partial(self._trainer.prepare, base.weights, line.training))
                log.info("this machine can judge the updates of line %s", line.name)
        except (UserError, DecodeError, ValueError, OSError) as error:
            log.warning("this machine cannot judge the updates of line %s: %s", line.name, error)

    async def _hold(self, fetcher: RoundFetcher, ready: Callable[[], None]) -> None:
        """Delete blobs whose time is over, and get what trained versions need, whenever a cut is final."""
        while True:
            self._changed = trio.Event()
            try:
                await self._blobs.tidy()
                if await self._versions.hold(self._blobs, fetcher):
                    self._blobs.look(self._machine.fold.latest)
                    ready()
                await self._fetch_early(fetcher)
            except (UserError, DecodeError, OSError) as error:
                reason = error.strerror if isinstance(error, OSError) else error.reason
                log.warning("blobs of training rounds cannot be had: %s", reason)
            await self._changed.wait()

    async def _carry_out(self, job: TrainingJob, fetcher: RoundFetcher, feed: Callable[[TrainingDone], None]) -> None:
        order = job.order
        outcome: TrainingOutcome | None = None
        with trio.CancelScope() as scope:
            self._running[job.job] = (RoundPlace(order.line, order.number), scope)
            outcome = await self._outcome(order, fetcher)
        del self._running[job.job]
        self._taken -= 1
        feed(TrainingDone(job.job, outcome or TrainingFailed("the round is over")))

    async def _outcome(self, order: TrainingOrder, fetcher: RoundFetcher) -> TrainingOutcome:
        try:
            base = await self._versions.base(order.base, self._blobs, fetcher)
            if base is None:
                return TrainingFailed("the version from which it starts is not on this machine")
            if isinstance(order, TrainOrder):
                return await self._train(order, base)
            if isinstance(order, ReportOrder):
                return await self._report(order, base, fetcher)
            return await self._evaluate(order, base, fetcher)
        except (UserError, DecodeError, ValueError) as error:
            return TrainingFailed(getattr(error, "reason", "") or str(error))
        except OSError as error:
            return TrainingFailed(f"{error.filename} cannot be read: {error.strerror}")

    async def _train(self, order: TrainOrder, base: RoundBase) -> TrainingOutcome:
        def work() -> TrainingOutcome:
            made = self._trainer.train(order, base.weights, self._own_rows(order))
            update, shown = self._blobs.keep(made.update), self._blobs.keep(made.shown)
            return TrainedUpdate(update, made.steps, made.rows, shown, len(made.shown))

        outcome = await self._in_thread(work)
        if isinstance(outcome, TrainedUpdate):
            self._blobs.note((outcome.update, outcome.shown), RoundPlace(order.line, order.number))
        return outcome

    def _own_rows(self, order: TrainOrder | ReportOrder) -> RowTable:
        """The rows of an order, from this home. Blocks. Raises ValueError if they are not those of the ledger."""
        own = self._rows.find(order.dataset)
        if own is None:
            raise ValueError(f"this home does not have the data set {order.dataset.hex()[:16]}")
        if own.root != order.drawn.root:
            raise ValueError(f"the rows of {own.name} are not those that the ledger was told")
        return table_of(own)

    async def _report(self, order: ReportOrder, base: RoundBase, fetcher: RoundFetcher) -> TrainingOutcome:
        rows = await self._in_thread(lambda: self._own_rows(order))
        size = self._trainer.update_bytes(base.weights)
        wanted = [_Wanted(author, digest, size) for author, digest in order.updates]
        blobs = await self._fetch(wanted, RoundPlace(order.line, order.number), fetcher)
        return await self._in_thread(lambda: self._trainer.report(order, base.weights, rows, blobs))

    async def _evaluate(self, order: EvaluateOrder, base: RoundBase, fetcher: RoundFetcher) -> TrainingOutcome:
        wanted = self._wanted(
            base, [(each.author, each.update, each.shown, each.shown_bytes) for each in order.updates]
        )
        blobs = await self._fetch(wanted, RoundPlace(order.line, order.number), fetcher)

        def work() -> RoundResult:
            found = self._trainer.evaluate(order, base.weights, base.manifest, blobs)
            if found.weights is not None and found.manifest is not None:
                self._blobs.keep(found.weights)
                self._blobs.keep(found.manifest.encode())
            return found.result

        result = await self._in_thread(work)
        self._blobs.note((result.weights, result.manifest), RoundPlace(order.line, order.number))
        return result

    async def _in_thread(self, work: Callable[[], _T]) -> _T:
        """Compute in the one thread. If cancelled, it goes on there and its result is of no use."""
        return await trio.to_thread.run_sync(
            work,
            limiter=self._computing,
            abandon_on_cancel=True,  # type: ignore[call-arg]  # the installed stubs are of an older trio
        )

    async def _fetch_early(self, fetcher: RoundFetcher) -> None:
        """Fetch what contributors of this node's line show before the vote begins, while they are surely there."""
        machine = self._machine
        index = machine.network.line_of(machine.context.class_index)
        known = None if index is None else machine.fold.latest.rounds.get(index)
        current = None if known is None else known.open
        if index is None or current is None or not current.updates:
            return
        base = await self._versions.base(current.manifest, self._blobs, fetcher)
        if base is not None:
            said = [
                (author, opened.trained.update, opened.shown, opened.shown_bytes)
                for author, opened in sorted(current.updates.items())
            ]
            await self._fetch(self._wanted(base, said), RoundPlace(index, current.number), fetcher)

    def _wanted(self, base: RoundBase, said: Iterable[tuple[bytes, bytes, bytes, int]]) -> "list[_Wanted]":
        """The blobs of updates: of an author, the update, the shown rows, and the bytes of these."""
        size = self._trainer.update_bytes(base.weights)
        found = []
        for author, update, shown, shown_bytes in said:
            found += [_Wanted(author, update, size), _Wanted(author, shown, shown_bytes)]
        return found

    async def _fetch(self, wanted: "Sequence[_Wanted]", place: RoundPlace, fetcher: RoundFetcher) -> "SeenBlobs":
        """The blobs that can be had in time. They are on disk then. Raises UserError."""
        seconds = self._machine.network.params.epoch_ms * BLOB_PERMILLE / 1e6
        found: set[bytes] = set()
        failed: list[UserError] = []
        limiter = trio.CapacityLimiter(FETCHES_MAX)  # so few are in memory at a time

        async def fetch(blob: _Wanted) -> None:
            async with limiter:
                try:
                    data = await fetcher.get(blob.sha256, blob.size, blob.author, seconds)
                    if data is not None:
                        await trio.to_thread.run_sync(self._blobs.keep, data)
                        found.add(blob.sha256)
                except UserError as error:  # one alone is raised below, and no group of them
                    failed.append(error)

        async with self._fetching:
            async with trio.open_nursery() as nursery:
                for blob in wanted:
                    nursery.start_soon(fetch, blob)
            if failed:
                raise failed[0]
            self._blobs.note(found, place)
        return SeenBlobs(frozenset(found), self._blobs.get)


class SeenBlobs(Mapping[bytes, bytes]):
    """Blobs on this machine by SHA-256. Each is read when it is asked for, because a round may have 512 MiB of them."""

    def __init__(self, seen: frozenset[bytes], read: Callable[[bytes], bytes | None]) -> None:
        """`read` blocks. A blob that is gone meanwhile is none of the mapping."""
        self._seen = seen
        self._read = read

    def __getitem__(self, digest: bytes) -> bytes:
        data = self._read(digest) if digest in self._seen else None
        if data is None:
            raise KeyError(digest)
        return data

    def __iter__(self) -> Iterator[bytes]:
        return iter(self._seen)

    def __len__(self) -> int:
        return len(self._seen)


@dataclass(frozen=True, slots=True)
class _Wanted:
    """A blob of `size` bytes, and who has it for sure."""

    author: bytes
    sha256: bytes
    size: int


def table_of(own: OwnDataset) -> RowTable:
    """All rows of a data set of this home, in their order."""
    return [None if row.erased else (row.salt, row.row) for row in own.rows]
