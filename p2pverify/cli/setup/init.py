"""`init`: the home directory of a new peer."""

import click

from p2pverify.cli.context import current_home
from p2pverify.node.files.home import Home


@click.command()
def init() -> None:
    """Make a home directory with a new identity. An existing identity stays."""
    home = current_home()
    is_new = prepare_home(home)
    click.echo(f"{'new' if is_new else 'the'} identity in {home.path}" + ("" if is_new else " stays"))
    click.echo(f"peer id: {own_peer_id(home)}")
    if home.network_path.exists():
        click.echo("next: 'p2pverify join'")
    else:
        click.echo("next: 'p2pverify network new' to found a network, or 'p2pverify join NETWORK-FILE'")


def prepare_home(home: Home) -> bool:
    """Make the missing parts of a home. True if its identity is new. Raises HomeError, also for a damaged identity."""
    from p2pverify.node.files.config import TEMPLATE

    is_new = home.init(TEMPLATE)
    home.load_identity()
    return is_new


def own_key(home: Home) -> bytes:
    """The public key of a home's identity. Raises HomeError."""
    from p2pverify.core.encoding.sign import public_key

    return public_key(home.load_identity())


def own_peer_id(home: Home) -> str:
    """The peer id of a home's identity. Raises HomeError."""
    from p2pverify.core.encoding.peerid import peer_id

    return peer_id(own_key(home))
