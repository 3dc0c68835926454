"""Commands that read a running node over its local API: `peers`, `scores`.

Each shows one document of the API: unchanged with `--json`, else as aligned text. All figures come from the node.
"""

from urllib.parse import urlencode

import click

from p2pverify.cli import client
from p2pverify.cli.context import current_home
from p2pverify.cli.errors import CliError
from p2pverify.cli.output import wide_option
from p2pverify.cli.show import scoretable
from p2pverify.cli.table import cell, columns_help, table, terminal_width
from p2pverify.node.reports.documents.peers import PeersDocument
from p2pverify.node.reports.documents.scores import ScoresDocument
from p2pverify.node.reports.documents.status import StatusDocument
from p2pverify.node.reports.shown import short_ids

_json_option = click.option("--json", "as_json", is_flag=True, help="Print the API's JSON document.")
_HASH_CHARS = 16


@click.command(epilog=columns_help("PEER", "STANDING", "DIR", "MESH", "ADDRESS"))
@wide_option
@_json_option
def peers(wide: bool, as_json: bool) -> None:
    """Show the connected peers."""
    answer = client.get(current_home(), "/v1/peers", PeersDocument)
    if as_json:
        client.print_json(answer.text)
        return
    found = answer.document.peers
    short = short_ids(peer.peer_id for peer in found)
    rows = [
        (
            peer.peer_id if wide else short[peer.peer_id],
            peer.standing,
            "out" if peer.outbound else "in",
            peer.in_mesh,
            # The address ends with the peer id, which has its own column.
            peer.address if wide else peer.address.removesuffix(f"/p2p/{peer.peer_id}"),
        )
        for peer in found
    ]
    headers = ("PEER", "STANDING", "DIR", "MESH", "ADDRESS")
    width = None if wide else terminal_width()
    click.echo(table(headers, rows, width=width, cut=("PEER", "STANDING", "ADDRESS")) if rows else "no peers")


@click.command(epilog=columns_help(*scoretable.COLUMNS, scoretable.VERSION, *scoretable.ONLY_WIDE))
@click.option("--provisional", is_flag=True, help="Fold what the node holds, certified or not.")
@click.option("--hardware", is_flag=True, help="Show the hardware that peers claim, and whether their speed fits.")
@wide_option
@_json_option
def scores(provisional: bool, hardware: bool, wide: bool, as_json: bool) -> None:
    """Show every peer's score: the 95 % interval of its agreement rate, its basis, and the peer's standing."""
    query = urlencode({"view": "provisional" if provisional else "final"})
    answer = client.get(current_home(), f"/v1/scores?{query}", ScoresDocument)
    if as_json:
        client.print_json(answer.text)
        return
    found = answer.document
    if provisional:
        click.echo(f"provisional view, epoch {found.epoch}: it can still change")
    elif found.cut is None:
        click.echo("no cut is final yet: these are the founders; --provisional shows what is held")
    else:
        click.echo(f"final view of cut {cell(found.cut)[:_HASH_CHARS]}, epoch {found.epoch}")
    if not found.scores:
        click.echo("no scores yet")
        return
    own = _own_peer()
    if hardware:
        click.echo(scoretable.hardware_tables(found.scores, found.hardware, own, wide=wide))
    else:
        click.echo(scoretable.score_table(found.scores, own, wide=wide))


def _own_peer() -> str | None:
    """The running node's peer id. None if it does not answer; the table works without it."""
    try:
        return client.get(current_home(), "/v1/status", StatusDocument).document.peer_id
    except CliError:
        return None
