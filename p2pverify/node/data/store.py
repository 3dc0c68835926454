"""The data sets of this home: rows, salts and card, in one private file for each.

    home/data/NAME.rows    0600; canonical CBOR, see `OwnDataset.encode`

An erased row leaves its commitment, which is 32 bytes that nobody can open without the salt. The file is written anew
without the row, and takes the place of the old one. What a file system keeps of the old file is not in our hands:
protocol/data.md.
"""

import fcntl
import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from p2pverify.core.data.commitments import (
    ERASED_ROW,
    SALT_BYTES,
    RowProof,
    commit_card,
    commit_row,
    row_path,
    rows_root,
)
from p2pverify.core.data.schema import SCHEMA_BYTES_MAX
from p2pverify.core.data.texts import RowSchema, decode_row_schema
from p2pverify.core.encoding.canon import Value, as_array, as_bytes, as_text, as_uint, decode, encode
from p2pverify.core.errors import DecodeError
from p2pverify.core.records.payloads.data import Dataset, decode_dataset
from p2pverify.node.files.home import Home, atomic_file
from p2pverify.node.files.textfile import FileError, FileMissingError, read_bytes
from p2pverify.node.user_error import UserError

FILE_DOMAIN = "p2pverify/own-dataset/1"
DATA_FILE_BYTES_MAX = 512 * 1024 * 1024
CARD_BYTES_MAX = 1024 * 1024
NAME_CHARS_MAX = 64
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*", re.ASCII)
_SUFFIX = ".rows"


class DataError(UserError):
    """A data set of this home cannot be used as asked: `reason` says why, `hint` says what to do."""


@dataclass(frozen=True, slots=True)
class OwnRow:
    """A row of an own data set. An erased one has its commitment alone."""

    salt: bytes
    row: bytes
    erased: bytes = b""

    @property
    def commitment(self) -> bytes:
        return self.erased or commit_row(self.salt, self.row)


@dataclass(frozen=True, slots=True)
class OwnDataset:
    """A data set of this home, with all that is private about it.

    `said` is what its record says. `record` is the id of the record (32 B), empty until it is signed. `told` is the
    root that the ledger was told last, and `code` the reason for the newest erasure.
    """

    name: str
    schema: RowSchema
    said: Dataset
    card: bytes
    card_salt: bytes
    rows: tuple[OwnRow, ...]
    record: bytes = b""
    told: bytes = b""
    code: int = 0

    @property
    def left(self) -> int:
        """How many rows are not erased."""
        return sum(not row.erased for row in self.rows)

    @property
    def root(self) -> bytes:
        """The root now, without the commitments to erased rows."""
        return rows_root(self._now)

    @property
    def _now(self) -> list[bytes]:
        return [ERASED_ROW if row.erased else row.commitment for row in self.rows]

    @property
    def holds(self) -> bool:
        """Whether rows, erased rows and card are those to which the record is committed."""
        is_first = rows_root([row.commitment for row in self.rows]) == self.said.root
        is_card = commit_card(self.card_salt, self.card) == self.said.card
        return is_first and is_card and len(self.rows) == self.said.rows and self.schema.id == self.said.schema

    def proof(self, place: int) -> RowProof:
        """The proof that a row is in the data set as it is now. `place` counts all rows, erased ones too, from 0."""
        row = self._present(place)
        return RowProof(place, row.salt, row.row, row_path(self._now, place))

    def without(self, places: Sequence[int], code: int) -> "OwnDataset":
        """The data set without some rows and their salts. Raises DataError."""
        gone = {place: OwnRow(b"", b"", self._present(place).commitment) for place in places}
        return replace(self, rows=tuple(gone.get(at, row) for at, row in enumerate(self.rows)), code=code)

    def _present(self, place: int) -> OwnRow:
        if not 0 <= place < len(self.rows):
            raise DataError(f"{self.name} has no row {place}", f"its rows are numbered from 0 to {len(self.rows) - 1}")
        if self.rows[place].erased:
            raise DataError(f"row {place} of {self.name} is erased", "nothing is left of it but a commitment")
        return self.rows[place]

    def encode(self) -> bytes:
        rows = [row.erased or [row.salt, row.row] for row in self.rows]
        head = [FILE_DOMAIN, self.name, self.schema.encode(), self.said.encode()]
        return encode([*head, self.card, self.card_salt, rows, self.record, self.told, self.code])


def decode_own_dataset(data: bytes) -> OwnDataset:
    """Read the file of a data set. Raises DecodeError. Whether its commitments hold is not checked here."""
    items = as_array(decode(data, size_max=DATA_FILE_BYTES_MAX, depth_max=3), "data set", length=10)
    if items[0] != FILE_DOMAIN:
        raise DecodeError("not the file of a data set")
    schema = decode_row_schema(as_bytes(items[2], "schema", size_max=SCHEMA_BYTES_MAX))
    return OwnDataset(
        as_text(items[1], "name", NAME_CHARS_MAX),
        schema,
        decode_dataset(as_bytes(items[3], "record")),
        as_bytes(items[4], "card", size_max=CARD_BYTES_MAX),
        as_bytes(items[5], "card salt", size=SALT_BYTES),
        tuple(_row(item, schema) for item in as_array(items[6], "rows")),
        _maybe_id(items[7], "record"),
        _maybe_id(items[8], "root"),
        as_uint(items[9], "code", 255),
    )


def _row(value: Value, schema: RowSchema) -> OwnRow:
    if type(value) is bytes:
        return OwnRow(b"", b"", as_bytes(value, "erased row", size=32))
    salt, row = as_array(value, "row", length=2)
    found = OwnRow(as_bytes(salt, "salt", size=SALT_BYTES), as_bytes(row, "row"))
    schema.check(found.row)
    return found


def _maybe_id(value: Value, name: str) -> bytes:
    found = as_bytes(value, name, size_max=32)
    if len(found) not in (0, 32):
        raise DecodeError(f"{name}: not 32 bytes")
    return found


def is_name(text: str) -> bool:
    """Whether a data set of this home may have this name."""
    return _NAME.fullmatch(text) is not None and len(text) <= NAME_CHARS_MAX


class DataStore:
    """The data sets of one home. Methods raise DataError, or FileError for a file that cannot be read."""

    def __init__(self, home: Home) -> None:
        self._path = home.path / "data"

    def names(self) -> list[str]:
        """The names of all data sets, sorted."""
        return sorted(path.stem for path in self._path.glob(f"*{_SUFFIX}") if is_name(path.stem))

    def get(self, name: str) -> OwnDataset:
        """The data set of a name, with commitments that hold."""
        missing = "'p2pverify data list' shows the data sets of this home"
        if not is_name(name):
            raise DataError(f"{name[:80]!r} is not the name of a data set", missing)
        path = self._file(name)
        try:
            data = read_bytes(path, size_max=DATA_FILE_BYTES_MAX, missing=missing, private=True)
            found = decode_own_dataset(data)
        except FileMissingError:
            raise DataError(f"this home has no data set {name}", missing) from None
        except DecodeError as error:
            raise FileError(path, error.reason, "restore it from a copy of this home") from None
        if found.name != name:
            raise FileError(path, f"is the data set {found.name}", "give the file its own name again")
        return found

    def find(self, record: bytes) -> OwnDataset | None:
        """The data set whose record has this id (32 B). A file that cannot be read is passed over."""
        for name in self.names():
            try:
                found = self.get(name)
            except UserError:
                continue
            if found.record == record:
                return found
        return None

    def add(self, dataset: OwnDataset) -> None:
        """Keep a new data set."""
        with _translated(self._path):
            self._path.mkdir(mode=0o700, exist_ok=True)
            try:
                with atomic_file(self._file(dataset.name), mode=0o600, replace=False) as file:
                    file.write(dataset.encode())
            except FileExistsError:
                hint = "choose another name with --name"
                raise DataError(f"this home has a data set {dataset.name} already", hint) from None

    def save(self, dataset: OwnDataset) -> None:
        """Write a data set in the place of its earlier file. Call it within `locked`.

        What a process that died left unfinished goes as well, because it can hold rows that are erased since.
        """
        with _translated(self._path):
            for unfinished in self._path.glob(f".{dataset.name}{_SUFFIX}.*"):
                unfinished.unlink(missing_ok=True)
            with atomic_file(self._file(dataset.name), mode=0o600) as file:
                file.write(dataset.encode())

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Let no other command change a data set meanwhile, because it could bring back a row that was erased."""
        with _translated(self._path):
            self._path.mkdir(mode=0o700, exist_ok=True)
            handle = os.open(self._path / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield
        finally:
            os.close(handle)

    def _file(self, name: str) -> Path:
        return self._path / f"{name}{_SUFFIX}"


@contextmanager
def _translated(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        where = error.filename or path
        raise DataError(f"{where} cannot be used ({error.strerror})", "check its owner, mode and disk") from error
