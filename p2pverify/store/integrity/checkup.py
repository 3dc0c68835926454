"""Checks all content of a home's database. It changes nothing, and the node may run meanwhile."""

import sqlite3
from dataclasses import dataclass
from pathlib import Path

from p2pverify.core.encoding.peerid import peer_id
from p2pverify.core.errors import DecodeError
from p2pverify.core.records.envelope import NO_PREV, decode_record
from p2pverify.node.journal import decode_output, decode_stored_evidence
from p2pverify.store import schema
from p2pverify.store.errors import StoreError, is_damage, translated
from p2pverify.store.integrity.inspection import fault_of, is_described
from p2pverify.store.reading import reading, stored_rows
from p2pverify.store.window.base import read_base

_FAULTS_MAX = 1000


@dataclass(frozen=True, slots=True)
class HomeFault:
    """A difference from what was written. `kind` is "file", "state", "record", "missing", "answer" or "evidence".

    If the fault is in one record, `author` is a public key and `number` the record's number in its log.
    """

    kind: str
    reason: str
    record: bytes | None = None
    author: bytes | None = None
    number: int | None = None


@dataclass(frozen=True, slots=True)
class Checkup:
    """The counts of a database's content, and the faults in it."""

    network: bytes
    own: bytes
    records: int
    own_records: int
    answers: int
    evidence: int
    faults: tuple[HomeFault, ...]
    faults_more: int  # number of faults beyond _FAULTS_MAX


class _Faults:
    def __init__(self) -> None:
        self.found: list[HomeFault] = []
        self.more = 0

    def add(self, fault: HomeFault) -> None:
        if len(self.found) < _FAULTS_MAX:
            self.found.append(fault)
        else:
            self.more += 1


def check_up(database: Path, network_id: bytes | None, own: bytes) -> Checkup:
    """Read a database from end to end. Raises StoreError if it is of another network or peer, or no database."""
    faults = _Faults()
    with translated(database):
        try:
            with reading(database) as connection:
                schema.check_kind(connection, database)
                lines = schema.find_faults(connection, database)
                for line in lines:
                    faults.add(HomeFault("file", line))
                if schema.are_of_indexes(lines):
                    return _walk(connection, database, faults, network_id, own)
                faults.add(HomeFault("file", "its rows were not read, since they may be anything"))
        except (sqlite3.DatabaseError, UnicodeDecodeError) as error:
            if not is_damage(error):
                raise
            faults.add(HomeFault("file", f"it cannot be read to its end ({error})"))
    return Checkup(network_id or b"", own, 0, 0, 0, 0, tuple(faults.found), faults.more)


def _walk(
    connection: sqlite3.Connection, database: Path, faults: _Faults, network_id: bytes | None, own: bytes
) -> Checkup:
    network, key = schema.owner(connection)
    schema.check_owner(connection, network_id or network, own)
    horizon = _horizon(connection, database, faults)
    records, own_records = _walk_records(connection, key, faults, horizon)
    answers = evidence = 0
    for row in connection.execute("SELECT requester, question, response, epoch FROM answers"):
        answers += 1
        requester, question, data, epoch = row
        try:
            decode_output(requester, question, data, epoch)
        except DecodeError as error:
            faults.add(
                HomeFault("answer", f"to question {question.hex()[:16]} of {peer_id(requester)}: {error.reason}")
            )
    for epoch, slot, responder, data in connection.execute("SELECT epoch, slot, responder, answer FROM evidence"):
        evidence += 1
        try:
            decode_stored_evidence(epoch, slot, responder, data)
        except DecodeError as error:
            faults.add(
                HomeFault("evidence", f"of {peer_id(responder)} in slot {slot} of epoch {epoch}: {error.reason}")
            )
    return Checkup(network, key, records, own_records, answers, evidence, tuple(faults.found), faults.more)


def _horizon(connection: sqlite3.Connection, database: Path, faults: _Faults) -> dict[bytes, int]:
    """Check the stored base. Returns the number up to which an author's records may be gone, by author."""
    try:
        base = read_base(connection, database)
    except StoreError as error:
        faults.add(HomeFault("state", error.reason))
        return dict(connection.execute("SELECT author, seq FROM horizon").fetchall())
    return {} if base is None else base.numbers


def _walk_records(
    connection: sqlite3.Connection, own: bytes, faults: _Faults, horizon: dict[bytes, int]
) -> tuple[int, int]:
    """Check each row by itself, then look for missing records. Returns the number of all rows and of own rows."""
    records = own_records = 0
    held: set[bytes] = set()
    awaited: dict[bytes, tuple[bytes, int]] = {}  # id of a record -> author and number of the next record
    own_log = connection.execute("SELECT seq, id FROM own_log ORDER BY seq").fetchall()
    for row in stored_rows(connection):
        records += 1
        reason = fault_of(row)
        if reason is None:
            record = decode_record(row.data)
            held.add(record.id)
            if record.header.prev != NO_PREV and record.seq - 1 > horizon.get(record.author, -1):
                awaited[record.header.prev] = (record.author, record.seq)
            own_records += record.author == own
            reason = (
                None if row.is_as_written and is_described(row, record) else "the columns beside it are not its own"
            )
        if reason is not None:
            faults.add(HomeFault("record", reason, row.id, row.author, row.seq))
            held.add(row.id)  # named once already
    for before, (author, seq) in awaited.items():
        if before not in held:
            faults.add(HomeFault("missing", "the record is not in the database", before, author, seq - 1))
            held.add(before)
    for seq, record_id in own_log:
        if record_id not in held:
            faults.add(HomeFault("missing", "the record is not in the database", record_id, own, seq))
    return records, own_records
