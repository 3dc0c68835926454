"""`key`: keys for clients on other machines, which 'join --gateway' serves. A running node sees changes at once."""

import json
from typing import TYPE_CHECKING

import click

from p2pverify.cli.context import current_home
from p2pverify.cli.errors import CliError
from p2pverify.cli.table import table, terminal_width

if TYPE_CHECKING:
    from p2pverify.store.clients.keys import StoredKeys

NAME_CHARS_MAX = 64
PER_MINUTE_MAX = 10_000


@click.group()
def key() -> None:
    """Give keys to clients on other machines, and take them back.

    'p2pverify join --gateway HOST:PORT' serves clients that send one as 'Authorization: Bearer KEY'.
    """


@key.command("add")
@click.argument("name")
@click.option(
    "--per-minute", type=click.IntRange(1, PER_MINUTE_MAX), default=60, show_default=True, help="Requests a minute."
)
@click.option("--at-once", type=click.IntRange(1, 32), default=4, show_default=True, help="Answers at a time.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def add(name: str, per_minute: int, at_once: int, as_json: bool) -> None:
    """Make a key for NAME and print it. It is shown only now; this home keeps its hash."""
    if not name.isprintable() or not 0 < len(name) <= NAME_CHARS_MAX:
        raise click.BadParameter(f"1 to {NAME_CHARS_MAX} printable characters", param_hint="NAME")
    secret, client = _keys().add(name, per_minute=per_minute, at_once=at_once)
    if as_json:
        click.echo(json.dumps({"id": client.id, "name": name, "key": secret}))
    else:
        click.echo(secret)
        click.echo(f"key {client.id} for {name}: it is shown only now", err=True)


@key.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def list_keys(as_json: bool) -> None:
    """Show who has a key, and its limits."""
    found = _keys().all()
    if as_json:
        fields = ("id", "name", "per_minute", "at_once")
        rows = [{**{f: getattr(one.client, f) for f in fields}, "added_s": one.added_s} for one in found]
        click.echo(json.dumps({"keys": rows}))
        return
    if not found:
        click.echo("no keys; 'p2pverify key add NAME' makes one")
        return
    rows_shown = [(one.client.id, one.client.name, one.client.per_minute, one.client.at_once) for one in found]
    click.echo(table(("ID", "NAME", "PER MINUTE", "AT ONCE"), rows_shown, width=terminal_width(), cut=("NAME",)))


@key.command("revoke")
@click.argument("key_id", metavar="ID")
def revoke(key_id: str) -> None:
    """Take a key back, by its ID of 'p2pverify key list'. It is refused from the next request on."""
    if not _keys().revoke(key_id):
        raise CliError(f"there is no key {key_id[:40]!r}", "'p2pverify key list' shows the ids")
    click.echo(f"revoked {key_id}")


def _keys() -> "StoredKeys":
    from p2pverify.store.clients.keys import StoredKeys

    home = current_home()
    home.load_identity()  # says what to do if there is no home yet
    return StoredKeys(home.clients_path)
