"""The records that a command reads: those of this home, or of an export. They are verified before anything is said."""

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, NoReturn

import click

from p2pverify.cli.show.checkup import AFTER_DAMAGE
from p2pverify.node.files.outputs import STDOUT

if TYPE_CHECKING:
    from p2pverify.core.replica.base import Base
    from p2pverify.core.replica.fold import Fold
    from p2pverify.store.errors import NotAnExportError
    from p2pverify.store.exportfile import ExportHeader

SCHEMA = "p2pverify/ledger-verification/1"


@dataclass(frozen=True, slots=True)
class Held:
    """A verified ledger: its fold, the cut, and the file. `file` is None for the records of the home."""

    fold: "Fold"
    cut: bytes
    file: Path | None

    def with_all(self) -> "Held":
        """This ledger, if it has all records of the network. Raises UnusableError."""
        from p2pverify.cli.output import UnusableError

        if not self.fold.ledger.is_whole:
            raise UnusableError(
                'this home has deleted old records (history = "window"), and the command needs all of them',
                "give it the export of a node that keeps all",
            )
        return self


def recompute(file: Path | None, wanted: bytes | None, *, as_json: bool = False) -> Held:
    """The verified fold of a file's or of the home's records. Ends the command if a check fails.

    Of a home that has deleted records, what came before its stored state is taken for true: see `Held.with_all`.
    `wanted` is the id of the network that the records must be of; None for any. With `as_json` the failed check is
    reported as JSON too.
    """
    from p2pverify.core.replica.verify import VerificationFailed, verified_fold
    from p2pverify.store.errors import ExportError, NotAnExportError

    try:
        header, records, base = _own_records(wanted, as_json) if file is None else _records_in(file, wanted, as_json)
        fold = verified_fold(header.network_id, header.network_definition, header.cut, records, header.start, base)
    except NotAnExportError as error:
        _refuse(file or Path(STDOUT), error, as_json)
    except ExportError as error:
        _fail({"reason": error.reason, "record": error.record, "offset": error.offset, "id": None}, as_json)
    except VerificationFailed as failed:
        name = None if failed.record is None else failed.record.hex()
        _fail({"reason": failed.reason, "record": failed.number, "offset": None, "id": name}, as_json)
    return Held(fold, header.cut, file)


def _records_in(file: Path, wanted: bytes | None, as_json: bool) -> "tuple[ExportHeader, list[bytes], None]":
    from p2pverify.store.exportfile import read_export

    with _opened(file) as source:
        header, records = read_export(source)
        _check_network(header, wanted, as_json)
        # The file is known to be whole only at its end, so nothing is judged before that.
        return header, list(records), None


def _own_records(wanted: bytes | None, as_json: bool) -> "tuple[ExportHeader, list[bytes], Base | None]":
    """What `ledger export` would write of this home, which the node may use meanwhile, and the base where it begins."""
    from p2pverify.cli.context import current_home
    from p2pverify.cli.errors import NotVerifiedError
    from p2pverify.node.files.networkfile import load_network, load_start
    from p2pverify.store.snapshot import take_snapshot

    home = current_home()
    if not home.database_path.exists():
        raise click.UsageError(f"name a FILE, because there is no database in {home.path}")
    network, _ = load_network(home.network_path)
    found = take_snapshot(home.database_path, network, None, start=load_start(home.network_path, network))
    _check_network(found.header, wanted, as_json)
    if found.damaged:
        raise NotVerifiedError(f"{len(found.damaged)} stored records of this home are damaged", AFTER_DAMAGE)
    return found.header, found.records, found.base


def _check_network(header: "ExportHeader", wanted: bytes | None, as_json: bool) -> None:
    if wanted is not None and header.network_id != wanted:
        reason = f"it is of network {header.network_id.hex()}, not of {wanted.hex()}"
        _fail({"reason": reason, "record": None, "offset": None, "id": None}, as_json)


@contextmanager
def _opened(file: Path) -> "Iterator[BinaryIO]":
    """The file, or standard input. Raises UsageError."""
    if str(file) == STDOUT:
        if sys.stdin is None:
            raise click.UsageError("standard input is closed")
        yield sys.stdin.buffer
        return
    try:
        source = file.open("rb")
    except OSError as error:
        raise click.UsageError(f"{file} cannot be read: {error.strerror}") from None
    with source:
        yield source


def _refuse(file: Path, error: "NotAnExportError", as_json: bool) -> NoReturn:
    """Report the kind of a file that is no export: nothing was verified."""
    from p2pverify.cli.output import UnusableError

    name = "standard input" if str(file) == STDOUT else str(file)
    reason = f"{name} is {error.kind}, not a ledger export"
    if as_json:
        click.echo(json.dumps({"schema": SCHEMA, "valid": False, "reason": reason}))
    raise UnusableError(reason, error.hint)


def _fail(offence: dict[str, object], as_json: bool) -> NoReturn:
    """Report the failed check: the record's number in the file (from 1), the byte offset, the record's id."""
    from p2pverify.cli.errors import NotVerifiedError

    if as_json:
        click.echo(json.dumps({"schema": SCHEMA, "valid": False, **offence}))
    names = {"record": "record no. {}", "offset": "byte {}", "id": "id {}"}
    places = [text.format(offence[key]) for key, text in names.items() if offence[key] is not None]
    where = f" ({', '.join(places)})" if places else ""
    raise NotVerifiedError(f"the export does not hold: {offence['reason']}{where}", "ask another peer for an export")
