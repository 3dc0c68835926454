"""The versions of a simulated model: their manifests, and what their publishers sign.

The model of the manifest of a network has no weights here: answers are hashes. Those of a later version depend on its
manifest.
"""

from dataclasses import replace
from hashlib import sha256

from p2pverify.core.contract.history.lines import ModelLine, Publishers
from p2pverify.core.contract.history.release import How, Release
from p2pverify.core.contract.manifest import Manifest
from p2pverify.core.contract.network import Network
from p2pverify.core.encoding.sign import public_key
from p2pverify.core.records.payloads.lines.recall import Reason, Recall
from p2pverify.core.records.payloads.lines.release import SignedRelease
from p2pverify.core.records.payloads.lines.signatures import sign_statement

LINE = "world"
THRESHOLD = 2
#: The manifest of version 0.
MANIFEST = Manifest("world", bytes(32), bytes(32), bytes(32), "none", "Apache-2.0", "a simulation", None)
_VERSIONS_MAX = 16


def manifest_of(number: int) -> Manifest:
    """The manifest of a version of the model."""
    if not number:
        return MANIFEST
    return replace(MANIFEST, weights=sha256(b"world version %d" % number).digest(), parent=MANIFEST.digest)


_LATER = frozenset(manifest_of(number).digest for number in range(1, _VERSIONS_MAX + 1))


def salt_of(model: bytes) -> list[object]:
    """What tells the answers of a later version apart, by the digest of its manifest (32 B); nothing for version 0."""
    return [model] if model in _LATER else []


class SimulatedPublishers:
    """Those who release versions of a world's model. Their keys follow from the seed of the run."""

    def __init__(self, seed: int) -> None:
        self._seeds = [sha256(f"p2pverify/world/1/publisher/{seed}/{number}".encode()).digest() for number in range(3)]

    def line(self, epochs: tuple[int, int, int]) -> ModelLine:
        """The line of the model. `epochs` are notice, overlap, and the time after a recall."""
        keys = tuple(sorted(map(public_key, self._seeds)))
        return ModelLine(LINE, MANIFEST.digest, Publishers(keys, THRESHOLD), *epochs)

    def release(self, network: Network, number: int) -> bytes:
        """The payload of a release of a version, made from the version before."""
        parent = manifest_of(number - 1).digest
        made = Release(0, number, manifest_of(number).encode(), (parent,), How.FINE_TUNE)
        return SignedRelease(made, self._signed(made.statement(network.id))).encode()

    def recall(self, network: Network, number: int) -> bytes:
        """The payload of a recall of a version, back to the one before."""
        made = Recall(0, number, Reason.DEFECTIVE, number - 1)
        return replace(made, signatures=self._signed(made.statement(network.id))).encode()

    def _signed(self, statement: bytes) -> tuple[tuple[bytes, bytes], ...]:
        return sign_statement(statement, self._seeds[:THRESHOLD])
