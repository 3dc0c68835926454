"""`init`: the home directory of a new peer."""

from pathlib import Path

import click

from p2pverify.cli.context import current_home
from p2pverify.cli.errors import CliError
from p2pverify.node.files.home import Home
from p2pverify.node.files.outputs import check_output


@click.command()
@click.option(
    "--next-key",
    "next_file",
    type=click.Path(path_type=Path),
    help="Write the next key to this file, not to the screen.",
)
@click.option("--encrypt", is_flag=True, help="Lock the key file with a passphrase.")
def init(next_file: Path | None, encrypt: bool) -> None:
    """Make a home directory with a new identity, and its next key. An existing identity stays.

    The next key takes over if this one is lost or stolen: see 'p2pverify identity'. It is shown only now, and this home
    keeps no copy. Keep it away from this machine.

    The passphrase of --encrypt is asked at the terminal, or read from the file that P2PVERIFY_PASSPHRASE_FILE names.
    """
    from p2pverify.cli.identity.nextkey import make_next, tell_next
    from p2pverify.node.identity.keyfile import lock, new_passphrase

    home = current_home()
    is_new = not home.is_initialised()
    if next_file is not None and not is_new:
        raise CliError(f"{home.path} has an identity", "'p2pverify identity next --write FILE' makes a next key for it")
    if next_file is not None:
        check_output(next_file)
    passphrase = new_passphrase() if encrypt and is_new else None
    is_new = prepare_home(home)
    click.echo(f"{'new' if is_new else 'the'} identity in {home.path}" + ("" if is_new else " stays"))
    click.echo(f"peer id: {own_peer_id(home)}")
    if is_new:
        tell_next(make_next(home, next_file), next_file)
    if passphrase is not None:
        home.write_identity(lock(home.load_identity(), passphrase))
    if home.network_path.exists():
        click.echo("next: 'p2pverify join'")
    else:
        click.echo("next: 'p2pverify network new' to found a network, or 'p2pverify join NETWORK-FILE'")


def prepare_home(home: Home) -> bool:
    """Make the missing parts of a home. True if its identity is new. Raises HomeError, also for a damaged identity."""
    from p2pverify.node.files.config import TEMPLATE

    is_new = home.init(TEMPLATE)
    own_key(home)
    return is_new


def own_key(home: Home) -> bytes:
    """The public key of a home's identity. Raises HomeError."""
    from p2pverify.node.identity.keyfile import read_public

    return read_public(home.identity_text(), home.identity_path)


def own_peer_id(home: Home) -> str:
    """The peer id of a home's identity. Raises HomeError."""
    from p2pverify.core.encoding.peerid import peer_id

    return peer_id(own_key(home))
