"""A database for a new identity of a home: it has the records of the old one, and nothing that the old key owes.

If the old one has deleted records, the new one begins at the same stored state.
"""

from pathlib import Path

from p2pverify.store import schema
from p2pverify.store.errors import translated

_COPIED = ("states", "base", "horizon", "closed", "named", "judged", "peers", "records")


def copy_records(old: Path, new: Path, network_id: bytes, own: bytes) -> int:
    """Make the database `new` for another identity with the records of `old`, and their base. Returns their number.

    Raises StoreError. If it fails, there is no new database.
    """
    with translated(old):
        schema.create(new, network_id, own)
        try:
            database = schema.connect(new, "rw")
            try:
                database.execute("ATTACH DATABASE ? AS old", (str(old),))
                database.execute("BEGIN")
                for table in _COPIED:
                    copied = database.execute(f"INSERT INTO {table} SELECT * FROM old.{table}")  # noqa: S608 - our names
                database.execute("COMMIT")
                return copied.rowcount
            finally:
                database.close()
        except BaseException:
            new.unlink(missing_ok=True)
            raise
