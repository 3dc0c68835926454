"""`p2pverify ledger check`: whether the home's database still holds what was written."""

import json
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from p2pverify.store.integrity.checkup import Checkup, HomeFault

SCHEMA = "p2pverify/ledger-check/1"
#: What to do after damage, for the operator.
AFTER_DAMAGE = (
    "a running node fetches damaged records again from other peers, and signs nothing until its own are whole; "
    "'p2pverify join' tells at its start what is damaged"
)


@click.command("check")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def check(as_json: bool) -> None:
    """Read this home's database from end to end, the node running or not. Exit 5 if anything in it is damaged.

    Each record is checked against its id and its author's signature, each log against its links, and the file against
    its own structure. Nothing is changed.
    """
    from p2pverify.cli.context import current_home
    from p2pverify.cli.errors import CliError, NotVerifiedError
    from p2pverify.cli.setup.init import own_key
    from p2pverify.node.files.networkfile import load_network
    from p2pverify.store.integrity.checkup import check_up

    home = current_home()
    if not home.database_path.exists():
        raise CliError(f"no database in {home.path}", "choose the node's home with --home DIR")
    network_id = load_network(home.network_path)[0].id if home.network_path.exists() else None
    found = check_up(home.database_path, network_id, own_key(home))
    click.echo(json.dumps(_document(found)) if as_json else _text(found))
    if found.faults:
        count = len(found.faults) + found.faults_more
        what = "1 thing is" if count == 1 else f"{count} things are"
        raise NotVerifiedError(f"{what} damaged in {home.database_path}", AFTER_DAMAGE)


def _document(found: "Checkup") -> dict[str, object]:
    from p2pverify.core.encoding.peerid import peer_id

    return {
        "schema": SCHEMA,
        "whole": not found.faults,
        "network": found.network.hex(),
        "peer_id": peer_id(found.own),
        "records": found.records,
        "own_records": found.own_records,
        "answers": found.answers,
        "evidence": found.evidence,
        "faults": [
            {
                "kind": fault.kind,
                "reason": fault.reason,
                "record": None if fault.record is None else fault.record.hex(),
                "author": None if fault.author is None else peer_id(fault.author),
                "number": fault.number,
            }
            for fault in found.faults
        ],
        "faults_more": found.faults_more,
    }


def _text(found: "Checkup") -> str:
    others = f"{found.answers} answers, {found.evidence} pieces of evidence"
    lines = [f"{found.records} records, {found.own_records} of them of this peer; {others}"]
    lines += [_line(fault, found.own) for fault in found.faults]
    if found.faults_more:
        lines.append(f"and {found.faults_more} more")
    return "\n".join(lines if found.faults else [*lines, "no damage found"])


def _line(fault: "HomeFault", own: bytes) -> str:
    from p2pverify.core.encoding.peerid import peer_id

    if fault.record is None:
        return f"{fault.kind}: {fault.reason}"
    author = fault.author or b""
    whose = "this peer" if author == own else peer_id(author)
    return f"{fault.kind}: {fault.record.hex()[:16]}, number {fault.number} of {whose}: {fault.reason}"
