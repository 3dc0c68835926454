"""Where a node starts: the stored base, the floors of its ledger, and the records below them that it needs.

The records between the horizon and the base are for the node's parts and for other peers; the fold does not need them.
If one of them is damaged or lost, no peer sends it again, because it is settled. Then the ledger begins at the base.
"""

import logging
import sqlite3
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass

from p2pverify.core.errors import DecodeError
from p2pverify.core.records.envelope import Record, decode_record
from p2pverify.core.records.floors import Floor
from p2pverify.core.records.payloads.cut import Head
from p2pverify.core.replica.base import Base, floors_of
from p2pverify.core.state.codec.sections import decode_state
from p2pverify.store.integrity.checksum import sum_of
from p2pverify.store.window.base import StoredBase

_ROWS = "SELECT author, seq, id, bytes, sum FROM records WHERE place >= ?"
_NAMED = "SELECT id, bytes, sum FROM records WHERE id IN (SELECT id FROM named) ORDER BY id"
log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Start:
    """What a machine begins with (`Machine.begin_at`). `numbers` are those of the floors, and of closed logs."""

    base: Base
    floors: Mapping[bytes, Floor]
    named: tuple[Record, ...]
    numbers: Mapping[bytes, int]


def read_start(database: sqlite3.Connection, stored: StoredBase) -> Start:
    """Where a node with a stored base starts. Raises DecodeError if its oldest state is none, and sqlite3.Error."""
    bottom = decode_state(stored.states[0]).state
    floors = {row.author: Floor(*row[1:]) for row in stored.horizon}
    numbers = stored.numbers
    if not _are_whole(database, stored, bottom.heads.values()):
        log.warning("records below the stored state are damaged or lost; the node goes on without all of them")
        floors = floors_of(bottom)
        numbers |= {author: floor.seq for author, floor in floors.items()}
    return Start(Base(stored.cuts, stored.states), floors, tuple(_read_named(database)), numbers)


def _are_whole(database: sqlite3.Connection, stored: StoredBase, heads: Iterable[Head]) -> bool:
    """Whether all records above the horizon and up to these heads are as they were written."""
    bottom = {author: (seq, record_id) for author, seq, record_id in heads}
    above = stored.numbers
    found: dict[bytes, set[int]] = {author: set() for author in bottom}
    ids = {row.id for row in stored.horizon}
    for author, seq, record_id, data, sum_ in database.execute(_ROWS, (stored.first,)):
        if author in bottom and above.get(author, -1) < seq <= bottom[author][0]:
            if sum_ != sum_of(data):
                return False
            found[author].add(seq)
            ids.add(record_id)
    return all(
        record_id in ids and len(found[author]) == max(0, seq - above.get(author, -1))
        for author, (seq, record_id) in bottom.items()
    )


def _read_named(database: sqlite3.Connection) -> Iterable[Record]:
    """The named records below the horizon. A damaged one is left out: no peer sends it again."""
    for record_id, data, sum_ in database.execute(_NAMED):
        record = None
        with suppress(DecodeError):
            record = decode_record(data)
        if record is None or sum_ != sum_of(data) or record.id != record_id:
            log.warning("record %s, which the state names, is damaged on disk", record_id.hex()[:16])
        else:
            yield record
