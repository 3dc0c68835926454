"""`network approve` and `network accept`: what an operator says of an open amendment."""

import click

from p2pverify.cli import client
from p2pverify.cli.context import current_home
from p2pverify.cli.errors import CliError, NotReadyError
from p2pverify.cli.signing import order
from p2pverify.node.files.home import Home
from p2pverify.node.rules.documents import AcceptDocument, AmendmentDocument, RulesDocument

_SHOW = "'p2pverify network show --rules' shows the open amendments"
_PREFIX_MIN = 6


@click.command()
@click.argument("amendment", metavar="ID")
@click.option("--withdraw", is_flag=True, help="Take the approval back. It counts until the amendment takes effect.")
def approve(amendment: str, withdraw: bool) -> None:
    """Approve an amendment of the rules with this node's weight. The beginning of its ID is enough."""
    from p2pverify.core.records.payloads.amendment import Approval, Word

    home = current_home()
    found = find(home, amendment)
    if found.refused is not None and not withdraw:
        raise CliError(f"the amendment would have no effect: {found.refused}", _SHOW)
    word = Word.NO if withdraw else Word.YES
    record = order(home, "approval", Approval(bytes.fromhex(found.id), word).encode())
    click.echo(f"{'withdrawn' if withdraw else 'approved'}; record {record.hex()}")


@click.command()
@click.argument("amendment", metavar="ID")
def accept(amendment: str) -> None:
    """Let this node follow an amendment, if config.toml has 'amendments = "ask"'. The beginning of its ID is enough.

    This is about this node alone, and needs no weight. A node that does not follow an amendment stops at the cut with
    which it takes effect.
    """
    home = current_home()
    found = find(home, amendment)
    document = client.post(home, f"/v1/accept?id={found.id}", AcceptDocument).document
    if not document.accepted:
        raise NotReadyError(f"this node cannot accept the amendment: {document.reason}", _SHOW)
    click.echo(f"this node follows amendment {found.id[:16]}")


def find(home: Home, named: str) -> AmendmentDocument:
    """The open amendment whose id begins so. Raises CliError."""
    found = [
        each
        for each in client.get(home, "/v1/rules", RulesDocument).document.amendments
        if len(named) >= _PREFIX_MIN and each.id.startswith(named.lower())
    ]
    if len(found) != 1:
        raise CliError(f"{len(found) or 'no'} open amendments begin with {named[:64]!r}", _SHOW)
    return found[0]
