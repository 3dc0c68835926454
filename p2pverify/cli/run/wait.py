"""`wait`, for scripts that start a node and continue when it answers, and `leave`."""

import math
import sys
import time
from collections.abc import Sequence

import click

from p2pverify.cli import client
from p2pverify.cli.context import current_home
from p2pverify.cli.errors import USAGE, CliError, NotReadyError, NotRunningError
from p2pverify.cli.table import cell
from p2pverify.node.files.home import Home
from p2pverify.node.reports.documents.health import LeaveDocument, Live, Ready

_POLL_S = 0.2
_SAY_YES = "add --yes to leave without being asked"


class UnconfirmedError(CliError):
    """A step that cannot be undone was not confirmed, and not done."""

    exit_code = USAGE


@click.command()
@click.option("--ready", is_flag=True, help="Wait until the node takes part in the network, and does not only answer.")
@click.option("--timeout", "timeout_s", type=float, default=60, show_default=True, help="Seconds to wait.")
@click.option("--json", "as_json", is_flag=True, help="Print the API's JSON document.")
def wait(ready: bool, timeout_s: float, as_json: bool) -> None:
    """Wait until the node answers, or with --ready until it is ready; exit 4 if that takes too long."""
    if not math.isfinite(timeout_s) or timeout_s < 0:
        raise click.BadParameter("give seconds, 0 or more", param_hint="--timeout")
    home = current_home()
    deadline = time.monotonic() + timeout_s
    while True:
        left_s = deadline - time.monotonic()
        try:
            answer = _ask(home, ready=ready, timeout_s=min(client.TIMEOUT_S, max(left_s, _POLL_S)))
        except NotRunningError as error:
            why = error.message
        else:
            if not isinstance(answer.document, Ready) or answer.document.ready:
                if as_json:
                    client.print_json(answer.text)
                else:
                    click.echo("ready" if ready else "running")
                return
            why = _sentence(answer.document.reasons)
        if left_s <= 0:
            state = "ready" if ready else "running"
            hint = "'p2pverify status' shows its progress" if ready else "start it with 'p2pverify join'"
            raise NotReadyError(f"the node is not {state} after {timeout_s:g} s: {why}", hint)
        time.sleep(min(_POLL_S, left_s))


def _ask(home: Home, *, ready: bool, timeout_s: float) -> client.ApiAnswer[Ready] | client.ApiAnswer[Live]:
    if ready:
        return client.get(home, "/readyz", Ready, timeout_s=timeout_s)
    return client.get(home, "/livez", Live, timeout_s=timeout_s)


def _sentence(reasons: Sequence[str]) -> str:
    return "; ".join(cell(reason) for reason in reasons)


@click.command()
@click.option("--yes", is_flag=True, help="Do not ask.")
def leave(yes: bool) -> None:
    """Leave the network for good: the node signs its leave, and other peers no longer ask it.

    The command asks for confirmation, which needs a terminal; --yes confirms without one. Exit 4 if the node cannot
    sign the leave yet.
    """
    if not yes:
        _confirm("Leave the network for good?")
    reasons = client.post(current_home(), "/v1/leave", LeaveDocument).document.reasons
    if reasons:
        raise NotReadyError(
            f"the leave is not signed yet: {_sentence(reasons)}",
            "the node remembers it, also after a restart, and signs it as soon as it may",
        )
    click.echo("leaving; keep the node running until 'p2pverify status' says that it has left")


def _confirm(question: str) -> None:
    """Ask the user to confirm. Raises UnconfirmedError unless the answer is yes."""
    if sys.stdin is None or not sys.stdin.isatty():
        raise UnconfirmedError("there is no terminal to ask on, so nothing was done", _SAY_YES)
    click.echo(f"{question} [y/N]: ", nl=False, err=True)
    answer = sys.stdin.readline()
    if not answer.endswith("\n"):
        click.echo(err=True)
        raise UnconfirmedError("there was no answer, so nothing was done", _SAY_YES)
    if answer.strip().lower() not in ("y", "yes"):
        raise UnconfirmedError("nothing was done: the peer stays a member", "answer 'y' to leave")
