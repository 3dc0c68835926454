"""Lines and their versions as documents, and the answers to orders about versions.

Everything but `here`, `missing` and downloads follows from the newest final view.
"""

from dataclasses import dataclass, field
from typing import Literal

from p2pverify.node.reports.documents.scores import StandingName
from p2pverify.node.reports.documents.shape import CLASS, ApiDocument, Count, Weight

StatusName = Literal["announced", "current", "overlap", "retired", "recalled"]
HowName = Literal["initial", "quantise", "prune", "convert", "merge", "fine_tune", "round"]
GradeName = Literal["decided", "recomputed", "claimed"]
ReasonName = Literal["two bodies", "defective", "vulnerable", "stolen key", "data erased", "licence", "other"]
FetchState = Literal["none", "waiting", "fetching", "whole", "failed"]
_PEERS = {"description": "peer ids"}


@dataclass(frozen=True, kw_only=True)
class LineDocument:
    """A line of the network. `current` is the number of its current version, and `newest` the highest used number."""

    index: Count
    name: str
    genesis: str = field(metadata={"description": "SHA-256 of the manifest of version 0; it names the line in paths"})
    publishers: tuple[str, ...] = field(metadata=_PEERS)
    threshold: Count = field(metadata={"description": "how many publishers sign each statement"})
    struck: tuple[str, ...] = field(metadata={"description": "publishers that signed two bodies for one number"})
    rotations: Count
    notice_epochs: Count
    overlap_epochs: Count
    recall_epochs: Count
    current: Count
    newest: Count
    own: bool = field(metadata={"description": "whether it is the line of the model that this node runs"})


@dataclass(frozen=True, kw_only=True)
class LinesDocument(ApiDocument):
    """The lines in the newest final view. `cut` is null before the first final cut."""

    schema: Literal["p2pverify/lines/1"]
    network: str
    cut: str | None
    epoch: Count
    lines: tuple[LineDocument, ...]


@dataclass(frozen=True, kw_only=True)
class RecallDocument:
    """The epoch of the cut that holds the recall, and the reason."""

    epoch: Count
    reason: ReasonName


@dataclass(frozen=True, kw_only=True)
class ParentDocument:
    """A parent by the SHA-256 of its manifest; `line` and `number` are null if it is in no line of the network."""

    manifest: str
    line: str | None
    number: Count | None


@dataclass(frozen=True, kw_only=True)
class VersionFile:
    """A file of a release; peers that serve the release can have it."""

    path: str
    bytes: Count
    sha256: str


@dataclass(frozen=True, kw_only=True)
class ServerDocument:
    """A member that serves a version. It is `behind` if it should have left the version already."""

    peer_id: str
    class_: str = field(metadata=CLASS)
    standing: StandingName
    weight: Weight
    behind: bool


@dataclass(frozen=True, kw_only=True)
class RoundOriginDocument:
    """The training round that made a version: `agreed` of `voters` members gave the result with this `gain`."""

    number: Count
    agreed: Count
    voters: Count
    gain: int = field(metadata={"description": "in micronats, millionths of a nat"})


@dataclass(frozen=True, kw_only=True)
class VersionDocument:
    """A version of a line. Version 0 comes with the network file, and has no release."""

    number: Count
    manifest: str
    record: str | None = field(metadata={"description": "the id of the release's record; null for version 0"})
    model: str | None = field(metadata={"description": "null if this node does not have the manifest"})
    quantisation: str | None
    licence: str | None
    weights: str | None = field(metadata={"description": "SHA-256 of the file of its weights"})
    status: StatusName
    announced_epoch: Count | None
    current_from_epoch: Count
    ends_epoch: Count | None = field(metadata={"description": "from this epoch on it is retired; null if unknown yet"})
    recalled: RecallDocument | None
    tainted: bool = field(
        metadata={
            "description": "it is not recalled, and descends from a recalled version, or rows were erased on which it, "
            "or a version that it descends from, was trained"
        }
    )
    erased_epoch: Count | None = field(
        metadata={"description": "since when rows are erased on which it was trained itself; null if none are"}
    )
    how: HowName
    round: RoundOriginDocument | None = field(
        metadata={"description": "of a version that a training round made, while that round is remembered"}
    )
    recipe: str | None = field(metadata={"description": "tool and parameters in words"})
    parents: tuple[ParentDocument, ...]
    grade: GradeName = field(
        metadata={
            "description": "how sure the origin is; 'claimed': the publishers say so, and nobody checked it here; "
            "'decided': members computed it, and more than two thirds of them agreed"
        }
    )
    signers: tuple[str, ...] = field(metadata=_PEERS)
    oms: str | None = field(metadata={"description": "SHA-256 of a bundle of OpenSSF Model Signing over the files"})
    files: tuple[VersionFile, ...]
    servers: tuple[ServerDocument, ...]
    weight: Count = field(metadata={"description": "servers that have weight"})
    here: bool = field(metadata={"description": "whether this node can compute with it"})
    missing: str | None = field(metadata={"description": "why it cannot"})
    thin: bool = field(metadata={"description": "too few voters to decide disputes within a class, and no thresholds"})


@dataclass(frozen=True, kw_only=True)
class VersionsDocument(ApiDocument):
    """The known versions of one line in the newest final view, version 0 first."""

    schema: Literal["p2pverify/versions/1"]
    network: str
    cut: str | None
    epoch: Count
    line: LineDocument
    versions: tuple[VersionDocument, ...]


@dataclass(frozen=True, kw_only=True)
class ReleaseDocument(ApiDocument):
    """The bytes of one version: the payload of its release's record, null for version 0, and its manifest."""

    schema: Literal["p2pverify/release/1"]
    line: str
    number: Count
    release: str | None
    manifest: str | None = field(metadata={"description": "null if this node does not have it"})


@dataclass(frozen=True, kw_only=True)
class FetchDocument(ApiDocument):
    """A download of a version's files that the operator ordered: `done` of `bytes`, from `sources` peers now."""

    schema: Literal["p2pverify/fetch/1"]
    line: str
    number: Count
    state: FetchState
    file: str | None = field(metadata={"description": "the file that is fetched now"})
    done: Count
    bytes: Count
    sources: Count
    reason: str | None = field(metadata={"description": "why it failed, and what to do"})


@dataclass(frozen=True, kw_only=True)
class OwnVersion:
    """The version that this node serves, beside the current one and the newest announced one of its line."""

    line: str
    number: Count
    status: StatusName
    behind: bool
    current: Count
    current_here: bool = field(metadata={"description": "whether this node can compute with the current version"})
    follows: bool = field(metadata={"description": "whether it moves to the current version by itself"})
    announced: Count | None
    announced_from_epoch: Count | None
