"""Reports of `p2pverify testnet` as JSON, to stdout or to a file, and the error for options that make no run."""

import json
from pathlib import Path

import click

from p2pverify.cli.errors import USAGE, CliError


class UnusableError(CliError):
    """The scenario or the options make no run."""

    exit_code = USAGE


def check_target(json_file: str | None) -> None:
    """Raises UnusableError for a path that could not be written: else a mistyped one would be found only at the end."""
    if json_file not in (None, "-") and not Path(str(json_file)).absolute().parent.is_dir():
        raise UnusableError(f"{json_file}: its directory does not exist", "make it, or write elsewhere")


def write_json(json_file: str | None, document: object) -> None:
    """Write a report as JSON: '-' is stdout, None nowhere."""
    if json_file == "-":
        click.echo(json.dumps(document))
    elif json_file is not None:
        from p2pverify.node.home import atomic_file

        with atomic_file(Path(json_file), mode=0o644) as file:
            file.write(json.dumps(document, indent=1).encode() + b"\n")
