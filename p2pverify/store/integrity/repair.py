"""Putting a database right after damage, as far as whole records say what it should hold.

The tables are append-only: their triggers refuse every UPDATE and DELETE. A repair lifts them within its transaction.
"""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from p2pverify.core.records.envelope import Record
from p2pverify.store.integrity.inspection import StoredRow

_DESCRIBE = "UPDATE records SET id = ?, author = ?, seq = ?, kind = ?, epoch = ? WHERE place = ?"


@dataclass(frozen=True, slots=True)
class Repair:
    """`misdescribed` rows hold whole records beside wrong columns; rows at `superseded` places hold damaged records
    that are held elsewhere; `misnumbered` are rows of the own log: their number, their id, and the right number.
    """

    misdescribed: tuple[tuple[StoredRow, Record], ...] = ()
    superseded: tuple[int, ...] = ()
    misnumbered: tuple[tuple[int, bytes, int], ...] = ()

    def __bool__(self) -> bool:
        return bool(self.misdescribed or self.superseded or self.misnumbered)

    def carry_out(self, database: sqlite3.Connection) -> None:
        """Inside a transaction that the caller has begun."""
        with _changeable(database):
            database.executemany("DELETE FROM records WHERE place = ?", [(place,) for place in self.superseded])
            for row, record in self.misdescribed:
                described = (record.id, record.author, record.seq, int(record.kind), record.epoch)
                database.execute(_DESCRIBE, (*described, row.place))
            database.executemany("DELETE FROM own_log WHERE seq = ?", [(wrong,) for wrong, _, _ in self.misnumbered])
            database.executemany(
                "INSERT INTO own_log (seq, id) VALUES (?, ?) ON CONFLICT DO NOTHING",
                [(right, record_id) for _, record_id, right in self.misnumbered],
            )


@contextmanager
def _changeable(database: sqlite3.Connection) -> Iterator[None]:
    """Lift the triggers of the tables, and set them again."""
    triggers = database.execute("SELECT name, sql FROM sqlite_master WHERE type = 'trigger'").fetchall()
    for name, _ in triggers:
        database.execute(f'DROP TRIGGER "{name}"')
    yield
    for _, statement in triggers:
        database.execute(statement)
