"""Commands that read a running node over its local API: `status`, `peers`, `scores`, `audits`.

Each shows one document of the API, with `--json` unchanged and otherwise as plain aligned text. Nothing here
computes: what a figure means is left to the node.
"""

from collections.abc import Mapping
from urllib.parse import urlencode

import click

from p2pverify.cli import client
from p2pverify.cli.context import current_home
from p2pverify.cli.table import cell, pairs, percent, table

_json_option = click.option("--json", "as_json", is_flag=True, help="Print the API's JSON document.")
_HASH_CHARS = 16


@click.command()
@_json_option
def status(as_json: bool) -> None:
    """Show how the running node is doing: identity, network, newest final cut, readiness."""
    answer = client.get(current_home(), "/v1/status", "p2pverify/status/1")
    if as_json:
        click.echo(answer.text)
        return
    document = answer.document
    final = _mapping(document.get("final"))
    rows: list[tuple[str, object]] = [
        ("peer", document.get("peer_id")),
        ("network", _named(document.get("network_name"), document.get("network"))),
        ("model", document.get("model")),
        ("class", document.get("class")),
        ("standing", document.get("standing")),
        ("epoch", document.get("epoch")),
        ("up", _duration(document.get("uptime_s"))),
        ("neighbours", document.get("neighbours")),
        ("records", document.get("records")),
        ("final cut", _named(_short(final.get("cut")), _epoch(final)) if final else "none yet"),
        ("view root", final.get("view_root")),
        ("ready", document.get("ready")),
    ]
    rows += [("  because", reason) for reason in _list(document.get("reasons"))]
    rows += [("address", address) for address in _list(document.get("addresses"))]
    click.echo(pairs(rows))


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
        for peer in _documents(answer.document.get("peers"))
    ]
    click.echo(table(("PEER", "STANDING", "DIRECTION", "MESH", "ADDRESS"), rows) if rows else "no peers")


@click.command()
@click.option("--provisional", is_flag=True, help="Fold what the node holds, certified or not.")
@_json_option
def scores(provisional: bool, as_json: bool) -> None:
    """Show every peer's score: the 95 % interval of its agreement rate, what it rests on, its standing."""
    query = urlencode({"view": "provisional" if provisional else "final"})
    answer = client.get(current_home(), f"/v1/scores?{query}", "p2pverify/scores/1")
    if as_json:
        click.echo(answer.text)
        return
    document = answer.document
    found = _documents(document.get("scores"))
    if document.get("final") is True:
        click.echo(f"final view of cut {_short(document.get('cut'))}, epoch {cell(document.get('epoch'))}")
    else:
        click.echo(f"provisional view, epoch {cell(document.get('epoch'))}: it can still change")
    if not found:
        click.echo("no scores yet")
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


@click.command()
@click.option("--limit", type=click.IntRange(1, 1000), default=20, show_default=True, help="How many audits.")
@_json_option
def audits(limit: int, as_json: bool) -> None:
    """Show the newest audits, newest first, and the disputes."""
    answer = client.get(current_home(), f"/v1/audits?{urlencode({'limit': limit})}", "p2pverify/audits/1")
    if as_json:
        click.echo(answer.text)
        return
    document = answer.document
    rows = [
        (
            audit.get("challenger"),
            audit.get("epoch"),
            audit.get("slot"),
            audit.get("status"),
            _asked(audit.get("asked")),
        )
        for audit in _documents(document.get("audits"))
    ]
    click.echo(table(("CHALLENGER", "EPOCH", "SLOT", "STATUS", "ANSWERED"), rows) if rows else "no audits yet")
    disputes = [
        (
            dispute.get("challenger"),
            dispute.get("epoch"),
            dispute.get("slot"),
            dispute.get("status"),
            dispute.get("electorate"),
            dispute.get("commits"),
            dispute.get("votes"),
            len(_list(dispute.get("losers"))),
        )
        for dispute in _documents(document.get("disputes"))
    ]
    if disputes:
        headers = ("DISPUTE OF", "EPOCH", "SLOT", "STATUS", "ELECTORATE", "COMMITS", "VOTES", "LOSERS")
        click.echo("\n" + table(headers, disputes))


def _asked(value: object) -> str:
    """Answers of a panel as "2 of 3"."""
    asked = _documents(value)
    return f"{sum(item.get('answered') is True for item in asked)} of {len(asked)}"


def _mapping(value: object) -> Mapping[str, object]:
    return value if isinstance(value, dict) else {}


def _list(value: object) -> list[object]:
    return value if isinstance(value, list) else []


def _documents(value: object) -> list[dict[str, object]]:
    return [item for item in _list(value) if isinstance(item, dict)]


def _short(value: object) -> str:
    return cell(value)[:_HASH_CHARS]


def _epoch(document: Mapping[str, object]) -> str:
    return f"epoch {cell(document.get('epoch'))}"


def _named(name: object, detail: object) -> str:
    return f"{cell(name)} ({cell(detail)})"


def _duration(value: object) -> str | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    minutes, seconds = divmod(int(value), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {seconds} s"
