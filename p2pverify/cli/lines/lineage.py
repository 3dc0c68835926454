"""`model lineage`: the tree of what a version was made from. With --check, recipes are run again on this machine."""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from p2pverify.cli.context import current_home
from p2pverify.cli.errors import NotVerifiedError
from p2pverify.cli.lines.naming import VersionArgument, VersionName, find_line, get_release, get_versions, pick
from p2pverify.cli.lines.versions import parent_text
from p2pverify.cli.progress import Progress
from p2pverify.node.files.home import Home
from p2pverify.node.lines.documents import LineDocument, ParentDocument, VersionDocument
from p2pverify.node.lines.words import version_name

if TYPE_CHECKING:
    from p2pverify.core.contract.manifest import Manifest

SCHEMA = "p2pverify/lineage/1"
NODES_MAX = 200
_INDENT = "  "


@dataclass
class _Node:
    """A version in the tree, `depth` steps below the one that was asked for. A parent outside has no `version`."""

    depth: int
    name: str
    manifest: str
    line: LineDocument | None = None
    version: VersionDocument | None = None
    again: bool = False
    grade: str | None = None
    reason: str | None = None
    refuted: bool = False
    missing: list[str] = field(default_factory=list)

    def to_json(self) -> dict[str, Any]:
        version = self.version
        return {
            "depth": self.depth,
            "version": self.name,
            "manifest": self.manifest,
            "again": self.again,
            "status": None if version is None else version.status,
            "model": None if version is None else version.model,
            "how": None if version is None else version.how,
            "recipe": None if version is None else version.recipe,
            "grade": self.grade,
            "reason": self.reason,
            "refuted": self.refuted,
            "missing": self.missing,
        }


@click.command()
@click.argument("version", required=False, type=VersionArgument(needs_number=False), metavar="[LINE[@N]]")
@click.option("--check", is_flag=True, help="Run the recipes again with the files of this machine; exit 5 if refuted.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def lineage(version: VersionName | None, check: bool, as_json: bool) -> None:
    """Show from what a version was made: its parents, theirs, and so on. Without @N, that of the current version.

    Each step says how sure it is. 'claimed' is the publishers' word. With --check a step whose recipe gives the same
    file again is 'recomputed', and one whose recipe gives another file is refuted. What cannot be checked stays
    claimed, and is no failure: the reason is shown.
    """
    home = current_home()
    line = find_line(home, None if version is None else version.line)
    number = line.current if version is None or version.number is None else version.number
    nodes = list(_walk(home, line, number))
    if check:
        with Progress() as progress:
            _check(home, nodes, progress)
    if as_json:
        click.echo(json.dumps({"schema": SCHEMA, "checked": check, "nodes": [node.to_json() for node in nodes]}))
    else:
        click.echo("\n".join(text for node in nodes for text in _lines(node)))
    refuted = [node.name for node in nodes if node.refuted]
    if refuted:
        raise NotVerifiedError(
            f"the lineage of {', '.join(refuted)} is refuted",
            "if a file of this machine is damaged, get it again; if the recipe gives another file, tell the "
            "publishers, and vote with 'p2pverify model recall LINE@N --as-member'",
        )


def _walk(home: Home, line: LineDocument, number: int) -> Iterator[_Node]:
    """The version and its ancestors, depth first. The parents of each are shown once."""
    lines, known, seen = {line.name: line}, {line.name: get_versions(home, line)}, set[str]()
    first = pick(known[line.name], number)
    todo = [(0, ParentDocument(manifest=first.manifest, line=line.name, number=number))]
    count = 0
    while todo and count < NODES_MAX:
        depth, parent = todo.pop()
        count += 1
        if parent.line is None or parent.number is None:
            yield _Node(depth, parent_text(parent), parent.manifest)
            continue
        if parent.line not in lines:
            lines[parent.line] = find_line(home, parent.line)
            known[parent.line] = get_versions(home, lines[parent.line])
        found = pick(known[parent.line], parent.number)
        again = found.manifest in seen
        grade = found.grade if found.number else None
        name = version_name(parent.line, parent.number)
        yield _Node(depth, name, found.manifest, lines[parent.line], found, again, grade)
        if not again:
            seen.add(found.manifest)
            todo += [(depth + 1, each) for each in reversed(found.parents)]


def _lines(node: _Node) -> Iterator[str]:
    """A node of the tree as text."""
    version, indent = node.version, _INDENT * node.depth
    if version is None:
        yield f"{indent}{node.name}: not of this network, so nothing is known of it"
        return
    if node.again:
        yield f"{indent}{node.name}: see above"
        return
    shown = f"{version.model or '?'}, {version.status}{', tainted' if version.tainted else ''}"
    if node.grade is None:
        yield f"{indent}{node.name}  {shown}; comes with the network file"
        return
    how = version.recipe or version.how.replace("_", "-")
    made = f"how: {how}; {'REFUTED' if node.refuted else node.grade}"
    yield f"{indent}{node.name}  {shown}"
    yield f"{indent}{_INDENT}{made}{f': {node.reason}' if node.reason else ''}"
    for each in node.missing:
        yield f"{indent}{_INDENT}{each}"


# ---------------------------------------------------------------- checks


def _check(home: Home, nodes: list[_Node], progress: Callable[[str, int, int], None]) -> None:
    """Run the recipe of each version again, as far as this machine has the files."""
    from p2pverify.core.contract.manifest import decode_manifest
    from p2pverify.core.records.payloads.lines.release import decode_signed_release
    from p2pverify.engine.lineage.check import Parent, check_lineage

    files = WeightsFinder(home)
    manifests: dict[str, Manifest] = {}
    by_manifest = {node.manifest: node for node in nodes}

    def manifest_of(node: _Node) -> "Manifest | None":
        if node.line is None or node.version is None:
            return None
        if node.manifest not in manifests:
            data = get_release(home, node.line, node.version.number).manifest
            if data is not None:
                manifests[node.manifest] = decode_manifest(bytes.fromhex(data))
        return manifests.get(node.manifest)

    for node in nodes:
        if node.again or node.line is None or node.version is None or node.grade is None:
            continue
        data = get_release(home, node.line, node.version.number).release
        if data is None:
            node.reason = "this node does not hold its release any more"
            continue
        release = decode_signed_release(bytes.fromhex(data)).release
        own = manifest_of(node)
        parents = []
        for digest in release.parents:
            parent = by_manifest.get(digest.hex())
            manifest = None if parent is None else manifest_of(parent)
            path = None if manifest is None else files.find(manifest.weights)
            if manifest is not None and path is not None:
                parents.append(Parent(manifest, path))
            elif release.recipe is not None:
                node.missing.append(_get_it(parent))
        progress(f"checking {node.name}", 0, 1)
        path = None if own is None else files.find(own.weights)
        found = check_lineage(release, parents, path, scratch=home.path, progress=progress)
        node.grade, node.reason, node.refuted = found.grade.value, found.reason, found.is_refuted


def _get_it(parent: "_Node | None") -> str:
    """How to get the weights of a parent."""
    if parent is None or parent.version is None or parent.version.weights is None:
        return "get the parent's file from the publishers; no manifest of this network says which file that is"
    remember = "name its file with 'p2pverify model add FILE --unmeasured'"
    if parent.version.files:
        return f"get {parent.name} with 'p2pverify model fetch {parent.name}', or {remember}"
    return f"get {parent.name} (SHA-256 {parent.version.weights}) from the publishers, and {remember}"


class WeightsFinder:
    """Finds files of weights on this machine: bundled, remembered, or fetched into a home."""

    def __init__(self, home: Home) -> None:
        from p2pverify.store.blobs.store import BlobStore

        self._fetched = BlobStore(home.blobs_path, 0)

    def find(self, digest: bytes) -> Path | None:
        """The file of a SHA-256 (32 B); None if there is none. Whether it is still that file is not checked."""
        from p2pverify.engine.onhand import find_file
        from p2pverify.node.engines.kinds import DEFAULT_ENGINE

        return find_file(digest, DEFAULT_ENGINE) or self._fetched.path(digest)
