"""`p2pverify doctor`: examines a home and the node that runs in it."""

import json
import textwrap
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import click

from p2pverify.cli.context import current_home
from p2pverify.cli.doctor.findings import Health, HealthFinding, fault, ok, skipped
from p2pverify.cli.errors import CliError, NotRunningError, one_line
from p2pverify.cli.progress import Progress
from p2pverify.cli.table import terminal_width

if TYPE_CHECKING:
    from p2pverify.node.files.home import Home
    from p2pverify.node.reports.documents.status import StatusDocument

SCHEMA = "p2pverify/doctor/1"


@click.command()
@click.option("--quick", is_flag=True, help="Do not load the model.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def doctor(quick: bool, as_json: bool) -> None:
    """Examine this home and its node, running or not: each finding with what to do. Exit 1 if there is a fault.

    Checked are the files, the disk, the database, the ports, and the class of this machine, for which the model answers
    golden questions. Of a running node also its neighbours, the cuts, and whether it is asked and answers. Nothing is
    changed.
    """
    home = current_home()
    if not home.path.is_dir():
        home.load_identity()  # says that there is no home
    with Progress() as progress:
        found = list(_examine(home, progress, is_quick=quick))
    click.echo(json.dumps(_document(found)) if as_json else "\n".join(_lines(found)))
    count = sum(each.health is Health.FAULT for each in found)
    if count:
        raise CliError(f"{count} fault{'s' * (count > 1)} in {home.path}", "do what the findings say, and look again")


def _examine(home: "Home", progress: Progress, *, is_quick: bool) -> Iterator[HealthFinding]:
    from p2pverify.cli.doctor.home import HomeExam
    from p2pverify.cli.doctor.running import look_at

    status, node = _find_node(home)
    yield from HomeExam(home, progress, is_running=status is not None, is_quick=is_quick).findings()
    yield node
    if status is not None:
        yield from look_at(status)


def _find_node(home: "Home") -> "tuple[StatusDocument | None, HealthFinding]":
    """The status of the node of a home if one runs, and the finding about that."""
    from p2pverify.cli import client
    from p2pverify.node.identity.private import HomeError
    from p2pverify.node.reports.documents.status import StatusDocument

    try:
        found = client.get(home, "/v1/status", StatusDocument).document
    except NotRunningError as error:
        try:
            with home.lock():
                return None, skipped("node", "it does not run", error.hint)
        except HomeError as held:
            return None, fault("node", f"it does not answer: {held.reason}", held.hint)
    except CliError as error:
        return None, fault("node", error.message, error.hint)
    except HomeError as error:
        return None, fault("node", error.reason, error.hint)
    return found, ok("node", f"it runs, for {found.uptime_s} s")


def _document(found: Sequence[HealthFinding]) -> dict[str, object]:
    return {
        "schema": SCHEMA,
        "healthy": all(each.health is not Health.FAULT for each in found),
        "findings": [
            {"check": each.check, "health": each.health.value, "text": each.text, "todo": each.todo} for each in found
        ],
    }


def _lines(found: Sequence[HealthFinding]) -> Iterator[str]:
    names = max(len(each.check) for each in found)
    states = max(len(each.health.value) for each in found)
    indent = " " * (names + states + 4)
    width = terminal_width()
    for each in found:
        head = f"{each.check.ljust(names)}  {each.health.value.ljust(states)}  "
        texts = [each.text, f"-> {each.todo}" if each.todo else ""]
        lines = [line for text in texts for line in textwrap.wrap(one_line(text), width - len(indent))]
        yield head + lines[0]
        yield from (indent + line for line in lines[1:])
