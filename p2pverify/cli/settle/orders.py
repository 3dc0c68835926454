"""`settle pledge|cheque|receive`: what the operator has the running node sign about money."""

import click

from p2pverify.cli import client
from p2pverify.cli.context import current_home
from p2pverify.cli.errors import CliError, NotReadyError
from p2pverify.cli.params import Millionths, NameOfPeer
from p2pverify.cli.signing import order
from p2pverify.cli.table import table, terminal_width
from p2pverify.node.files.home import Home
from p2pverify.node.lines.documents import LinesDocument
from p2pverify.node.reports.documents.jsonform import written
from p2pverify.node.reports.shown import in_units
from p2pverify.node.settle.documents import ChequeDocument, ChequesDocument

_REFERENCE_BYTES_MAX = 32
_ROUND_MAX = 2**32 - 1
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
_NO_TARIFF = "'p2pverify network new --tariff FILE' makes a network that keeps accounts"


@click.command()
@click.argument("line")
@click.option("--bounty", type=Millionths(), required=True, metavar="AMOUNT", help="The most for one round.")
@click.option("--first", type=click.IntRange(0, _ROUND_MAX), required=True, metavar="N", help="The first round.")
@click.option("--last", type=click.IntRange(0, _ROUND_MAX), required=True, metavar="N", help="The last round.")
def pledge(line: str, bounty: int, first: int, last: int) -> None:
    """Promise to pay for training rounds of LINE, by its name, from --first to --last.

    The amount is reserved from what this node may owe. A pledge cannot be taken back, and ends with its last round.
    """
    from p2pverify.core.records.payloads.settle.pledge import PledgeOffer

    if last < first:
        raise click.BadParameter("it is before --first", param_hint="--last")
    if not bounty:
        raise click.BadParameter("it is nothing", param_hint="--bounty")
    home = current_home()
    _prices(home)
    lines = {each.name: each.index for each in client.get(home, "/v1/lines", LinesDocument).document.lines}
    if line not in lines:
        there = f"there are {', '.join(lines)}" if lines else "it has none"
        raise CliError(f"the network has no line {line[:80]!r}; {there}", "'p2pverify model versions' shows them")
    record = order(home, "pledge", PledgeOffer(lines[line], bounty, first, last).encode())
    most = in_units(bounty * (last - first + 1))
    click.echo(f"pledged at most {most} for rounds {first} to {last}; record {record.hex()}")


@click.command()
@click.option(
    "--debtor", type=NameOfPeer(), metavar="PEER_ID", help="Put the newest cheque of this client on the ledger."
)
@click.option("--all", "everybody", is_flag=True, help="Put the newest cheques of all clients on the ledger.")
@json_option
def cheque(debtor: str | None, everybody: bool, as_json: bool) -> None:
    """Show what clients owe this node beside the ledger, and what it owes, or put cheques on the ledger now.

    A node does it by itself when a cheque is worth it: see [credit] in config.toml. MORE is what a cheque says more
    than the ledger.
    """
    home = current_home()
    found = _prices(home)
    if debtor is None and not everybody:
        import json

        click.echo(json.dumps(written(found)) if as_json else _shown(found))
        return
    due = [each for each in found.cheques if debtor in (None, each.debtor)]
    if debtor is not None and not due:
        raise CliError("this node holds no cheque of that client", "'p2pverify settle cheque' shows all")
    fresh = [each for each in due if each.cumulative > each.known]
    if not fresh:
        raise CliError("the ledger has the newest cheques already", "'p2pverify settle' shows the claims")
    for each in fresh:
        record = order(home, "cheque", _payload(each))
        more = in_units(each.cumulative - each.known)
        click.echo(f"put {more} {found.unit} of {each.debtor} on the ledger; record {record.hex()}")


@click.command()
@click.argument("debtor", type=NameOfPeer())
@click.argument("amount", type=Millionths())
@click.option(
    "--reference", default="", metavar="TEXT", help="For people, up to 32 bytes, such as a transfer's number."
)
def receive(debtor: str, amount: int, reference: str) -> None:
    """Say that DEBTOR (a peer id) paid this node AMOUNT, outside of the network. It owes so much less then.

    Only what has vested can be paid. The reference stays on the ledger for good: nothing about people belongs there.
    """
    from p2pverify.core.encoding.peerid import key_of
    from p2pverify.core.records.payloads.settle.payment import Payment

    if not amount:
        raise click.BadParameter("it is nothing", param_hint="AMOUNT")
    data = reference.encode()
    if len(data) > _REFERENCE_BYTES_MAX:
        raise click.BadParameter(f"it has more than {_REFERENCE_BYTES_MAX} bytes", param_hint="--reference")
    home = current_home()
    found = _prices(home)
    record = order(home, "payment", Payment(key_of(debtor), amount, data).encode())
    click.echo(f"noted a payment of {in_units(amount)} {found.unit}; record {record.hex()}")


def _prices(home: Home) -> ChequesDocument:
    """What is owed beside the ledger. Raises NotReadyError in a network without a tariff."""
    found = client.get(home, "/v1/cheques", ChequesDocument).document
    if found.unit is None:
        raise NotReadyError("this network has no tariff, so it keeps no accounts", _NO_TARIFF)
    return found


def _payload(held: ChequeDocument) -> bytes:
    from p2pverify.core.encoding.peerid import key_of
    from p2pverify.core.records.payloads.settle.cheque import Cheque

    signature = bytes.fromhex(held.signature)
    return Cheque(key_of(held.debtor), held.until, held.cumulative, held.count, signature).encode()


def _shown(found: ChequesDocument) -> str:
    """What this node is owed, and what it owes, as two tables."""
    more = {each.debtor: 0 for each in found.cheques}
    for each in found.cheques:
        more[each.debtor] += max(0, each.cumulative - each.known)
    rows = [
        (each.client, in_units(each.uncovered), in_units(each.owed), in_units(more.get(each.client, 0)))
        for each in found.tabs
    ]
    owed = [
        (each.creditor, in_units(each.due), in_units(each.cumulative), in_units(each.cumulative - each.told))
        for each in found.bills
    ]
    parts = [f"one answer costs {in_units(found.price)} {found.unit}"]
    width = terminal_width()
    if rows:
        parts.append(table(("CLIENT", "NO CHEQUE", "OWES", "MORE"), rows, width=width, cut=("CLIENT",)))
    if owed:
        parts.append(table(("CREDITOR", "DUE", "SIGNED", "NOT TAKEN"), owed, width=width, cut=("CREDITOR",)))
    if not rows and not owed:
        parts.append("no client owes this node anything for answers, and it owes nothing")
    return "\n".join(parts)
