"""`wait`, for scripts that start a node and continue when it answers, and `leave`."""

import math
import sys
import time

import click

from p2pverify.cli import client
from p2pverify.cli.context import current_home
from p2pverify.cli.errors import USAGE, CliError, NotReadyError, NotRunningError
from p2pverify.cli.table import cell

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
    path, schema = ("/readyz", "p2pverify/ready/1") if ready else ("/livez", "p2pverify/live/1")
    deadline = time.monotonic() + timeout_s
    while True:
        left_s = deadline - time.monotonic()
        try:
            answer = client.get(home, path, schema, timeout_s=min(client.TIMEOUT_S, max(left_s, _POLL_S)))
        except NotRunningError as error:
            why = error.message
        else:
            if not ready or answer.document.get("ready") is True:
                if as_json:
                    client.print_json(answer)
                else:
                    click.echo("ready" if ready else "running")
                return
            reasons = answer.document.get("reasons")
            why = "; ".join(cell(reason) for reason in reasons) if isinstance(reasons, list) else "no reason"
        if left_s <= 0:
            state = "ready" if ready else "running"
            hint = "'p2pverify status' shows its progress" if ready else "start it with 'p2pverify join'"
            raise NotReadyError(f"the node is not {state} after {timeout_s:g} s: {why}", hint)
        time.sleep(min(_POLL_S, left_s))


@click.command()
@click.option("--yes", is_flag=True, help="Do not ask.")
def leave(yes: bool) -> None:
    """Leave the network for good: the node signs its leave, and other peers no longer ask it.

    The command asks for confirmation, which needs a terminal; --yes confirms without one. Exit 4 if the node cannot
    sign the leave yet.
    """
    if not yes:
        _confirm("Leave the network for good?")
    reasons = client.post(current_home(), "/v1/leave", "p2pverify/leave/1").document.get("reasons")
    if isinstance(reasons, list) and reasons:
        why = "; ".join(cell(reason) for reason in reasons)
        raise NotReadyError(
            f"the leave is not signed yet: {why}",
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
