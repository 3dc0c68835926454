"""`network show --rules`: the rules in force and the open amendments, read from the running node."""

from collections.abc import Iterator

import click

from p2pverify.cli import client
from p2pverify.cli.context import current_home
from p2pverify.cli.table import cell, pairs, table
from p2pverify.node.rules.documents import AmendmentDocument, RulesDocument

_HASH_CHARS = 16
_SHARES = {"weight": "weight that approves", "founders": "founders that approve", "ready": "weight that is ready"}


def show_rules(width: int | None, *, as_json: bool) -> None:
    """Print the rules that the running node follows."""
    answer = client.get(current_home(), "/v1/rules", RulesDocument)
    if as_json:
        client.print_json(answer.text)
    else:
        click.echo(shown(answer.document, width))


def shown(found: RulesDocument, width: int | None) -> str:
    """The document as text."""
    rows: list[tuple[str, object]] = [
        ("network", found.network),
        ("rules root", found.root),
        ("amendments", f"{found.amendments_in_force} in force, {len(found.amendments)} open"),
        ("since epoch", found.since_epoch),
        ("referee", found.referee),
        ("features", ", ".join(map(str, found.features))),
        ("stopped", found.stopped),
    ]
    classes = [
        (each.index, each.name, each.engine, each.numeric_path, each.manifest[:_HASH_CHARS], each.retired_epoch)
        for each in found.classes
    ]
    headers = ("N", "CLASS", "ENGINE", "PATH", "MODEL", "RETIRED")
    parts = [
        pairs(rows),
        table(("RULE", "VALUE"), found.rules.items(), width=width),
        table(headers, classes, width=width, cut=("CLASS", "ENGINE", "PATH")),
        *(_amendment(each) for each in found.amendments),
    ]
    return "\n\n".join(parts)


def _amendment(found: AmendmentDocument) -> str:
    rows: list[tuple[str, object]] = [("amendment", found.id), ("author", found.author)]
    rows += [("change", cell(text)) for text in found.changes]
    rows += [("feature", number) for number in found.features]
    rows += [
        ("text", found.text),
        ("opened", f"epoch {found.opened_epoch}"),
        ("expires", f"epoch {found.expiry_epoch}"),
    ]
    rows += [(_SHARES[each.what], f"{each.has} of {each.needs}") for each in found.shares]
    rows += [("approved by", peer) for peer in found.approved_by]
    rows += [("ready", peer) for peer in found.ready]
    rows += list(_state(found))
    return pairs(rows)


def _state(found: AmendmentDocument) -> Iterator[tuple[str, object]]:
    if found.starts_epoch is None:
        yield "takes effect", f"not yet approved; not before epoch {found.activation_epoch}"
    else:
        yield "takes effect", f"in epoch {found.starts_epoch}, in {found.starts_s} s"
    if found.refused is not None:
        yield "not allowed", cell(found.refused)
    if not found.runs:
        yield "this node", "stops then: its program cannot run these rules"
    elif not found.accepted:
        yield "this node", f"stops then, without 'p2pverify network accept {found.id[:_HASH_CHARS]}'"
