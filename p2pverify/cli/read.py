"""Commands that read a running node over its local API: `peers`, `scores`.

Each shows one document of the API, with `--json` unchanged and otherwise as plain aligned text. Nothing here
computes: what a figure means is left to the node.
"""

from collections.abc import Mapping, Sequence
from urllib.parse import urlencode

import click

from p2pverify.cli import client
from p2pverify.cli.context import current_home
from p2pverify.cli.table import cell, percent, table
from p2pverify.cli.values import documents, items, mapping

_json_option = click.option("--json", "as_json", is_flag=True, help="Print the API's JSON document.")
_HASH_CHARS = 16


@click.command()
@_json_option
def peers(as_json: bool) -> None:
    """Show the peers that the node is connected with."""
    answer = client.get(current_home(), "/v1/peers", "p2pverify/peers/1")
    if as_json:
        click.echo(answer.text)
        return
    rows = [
        (
            peer.get("peer_id"),
            peer.get("standing"),
            "out" if peer.get("outbound") else "in",
            peer.get("in_mesh"),
            peer.get("address"),
        )
        for peer in documents(answer.document.get("peers"))
    ]
    click.echo(table(("PEER", "STANDING", "DIRECTION", "MESH", "ADDRESS"), rows) if rows else "no peers")


@click.command()
@click.option("--provisional", is_flag=True, help="Fold what the node holds, certified or not.")
@click.option("--hardware", is_flag=True, help="Show the hardware that peers claim, and whether their speed fits.")
@_json_option
def scores(provisional: bool, hardware: bool, as_json: bool) -> None:
    """Show every peer's score: the 95 % interval of its agreement rate, what it rests on, its standing."""
    query = urlencode({"view": "provisional" if provisional else "final"})
    answer = client.get(current_home(), f"/v1/scores?{query}", "p2pverify/scores/1")
    if as_json:
        click.echo(answer.text)
        return
    document = answer.document
    found = documents(document.get("scores"))
    if not provisional and document.get("cut") is None:
        click.echo("no cut is final yet: these are the founders; --provisional shows what the node holds by now")
    elif document.get("final") is True:
        click.echo(f"final view of cut {_short(document.get('cut'))}, epoch {cell(document.get('epoch'))}")
    else:
        click.echo(f"provisional view, epoch {cell(document.get('epoch'))}: it can still change")
    if not found:
        click.echo("no scores yet")
        return
    if hardware:
        _show_hardware(found, documents(document.get("hardware")))
        return
    headers = ("PEER", "STANDING", "WEIGHT", "LOW", "HIGH", "AUDITS", "DISSENTS", "BY", "NO-SHOWS", "LAST")
    rows = [
        (
            score.get("peer_id"),
            score.get("standing"),
            score.get("weight"),
            percent(score.get("low")),
            percent(score.get("high")),
            score.get("audits"),
            score.get("dissents"),
            score.get("challengers"),
            score.get("no_shows"),
            score.get("last_audit_epoch"),
        )
        for score in found
    ]
    click.echo(table(headers, rows))


def _show_hardware(scores: Sequence[Mapping[str, object]], groups: Sequence[Mapping[str, object]]) -> None:
    """The peers with a claim, and for each claim the least, median and greatest speed."""
    peers = [(score, mapping(score.get("hardware"))) for score in scores if score.get("hardware")]
    if not peers:
        click.echo("no peer claims any hardware")
        return
    headers = ("PEER", "STANDING", "HARDWARE", "FIT", "BY", "FIRST MS", "TOKENS/S", "MS/TOKEN")
    rows = [
        (
            score.get("peer_id"),
            score.get("standing"),
            speed.get("claim"),
            speed.get("fit"),
            speed.get("challengers"),
            speed.get("first_token_ms"),
            speed.get("tokens_per_s"),
            speed.get("token_ms"),
        )
        for score, speed in peers
    ]
    click.echo(table(headers, rows))
    columns = ("HARDWARE", "CLASS", "PEERS", "CONSISTENT", "INCONSISTENT", "FIRST MS", "TOKENS/S")
    summary = [
        (
            group.get("claim"),
            group.get("class"),
            group.get("peers"),
            group.get("consistent"),
            group.get("inconsistent"),
            _range(group.get("first_token_ms")),
            _range(group.get("tokens_per_s")),
        )
        for group in groups
    ]
    click.echo()
    click.echo(table(columns, summary))


def _range(value: object) -> str | None:
    return " - ".join(str(each) for each in items(value)) or None


def _short(value: object) -> str:
    return cell(value)[:_HASH_CHARS]
