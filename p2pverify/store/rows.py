"""Turns writes into rows, inside a transaction that the caller has begun.

The caller asks `refusal` first, so that a refused append leaves nothing behind and the other appends of the batch
succeed.
"""

import sqlite3
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from p2pverify.core.errors import LocalProtocolError
from p2pverify.store.integrity.checksum import sum_of
from p2pverify.store.window.base import put_base
from p2pverify.store.writes import (
    DropEvidence,
    PutAnswer,
    PutBase,
    PutCredit,
    PutEvidence,
    PutPeers,
    PutRecord,
    Write,
)

_PUT_RECORD = """
    INSERT INTO records (id, author, seq, kind, epoch, bytes, sum) VALUES (?, ?, ?, ?, ?, ?, ?)
    ON CONFLICT (id) DO NOTHING"""
# Replaces a row without an UPDATE or a DELETE, because the tables' triggers refuse both.
_REPLACE_RECORD = """
    INSERT OR REPLACE INTO records (place, id, author, seq, kind, epoch, bytes, sum)
    VALUES ((SELECT place FROM records WHERE id = ?1), ?1, ?2, ?3, ?4, ?5, ?6, ?7)"""
_PUT_OWN = "INSERT INTO own_log (seq, id) VALUES (?, ?) ON CONFLICT DO NOTHING"
_PUT_ANSWER = """
    INSERT INTO answers (requester, question, response, epoch) VALUES (?, ?, ?, ?)
    ON CONFLICT (requester, question) DO NOTHING"""
_REPLACE_ANSWER = """
    INSERT OR REPLACE INTO answers (place, requester, question, response, epoch)
    VALUES ((SELECT place FROM answers WHERE requester = ?1 AND question = ?2), ?1, ?2, ?3, ?4)"""
_PUT_EVIDENCE = """
    INSERT INTO evidence (epoch, slot, responder, answer) VALUES (?, ?, ?, ?)
    ON CONFLICT (epoch, slot, responder) DO NOTHING"""
_PUT_PEER = "INSERT INTO peers (peer, statement, met, failures, linked, reach) VALUES (?, ?, ?, ?, ?, ?)"
_PUT_CREDIT = """
    INSERT INTO credit (side, peer, bytes) VALUES (?, ?, ?)
    ON CONFLICT (side, peer) DO UPDATE SET bytes = excluded.bytes"""
_DROP_CREDIT = "DELETE FROM credit WHERE side = ? AND peer = ?"
_DROP_EVIDENCE = "DELETE FROM evidence WHERE epoch < ?"


@dataclass(slots=True)
class Damaged:
    """Damaged rows. A later write with the same id, or the same (requester, question), replaces them."""

    records: set[bytes] = field(default_factory=set)
    answers: set[tuple[bytes, bytes]] = field(default_factory=set)

    def forget(self, writes: Iterable[Write]) -> None:
        """Remove rows whose replacements are on disk."""
        if self.records or self.answers:
            self.records.difference_update(write.id for write in writes if isinstance(write, PutRecord))
            self.answers.difference_update(
                (write.requester, write.question) for write in writes if isinstance(write, PutAnswer)
            )


def refusal(database: sqlite3.Connection, own: bytes, writes: Iterable[Write]) -> LocalProtocolError | None:
    """Why these writes must not be stored: one would be our second record with the same sequence number. Else None."""
    ids: dict[int, bytes] = {}
    for write in writes:
        if not isinstance(write, PutRecord) or write.author != own:
            continue
        if not write.received and write.seq <= _horizon(database, own):
            return LocalProtocolError("sequence number already used")
        if write.seq not in ids:
            row = database.execute("SELECT id FROM own_log WHERE seq = ?", (write.seq,)).fetchone()
            ids[write.seq] = write.id if row is None else row[0]
        if ids[write.seq] != write.id and not write.received:
            return LocalProtocolError("sequence number already used")
    return None


@dataclass(slots=True)
class Changes:
    """How many rows were added and deleted, and the highest epoch of a new horizon."""

    records_added: int = 0
    answers_added: int = 0
    records_dropped: int = 0
    answers_dropped: int = 0
    bases: int = 0
    horizon_epoch: int = 0

    def add(self, more: "Changes") -> None:
        """Add the counts of another change."""
        self.records_added += more.records_added
        self.answers_added += more.answers_added
        self.records_dropped += more.records_dropped
        self.answers_dropped += more.answers_dropped
        self.bases += more.bases
        self.horizon_epoch = max(self.horizon_epoch, more.horizon_epoch)


def put(database: sqlite3.Connection, own: bytes, writes: Sequence[Write], damaged: Damaged) -> Changes:
    """Insert the writes of one append, in order by kind."""
    changes = Changes()
    records = [write for write in writes if isinstance(write, PutRecord)]
    answers = [write for write in writes if isinstance(write, PutAnswer)]
    if records:
        rows = [(r.id, r.author, r.seq, int(r.kind), r.epoch, r.data, sum_of(r.data)) for r in records]
        for row in (row for row in rows if row[0] in damaged.records):
            database.execute(_REPLACE_RECORD, row)
        changes.records_added = database.executemany(_PUT_RECORD, rows).rowcount
        database.executemany(_PUT_OWN, [(r.seq, r.id) for r in records if r.author == own])
    if answers:
        rows_of_answers = [(a.requester, a.question, a.response, a.epoch) for a in answers]
        for row_of_answer in (row for row in rows_of_answers if row[:2] in damaged.answers):
            database.execute(_REPLACE_ANSWER, row_of_answer)
        changes.answers_added = database.executemany(_PUT_ANSWER, rows_of_answers).rowcount
    evidence = [write for write in writes if isinstance(write, PutEvidence)]
    if evidence:
        database.executemany(_PUT_EVIDENCE, [(e.epoch, e.slot, e.responder, e.answer) for e in evidence])
    for book in (write for write in writes if isinstance(write, PutPeers)):
        database.execute("DELETE FROM peers")
        database.executemany(
            _PUT_PEER,
            [(r.peer, r.statement, r.met_ms, r.failures, r.linked_ms, r.reach_least) for r in book.rows],
        )
    for drop in (write for write in writes if isinstance(write, DropEvidence)):
        database.execute(_DROP_EVIDENCE, (drop.before_epoch,))
    for kept in (write for write in writes if isinstance(write, PutCredit)):
        if kept.data:
            database.execute(_PUT_CREDIT, (kept.side, kept.peer, kept.data))
        else:
            database.execute(_DROP_CREDIT, (kept.side, kept.peer))
    for base in (write for write in writes if isinstance(write, PutBase)):
        dropped = put_base(database, own, base)
        fewer = {"records_dropped": dropped.records, "answers_dropped": dropped.answers}
        changes.add(Changes(**fewer, bases=1, horizon_epoch=base.epoch))
    return changes


def _horizon(database: sqlite3.Connection, author: bytes) -> int:
    """The number up to which an author's records are no longer needed; -1 if all are."""
    row = database.execute("SELECT seq FROM horizon WHERE author = ?", (author,)).fetchone()
    return -1 if row is None else int(row[0])
