"""The versions of lines in the newest final view of a node: their releases, their files, and who may have these."""

from collections.abc import Mapping
from dataclasses import dataclass

from p2pverify.core.contract.history.files import FileEntry
from p2pverify.core.contract.history.release import Release
from p2pverify.core.contract.manifest import Manifest, decode_manifest
from p2pverify.core.machine import Machine
from p2pverify.core.records.payloads.lines.release import decode_signed_release
from p2pverify.core.state.lines.notes import LineNotes, Version
from p2pverify.core.state.lines.rows import numbers_of
from p2pverify.core.state.lines.versions import Status, find_version, line_of, notes_of, status_of


@dataclass(frozen=True, slots=True)
class KnownVersion:
    """A version of this node's line in the final view."""

    number: int
    status: Status
    manifest: Manifest
    files: tuple[FileEntry, ...] = ()

    @property
    def weights(self) -> FileEntry | None:
        """The file of the weights, if the release names it."""
        return next((file for file in self.files if file.sha256 == self.manifest.weights), None)


NO_MANIFESTS: Mapping[bytes, Manifest] = {}


def releases(
    machine: Machine, listed: Mapping[bytes, Manifest], trained: Mapping[bytes, Manifest] = NO_MANIFESTS
) -> list[KnownVersion]:
    """The versions of this node's line in the newest final view, the current one first.

    `listed` are the manifests of the network file, by digest. The manifest of another version stands in its release, or
    in `trained` if a training round made it.
    """
    network, state = machine.network, machine.fold.latest
    index = network.line_of(machine.context.class_index)
    if index is None:
        return []
    line, notes = network.lines[index], notes_of(network, state, index)
    found = []
    for number in numbers_of(notes):
        version, status = find_version(notes, number), status_of(line, notes, number, state.epoch)
        if version is None:
            if line.genesis in listed:
                found.append(KnownVersion(number, status, listed[line.genesis]))
            continue
        if version.manifest in trained:
            found.append(KnownVersion(number, status, trained[version.manifest]))
        release = release_of(machine, version)
        if release is not None:
            found.append(KnownVersion(number, status, decode_manifest(release.manifest), release.files))
    return sorted(found, key=lambda one: (one.status is not Status.CURRENT, one.number))


def released_manifests(
    machine: Machine, trained: Mapping[bytes, Manifest] = NO_MANIFESTS
) -> dict[bytes, tuple[int, Manifest]]:
    """The manifests of all later versions in the newest final view, by digest; each with the index of its line.

    `trained` has those that training rounds made, as far as they are here. Those with
    which lines begin are not among them: the network file has them.
    """
    found = {}
    for line, notes in sorted(machine.fold.latest.lines.items()):
        for version in notes.versions:
            if version.is_trained and version.manifest in trained:
                found[version.manifest] = (line, trained[version.manifest])
            release = release_of(machine, version)
            if release is not None:
                found[version.manifest] = (line, decode_manifest(release.manifest))
    return found


def release_of(machine: Machine, version: Version) -> Release | None:
    """The release of a version. None if a training round made it, or if its record is of the network before a fork."""
    record = machine.context.ledger.get(version.record)
    return None if record is None else decode_signed_release(record.payload).release


class NamedFiles:
    """The files that may be fetched and served: those that the releases in the newest final view name.

    Recalled versions have none. If two releases name one file, the first of them counts.
    """

    def __init__(self, machine: Machine) -> None:
        self._machine = machine
        self._of: Mapping[int, LineNotes] | None = None
        self._found: Mapping[bytes, FileEntry] = {}

    def __call__(self) -> Mapping[bytes, FileEntry]:
        """The files by SHA-256 (32 B). While no line changes it is the same mapping."""
        lines = self._machine.fold.latest.lines
        if lines != self._of:
            self._of, self._found = lines, self._read(lines)
        return self._found

    def _read(self, lines: Mapping[int, LineNotes]) -> dict[bytes, FileEntry]:
        found: dict[bytes, FileEntry] = {}
        for _, notes in sorted(lines.items()):
            for version in notes.versions:
                release = None if version.is_recalled else release_of(self._machine, version)
                for file in () if release is None else release.files:
                    found.setdefault(file.sha256, file)
        return found


def sources(machine: Machine, sha256: bytes) -> list[bytes]:
    """The peers that may have a file of a release, the likeliest first: those that serve its version, then all others.

    Peers of one kind come in an order that is random to each file and each node, so that all are asked alike.
    """
    state, key = machine.fold.latest, machine.key
    serving = set()
    for index, notes in state.lines.items():
        for version in notes.versions:
            release = release_of(machine, version)
            if release is not None and any(file.sha256 == sha256 for file in release.files):
                serving |= {
                    peer
                    for peer in state.members
                    if line_of(machine.network, state, peer) == index and state.version_of(peer) == version.number
                }
    peers = [peer for peer, m in state.members.items() if m.active and not m.is_convicted and peer != key]
    return sorted(peers, key=lambda peer: (peer not in serving, machine.context.secret("source", sha256, peer)))
