"""Orders to the running node: sign a record of data or of versions, and say what went wrong if it did not."""

import click

from p2pverify.cli import client
from p2pverify.cli.errors import NotReadyError
from p2pverify.cli.params import read_id
from p2pverify.node.data.documents import SignedDocument, SignedKind
from p2pverify.node.files.home import Home

_SHOW = "'p2pverify model versions' shows the versions"
#: What to do about some reasons of the machine and the fold (protocol/data.md, protocol/line.md).
_HINTS = {
    "this peer may not sign now": "'p2pverify wait --ready' returns once it may",
    "author is no active member": "wait until its join is in a cut: 'p2pverify status' shows it",
    "author has too many": "wait until one is over, or erase all rows of one; protocol/dataset.md has the limits",
    "it is live already": "'p2pverify data list' shows it",
    "no live data set of the author": "it is over, so no peer may use it any more",
    "it is over": "choose more days with --days",
    "too few publishers signed": "the next publisher signs with 'p2pverify model publish --sign FILE --key KEY'",
    "the number is taken": f"another release was quicker, so prepare this one again; {_SHOW}",
    "not the next number": f"prepare it again; {_SHOW}",
    "the manifest is that of another version": f"nothing is new in it; {_SHOW}",
    "no such version": _SHOW,
    "no version to go back to": f"choose another one with --back-to; {_SHOW}",
    "author has no weight": "only members with weight vote; publishers sign with --key",
    "author has one for the line": "a pledge cannot be changed; it ends with its last round",
    "line has too many": "others pay for its rounds already; wait until one of their pledges is over",
    "more than author may owe": "'p2pverify settle --peer ID' shows what this peer has; pledge less, or fewer rounds",
    "more than is owed": "'p2pverify settle netting' shows what the debtor owes; what is in escrow must vest first",
    "a greater one is known": "the ledger has a newer cheque of this client",
    "author has too many series": "note what other clients paid with 'p2pverify settle receive', so that one ends",
    "its series is over": "it came too late: ask the client to sign a new cheque",
    "author has an open one": "withdraw it first; 'p2pverify network show --rules' shows it",
    "it is about other rules": "another amendment took effect; propose again",
    "too many are open": "'p2pverify network show --rules' shows them; one with few approvals yields after a day",
    "this network has no such records": "this network has no lines; only a network file can add them",
}


def order(home: Home, kind: SignedKind, payload: bytes) -> bytes:
    """Have the node sign a record. Returns its id (32 B) once it is on the node's disk. Raises NotReadyError."""
    document = client.post(home, f"/v1/sign?kind={kind}", SignedDocument, body=payload).document
    if document.record is None:
        reason = document.reason or ""
        raise NotReadyError(f"this node does not sign the {kind}: {reason}", _HINTS.get(reason, "try again later"))
    return bytes.fromhex(document.record)


def read_parents(texts: tuple[str, ...]) -> tuple[bytes, ...]:
    """The parents that were named by ids of 64 hexadecimal digits. Raises BadParameter."""
    found = {read_id(text) for text in texts}
    known = sorted(each for each in found if each is not None)
    if len(known) < len(found):
        raise click.BadParameter("give the 64 hexadecimal digits of an id or of a root", param_hint="--parent")
    return tuple(known)
