"""What the writers need to know of a version: plain facts, which a caller takes from a view or from local files."""

from dataclasses import dataclass
from datetime import UTC, datetime

from p2pverify.core.contract.history.recipe import decode_recipe
from p2pverify.core.contract.history.release import Grade, How, Release
from p2pverify.core.contract.manifest import Manifest
from p2pverify.core.encoding.peerid import peer_id

TOOL = "p2pverify"


@dataclass(frozen=True, slots=True)
class FileFacts:
    """A file of a version: relative path, size in bytes, SHA-256 (32 B)."""

    path: str
    size: int
    sha256: bytes


@dataclass(frozen=True, slots=True)
class ParentFacts:
    """A model from which a version was made: its name, the digests of its manifest and its weights (32 B each).

    `weights` is None if the manifest is not known.
    """

    name: str
    manifest: bytes
    weights: bytes | None


@dataclass(frozen=True, slots=True)
class DataFacts:
    """A data set of a version: its name, the digest that names it (32 B), and an SPDX licence expression."""

    name: str
    digest: bytes
    licence: str


@dataclass(frozen=True, slots=True)
class VersionFacts:
    """One version of a line of models, as other projects' formats describe it.

    `release` is None for a model that is in no network. `network` is the network's id (32 B) or None. `status` is the
    version's status in the view, "" if there is none. `publishers` are Ed25519 keys. `created_s` is the Unix time in
    seconds that the documents name; the caller passes it so that equal facts give equal documents.
    """

    manifest: Manifest
    files: tuple[FileFacts, ...]
    created_s: int
    release: Release | None = None
    network: bytes | None = None
    network_name: str = ""
    line: str = ""
    status: str = ""
    publishers: tuple[bytes, ...] = ()
    parents: tuple[ParentFacts, ...] = ()
    grade: Grade = Grade.CLAIMED
    datasets: tuple[DataFacts, ...] = ()

    @property
    def version(self) -> str:
        return str(1 if self.release is None else self.release.number)

    @property
    def how(self) -> How:
        return How.INITIAL if self.release is None else self.release.how

    @property
    def created(self) -> str:
        """The time in UTC, as RFC 3339 has it."""
        return datetime.fromtimestamp(self.created_s, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")

    @property
    def urn(self) -> str:
        """A URI of the version, which everybody can form from its manifest."""
        return version_urn(self.manifest.digest)

    @property
    def recipe_text(self) -> str:
        """The tool and its parameters as text, "" without a recipe."""
        if self.release is None or self.release.recipe is None:
            return ""
        recipe = decode_recipe(self.release.recipe)
        return f"{recipe.TOOL} {_shown(recipe.parameters())}"

    def properties(self) -> list[tuple[str, str]]:
        """What no format has a field for: names and texts."""
        found = [
            ("manifest", self.manifest.digest.hex()),
            ("tokenizer", self.manifest.tokenizer.hex()),
            ("template", self.manifest.template.hex()),
            ("quantisation", self.manifest.quantisation),
            ("provenance", self.manifest.provenance),
            ("network", "" if self.network is None else self.network.hex()),
            ("network-name", self.network_name),
            ("line", self.line),
            ("status", self.status),
            ("how", self.how.name.lower()),
            ("lineage", self.grade.value if self.parents else ""),
            ("recipe", self.recipe_text),
            *(("publisher", peer_id(key)) for key in self.publishers),
            *(("parent", parent.manifest.hex()) for parent in self.parents),
        ]
        return [(name, text) for name, text in found if text]


def version_urn(manifest: bytes) -> str:
    """The URI of the version whose manifest has this digest (32 B)."""
    return f"urn:p2pverify:version:{manifest.hex()}"


def _shown(value: object) -> str:
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, list):
        return "[" + ", ".join(map(_shown, value)) + "]"
    return str(value)
