"""The stored base: the states of the newest cuts from which a node starts, and the horizon below which records may go.

Both are written in the transaction that deletes the records. A digest says which rows belong together, and each state
has a digest of its bytes, because nobody has signed them. If one of them is not what was written, the node does not
start: the records below the horizon are gone, so nothing could replace the state.
"""

import sqlite3
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from p2pverify.core.encoding.canon import encode, sha256
from p2pverify.store.errors import StoreError
from p2pverify.store.integrity.checksum import sum_of
from p2pverify.store.writes import HorizonRow, PutBase

_PUT_STATE = "INSERT INTO states (number, cut, digest, bytes) VALUES (?, ?, ?, ?)"
_RAISE = """
    INSERT INTO horizon (author, seq, id, epoch) VALUES (?, ?, ?, ?)
    ON CONFLICT (author) DO UPDATE SET seq = excluded.seq, id = excluded.id, epoch = excluded.epoch
    WHERE excluded.seq > seq"""
_HORIZON = "SELECT author, seq, id, epoch FROM horizon ORDER BY author"
_PUT_BASE = """
    INSERT INTO base (one, epoch, first, digest) VALUES (0, ?, ?, ?)
    ON CONFLICT (one) DO UPDATE SET
        epoch = max(epoch, excluded.epoch), first = excluded.first, digest = excluded.digest"""
_ABOVE = "NOT EXISTS (SELECT 1 FROM horizon AS h WHERE h.author = r.author AND h.seq >= r.seq)"
_FIRST = f"SELECT min(place) FROM records AS r WHERE place >= ? AND {_ABOVE}"  # noqa: S608 - our own text
_DROP_RECORDS = f"DELETE FROM records AS r WHERE NOT ({_ABOVE})"  # noqa: S608 - our own text
_DROP_OWN = "DELETE FROM own_log WHERE seq <= (SELECT seq FROM horizon WHERE author = ?)"
_DROP_ANSWERS = "DELETE FROM answers WHERE epoch < (SELECT epoch FROM base)"
_OLD_COUNT = f"SELECT count(*) FROM records AS r WHERE place >= ? AND NOT ({_ABOVE})"  # noqa: S608 - our own text
GONE_HINT = (
    "stop the node, move the files {path}* away, and start it again; it then begins with a state of other peers, and a "
    "copy of the home directory brings back the rest"
)


@dataclass(frozen=True, slots=True)
class StoredBase:
    """What a node starts from: ids of cuts (32 B) and the bytes of their states, oldest first, and the horizon.

    Answers of epochs before `epoch` are gone. No record with a place below `first` is above the horizon.
    """

    cuts: tuple[bytes, ...]
    states: tuple[bytes, ...]
    horizon: tuple[HorizonRow, ...]
    epoch: int
    first: int


@dataclass(frozen=True, slots=True)
class Dropped:
    """How many rows were deleted below a horizon."""

    records: int = 0
    answers: int = 0


def put_base(database: sqlite3.Connection, own: bytes, base: PutBase) -> Dropped:
    """Replace the base and raise the horizon; unless `keeps_all`, delete the records up to it.

    Inside a transaction that the caller has begun.
    """
    before = database.execute("SELECT epoch, first FROM base").fetchone() or (0, 0)
    database.execute("DELETE FROM states")
    states = [(cut, sha256(state), state) for cut, state in zip(base.cuts, base.states, strict=True)]
    database.executemany(_PUT_STATE, [(number, *state) for number, state in enumerate(states)])
    named = {row.author for row in base.horizon}
    gone = [row for row in database.execute("SELECT author FROM horizon").fetchall() if row[0] not in named | {own}]
    database.executemany("DELETE FROM horizon WHERE author = ?", gone)
    database.executemany(_RAISE, base.horizon)
    epoch = max(before[0], base.epoch)
    first = database.execute(_FIRST, (before[1],)).fetchone()[0] or before[1]
    horizon = [HorizonRow(*row) for row in database.execute(_HORIZON)]
    digest = _digest(epoch, first, [state[:2] for state in states], horizon)
    database.execute(_PUT_BASE, (epoch, first, digest))
    database.execute(_DROP_OWN, (own,))
    answers = database.execute(_DROP_ANSWERS).rowcount
    records = 0 if base.keeps_all else database.execute(_DROP_RECORDS).rowcount
    return Dropped(records, answers)


def read_base(database: sqlite3.Connection, path: Path) -> StoredBase | None:
    """The stored base; None if none was stored yet. Raises StoreError if it is not what was written."""
    head = database.execute("SELECT epoch, first, digest FROM base").fetchone()
    if head is None:
        return None
    epoch, first, digest = head
    rows = database.execute("SELECT cut, digest, bytes FROM states ORDER BY number").fetchall()
    horizon = [HorizonRow(*row) for row in database.execute(_HORIZON)]
    is_whole = bool(rows) and digest == _digest(epoch, first, [row[:2] for row in rows], horizon)
    if not is_whole or any(sha256(state) != sum_ for _, sum_, state in rows):
        raise StoreError("the stored state is damaged, and the records before it are gone", GONE_HINT.format(path=path))
    return StoredBase(tuple(row[0] for row in rows), tuple(row[2] for row in rows), tuple(horizon), epoch, first)


def is_whole_up_to(database: sqlite3.Connection, base: StoredBase, heads: Iterable[tuple[bytes, int, bytes]]) -> bool:
    """Whether all records above the horizon and up to these heads (author, number, id) are as they were written."""
    bottom = {author: (seq, record_id) for author, seq, record_id in heads}
    above = {row.author: row.seq for row in base.horizon}
    found: dict[bytes, set[int]] = {author: set() for author in bottom}
    ids: set[bytes] = set()
    rows = database.execute("SELECT author, seq, id, bytes, sum FROM records WHERE place >= ?", (base.first,))
    for author, seq, record_id, data, sum_ in rows:
        if author in bottom and above.get(author, -1) < seq <= bottom[author][0]:
            if sum_ != sum_of(data):
                return False
            found[author].add(seq)
            ids.add(record_id)
    ids.update(row.id for row in base.horizon)
    return all(
        record_id in ids and len(found[author]) == max(0, seq - above.get(author, -1))
        for author, (seq, record_id) in bottom.items()
    )


def count_old(database: sqlite3.Connection, base: StoredBase | None) -> int:
    """How many stored records are below the horizon, as in a node that keeps all."""
    if base is None:
        return 0
    (below,) = database.execute("SELECT count(*) FROM records WHERE place < ?", (base.first,)).fetchone()
    (among,) = database.execute(_OLD_COUNT, (base.first,)).fetchone()
    return int(below) + int(among)


def _digest(epoch: int, first: int, states: Sequence[tuple[bytes, bytes]], horizon: Sequence[HorizonRow]) -> bytes:
    return sha256(encode([epoch, first, [list(state) for state in states], [list(row) for row in horizon]]))
