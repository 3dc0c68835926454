"""`model versions`: which version of a model who serves, where it came from, and how sure that is."""

from collections.abc import Iterator

import click

from p2pverify.cli import client
from p2pverify.cli.context import current_home
from p2pverify.cli.lines.naming import find_line, versions_path
from p2pverify.cli.output import wide_option
from p2pverify.cli.table import pairs, table, terminal_width
from p2pverify.node.lines.documents import LineDocument, ParentDocument, VersionDocument, VersionsDocument
from p2pverify.node.lines.words import version_name
from p2pverify.node.reports.shown import short_ids

HEADERS = ("VERSION", "STATUS", "MODEL", "FROM EPOCH", "SERVED BY", "HERE", "ORIGIN")
_CUT = ("MODEL", "ORIGIN")
_SERVERS_SHOWN = 3
_DIGEST_CHARS = 8
_MEANING = """\b
VERSION    its number; 0 comes with the network file, the others are released by the line's publishers
STATUS     announced, current, overlap (served until an epoch), retired, or recalled (nobody should serve it)
SERVED BY  number of members that say they serve it; audits hold them to it
HERE       whether this node can compute with it; the note says why not
ORIGIN     how it was made, and of which versions; the note says how sure that is
"""


@click.command("versions", epilog=_MEANING)
@click.argument("line", required=False)
@wide_option
@click.option("--json", "as_json", is_flag=True, help="Print the API's JSON document.")
def versions(line: str | None, wide: bool, as_json: bool) -> None:
    """Show the versions of LINE, a model of the network: status, who serves each, and where it came from.

    Everything is that of the newest final view. LINE can be left out if the network has one line.
    """
    home = current_home()
    answer = client.get(home, versions_path(find_line(home, line)), VersionsDocument)
    if as_json:
        client.print_json(answer.text)
        return
    found = answer.document
    click.echo(about(found))
    click.echo()
    rows = [_row(found, version) for version in found.versions]
    notes = ["; ".join(_notes(found, version)) for version in found.versions]
    click.echo(table(HEADERS, rows, width=None if wide else terminal_width(), cut=_CUT, notes=notes))


def about(found: VersionsDocument) -> str:
    """The line itself: who releases its versions, and how long they last."""
    line = found.line
    rows = [
        ("line", line.name),
        ("epoch", found.epoch),
        ("publishers", publishers_text(line)),
        (
            "a release",
            f"is current after {line.notice_epochs} epochs, and the one before ends {line.overlap_epochs} later",
        ),
    ]
    return pairs(rows)


def publishers_text(line: LineDocument) -> str:
    """Who may release versions, and how many of them must sign."""
    names = short_ids((*line.publishers, *line.struck))
    told = [names[one] + (" (struck: it signed two)" if one in line.struck else "") for one in line.publishers]
    return f"{line.threshold} of {len(line.publishers)} must sign: {', '.join(told)}"


def parent_text(parent: ParentDocument) -> str:
    """A parent as LINE@N, or by the first digits of its manifest if it is in no line of the network."""
    if parent.line is None or parent.number is None:
        return f"a model outside ({parent.manifest[:_DIGEST_CHARS]}...)"
    return version_name(parent.line, parent.number)


def origin(version: VersionDocument, line: str) -> str:
    """From which versions a version came, and how."""
    if version.number == 0:
        return "network file"
    how = version.how.replace("_", "-")
    if version.round is not None:
        how = f"trained in round {version.round.number}"
    return f"{how} of {'+'.join(_short(parent, line) for parent in version.parents)}" if version.parents else how


def _sureness(version: VersionDocument) -> str:
    """How sure the origin of a released version is."""
    over = version.round
    if over is not None:
        return f"origin: decided by {over.agreed} of {over.voters} members; gain {over.gain} micronats"
    made = f"{version.recipe}: " if version.recipe else "origin: "
    if version.grade == "claimed":
        return f"{made}claimed by {len(version.signers)} publishers, and not checked by this node"
    return f"{made}{version.grade}"


def _short(parent: ParentDocument, line: str) -> str:
    return str(parent.number) if parent.line == line and parent.number is not None else parent_text(parent)


def _row(found: VersionsDocument, version: VersionDocument) -> tuple[object, ...]:
    here = "yes" if version.here else "no"
    return (
        version.number, version.status, version.model, version.current_from_epoch, len(version.servers), here,
        origin(version, found.line.name),
    )  # fmt: skip


def _notes(found: VersionsDocument, version: VersionDocument) -> Iterator[str]:
    """What a row has no column for."""
    names = short_ids(server.peer_id for each in found.versions for server in each.servers)
    if version.servers:
        shown = [
            f"{names[server.peer_id]} {server.standing}{', behind' if server.behind else ''}"
            for server in version.servers[:_SERVERS_SHOWN]
        ]
        more = len(version.servers) - len(shown)
        yield f"served by {', '.join(shown)}{f' and {more} more' if more else ''}; {version.weight} with weight"
    if version.number:
        yield _sureness(version)
    if version.recalled is not None:
        yield f"recalled in epoch {version.recalled.epoch}: {version.recalled.reason}"
    elif version.ends_epoch is not None and version.status != "retired":
        yield f"ends in epoch {version.ends_epoch}"
    if version.erased_epoch is not None:
        yield f"tainted: rows on which it was trained are erased since epoch {version.erased_epoch}"
    elif version.tainted:
        yield "tainted: it descends from a version that is recalled, or that was trained on rows that are erased"
    if version.thin:
        yield "thin: too few voters to decide disputes about its answers"
    if not version.here and version.missing is not None and version.status in ("announced", "current", "overlap"):
        yield f"not here: {version.missing} ('p2pverify model fetch {version_name(found.line.name, version.number)}')"
