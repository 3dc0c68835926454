"""The facts of a version in the newest final view, for `model export --version`."""

from pathlib import Path
from typing import TYPE_CHECKING

from p2pverify.cli import client
from p2pverify.cli.context import current_home
from p2pverify.cli.errors import CliError, NotVerifiedError
from p2pverify.cli.lines.naming import VersionName, find_line, get_release, get_versions, pick
from p2pverify.cli.lines.versions import parent_text
from p2pverify.node.files.home import Home
from p2pverify.node.lines.documents import VersionDocument
from p2pverify.node.lines.words import version_name
from p2pverify.node.reports.documents.status import StatusDocument

if TYPE_CHECKING:
    from p2pverify.interop.facts import ParentFacts, VersionFacts


def view_facts(version: VersionName, folder: Path, created_s: int) -> "VersionFacts":
    """What the running node's view says of a version whose files lie in a folder.

    Raises NotVerifiedError if a file of the folder is not that of the release.
    """
    from p2pverify.core.contract.manifest import decode_manifest
    from p2pverify.core.encoding.peerid import key_of
    from p2pverify.core.records.payloads.lines.release import decode_signed_release
    from p2pverify.interop.facts import FileFacts, VersionFacts
    from p2pverify.interop.foreign import sha256_of

    home = current_home()
    assert version.number is not None
    line = find_line(home, version.line)
    found = pick(get_versions(home, line), version.number)
    data = get_release(home, line, version.number)
    if data.release is None or data.manifest is None:
        raise CliError(
            f"{version_name(line.name, version.number)} has no release that this node holds",
            "describe version 0 by its manifest, with --manifest",
        )
    release = decode_signed_release(bytes.fromhex(data.release)).release
    if not release.files:
        raise CliError("its release names no files", "describe it by its manifest, with --manifest")
    files = []
    for entry in release.files:
        path = folder / entry.path
        if not path.is_file() or sha256_of(path) != entry.sha256:
            raise NotVerifiedError(f"{path} is not the file of the release", "get the file again")
        files.append(FileFacts(entry.path, entry.size, entry.sha256))
    status = client.get(home, "/v1/status", StatusDocument).document
    return VersionFacts(
        manifest=decode_manifest(bytes.fromhex(data.manifest)),
        files=tuple(files),
        created_s=created_s,
        release=release,
        network=bytes.fromhex(status.network),
        network_name=status.network_name,
        line=line.name,
        status=found.status,
        publishers=tuple(map(key_of, found.signers)),
        parents=tuple(_parents(home, found)),
    )


def _parents(home: Home, version: VersionDocument) -> "list[ParentFacts]":
    from p2pverify.interop.facts import ParentFacts

    found = []
    for parent in version.parents:
        weights = None
        if parent.line is not None and parent.number is not None:
            known = pick(get_versions(home, find_line(home, parent.line)), parent.number).weights
            weights = None if known is None else bytes.fromhex(known)
        found.append(ParentFacts(parent_text(parent), bytes.fromhex(parent.manifest), weights))
    return found
