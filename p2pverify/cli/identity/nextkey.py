"""The next key of an identity: its seed is shown once, or written to a file, and never kept in the home."""

import os
from pathlib import Path

import click

from p2pverify.cli.errors import CliError
from p2pverify.node.files.home import SEED_BYTES, Home

_KEEP = "keep it in a safe place, away from this machine: 'p2pverify identity rotate' and 'recover' need it"


def make_next(home: Home, file: Path | None) -> bytes:
    """Make a next key, write its seed to the file if one is given, and remember its digest. Returns the seed."""
    from p2pverify.node.identity.papers import IdentityPapers

    seed = new_seed(file)
    IdentityPapers(home).keep_next(seed)
    return seed


def new_seed(file: Path | None) -> bytes:
    """A new seed (32 B), which is written to a new file if one is given."""
    from p2pverify.node.lines.papers import write_key

    seed = os.urandom(SEED_BYTES)
    if file is not None:
        write_key(file, seed.hex().encode() + b"\n")
    return seed


def tell_next(seed: bytes, file: Path | None) -> None:
    """Show a next key, or where it is."""
    click.echo(f"next key: {seed.hex() if file is None else file}")
    click.echo(("it is shown only now; " if file is None else "") + _KEEP, err=True)


def read_next(file: Path | None) -> bytes:
    """The seed in a file, or the one that is typed at the terminal. Raises CliError."""
    from p2pverify.node.lines.papers import load_seed

    if file is not None:
        return load_seed(file)
    text = click.prompt("next key (64 hex digits)", hide_input=True, err=True).strip()
    try:
        seed = bytes.fromhex(text)
    except ValueError:
        seed = b""
    if len(seed) != SEED_BYTES:
        raise CliError("this is not a key of 64 hex digits", "type it again, or name its file with --key")
    return seed
