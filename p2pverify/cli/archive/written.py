"""`ledger export --dir` writes this node's history as segments."""

from pathlib import Path

import click


def write_archive(folder: Path, first: bytes | None, last: bytes | None, epochs: int) -> None:
    """Write the segments that are complete into a folder, and an index. Raises UserError, CliError."""
    from p2pverify.cli.context import current_home
    from p2pverify.cli.errors import CliError, NotVerifiedError
    from p2pverify.cli.show.checkup import AFTER_DAMAGE
    from p2pverify.core.proofs.archiving import Archiving
    from p2pverify.node.files.networkfile import load_network, load_start
    from p2pverify.store.archive.export import ExportOrder, export_segments
    from p2pverify.store.archive.index import INDEX_NAME
    from p2pverify.store.integrity.inspection import name_damage
    from p2pverify.store.snapshot import read_fold

    home = current_home()
    if not home.database_path.exists():
        raise CliError(f"no database in {home.path}", "choose the node's home with --home DIR")
    network, _ = load_network(home.network_path)
    held = read_fold(home.database_path, network, start=load_start(home.network_path, network))
    if held.damaged:
        raise NotVerifiedError(f"{name_damage(held.damaged[0], held.own)}; no segment was written", AFTER_DAMAGE)
    folder.mkdir(parents=True, exist_ok=True)
    for each in export_segments(Archiving(held.fold, held.base), network.id, folder, ExportOrder(first, last, epochs)):
        click.echo(
            f"epochs {each.first_epoch} to {each.last_epoch}: {each.records} records, {each.size} bytes -> "
            f"{folder / each.file}"
        )
    click.echo(f"check it with: p2pverify ledger audit {folder / INDEX_NAME}")
