"""What the newest final view says of the network's lines, and what of it this node can compute."""

from collections.abc import Callable, Mapping, Sequence

from p2pverify.core.contract.history.lines import ModelLine
from p2pverify.core.contract.history.recipe import decode_recipe
from p2pverify.core.contract.history.release import Grade, How, Release
from p2pverify.core.contract.manifest import Manifest, decode_manifest
from p2pverify.core.encoding.peerid import peer_id
from p2pverify.core.machine import Machine
from p2pverify.core.state.lines.notes import LineNotes, Version
from p2pverify.core.state.lines.rows import numbers_of
from p2pverify.core.state.lines.versions import (
    Status,
    contract_at,
    current_number,
    find_version,
    is_behind,
    is_tainted,
    line_of,
    manifest_of,
    notes_of,
    start_of,
    status_of,
)
from p2pverify.core.state.rounds.notes import NO_ROUNDS
from p2pverify.core.state.state import State
from p2pverify.core.state.verdicts.targets import can_compare, judged_classes
from p2pverify.core.state.view import Score
from p2pverify.node.lines.documents import (
    HowName,
    LineDocument,
    LinesDocument,
    OwnVersion,
    ParentDocument,
    ReasonName,
    RecallDocument,
    ReleaseDocument,
    RoundOriginDocument,
    ServerDocument,
    StatusName,
    VersionDocument,
    VersionFile,
    VersionsDocument,
)
from p2pverify.node.lines.known import NO_MANIFESTS, release_of
from p2pverify.node.lines.recipes import recipe_words
from p2pverify.node.ports import UnknownVersion

ScoreOf = Callable[[bytes], Score | None]
HOWS: Sequence[HowName] = ("initial", "quantise", "prune", "convert", "merge", "fine_tune", "round")
REASONS: Sequence[ReasonName] = (
    "two bodies", "defective", "vulnerable", "stolen key", "data erased", "licence", "other",
)  # fmt: skip
_STATUSES: Mapping[Status, StatusName] = {
    Status.ANNOUNCED: "announced",
    Status.CURRENT: "current",
    Status.OVERLAP: "overlap",
    Status.RETIRED: "retired",
    Status.RECALLED: "recalled",
}
_OTHER_LINE = "this node runs the model of another line"
_GONE = "its servers have left it or should have, so no node makes it ready"
_NOT_YET = "this node makes it ready at the moment, or has not begun"


class LineReports:
    """Reads one machine. `listed` are the manifests of the network file, and `missing` says by the digest of a manifest
    why this node cannot compute with a version. `trained` are the manifests of versions that training rounds made.
    `follows` says whether it moves to the current version by itself."""

    def __init__(
        self,
        machine: Machine,
        score_of: ScoreOf,
        listed: Sequence[Manifest] = (),
        missing: Mapping[bytes, str] | None = None,
        *,
        trained: Mapping[bytes, Manifest] = NO_MANIFESTS,
        follows: bool = False,
    ) -> None:
        self._machine = machine
        self._network = machine.network
        self._score_of = score_of
        self._listed = {manifest.digest: manifest for manifest in listed}
        self._trained = trained
        self._missing = {} if missing is None else missing
        self._follows = follows

    @property
    def _state(self) -> State:
        return self._machine.fold.latest

    def lines(self) -> LinesDocument:
        """All lines, in the order of the definition."""
        return LinesDocument(
            schema="p2pverify/lines/1",
            network=self._machine.context.network_id.hex(),
            cut=self._cut(),
            epoch=self._state.epoch,
            lines=tuple(self._line(index) for index in range(len(self._network.lines))),
        )

    def versions(self, name: str) -> VersionsDocument:
        """The versions of a line, by its name or its genesis manifest in hexadecimal digits. Raises UnknownVersion."""
        index = self.find_line(name)
        numbers = numbers_of(notes_of(self._network, self._state, index))
        return VersionsDocument(
            schema="p2pverify/versions/1",
            network=self._machine.context.network_id.hex(),
            cut=self._cut(),
            epoch=self._state.epoch,
            line=self._line(index),
            versions=tuple(self._version(index, number) for number in numbers),
        )

    def release(self, name: str, number: int) -> ReleaseDocument:
        """The bytes of a version. Raises UnknownVersion."""
        index = self.find_line(name)
        line, notes = self._network.lines[index], notes_of(self._network, self._state, index)
        version = self.find_version(index, number)
        record = None if version is None else self._machine.context.ledger.get(version.record)
        manifest = self._manifest(line, notes, number)
        return ReleaseDocument(
            schema="p2pverify/release/1",
            line=line.name,
            number=number,
            release=None if record is None else record.payload.hex(),
            manifest=None if manifest is None else manifest.encode().hex(),
        )

    def find_line(self, name: str) -> int:
        """The index of a line. Raises UnknownVersion."""
        for index, line in enumerate(self._network.lines):
            if name in (line.name, line.genesis.hex()):
                return index
        known = ", ".join(line.name for line in self._network.lines) or "none: its models have one version"
        raise UnknownVersion(f"the network has no such line; its lines: {known}")

    def find_version(self, index: int, number: int) -> Version | None:
        """What the view notes of a version; None of version 0. Raises UnknownVersion if it knows no such version."""
        notes = notes_of(self._network, self._state, index)
        if number not in numbers_of(notes):
            known = ", ".join(map(str, numbers_of(notes)))
            raise UnknownVersion(f"line {self._network.lines[index].name} has no such version; the view knows {known}")
        return find_version(notes, number)

    def own(self) -> OwnVersion | None:
        """The version that this node serves; None if its model has no line, or it is no member."""
        state, key = self._state, self._machine.key
        index = line_of(self._network, state, key) if key in state.members else None
        if index is None:
            return None
        line, notes = self._network.lines[index], notes_of(self._network, state, index)
        number, current = state.version_of(key), current_number(line, notes, state.epoch)
        coming = [v for v in notes.versions if status_of(line, notes, v.number, state.epoch) is Status.ANNOUNCED]
        return OwnVersion(
            line=line.name,
            number=number,
            status=_STATUSES[status_of(line, notes, number, state.epoch)],
            behind=is_behind(self._network, state, key),
            current=current,
            current_here=manifest_of(line, notes, current) in self._machine.context.held,
            follows=self._follows,
            announced=coming[-1].number if coming else None,
            announced_from_epoch=start_of(line, coming[-1]) if coming else None,
        )

    def statistics(self) -> dict[str, int]:
        """Figures of all lines together; none in a network without lines."""
        state = self._state
        if not self._network.lines:
            return {}
        notes = [notes_of(self._network, state, index) for index in range(len(self._network.lines))]
        statuses = [
            status_of(line, one, number, state.epoch)
            for line, one in zip(self._network.lines, notes, strict=True)
            for number in numbers_of(one)
        ]
        counts: dict[str, int] = {f"versions {name}": statuses.count(status) for status, name in _STATUSES.items()}
        own = self.own()
        return counts | {
            "members behind": sum(is_behind(self._network, state, peer) for peer in state.members),
            "own version": 0 if own is None else own.number,
            "own behind": int(own is not None and own.behind),
            "not ready": len(self._missing),
        }

    # ------------------------------------------------------------ parts

    def _cut(self) -> str | None:
        return self._state.id.hex() if self._state.index > 0 else None

    def _line(self, index: int) -> LineDocument:
        line, notes = self._network.lines[index], notes_of(self._network, self._state, index)
        return LineDocument(
            index=index,
            name=line.name,
            genesis=line.genesis.hex(),
            publishers=tuple(map(peer_id, notes.publishers.keys)),
            threshold=notes.publishers.threshold,
            struck=tuple(map(peer_id, sorted(notes.struck))),
            rotations=notes.rotations,
            notice_epochs=line.notice_epochs,
            overlap_epochs=line.overlap_epochs,
            recall_epochs=line.recall_epochs,
            current=current_number(line, notes, self._state.epoch),
            newest=notes.newest,
            own=self._is_own(index),
        )

    def _version(self, index: int, number: int) -> VersionDocument:
        network, state = self._network, self._state
        line, notes = network.lines[index], notes_of(network, state, index)
        version, release = find_version(notes, number), self._release(notes, number)
        manifest, digest = self._manifest(line, notes, number), manifest_of(line, notes, number)
        status = status_of(line, notes, number, state.epoch)
        peers = [
            peer
            for peer, member in state.members.items()
            if member.active and line_of(network, state, peer) == index and state.version_of(peer) == number
        ]
        servers = self._servers(peers)
        recipe = None if release is None or release.recipe is None else decode_recipe(release.recipe)
        is_here = digest in self._machine.context.held
        all_notes = [notes_of(network, state, each) for each in range(len(network.lines))]
        return VersionDocument(
            number=number,
            manifest=digest.hex(),
            record=None if version is None or version.is_trained else version.record.hex(),
            model=None if manifest is None else manifest.model,
            quantisation=None if manifest is None else manifest.quantisation,
            licence=None if manifest is None else manifest.licence,
            weights=None if manifest is None else manifest.weights.hex(),
            status=_STATUSES[status],
            announced_epoch=None if version is None else version.announced_epoch,
            current_from_epoch=0 if version is None else start_of(line, version),
            ends_epoch=_end(line, notes, number, version),
            recalled=_recalled(version),
            tainted=version is not None and is_tainted(all_notes, version),
            erased_epoch=version.erased_epoch if version is not None and version.has_erased else None,
            how=HOWS[_how(version, release)],
            round=None if version is None else self._round(index, version),
            recipe=None if recipe is None else recipe_words(recipe),
            parents=tuple(map(self._parent, () if version is None else version.parents)),
            grade=Grade.DECIDED.value if version is not None and version.is_trained else Grade.CLAIMED.value,
            signers=() if version is None else tuple(map(peer_id, sorted(version.signers))),
            oms=None if release is None or release.oms is None else release.oms.hex(),
            files=()
            if release is None
            else tuple(VersionFile(path=f.path, bytes=f.size, sha256=f.sha256.hex()) for f in release.files),
            servers=servers,
            weight=sum(server.weight for server in servers),
            here=is_here,
            missing=None if is_here else self._why_not(index, digest, status),
            thin=any(self._is_thin(kind, number) for kind in {state.members[peer].class_index for peer in peers}),
        )

    def _servers(self, peers: Sequence[bytes]) -> tuple[ServerDocument, ...]:
        found = [score for peer in peers if (score := self._score_of(peer)) is not None]
        return tuple(
            ServerDocument(
                peer_id=peer_id(score.peer),
                class_=score.class_name,
                standing=score.standing.value,
                weight=score.weight,
                behind=is_behind(self._network, self._state, score.peer),
            )
            for score in sorted(found, key=lambda score: (-score.weight, -score.low_ppm, score.peer))
        )

    def _parent(self, manifest: bytes) -> ParentDocument:
        for index, line in enumerate(self._network.lines):
            notes = notes_of(self._network, self._state, index)
            for number in numbers_of(notes):
                if manifest_of(line, notes, number) == manifest:
                    return ParentDocument(manifest=manifest.hex(), line=line.name, number=number)
        return ParentDocument(manifest=manifest.hex(), line=None, number=None)

    def _release(self, notes: LineNotes, number: int) -> Release | None:
        version = find_version(notes, number)
        return None if version is None else release_of(self._machine, version)

    def _manifest(self, line: ModelLine, notes: LineNotes, number: int) -> Manifest | None:
        release = self._release(notes, number)
        if release is not None:
            return decode_manifest(release.manifest)
        digest = manifest_of(line, notes, number)
        if digest in self._trained:
            return self._trained[digest]
        return self._listed.get(line.genesis) if number == 0 else None

    def _round(self, index: int, version: Version) -> RoundOriginDocument | None:
        """The round that made a version; None if none did, or if it is forgotten."""
        closed = self._state.rounds.get(index, NO_ROUNDS).closed if version.is_trained else ()
        made = next((over for over in closed if over.version == version.number), None)
        if made is None:
            return None
        agreed, voters = made.voters
        return RoundOriginDocument(number=made.number, agreed=agreed, voters=voters, gain=made.gain)

    def _is_own(self, index: int) -> bool:
        return self._network.line_of(self._machine.context.class_index) == index

    def _why_not(self, index: int, digest: bytes, status: Status) -> str:
        """Why this node cannot compute with a version."""
        if not self._is_own(index):
            return _OTHER_LINE
        if digest in self._missing:
            return self._missing[digest]
        return _GONE if status in (Status.RETIRED, Status.RECALLED) else _NOT_YET

    def _is_thin(self, class_index: int, number: int) -> bool:
        """Whether answers of a version by members of a class cannot be judged: within the class, or across classes."""
        contract = contract_at(self._network, self._state, class_index, number)
        is_comparable = can_compare(contract, self._state, class_index, number)
        return not is_comparable and not judged_classes(contract, class_index)


def _how(version: Version | None, release: Release | None) -> How:
    if version is not None and version.is_trained:
        return How.ROUND
    return How.INITIAL if release is None else release.how


def _end(line: ModelLine, notes: LineNotes, number: int, version: Version | None) -> int | None:
    """The epoch from which members that serve a version are behind; None while no end is known."""
    if version is not None and version.is_recalled:
        return version.recalled_epoch + line.recall_epochs
    later = [start_of(line, each) for each in notes.versions if each.number > number and not each.is_recalled]
    return min(later) + line.overlap_epochs if later else None


def _recalled(version: Version | None) -> RecallDocument | None:
    if version is None or not version.is_recalled:
        return None
    return RecallDocument(epoch=version.recalled_epoch, reason=REASONS[version.reason])
