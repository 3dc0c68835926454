"""`audits` lists audits, and `audits show ID` asks the node to explain one. `explain` makes the text."""

import time
from urllib.parse import urlencode

import click

from p2pverify.cli import client
from p2pverify.cli.context import current_home
from p2pverify.cli.progress import Progress
from p2pverify.cli.table import columns_help, table, terminal_width
from p2pverify.node.reports.documents.audits import AuditDocument, AuditsDocument
from p2pverify.node.reports.shown import audit_kind

_WIDTH_MAX = 160
_CUT = ("AUDIT", "DISPUTE OF", "STATUS")
_POLL_S = 0.2
_TIMEOUT_S = 20.0  # longer than the node waits before it answers that the explanation is not complete


@click.group(
    invoke_without_command=True,
    epilog=columns_help(
        "AUDIT", "ASKED", "STATUS", "GOT", "DISPUTE OF", "ELECTORATE", "COMMITS", "VOTES", "LOSERS", "RERUN"
    ),
)
@click.option("--limit", type=click.IntRange(1, 1000), default=20, show_default=True, help="How many audits.")
@click.option("--json", "as_json", is_flag=True, help="Print the API's JSON document.")
@click.pass_context
def audits(ctx: click.Context, limit: int, as_json: bool) -> None:
    """Show the newest audits, newest first, and the disputes; with 'show ID', explain one."""
    if ctx.invoked_subcommand is not None:
        return
    answer = client.get(current_home(), f"/v1/audits?{urlencode({'limit': limit})}", AuditsDocument)
    if as_json:
        client.print_json(answer.text)
        return
    found = answer.document
    rows = [(audit.id, audit_kind(across=audit.across), audit.status, _got(audit)) for audit in found.audits]
    width = terminal_width()
    click.echo(table(("AUDIT", "ASKED", "STATUS", "GOT"), rows, width=width, cut=_CUT) if rows else "no audits yet")
    disputes = [
        (
            dispute.id,
            dispute.status,
            dispute.electorate,
            dispute.commits,
            dispute.votes,
            len(dispute.losers),
            dispute.rerun or "-",
        )
        for dispute in found.disputes
    ]
    if disputes:
        headers = ("DISPUTE OF", "STATUS", "ELECTORATE", "COMMITS", "VOTES", "LOSERS", "RERUN")
        click.echo("\n" + table(headers, disputes, width=width, cut=_CUT))


def _got(audit: AuditDocument) -> str:
    """The answers of a panel as "2 of 3"."""
    return f"{sum(peer.answered for peer in audit.asked)} of {len(audit.asked)}"


@audits.command()
@click.argument("name", metavar="ID")
@click.option(
    "--wait",
    "wait_s",
    type=click.FloatRange(0, 600),
    default=130,
    show_default=True,
    help="Seconds to wait for the explanation.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the API's JSON document.")
def show(name: str, wait_s: float, as_json: bool) -> None:
    """Explain an audit: both answers, where they differ and by how much, the likeliest cause, and the votes.

    ID is an id from the list of 'audits', such as e12-3-SP57aGZQ. The node's engine checks the answers when it has
    nothing more urgent to do, which may take a while. The answers are available while their audit is in dispute, and
    from the challenger for some time after. The id of a dispute about a report works too: it shows who reported, and
    what the seats found.
    """
    from p2pverify.cli.show.explain import explained
    from p2pverify.node.reports.documents.explained import ExplainedAudit

    path = f"/v1/audit?{urlencode({'id': name})}"
    deadline = time.monotonic() + wait_s
    with Progress() as progress:
        while True:
            answer = client.get(current_home(), path, ExplainedAudit, timeout_s=_TIMEOUT_S)
            left_s = deadline - time.monotonic()
            if answer.document.complete or left_s <= 0:
                break
            progress("the node is looking at the answers", 0, 0)
            time.sleep(min(_POLL_S, left_s))
    if as_json:
        client.print_json(answer.text)
        return
    width = min(_WIDTH_MAX, terminal_width())
    for line in explained(answer.document, width):
        click.echo(line)
