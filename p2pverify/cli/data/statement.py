"""`statement`: a signed word about a subject, by this peer alone or together with another one."""

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from p2pverify.cli.context import current_home
from p2pverify.cli.data.data import json_option, parent_option
from p2pverify.cli.errors import CliError, NotVerifiedError
from p2pverify.cli.output import force_option, may_replace
from p2pverify.cli.params import InputFile
from p2pverify.cli.setup.init import own_key
from p2pverify.cli.signing import order, read_parents
from p2pverify.cli.table import pairs
from p2pverify.core.records.payloads.data import PARENTS_MAX, is_profile

if TYPE_CHECKING:
    from p2pverify.node.data.statements import OpenStatement

_FILE = InputFile("'p2pverify statement sign' writes such files")


@click.group()
def statement() -> None:
    """Sign a word about a subject: a consent, an agreement, a hand-over. The ledger gets salted commitments alone.

    The file of a statement opens its commitments. Keep it, and show it to people who shall check it.
    """


@statement.command("sign")
@click.argument("document", type=InputFile())
@click.option("--profile", required=True, metavar="NAME", help="The form of DOCUMENT, such as consent/1 or epcis/2.0.")
@click.option("--subject", metavar="TEXT", help="What it is about, such as a lot or a study.")
@click.option("--about", type=_FILE, metavar="FILE", help="The same subject as the statement in FILE, instead.")
@parent_option
@click.option("--with", "other", metavar="PEER_ID", help="The other party, which signs with 'statement cosign'.")
@click.option("-o", "--output", required=True, metavar="FILE", help="Where to write the statement.")
@force_option
@json_option
def sign(
    document: Path,
    profile: str,
    subject: str | None,
    about: Path | None,
    parents: tuple[str, ...],
    other: str | None,
    output: str,
    force: bool,
    as_json: bool,
) -> None:
    """Write a statement that stands for DOCUMENT, and have the running node sign and publish its commitments.

    With --with, nothing is published yet: give the file to the other party. Statements about one subject can be found
    together if they share its salt: name an earlier one with --about.
    """
    from p2pverify.core.encoding.peerid import key_of
    from p2pverify.core.errors import DecodeError
    from p2pverify.node.data.statements import DOCUMENT_BYTES_MAX, OpenStatement, load_statement, new_salt
    from p2pverify.node.files.networkfile import load_network
    from p2pverify.node.files.outputs import check_output
    from p2pverify.node.files.textfile import read_bytes

    home = current_home()
    if not is_profile(profile):
        raise click.BadParameter("lower-case letters, digits, '.', '-' and '/'", param_hint="--profile")
    if (subject is None) == (about is None) or subject == "":
        raise click.UsageError("say what it is about: with --subject TEXT, or with --about FILE")
    above = read_parents(parents)
    if len(above) > PARENTS_MAX:
        raise click.BadParameter(f"at most {PARENTS_MAX} can be given", param_hint="--parent")
    try:
        party = b"" if other is None else key_of(other)
    except DecodeError:
        raise click.BadParameter("not a peer id (12D3Koo...)", param_hint="--with") from None
    own = own_key(home)
    if party == own:
        raise click.BadParameter("this is the peer id of this home", param_hint="--with")
    check_output(output, may_replace(force=force), is_binary=True)
    network, _ = load_network(home.network_path)
    if about is not None:
        earlier = load_statement(about)
        named, salt = earlier.subject, earlier.subject_salt
    else:
        named, salt = subject or "", new_salt()
    text = read_bytes(document, size_max=DOCUMENT_BYTES_MAX, missing="")
    made = OpenStatement(network.id, own, profile, named, salt, text, new_salt(), above, party)
    _write(made, output, force=force)  # before it is published, because nobody could open its record otherwise
    record = None if party else _published(made, output)
    _tell(made, output, record, as_json=as_json)
    if party and not as_json:
        click.echo(f"next: the other party calls 'p2pverify statement cosign {output} -o SIGNED', and returns it")


@statement.command("cosign")
@click.argument("file", type=_FILE)
@click.option("-o", "--output", required=True, metavar="FILE", help="Where to write the signed statement.")
@force_option
@json_option
def cosign(file: Path, output: str, force: bool, as_json: bool) -> None:
    """Sign the statement in FILE as its other party. Read it first: 'p2pverify statement verify FILE --document'."""
    from p2pverify.node.data.statements import load_statement

    home = current_home()
    found = load_statement(file)
    if found.other != own_key(home):
        raise CliError("the statement names another party than this home", "ask its author for one with this peer")
    signed = found.signed_by(home.load_identity())
    _write(signed, output, force=force)
    _tell(signed, output, None, as_json=as_json)
    if not as_json:
        click.echo(f"next: its author calls 'p2pverify statement publish {output}'")


@statement.command("publish")
@click.argument("file", type=_FILE)
@json_option
def publish(file: Path, as_json: bool) -> None:
    """Have the running node publish the statement in FILE, which its other party has signed."""
    from p2pverify.node.data.statements import load_statement

    home = current_home()
    found = load_statement(file)
    if found.author != own_key(home):
        raise CliError("the author of the statement is another peer", "its author publishes it")
    _check(found)
    _tell(found, str(file), _published(found, str(file)), as_json=as_json)


def _published(found: "OpenStatement", file: str) -> bytes:
    """The id of the record that the node has signed. Raises CliError, which says how to try again."""
    try:
        return order(current_home(), "statement", found.statement.encode())
    except CliError as error:
        error.hint = f"{error.hint}; then call 'p2pverify statement publish {file}'"
        raise


@statement.command("verify")
@click.argument("file", type=_FILE)
@click.option("--ledger", type=InputFile(), metavar="FILE", help="An export that must hold its record.")
@click.option("--document", "shows", is_flag=True, help="Print the document, and nothing else.")
@json_option
def verify(file: Path, ledger: Path | None, shows: bool, as_json: bool) -> None:
    """Check the statement in FILE: the other party's signature, and with --ledger that its author signed it.

    Exit 5 if a check fails. The epoch is that of the first certified cut with the record, whatever its author claims.
    """
    from p2pverify.node.data.statements import load_statement

    found = load_statement(file)
    if shows:
        click.echo(found.document, nl=False)
        return
    _check(found)
    record, epoch = None, None
    if ledger is not None:
        record, epoch = _look_up(found, ledger)
    _tell(found, str(file), record, as_json=as_json, epoch=epoch, is_ledger=ledger is not None)


def _check(found: "OpenStatement") -> None:
    if found.waits:
        raise NotVerifiedError("the other party has not signed", "it signs with 'p2pverify statement cosign'")
    if not found.holds:
        raise NotVerifiedError("the other party's signature does not hold", "ask that party for the file again")


def _look_up(found: "OpenStatement", ledger: Path) -> tuple[bytes, int | None]:
    """The record of a statement in an export, and the epoch from which on it was certain. Raises NotVerifiedError."""
    from p2pverify.cli.show.held import recompute
    from p2pverify.node.data.trace import Tracer

    held = recompute(ledger, found.network).with_all()
    tracer = Tracer(held.fold, held.cut)
    record = tracer.record_of(found)
    if record is None:
        raise NotVerifiedError("the ledger has no record of this statement", "ask a peer for a newer export")
    first = tracer.first_cut(record)
    return record.id, None if first is None else first[1]


def _write(found: "OpenStatement", output: str, *, force: bool) -> None:
    from p2pverify.node.files.outputs import open_output

    with open_output(output, may_replace(force=force), mode=0o600, is_binary=True) as file:
        file.write(found.encode())


def _tell(
    found: "OpenStatement",
    file: str,
    record: bytes | None,
    *,
    as_json: bool,
    epoch: int | None = None,
    is_ledger: bool = False,
) -> None:
    from p2pverify.core.encoding.peerid import peer_id

    said = found.statement
    document = {
        "schema": "p2pverify/statement/1",
        "file": file,
        "author": peer_id(found.author),
        "with": peer_id(found.other) if found.other else None,
        "is_signed_by_both": bool(found.other) and found.holds,
        "profile": found.profile,
        "subject": found.subject,
        "subject_commitment": said.subject.hex(),
        "document_commitment": said.commit.hex(),
        "parents": [parent.hex() for parent in found.parents],
        "record": None if record is None else record.hex(),
        "certified_epoch": epoch,
    }
    if as_json:
        click.echo(json.dumps(document))
        return
    waits = "not yet" if found.waits else "yes, and the signature holds"
    rows: list[tuple[str, object]] = [
        ("statement", file),
        ("about", found.subject),
        ("profile", found.profile),
        ("author", document["author"]),
        *([("with", document["with"]), ("signed by both", waits)] if found.other else []),
        ("subject", said.subject.hex()),
        *([] if record is None else [("record", record.hex())]),
        *([("certified", "in no cut yet" if epoch is None else f"from epoch {epoch} on")] if is_ledger else []),
    ]
    click.echo(pairs(rows))
