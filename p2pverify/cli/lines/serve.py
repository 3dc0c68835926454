"""`model serve` and `model fetch`: orders to the running node about a version."""

import json
import time
from typing import TYPE_CHECKING

import click

from p2pverify.cli import client
from p2pverify.cli.context import current_home
from p2pverify.cli.errors import CliError, NotReadyError
from p2pverify.cli.lines.naming import (
    SHOW,
    VersionArgument,
    VersionName,
    fetch_path,
    find_line,
    get_versions,
    pick,
)
from p2pverify.cli.progress import Progress
from p2pverify.cli.signing import order
from p2pverify.cli.table import pairs
from p2pverify.node.lines.documents import FetchDocument, LineDocument, VersionDocument
from p2pverify.node.lines.words import version_name

if TYPE_CHECKING:
    from p2pverify.node.files.home import Home

SCHEMA = "p2pverify/served/1"
_POLL_S = 0.3
_WAITING = ("waiting", "fetching")


@click.command()
@click.argument("version", type=VersionArgument(), metavar="LINE@N")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def serve(version: VersionName, as_json: bool) -> None:
    """Have the running node serve version N of LINE, from the next final cut on.

    The version has to be current or in its overlap, and its weights have to be on this machine. The node answers for
    the version that it left until the overlap ends. With policy = "notice" in [upgrade] of config.toml a node moves by
    itself.
    """
    from p2pverify.core.records.payloads.lines.serve import Serve

    home = current_home()
    assert version.number is not None
    line = find_line(home, version.line)
    found = get_versions(home, line)
    wanted = pick(found, version.number)
    _check_servable(line, wanted)
    client.prove(home)
    record = order(home, "serve", Serve(bytes.fromhex(wanted.manifest)).encode())
    name = version_name(line.name, version.number)
    document = {"schema": SCHEMA, "line": line.name, "version": version.number, "record": record.hex()}
    rows = [("serves", name), ("record", record.hex())]
    rows.append(("next", "it counts once a cut is final that holds it: 'p2pverify status' shows the version"))
    click.echo(json.dumps(document) if as_json else pairs(rows))


def _check_servable(line: LineDocument, version: VersionDocument) -> None:
    """Raise CliError, which says what to do, if this node cannot serve a version now."""
    name = version_name(line.name, version.number)
    if not line.own:
        raise CliError(
            f"this node runs a model of another line than {line.name}", "start a node whose class is one of that line"
        )
    if version.status == "announced":
        raise NotReadyError(
            f"{name} is not current yet: it is from epoch {version.current_from_epoch} on",
            f"fetch its weights meanwhile: 'p2pverify model fetch {name}'",
        )
    if version.status in ("retired", "recalled"):
        raise CliError(f"{name} is {version.status}", f"serve {version_name(line.name, line.current)}; {SHOW}")
    if not version.here:
        raise NotReadyError(
            f"this node cannot compute with {name} yet: {version.missing}",
            f"'p2pverify model fetch {name}' fetches its weights; the node then tests them before it can serve them",
        )


@click.command()
@click.argument("version", type=VersionArgument(), metavar="LINE@N")
@click.option("--json", "as_json", is_flag=True, help="Print the API's JSON document at the end.")
def fetch(version: VersionName, as_json: bool) -> None:
    """Have the running node fetch the files of version N of LINE from other peers, and wait for them.

    Each piece is checked, and peers that send false ones are asked for nothing more. Interrupting this command does
    not end the download, and a download that was interrupted goes on where it was. The files are kept in this home.
    """
    home = current_home()
    assert version.number is not None
    line = find_line(home, version.line)
    pick(get_versions(home, line), version.number)
    path, name = fetch_path(line, version.number), version_name(line.name, version.number)
    answer = client.post(home, path, FetchDocument)
    with Progress() as progress:
        while answer.document.state in _WAITING:
            told = answer.document
            what = f"fetching {told.file} from {told.sources} peers" if told.file else "waiting for another download"
            progress(what, told.done, told.bytes)
            time.sleep(_POLL_S)
            answer = _ask(home, path)
    found = answer.document
    if as_json:
        client.print_json(answer.text)
    if found.state != "whole":
        raise NotReadyError(
            f"{name} was not fetched: {found.reason}", f"then call 'p2pverify model fetch {name}' again"
        )
    if not as_json:
        click.echo(pairs([("fetched", name), ("bytes", found.bytes), ("next", f"'p2pverify model serve {name}'")]))


def _ask(home: "Home", path: str) -> client.ApiAnswer[FetchDocument]:
    return client.get(home, path, FetchDocument, token=client.prove(home))
