"""The command `me`: how peers treat this node's clients, beside how they treat the network's auditors."""

import click

from p2pverify.cli import client
from p2pverify.cli.context import current_home
from p2pverify.cli.table import columns_help, table, terminal_width
from p2pverify.node.reports.documents.me import MeDocument, OwnFigures, PeerFigures
from p2pverify.node.reports.shown import interval, short_ids

COLUMNS = ("PEER", "STANDING", "SCORE", "AUDITED", "WRONG", "AT MOST", "P", "FINDING")
#: With a smaller chance the treatment is called another one. It holds for one look, so it accuses nobody.
UNLIKELY = 0.001


@click.command(epilog=columns_help(*COLUMNS))
@click.option("--json", "as_json", is_flag=True, help="Print the API's JSON document.")
def me(as_json: bool) -> None:
    """Show how peers treat your own requests: the answers that this node has scored again, beside the network's audits.

    The key audit_rate of config.toml says which share of the stored receipts is scored again, when the machine is idle.
    """
    answer = client.get(current_home(), "/v1/me", MeDocument)
    if as_json:
        client.print_json(answer.text)
        return
    found = answer.document
    click.echo(summary(found.all))
    if not found.audit_rate:
        click.echo("audit_rate in config.toml is 0, so no receipt is scored again")
    if found.peers:
        names = short_ids(each.peer_id for each in found.peers)
        rows = [_row(names[each.peer_id], each) for each in found.peers]
        click.echo(table(COLUMNS, rows, width=terminal_width(), cut=("PEER", "STANDING")))


def summary(all_: OwnFigures) -> str:
    """All figures in one line."""
    network = interval(all_.network_low, all_.network_high)
    if not all_.audits:
        return f"network {network}; you: no answer was audited yet"
    own = f"{all_.wrong} wrong of {all_.audits} (at most {_percent(all_.at_most)})"
    return f"network {network}; you: {own}; {finding(all_)} (p = {_p(all_.chance)})"


def finding(figures: OwnFigures) -> str:
    """What the figures say of the treatment."""
    if figures.accused:
        return f"wrong too often, after {figures.accused_after} audits"
    return "treated worse than the auditors" if figures.chance < UNLIKELY else "treated like the auditors"


def _short(figures: OwnFigures) -> str:
    if figures.accused:
        return "wrong too often"
    return "worse" if figures.chance < UNLIKELY else "alike"


def _row(name: str, each: PeerFigures) -> tuple[object, ...]:
    figures = each.figures
    return (
        name,
        each.standing,
        interval(figures.network_low, figures.network_high),
        figures.audits,
        figures.wrong,
        _percent(figures.at_most),
        _p(figures.chance),
        _short(figures) if figures.audits else None,
    )


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"


def _p(chance: float) -> str:
    """A probability in at most two digits."""
    return f"{chance:.2g}"
