"""The stored base: the states of the newest cuts from which a node starts, and the horizon below which records may go.

Both are written in the transaction that deletes the records. A digest says which rows belong together, and each state
has a digest of its bytes, because nobody has signed them. If one of them is not what was written, a node that keeps all
records computes its state from the first record on. Another one does not start, because it cannot replace the state.
"""

import logging
import sqlite3
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from p2pverify.core.encoding.canon import encode, sha256
from p2pverify.core.replica.base import Base, floors_of
from p2pverify.core.state.codec.sections import decode_state
from p2pverify.store.errors import StoreError
from p2pverify.store.writes import HorizonRow, PutBase

_PUT_STATE = "INSERT INTO states (number, cut, digest, bytes) VALUES (?, ?, ?, ?)"
_RAISE = """
    INSERT INTO horizon (author, seq, id, epoch, since) VALUES (?, ?, ?, ?, ?)
    ON CONFLICT (author) DO UPDATE SET
        seq = excluded.seq, id = excluded.id, epoch = excluded.epoch, since = excluded.since
    WHERE excluded.seq > seq"""
_HORIZON = "SELECT author, seq, id, epoch, since FROM horizon ORDER BY author"
_PUT_BASE = """
    INSERT INTO base (one, epoch, first, is_whole, digest) VALUES (0, ?, ?, ?, ?)
    ON CONFLICT (one) DO UPDATE SET
        epoch = excluded.epoch, first = excluded.first, is_whole = excluded.is_whole, digest = excluded.digest"""
_CLOSE = """
    INSERT OR REPLACE INTO closed (author, seq)
    SELECT author, max(seq) FROM records WHERE author = ? GROUP BY author"""
_BELOW = """(
    EXISTS (SELECT 1 FROM horizon AS h WHERE h.author = r.author AND h.seq >= r.seq)
    OR EXISTS (SELECT 1 FROM closed AS c WHERE c.author = r.author AND c.seq >= r.seq))"""
_FIRST = f"SELECT min(place) FROM records AS r WHERE place >= ? AND NOT {_BELOW}"  # noqa: S608 - our own text
_DROP_RECORDS = f"DELETE FROM records AS r WHERE {_BELOW} AND id NOT IN (SELECT id FROM named)"  # noqa: S608
_DROP_OWN = "DELETE FROM own_log WHERE seq <= (SELECT seq FROM horizon WHERE author = ?)"
_DROP_ANSWERS = "DELETE FROM answers WHERE epoch < (SELECT epoch FROM base)"
GONE_HINT = (
    "stop the node, move the files {path}* away, and start it again; it then begins with a state of other peers, and a "
    "copy of the home directory brings back the rest"
)
log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class StoredBase:
    """What a node starts from: ids of cuts (32 B) and the bytes of their states, oldest first, and the horizon.

    Of authors without a row in the horizon, the records up to the numbers `closed` are not needed. `named` are the ids
    (32 B) of records below the horizon that are needed. Answers of epochs before `epoch` are gone. No record with a
    place below `first` is above the horizon. `is_whole` says that no record was ever deleted.
    """

    cuts: tuple[bytes, ...]
    states: tuple[bytes, ...]
    horizon: tuple[HorizonRow, ...]
    closed: tuple[tuple[bytes, int], ...]
    named: tuple[bytes, ...]
    epoch: int
    first: int
    is_whole: bool

    @property
    def numbers(self) -> dict[bytes, int]:
        """The number up to which an author's records are not needed, by author."""
        return {**dict(self.closed), **{row.author: row.seq for row in self.horizon}}


@dataclass(frozen=True, slots=True)
class Dropped:
    """How many rows were deleted below a horizon."""

    records: int = 0
    answers: int = 0


def first_base(base: Base, authors: Iterable[bytes], named: Iterable[bytes] = ()) -> PutBase:
    """What is written of a base from other peers. Stored records below it go; `authors` are those who have any.

    The `named` records (ids) stay.
    """
    floors = floors_of(decode_state(base.states[0]).state)
    horizon = tuple(HorizonRow(author, f.seq, f.id, f.epoch, f.since) for author, f in sorted(floors.items()))
    epoch = max((row.epoch for row in horizon), default=0)
    gone = tuple(sorted(set(authors) - floors.keys()))
    return PutBase(base.cuts, base.states, horizon, epoch, tuple(named), gone, keeps_all=False)


def put_base(database: sqlite3.Connection, own: bytes, base: PutBase) -> Dropped:
    """Replace the base and raise the horizon; unless `keeps_all`, delete the records up to it.

    Inside a transaction that the caller has begun.
    """
    before = database.execute("SELECT epoch, first, is_whole FROM base").fetchone() or (0, 0, 1)
    database.execute("DELETE FROM states")
    states = [(cut, sha256(state), state) for cut, state in zip(base.cuts, base.states, strict=True)]
    database.executemany(_PUT_STATE, [(number, *state) for number, state in enumerate(states)])
    database.execute("DELETE FROM named")
    database.executemany("INSERT OR IGNORE INTO named (id) VALUES (?)", [(each,) for each in base.named])
    _raise_horizon(database, own, base)
    epoch = max(before[0], base.epoch)
    first = database.execute(_FIRST, (before[1],)).fetchone()[0] or before[1]
    records = 0
    if not base.keeps_all:
        records = database.execute(_DROP_RECORDS).rowcount
        database.execute("DELETE FROM closed")
    head = (epoch, first, int(before[2] and base.keeps_all))
    database.execute(_PUT_BASE, (*head, _digest(database, head)))
    database.execute(_DROP_OWN, (own,))
    return Dropped(records, database.execute(_DROP_ANSWERS).rowcount)


def _raise_horizon(database: sqlite3.Connection, own: bytes, base: PutBase) -> None:
    """Raise the horizon, and close the logs of authors that are gone. A closed log that goes on has a horizon again."""
    kept = {row.author for row in base.horizon} | {own}
    gone = [(author,) for author in base.gone if author not in kept]
    database.executemany(_CLOSE, gone)
    left = [row for row in database.execute("SELECT author FROM horizon").fetchall() if row[0] not in kept]
    database.executemany("DELETE FROM horizon WHERE author = ?", left)
    database.executemany(_RAISE, base.horizon)
    database.executemany("DELETE FROM closed WHERE author = ?", [(author,) for author in kept])


def base_to_start_from(database: sqlite3.Connection, path: Path) -> StoredBase | None:
    """The stored base; None if there is none, or if it is damaged and all records are here. Else raises StoreError."""
    try:
        return read_base(database, path)
    except StoreError as error:
        if not _has_all(database):
            raise
        log.warning("%s: %s; the state is computed from all records", path, error.reason)
        return None


def read_base(database: sqlite3.Connection, path: Path) -> StoredBase | None:
    """The stored base; None if none was stored yet. Raises StoreError if it is not what was written."""
    row = database.execute("SELECT epoch, first, is_whole, digest FROM base").fetchone()
    if row is None:
        return None
    *head, digest = row
    states = database.execute("SELECT cut, digest, bytes FROM states ORDER BY number").fetchall()
    is_sound = bool(states) and digest == _digest(database, head)
    if not is_sound or any(sha256(state) != found for _, found, state in states):
        raise damaged_base(path)
    return StoredBase(
        cuts=tuple(cut for cut, _, _ in states),
        states=tuple(state for _, _, state in states),
        horizon=tuple(HorizonRow(*each) for each in database.execute(_HORIZON)),
        closed=tuple(database.execute("SELECT author, seq FROM closed ORDER BY author").fetchall()),
        named=tuple(each for (each,) in database.execute("SELECT id FROM named ORDER BY id")),
        epoch=head[0],
        first=head[1],
        is_whole=bool(head[2]),
    )


def damaged_base(path: Path, why: str = "") -> StoreError:
    """The error of a base that is not what was written."""
    return StoreError(f"the stored state is damaged{why and f' ({why})'}", GONE_HINT.format(path=path))


def _has_all(database: sqlite3.Connection) -> bool:
    """Whether no row of a record was deleted: their places have no gap."""
    count, last = database.execute("SELECT count(*), max(place) FROM records").fetchone()
    return bool(count == last)


def _digest(database: sqlite3.Connection, head: Sequence[int]) -> bytes:
    """The digest over all rows that belong to a base."""
    tables = (
        _HORIZON,
        "SELECT cut, digest FROM states ORDER BY number",
        "SELECT author, seq FROM closed ORDER BY author",
        "SELECT id FROM named ORDER BY id",
    )
    return sha256(encode([list(head), *([list(row) for row in database.execute(query)] for query in tables)]))
