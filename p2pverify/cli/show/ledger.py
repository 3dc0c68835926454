"""`p2pverify ledger export` writes the records as one file, or as segments. The other commands have own modules."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from p2pverify.cli.archive.audit import audit
from p2pverify.cli.archive.written import write_archive
from p2pverify.cli.output import force_option, may_replace
from p2pverify.cli.params import CutId
from p2pverify.cli.show.checkup import AFTER_DAMAGE, check
from p2pverify.cli.show.verify import verify
from p2pverify.node.files.outputs import STDOUT, check_output, is_stdout, open_output

if TYPE_CHECKING:
    from p2pverify.store.snapshot import Snapshot

_NAMED_MAX = 20


@click.group()
def ledger() -> None:
    """Export the records, or recompute a view and the decisions in it, offline."""


ledger.add_command(audit)
ledger.add_command(check)
ledger.add_command(verify)


@ledger.command("export")
@click.argument("file", metavar="FILE", required=False)
@click.option("--cut", "cut_text", metavar="ID", help="Export up to this certified cut (default: the newest).")
@click.option(
    "--dir",
    "folder",
    metavar="DIR",
    type=click.Path(file_okay=False, path_type=Path),
    help="Write segments of the history into this folder.",
)
@click.option("--from", "first", metavar="CUT", type=CutId(), help="With --dir: begin with this cut (default: go on).")
@click.option("--to", "last", metavar="CUT", type=CutId(), help="With --dir: end with this cut.")
@click.option(
    "--epochs",
    metavar="N",
    type=click.IntRange(1, 2**20),
    default=4096,
    show_default=True,
    help="With --dir: epochs of a segment.",
)
@force_option
def export(
    file: str | None,
    cut_text: str | None,
    folder: Path | None,
    first: bytes | None,
    last: bytes | None,
    epochs: int,
    force: bool,
) -> None:
    """Write this node's records to FILE; '-' is standard output.

    The command reads the database and writes nothing to the home. So the node may run or not, and the home may be a
    read-only copy. Damaged records are named and left out; the exit code is then 5.

    With --dir, the history is written as segments, which any web server can hold and 'ledger audit' checks one by one.
    By default all segments are written that are complete and not in the folder yet.
    """
    if (file is None) is (folder is None):
        raise click.UsageError("name a FILE, or a folder with --dir")
    if folder is not None:
        if cut_text is not None or force:
            raise click.UsageError("--cut and --force do not go with --dir")
        write_archive(folder, first, last, epochs)
        return
    if first is not None or last is not None:
        raise click.UsageError("--from and --to need --dir")
    assert file is not None
    from p2pverify.cli.context import current_home
    from p2pverify.cli.errors import CliError
    from p2pverify.node.files.networkfile import load_network, load_start
    from p2pverify.store.exportfile import write_export
    from p2pverify.store.snapshot import take_snapshot

    home = current_home()
    if not home.database_path.exists():
        raise CliError(f"no database in {home.path}", "choose the node's home with --home DIR")
    try:
        cut = None if cut_text is None else bytes.fromhex(cut_text)
    except ValueError:
        raise click.UsageError("--cut takes the hexadecimal id of a cut, as 'p2pverify status' shows it") from None
    check_output(file, may_replace(force=force), is_binary=True)
    network, _ = load_network(home.network_path)
    found = take_snapshot(home.database_path, network, cut, start=load_start(home.network_path, network))
    to_stderr = is_stdout(file)
    with open_output(file, may_replace(force=force), mode=0o666, is_binary=True) as output:
        summary = write_export(output, found.header, found.records)
    place = "standard output" if file == STDOUT else file
    click.echo(f"{summary.records} records, {summary.size} bytes -> {place}", err=to_stderr)
    if found.base is not None:
        click.echo(
            f'they begin after cut {found.base.oldest.hex()}: this home has deleted earlier ones (history = "window"), '
            "so nobody can verify them; --dir writes segments, which hold the states that this needs",
            err=to_stderr,
        )
    elif not to_stderr:
        click.echo(f"check it with: p2pverify ledger verify {file}")
    if found.damaged:
        _tell_damage(found)


def _tell_damage(found: "Snapshot") -> None:
    """Name the records that are not in the export. Raises NotVerifiedError."""
    from p2pverify.cli.errors import NotVerifiedError, report
    from p2pverify.store.integrity.inspection import name_damage

    count = len(found.damaged)
    for each in found.damaged[:_NAMED_MAX]:
        report(f"{name_damage(each, found.own)}; it is not in the export, nor what follows it")
    raise NotVerifiedError(
        f"{count} stored record{'s are' if count > 1 else ' is'} damaged: the export holds what is left",
        AFTER_DAMAGE,
    )
