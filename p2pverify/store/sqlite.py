"""The store: records, answers and evidence in one SQLite file, behind one batching writer.

Records and answers are append-only above the horizon of the stored base. Writers queue; one task takes the waiting
appends and commits them in one transaction, in a thread. When `append` returns, its data is on disk: it survives a
killed process and a power cut (see `schema` for the price). Reads use their own connection and never wait for the
writer.

The core decides what the bytes mean, and whether a record should be kept.
"""

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, closing, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import trio

from p2pverify.core.counters import Counters
from p2pverify.core.errors import LocalProtocolError
from p2pverify.node.endpoints.shelf import KEPT_PEERS_MAX, STATEMENT_BYTES_MAX, KeptPeer
from p2pverify.store import schema
from p2pverify.store.disk import disk_figures
from p2pverify.store.errors import StoreError, from_sqlite, translated
from p2pverify.store.integrity.inspection import Inspection, StoredRow
from p2pverify.store.integrity.repair import Repair
from p2pverify.store.rows import Changes, Damaged, put, refusal
from p2pverify.store.window.base import StoredBase, base_to_start_from, damaged_base
from p2pverify.store.window.shelf import DiskShelf
from p2pverify.store.window.start import Start, read_start
from p2pverify.store.writes import Write, check_write

if TYPE_CHECKING:
    from trio_typing import TaskStatus  # the stubs that libp2p brings hide trio's own name

QUEUE_MAX = 256  # waiting appends; further callers wait in `append`
BATCH_WRITES_MAX = 4096  # a commit with this many writes takes no further append
_PAGE_ROWS = 512
_COUNTED = (
    "batches",
    "appends",
    "writes",
    "records_added",
    "answers_added",
    "records_dropped",
    "answers_dropped",
    "bases_stored",
    "refused",
    "failed",
)


@dataclass(slots=True, eq=False)
class _Append:
    """One caller's writes on their way to the disk."""

    writes: tuple[Write, ...]
    done: trio.Event = field(default_factory=trio.Event)
    committed: bool = False
    error: LocalProtocolError | StoreError | None = None


class Store:
    """One node's database. Call `open` first, keep `run` running while appending, and call `close` last."""

    def __init__(
        self,
        path: Path,
        own: bytes,
        writer: sqlite3.Connection,
        reader: sqlite3.Connection,
        shelf: DiskShelf,
        base: StoredBase | None,
    ) -> None:
        self.path = path
        self._own = own
        self._writer = writer
        self._reader = reader
        self._send, self._receive = trio.open_memory_channel[_Append](QUEUE_MAX)
        self._limiter = trio.CapacityLimiter(1)
        self._counters = Counters(_COUNTED)
        self._batch_writes_max = 0
        self._damaged = Damaged()
        #: What the node starts from; None if no state was stored yet.
        self.base = base
        #: The records by id, for the ledger.
        self.shelf = shelf
        self._horizon_epoch = 0 if base is None else base.epoch
        self._held = {table: self._count_rows(table) for table in ("records", "answers")}

    @classmethod
    def open(cls, path: Path, network_id: bytes, own: bytes) -> "Store":
        """Open the database of a network (id, 32 B) and an identity (public key, 32 B); make it if missing. Blocks.

        An existing file is first checked page by page (about 12 seconds per GB). Raises StoreError.
        """
        path = Path(path)
        with translated(path):
            if not path.exists():
                schema.create(path, network_id, own)
            # Its own connection, because SQLite's check leaves a lock behind that would prevent every checkpoint.
            with closing(schema.connect(path, "rw")) as checking:
                indexes = schema.check(checking, path, network_id, own)
                if indexes:
                    schema.mend_indexes(checking, path, indexes)
            with ExitStack() as opened:
                writer, reader, shelved = (
                    opened.enter_context(closing(schema.connect(path, mode))) for mode in ("rw", "ro", "ro")
                )
                schema.tune(writer)
                base = base_to_start_from(reader, path)
                opened.pop_all()
        return cls(path, own, writer, reader, DiskShelf(path, shelved), base)

    def close(self) -> None:
        """Close the file; `run` must have ended. Blocks during the checkpoint of the write-ahead log."""
        with translated(self.path):
            self._reader.close()
            self.shelf.close()
            with suppress(sqlite3.Error):  # if the log stays, as on a full disk, the next start reads it
                self._writer.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
            self._writer.close()

    async def run(self, *, task_status: "TaskStatus[None]" = trio.TASK_STATUS_IGNORED) -> None:
        """Commit appended writes until cancelled. Run it once. Raises StoreError if the file has failed.

        A commit that has begun is finished. Callers that still wait at the end get a StoreError.
        """
        batch: list[_Append] = []
        try:
            task_status.started()
            async for first in self._receive:
                batch = self._gather(first)
                failure = await trio.to_thread.run_sync(self._commit, batch, limiter=self._limiter)
                for pending in batch:
                    pending.done.set()
                if failure is not None and failure.fatal:
                    raise failure
        finally:
            self._refuse_rest(batch)

    async def append(self, writes: Sequence[Write]) -> None:
        """Write all of `writes` or none, in order; returns when they are on disk.

        Storing an id or an answered question again changes nothing. Raises LocalProtocolError if an own record takes a
        used sequence number or a field is out of range, and StoreError if the disk refuses. If the call is cancelled,
        the writes may still be committed, all or none of them.
        """
        pending = _Append(tuple(writes))
        for write in pending.writes:
            check_write(write)
        if not pending.writes:
            await trio.lowlevel.checkpoint()
            return
        try:
            await self._send.send(pending)
        except trio.BrokenResourceError:
            raise _stopped() from None
        await pending.done.wait()
        if pending.error is not None:
            raise pending.error

    def load_records(self) -> Iterator[bytes]:
        """All records as encoded bytes, in the order of storing. Blocks; holds no lock between pages."""
        return (row.data for row in self.load_rows())

    def load_rows(self) -> Iterator[StoredRow]:
        """All records with their other columns, in the order of storing. Blocks."""
        for row in self._pages(
            "SELECT place, id, author, seq, kind, epoch, bytes, sum FROM records "
            "WHERE place > ? ORDER BY place LIMIT ?",
            0 if self.base is None else self.base.first - 1,
        ):
            yield StoredRow(*row)

    def load_own_log(self) -> list[tuple[int, bytes]]:
        """Number and id of all own records, by number. Blocks."""
        with translated(self.path):
            return self._reader.execute("SELECT seq, id FROM own_log ORDER BY seq").fetchall()

    def read_start(self) -> Start | None:
        """Where the node starts; None for the beginning of the network. Blocks. Raises DecodeError, StoreError."""
        if self.base is None:
            return None
        with translated(self.path):
            return read_start(self._reader, self.base)

    def damaged_base(self, why: str) -> StoreError:
        """The error of a stored base that does not hold."""
        return damaged_base(self.path, why)

    def inspect(self, start: Start | None = None) -> Inspection:
        """An inspection of all records above a start, which finds the damaged ones."""
        numbers = {} if self.base is None else self.base.numbers if start is None else start.numbers
        return Inspection(self.load_rows(), self._own, self.load_own_log(), numbers)

    @property
    def judged_by(self) -> str | None:
        """The version of the program that judged all records before it wrote them; None if it is not known. Blocks."""
        with translated(self.path):
            row = self._reader.execute("SELECT program FROM judged").fetchone()
        return None if row is None else str(row[0])

    def note_judged(self, program: str) -> None:
        """This version of the program has judged all records. Blocks. Call it before `run`."""
        if self.judged_by != program:
            with translated(self.path):
                self._writer.execute("INSERT OR REPLACE INTO judged (one, program) VALUES (0, ?)", (program,))

    def allow_replacing(self, records: Iterable[bytes], answers: Iterable[tuple[bytes, bytes]] = ()) -> None:
        """Let later appends replace these damaged rows, found by id or (requester, question). Call it before `run`."""
        self._damaged.records.update(records)
        self._damaged.answers.update(answers)

    def is_damaged(self, record_id: bytes) -> bool:
        """Whether the row of a record is damaged and not yet replaced."""
        return record_id in self._damaged.records

    def mend(self, repair: Repair) -> None:
        """Repair rows from whole records. Blocks. Call it before `run`."""
        with translated(self.path):
            self._writer.execute("BEGIN IMMEDIATE")
            try:
                repair.carry_out(self._writer)
                self._writer.execute("COMMIT")
            except BaseException:
                if self._writer.in_transaction:
                    self._writer.execute("ROLLBACK")
                raise
        self._held["records"] = self._count_rows("records")

    def load_answers(self) -> Iterator[tuple[bytes, bytes, bytes, int]]:
        """All (requester, question, response, epoch), in the order they were stored. Blocks."""
        for row in self._pages(
            "SELECT place, requester, question, response, epoch FROM answers WHERE place > ? ORDER BY place LIMIT ?"
        ):
            yield row[1:]

    def load_evidence(self) -> list[tuple[int, int, bytes, bytes]]:
        """All (epoch, slot, responder, answer) that were not deleted, in this order. Blocks."""
        with translated(self.path):
            rows = self._reader.execute(
                "SELECT epoch, slot, responder, answer FROM evidence ORDER BY epoch, slot, responder"
            )
            return rows.fetchall()

    def load_peers(self) -> list[KeptPeer]:
        """The rows of the address book that was written last, except those that are too long. Blocks."""
        with translated(self.path):
            rows = self._reader.execute(
                "SELECT peer, statement, met, failures, linked, reach FROM peers "
                "WHERE length(peer) = 32 AND length(statement) <= ? ORDER BY peer LIMIT ?",
                (STATEMENT_BYTES_MAX, KEPT_PEERS_MAX),
            )
            return [KeptPeer(*row) for row in rows.fetchall()]

    def load_credit(self) -> list[tuple[str, bytes, bytes]]:
        """All tabs and bills: side, peer and bytes. Blocks."""
        with translated(self.path):
            return self._reader.execute("SELECT side, peer, bytes FROM credit ORDER BY side, peer").fetchall()

    def statistics(self) -> dict[str, int]:
        """Counters since `open`, and the present size of the content."""
        return {
            **self._counters,
            **self._held,
            "records_damaged": len(self._damaged.records),
            "answers_damaged": len(self._damaged.answers),
            "batch_writes_max": self._batch_writes_max,
            "queue_used": self._send.statistics().current_buffer_used,
            "queue_max": QUEUE_MAX,
            "horizon_epoch": self._horizon_epoch,
            **self.shelf.statistics(),
            **disk_figures(self.path),
        }

    def _gather(self, first: _Append) -> list[_Append]:
        """The first append and the appends queued behind it, up to a full batch."""
        batch = [first]
        count = len(first.writes)
        while count < BATCH_WRITES_MAX:
            try:
                batch.append(self._receive.receive_nowait())
            except trio.WouldBlock:
                break
            count += len(batch[-1].writes)
        return batch

    def _commit(self, batch: Sequence[_Append]) -> StoreError | None:
        """Write a batch in one transaction, in a thread. Returns the disk's error, or None."""
        try:
            changes = self._transact(batch)
            if changes.bases:
                self._give_back()
        except sqlite3.Error as error:
            failure = from_sqlite(error, self.path, then="; writing goes on by itself")
            for pending in batch:
                pending.error = failure.copy()
            self._counters.count("failed", len(batch))
            return failure
        count = 0
        for pending in batch:
            pending.committed = True
            if pending.error is None:
                count += len(pending.writes)
                self._counters.count("appends")
            else:
                self._counters.count("refused")
        self._count(changes)
        self._counters.count("batches")
        self._counters.count("writes", count)
        self._batch_writes_max = max(self._batch_writes_max, count)
        return None

    def _count(self, changes: Changes) -> None:
        self._counters.count("records_added", changes.records_added)
        self._counters.count("answers_added", changes.answers_added)
        self._counters.count("records_dropped", changes.records_dropped)
        self._counters.count("answers_dropped", changes.answers_dropped)
        self._counters.count("bases_stored", changes.bases)
        self._horizon_epoch = max(self._horizon_epoch, changes.horizon_epoch)
        self._held["records"] += changes.records_added - changes.records_dropped
        self._held["answers"] += changes.answers_added - changes.answers_dropped

    def _transact(self, batch: Sequence[_Append]) -> Changes:
        """One transaction; a refused append leaves no trace in it."""
        changes = Changes()
        self._writer.execute("BEGIN IMMEDIATE")
        try:
            for pending in batch:
                pending.error = refusal(self._writer, self._own, pending.writes)
                if pending.error is None:
                    changes.add(put(self._writer, self._own, pending.writes, self._damaged))
            self._writer.execute("COMMIT")
        except BaseException:
            if self._writer.in_transaction:
                self._writer.execute("ROLLBACK")
            raise
        for pending in batch:
            if pending.error is None:
                self._damaged.forget(pending.writes)
        return changes

    def _give_back(self) -> None:
        """Give free pages back to the disk. They are used again if that fails, as on a full disk."""
        with suppress(sqlite3.Error):
            schema.give_back(self._writer)

    def _refuse_rest(self, batch: Sequence[_Append]) -> None:
        """Tell all waiting callers that nothing more will be written."""
        waiting = list(batch)
        while True:
            try:
                waiting.append(self._receive.receive_nowait())
            except trio.WouldBlock:
                break
        self._receive.close()
        for pending in waiting:
            if not pending.done.is_set():
                if not pending.committed and pending.error is None:
                    pending.error = _stopped()
                pending.done.set()

    def _pages(self, query: str, place: int = 0) -> Iterator[tuple[Any, ...]]:
        """Rows whose first column is the place, read page by page, from the one after `place` on."""
        while True:
            with translated(self.path):
                rows = self._reader.execute(query, (place, _PAGE_ROWS)).fetchall()
            if not rows:
                return
            yield from rows
            place = rows[-1][0]

    def _count_rows(self, table: str) -> int:
        with translated(self.path):
            (count,) = self._reader.execute(f"SELECT count(*) FROM {table}").fetchone()  # noqa: S608 - our own names
        return int(count)


def _stopped() -> StoreError:
    return StoreError("the store has stopped", "the node is shutting down; start it again")
