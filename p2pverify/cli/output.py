"""Reports as JSON, the option --force, the date of documents, and the error for options that make no valid run.

`node.files.outputs` decides which files may be replaced, and how each kind of target is written.
"""

import json
import os
import time

import click

from p2pverify.cli.errors import USAGE, CliError
from p2pverify.node.files.outputs import STDOUT, Replaces, always, check_output, open_output, same_report, unforced

#: Reproducible builds set it: see reproducible-builds.org.
DATE_VARIABLE = "SOURCE_DATE_EPOCH"
wide_option = click.option(
    "--wide", is_flag=True, help="Show all columns and complete peer ids, even wider than the terminal."
)
force_option = click.option("--force", is_flag=True, help="Replace an existing file.")


class UnusableError(CliError):
    """The scenario or the options do not make a valid run."""

    exit_code = USAGE


def document_date_s() -> int:
    """The Unix time (s) that a document bears: now, or that of SOURCE_DATE_EPOCH. Raises UsageError."""
    text = os.environ.get(DATE_VARIABLE, "")
    if not text:
        return int(time.time())
    if not text.isascii() or not text.isdigit() or len(text) > 11:
        raise click.UsageError(f"{DATE_VARIABLE} is no number of seconds")
    return int(text)


def may_replace(*, force: bool) -> Replaces:
    """The existing files that a command may replace."""
    return always if force else unforced


def check_report(json_file: str | None, schema: str, *, force: bool) -> None:
    """Raise OutputError if a report could not be written, before the run and not only at its end."""
    if json_file is not None:
        check_output(json_file, always if force else same_report(schema))


def write_report(json_file: str | None, document: dict[str, object], *, force: bool) -> None:
    """Write a report, and replace an earlier one of its kind. '-' is stdout, None nowhere. Raises OutputError."""
    if json_file is None:
        return
    indent = None if json_file == STDOUT else 1
    with open_output(json_file, always if force else same_report(str(document["schema"]))) as file:
        file.write(json.dumps(document, indent=indent).encode() + b"\n")
