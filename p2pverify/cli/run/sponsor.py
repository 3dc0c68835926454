"""`sponsor`: this node stands for a newcomer with its own weight."""

import click

from p2pverify.cli import client
from p2pverify.cli.context import current_home
from p2pverify.cli.errors import NotReadyError
from p2pverify.core.encoding.peerid import key_of
from p2pverify.core.errors import DecodeError
from p2pverify.node.reports.documents.health import SponsorDocument

#: What to do about each reason of the fold (protocol/sponsor.md).
_HINTS = {
    "author has no weight": "only a member with weight can vouch; 'p2pverify status' shows the way to weight",
    "author has sponsored another peer lately": "a member vouches for one peer in a twelfth of growth-epochs",
    "no newcomer": "the peer must have joined, and must have no weight yet; 'p2pverify scores' shows it",
    "it has sponsors": "it needs no other sponsor",
    "sponsors vouched for each other": "its sponsors must have come in by different ways",
}


@click.command()
@click.argument("peer_id")
def sponsor(peer_id: str) -> None:
    """Vouch for a newcomer: with two sponsors a peer waits a quarter of the time for its weight.

    PEER_ID is that of a peer which you know. This node answers for it: if the peer is convicted soon after it got
    weight, this node loses its own weight for some time. A sponsor cannot take its word back.
    """
    try:
        key_of(peer_id)
    except DecodeError:
        raise click.BadParameter(f"{peer_id[:80]!r} is not a peer id (12D3Koo...)", param_hint="PEER_ID") from None
    document = client.post(current_home(), f"/v1/sponsor?peer={peer_id}", SponsorDocument).document
    if not document.sponsored:
        reason = document.reason or ""
        raise NotReadyError(f"this node cannot vouch for the peer: {reason}", _HINTS.get(reason, "try again later"))
    click.echo("vouched for; 'p2pverify scores --json' shows the sponsors of each peer once a cut holds the record")
