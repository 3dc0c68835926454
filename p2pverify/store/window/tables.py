"""The tables of the database, and the rules about their rows that the file itself enforces.

Records, own numbers and answers are only added, and deleted once they are below the horizon of a stored state. The
horizon never falls. An address book and debts are replaced as they change.
"""

TABLES = (
    "CREATE TABLE identity (key TEXT PRIMARY KEY, value BLOB NOT NULL) STRICT, WITHOUT ROWID",
    # `place` is the order of arrival; without this column SQLite may renumber rows. `sum` is over `bytes`.
    """CREATE TABLE records (
        place INTEGER PRIMARY KEY, id BLOB NOT NULL UNIQUE, author BLOB NOT NULL, seq INTEGER NOT NULL,
        kind INTEGER NOT NULL, epoch INTEGER NOT NULL, bytes BLOB NOT NULL, sum INTEGER NOT NULL) STRICT""",
    # One id per sequence number of our own log: the first that was stored.
    "CREATE TABLE own_log (seq INTEGER PRIMARY KEY, id BLOB NOT NULL) STRICT",
    # `epoch` is that in which the answer was given.
    """CREATE TABLE answers (
        place INTEGER PRIMARY KEY, requester BLOB NOT NULL, question BLOB NOT NULL, response BLOB NOT NULL,
        epoch INTEGER NOT NULL, UNIQUE (requester, question)) STRICT""",
    # Answers of the asked peers of our slots across classes; deleted when no dispute can ask for them any more.
    """CREATE TABLE evidence (
        epoch INTEGER NOT NULL, slot INTEGER NOT NULL, responder BLOB NOT NULL, answer BLOB NOT NULL,
        PRIMARY KEY (epoch, slot, responder)) STRICT, WITHOUT ROWID""",
    # The cuts from which the node starts, and their states; one row of `base` says what belongs together.
    """CREATE TABLE states (
        number INTEGER PRIMARY KEY, cut BLOB NOT NULL, digest BLOB NOT NULL, bytes BLOB NOT NULL) STRICT""",
    """CREATE TABLE base (
        one INTEGER PRIMARY KEY CHECK (one = 0), epoch INTEGER NOT NULL, first INTEGER NOT NULL,
        is_whole INTEGER NOT NULL, digest BLOB NOT NULL) STRICT""",
    # Records up to these are no longer needed: see `HorizonRow`.
    """CREATE TABLE horizon (
        author BLOB PRIMARY KEY, seq INTEGER NOT NULL, id BLOB NOT NULL,
        epoch INTEGER NOT NULL, since INTEGER NOT NULL) STRICT, WITHOUT ROWID""",
    # Logs of authors that no cut knows any more: records up to these numbers are not needed either.
    "CREATE TABLE closed (author BLOB PRIMARY KEY, seq INTEGER NOT NULL) STRICT, WITHOUT ROWID",
    # Records below the horizon that the newest stored state names, so that they stay.
    "CREATE TABLE named (id BLOB PRIMARY KEY) STRICT, WITHOUT ROWID",
    # Which program judged the records.
    "CREATE TABLE judged (one INTEGER PRIMARY KEY CHECK (one = 0), program TEXT NOT NULL) STRICT",
    # The address book, written anew as a whole.
    """CREATE TABLE peers (
        peer BLOB PRIMARY KEY, statement BLOB NOT NULL, met INTEGER NOT NULL, failures INTEGER NOT NULL,
        linked INTEGER NOT NULL, reach INTEGER NOT NULL) STRICT, WITHOUT ROWID""",
    # What clients owe for answers, and what is owed to peers; the newest state of each, so that it stays small.
    """CREATE TABLE credit (
        side TEXT NOT NULL, peer BLOB NOT NULL, bytes BLOB NOT NULL, PRIMARY KEY (side, peer)) STRICT, WITHOUT ROWID""",
)
_OWN = "(SELECT value FROM identity WHERE key = 'own')"
#: Which rows of an append-only table may be deleted.
_MAY_GO = {
    "identity": "0",
    "records": "EXISTS (SELECT 1 FROM horizon WHERE author = OLD.author AND seq >= OLD.seq) "
    "OR EXISTS (SELECT 1 FROM closed WHERE author = OLD.author AND seq >= OLD.seq)",
    "own_log": f"EXISTS (SELECT 1 FROM horizon WHERE author = {_OWN} AND seq >= OLD.seq)",  # noqa: S608 - our own text
    "answers": "OLD.epoch < (SELECT epoch FROM base)",
}
_FALLS = "the horizon never falls"
_LOWER = "NEW.epoch < OLD.epoch OR NEW.first < OLD.first OR NEW.is_whole > OLD.is_whole"


def _refuse(name: str, event: str, when: str, why: str) -> str:
    """A trigger that refuses an event, as "UPDATE ON records", when a condition holds."""
    return f"CREATE TRIGGER {name} BEFORE {event} WHEN {when} BEGIN SELECT RAISE(ABORT, '{why}'); END"


TRIGGERS = (
    *(_refuse(f"{table}_no_update", f"UPDATE ON {table}", "1", "append-only table") for table in _MAY_GO),
    *(
        _refuse(f"{table}_no_delete", f"DELETE ON {table}", f"NOT coalesce({may_go}, 0)", "append-only table")
        for table, may_go in _MAY_GO.items()
    ),
    _refuse("horizon_rises", "UPDATE ON horizon", "NEW.author <> OLD.author OR NEW.seq < OLD.seq", _FALLS),
    _refuse("horizon_keeps_own", "DELETE ON horizon", f"OLD.author = {_OWN}", _FALLS),
    _refuse("base_rises", "UPDATE ON base", _LOWER, _FALLS),
    _refuse("base_stays", "DELETE ON base", "1", _FALLS),
)
