"""A database for a new identity of a home: it has the records of the old one, and nothing that the old key owes."""

from pathlib import Path

from p2pverify.store import schema
from p2pverify.store.errors import translated


def copy_records(old: Path, new: Path, network_id: bytes, own: bytes) -> int:
    """Make the database `new` for another identity with the records of `old`. Returns their number.

    Raises StoreError. If it fails, there is no new database.
    """
    with translated(old):
        schema.create(new, network_id, own)
        try:
            database = schema.connect(new, "rw")
            try:
                database.execute("ATTACH DATABASE ? AS old", (str(old),))
                return database.execute("INSERT INTO records SELECT * FROM old.records").rowcount
            finally:
                database.close()
        except BaseException:
            new.unlink(missing_ok=True)
            raise
