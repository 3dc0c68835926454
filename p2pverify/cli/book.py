"""`p2pverify testnet --book`: every known cheat, what must become of it, and what was measured.

Exit codes: 0 all came out as it must, 1 something did not, or an engine is not there, 2 options that make no book.
What happens in between is left to `p2pverify.testnet.book`.
"""

import json
import os
from pathlib import Path
from tempfile import TemporaryDirectory

import click

from p2pverify.cli.errors import ERROR, OK, USAGE, CliError, report
from p2pverify.cli.progress import Progress
from p2pverify.cli.table import table


class UnusableError(CliError):
    """The options make no book."""

    exit_code = USAGE


def play(*, engine: str | None, seed: int | None, quick: bool, json_file: str | None) -> int:
    """Play the book and tell what came of it."""
    from p2pverify.engine.errors import EngineUnavailable
    from p2pverify.engine.select import Kind
    from p2pverify.testnet.book.book import play_book
    from p2pverify.testnet.book.plans import NoThresholdsError, make_plan
    from p2pverify.testnet.book.report import HEADERS, document, faults, rows, summary

    if json_file not in (None, "-") and not Path(str(json_file)).absolute().parent.is_dir():
        raise UnusableError(f"{json_file}: its directory does not exist", "make it, or write elsewhere")
    # There is a process for each core; BLAS would give each of them a thread for every core.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    with TemporaryDirectory(prefix="p2pverify-book-") as workdir, Progress() as progress:
        try:
            kind: Kind = "toy" if engine == "toy" else "llama"
            plan = make_plan(Path(workdir), engine=kind, seed=1 if seed is None else seed, quick=quick)
            book = play_book(plan, progress)
        except NoThresholdsError as error:
            raise CliError(error.reason, error.hint) from None
        except EngineUnavailable as error:
            raise CliError(str(error), "or play it with '--engine toy'") from None
    to_stderr = json_file == "-"
    click.echo(table(HEADERS, rows(book)), err=to_stderr)
    click.echo(summary(book), err=to_stderr)
    if json_file == "-":
        click.echo(json.dumps(document(book)))
    elif json_file is not None:
        from p2pverify.node.home import atomic_file

        with atomic_file(Path(json_file), mode=0o644) as file:
            file.write(json.dumps(document(book), indent=1).encode() + b"\n")
    if not faults(book):
        return OK
    report("something in the book did not come out as it must", "the lines that begin with 'broken' say what")
    return ERROR
