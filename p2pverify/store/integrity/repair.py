"""Repairs a database after damage, as far as whole records show its right content.

The tables are append-only above the horizon: their triggers refuse other changes. A repair removes the triggers within
its transaction.
"""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from p2pverify.core.records.envelope import Record
from p2pverify.store.integrity.checksum import sum_of
from p2pverify.store.integrity.inspection import StoredRow

_DESCRIBE = "UPDATE records SET id = ?, author = ?, seq = ?, kind = ?, epoch = ?, sum = ? WHERE place = ?"


@dataclass(frozen=True, slots=True)
class Repair:
    """The rows to repair.

    - `misdescribed`: rows with a whole record and wrong columns, each with that record.
    - `superseded`: places of rows with a damaged record of which another row has a whole copy.
    - `misnumbered`: rows of the own log: number, id, and the right number.
    """

    misdescribed: tuple[tuple[StoredRow, Record], ...] = ()
    superseded: tuple[int, ...] = ()
    misnumbered: tuple[tuple[int, bytes, int], ...] = ()

    def __bool__(self) -> bool:
        return bool(self.misdescribed or self.superseded or self.misnumbered)

    def carry_out(self, database: sqlite3.Connection) -> None:
        """Carry out the repair inside a transaction that the caller has begun."""
        with _changeable(database):
            database.executemany("DELETE FROM records WHERE place = ?", [(place,) for place in self.superseded])
            for row, record in self.misdescribed:
                described = (record.id, record.author, record.seq, int(record.kind), record.epoch, sum_of(record.data))
                database.execute(_DESCRIBE, (*described, row.place))
            database.executemany("DELETE FROM own_log WHERE seq = ?", [(wrong,) for wrong, _, _ in self.misnumbered])
            database.executemany(
                "INSERT INTO own_log (seq, id) VALUES (?, ?) ON CONFLICT DO NOTHING",
                [(right, record_id) for _, record_id, right in self.misnumbered],
            )


@contextmanager
def _changeable(database: sqlite3.Connection) -> Iterator[None]:
    """Remove the tables' triggers, and restore them at the end."""
    triggers = database.execute("SELECT name, sql FROM sqlite_master WHERE type = 'trigger'").fetchall()
    for name, _ in triggers:
        database.execute(f'DROP TRIGGER "{name}"')
    yield
    for _, statement in triggers:
        database.execute(statement)
