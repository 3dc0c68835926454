"""`p2pverify passport`: writes one peer's score with its proof to a file. `verify` checks such a file."""

from urllib.parse import urlencode

import click

from p2pverify.cli import client
from p2pverify.cli.context import current_home
from p2pverify.cli.output import force_option, may_replace
from p2pverify.cli.params import find_peer
from p2pverify.cli.setup.init import own_key
from p2pverify.cli.table import pairs
from p2pverify.node.files.outputs import check_output, open_output
from p2pverify.node.reports.documents.passport import PassportDocument
from p2pverify.node.reports.documents.scores import ScoresDocument
from p2pverify.node.reports.shown import short_ids

_LATER = "wait for the next final cut: 'p2pverify status' says when it is due"


@click.command()
@click.argument("peer", required=False)
@click.option("-o", "--output", metavar="FILE", help="Where to write it (default: PEER.passport).")
@force_option
@click.option("--json", "as_json", is_flag=True, help="Print the API's JSON document instead of writing a file.")
def passport(peer: str | None, output: str | None, force: bool, as_json: bool) -> None:
    """Write the passport of PEER: its score in a recent final view, with the proof and the signatures.

    PEER is a peer id, or a short name as in 'p2pverify scores'; by default it is this node. Whoever has the network
    can check the passport with 'p2pverify verify FILE', without a node and without the ledger.
    """
    from p2pverify.core.encoding.peerid import peer_id

    home = current_home()
    ids = [row.peer_id for row in client.get(home, "/v1/scores?view=final", ScoresDocument).document.scores]
    name = find_peer(peer_id(own_key(home)) if peer is None else peer, ids)
    target = None if as_json else output or f"{short_ids(ids)[name]}.passport"
    if target is not None:
        check_output(target, may_replace(force=force), is_binary=True)
    answer = client.get(home, f"/v1/passport?{urlencode({'peer': name})}", PassportDocument, refused=_LATER)
    if target is None:
        client.print_json(answer.text)
        return
    found = answer.document
    data = bytes.fromhex(found.passport)
    with open_output(target, may_replace(force=force), is_binary=True) as out:
        out.write(data)
    if target != "-":
        rows = [("peer", found.peer_id), ("cut", f"{found.cut} of epoch {found.epoch}"), ("size", f"{len(data)} bytes")]
        click.echo(pairs([("passport", target), *rows]))
