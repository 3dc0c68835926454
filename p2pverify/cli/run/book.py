"""`p2pverify testnet --book`: every known cheat, its expected outcome, and its measured outcome.

Exit codes: 0 every outcome is as expected, 1 an outcome differs or an engine is missing, 2 invalid options.
`p2pverify.testnet.book` does the work.
"""

from pathlib import Path
from tempfile import TemporaryDirectory

import click

from p2pverify.cli.errors import ERROR, OK, CliError, report
from p2pverify.cli.output import check_report, write_report
from p2pverify.cli.progress import Progress
from p2pverify.cli.table import table
from p2pverify.node.engines.kinds import DEFAULT_ENGINE, EngineKind
from p2pverify.node.files.outputs import is_stdout


def play(*, engine: EngineKind | None, seed: int | None, quick: bool, json_file: str | None, force: bool) -> int:
    """Play the book and print the outcomes."""
    from p2pverify.engine.errors import EngineUnavailable
    from p2pverify.testnet.casebook.book import play_book
    from p2pverify.testnet.casebook.plans import NoThresholdsError, make_plan
    from p2pverify.testnet.casebook.report import HEADERS, SCHEMA, document, faults, rows, summary

    check_report(json_file, SCHEMA, force=force)
    with TemporaryDirectory(prefix="p2pverify-book-") as workdir, Progress() as progress:
        try:
            plan = make_plan(
                Path(workdir), engine=engine or DEFAULT_ENGINE, seed=1 if seed is None else seed, quick=quick
            )
            book = play_book(plan, progress)
        except NoThresholdsError as error:
            raise CliError(error.reason, error.hint) from None
        except EngineUnavailable as error:
            raise CliError(str(error), "or play it with '--engine toy'") from None
    to_stderr = json_file is not None and is_stdout(json_file)
    click.echo(table(HEADERS, rows(book)), err=to_stderr)
    click.echo(summary(book), err=to_stderr)
    write_report(json_file, document(book), force=force)
    if not faults(book):
        return OK
    report("an outcome differs from the expected one", "see the lines that begin with 'broken'")
    return ERROR
