"""The versions that training rounds made: their weights and manifests, and the bytes of the base of a round.

A round is decided by members that computed the weights. Everybody else finds their digest in the decided result, which
stands in the votes, fetches the weights from members, and derives the manifest, whose digest the final view has.
"""

import logging
from collections.abc import Callable, Iterable, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from pathlib import Path

import trio

from p2pverify.core.contract.manifest import Manifest, decode_manifest
from p2pverify.core.encoding.canon import sha256
from p2pverify.core.errors import DecodeError
from p2pverify.core.machine import Machine
from p2pverify.core.records.envelope import Kind
from p2pverify.core.records.payloads.rounds.votes import decode_round_vote
from p2pverify.core.replica.ledger import Ledger
from p2pverify.core.state.lines.notes import Version
from p2pverify.core.state.lines.versions import notes_of
from p2pverify.core.training.result import RoundResult
from p2pverify.node.lines.known import released_manifests
from p2pverify.node.training.blobs import RoundBlobs
from p2pverify.node.training.fetching import RoundFetcher
from p2pverify.node.training.ports import Trainer

FETCH_SECONDS = 30.0
log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class RoundBase:
    """The weights and the manifest of the version from which a round starts."""

    weights: bytes
    manifest: Manifest


class TrainedVersions:
    """The trained versions of this node's line. `manifests` are those that are here, by digest.

    `listed` are the manifests of the network file. `find_weights` finds the file of a manifest's weights on this
    machine; it blocks.
    """

    def __init__(
        self,
        machine: Machine,
        listed: Sequence[Manifest],
        trainer: Trainer,
        find_weights: Callable[[Manifest], Path | None],
    ) -> None:
        self._machine = machine
        self._listed = {manifest.digest: manifest for manifest in listed}
        self._trainer = trainer
        self._find_weights = find_weights
        self._results: dict[bytes, RoundResult] = {}  # by digest; of known versions only
        self._fetching = trio.Lock()
        self.manifests: dict[bytes, Manifest] = {}

    def versions(self) -> list[Version]:
        """The trained versions of this node's line in the newest final view that are not recalled."""
        machine = self._machine
        index = machine.network.line_of(machine.context.class_index)
        if index is None:
            return []
        notes = notes_of(machine.network, machine.fold.latest, index)
        return [version for version in notes.versions if version.is_trained and not version.is_recalled]

    def lasting(self) -> Iterable[bytes]:
        """The digests of the weights, the manifests and the files that engines load, of all trained versions."""
        for version in self.versions():
            result = self.result_of(version)
            if result is not None:
                yield result.weights
                yield result.manifest
            if version.manifest in self.manifests:
                yield self.manifests[version.manifest].weights

    def result_of(self, version: Version) -> RoundResult | None:
        """The decided result that made a version, from the votes; None if this node holds none of them."""
        if version.statement not in self._results:
            self._read_votes({each.statement for each in self.versions()} | {version.statement})
        return self._results.get(version.statement)

    def _read_votes(self, wanted: set[bytes]) -> None:
        """Find the results with these digests in the votes of all members."""
        found = {digest: result for digest, result in self._results.items() if digest in wanted}
        self._results = found | voted_results(self._machine.context.ledger, self._machine.fold.latest.members, wanted)

    async def hold(self, blobs: RoundBlobs, fetcher: RoundFetcher) -> bool:
        """Get the weights and manifests that are missing. Whether there is a new one. Raises UserError."""
        known = len(self.manifests)
        async with self._fetching:
            for version in self.versions():
                if version.manifest not in self.manifests:
                    await self._hold(version, blobs, fetcher)
        return len(self.manifests) > known

    async def _hold(self, version: Version, blobs: RoundBlobs, fetcher: RoundFetcher) -> None:
        result = self.result_of(version)
        size = await self._weights_bytes(blobs)
        if result is None or not size:
            return
        kept = await trio.to_thread.run_sync(blobs.get, version.manifest)
        weights = await fetcher.get(result.weights, size, None, FETCH_SECONDS)
        if weights is None:
            return
        try:
            manifest = await trio.to_thread.run_sync(self._keep, version, weights, kept, blobs)
        except (DecodeError, ValueError) as error:
            log.warning("version %d cannot be read: %s", version.number, error)
            return
        if manifest is None:
            log.warning("version %d is not what its weights give", version.number)
            return
        self.manifests[version.manifest] = manifest
        log.info("the weights of version %d, which a training round made, are here", version.number)

    def _keep(self, version: Version, weights: bytes, kept: bytes | None, blobs: RoundBlobs) -> Manifest | None:
        """Keep all of a version: its manifest, or None if the weights are not its own.

        Blocks. Raises UserError, DecodeError, ValueError.
        """
        manifest = decode_manifest(kept) if kept else self._derived(weights, version)
        if manifest.digest != version.manifest:
            return None
        if manifest.weights != sha256(weights) and not blobs.has(manifest.weights):
            served = self._trainer.served(weights)
            if served is None or blobs.keep(served) != manifest.weights:
                return None
        blobs.keep(weights)
        blobs.keep(manifest.encode())
        return manifest

    def _derived(self, weights: bytes, version: Version) -> Manifest:
        """The manifest of a version, with the name of its parent, or of version 0. Raises DecodeError, ValueError."""
        (parent,) = version.parents
        named = self._known(parent) or self._first()
        if named is None:
            raise ValueError("the manifest of version 0 is not here")
        return self._trainer.manifest(weights, named, parent)

    def _known(self, digest: bytes) -> Manifest | None:
        """The manifest of any version, if this node knows it."""
        found = self.manifests.get(digest) or self._listed.get(digest)
        if found is not None:
            return found
        return released_manifests(self._machine).get(digest, (0, None))[1]

    def _first(self) -> Manifest | None:
        """The manifest of version 0 of this node's line."""
        index = self._machine.network.line_of(self._machine.context.class_index)
        return None if index is None else self._listed.get(self._machine.network.lines[index].genesis)

    async def _weights_bytes(self, blobs: RoundBlobs) -> int:
        """The size of the weights of each version, which is equal for all of a line; 0 if none is here."""
        for manifest in (self._first(), *self.manifests.values()):
            data = None if manifest is None else await trio.to_thread.run_sync(self._weights, manifest, blobs)
            if data is not None:
                return len(data)
        return 0

    async def base(self, manifest: bytes, blobs: RoundBlobs, fetcher: RoundFetcher) -> RoundBase | None:
        """The base of a round by the digest of its manifest; None if it is not here yet. Raises UserError."""
        if self._known(manifest) is None:
            await self.hold(blobs, fetcher)
        found = self._known(manifest)
        weights = None if found is None else await trio.to_thread.run_sync(self._weights, found, blobs)
        return None if found is None or weights is None else RoundBase(weights, found)

    def _weights(self, manifest: Manifest, blobs: RoundBlobs) -> bytes | None:
        """The weights of a manifest as rounds know them, from this machine. Blocks. Raises UserError, OSError."""
        made = next((version for version in self.versions() if version.manifest == manifest.digest), None)
        result = None if made is None else self.result_of(made)
        if result is not None:
            return blobs.get(result.weights)
        path = self._find_weights(manifest)
        return None if path is None else self._trainer.first(path, manifest.weights)


def voted_results(ledger: Ledger, voters: Iterable[bytes], wanted: AbstractSet[bytes]) -> dict[bytes, RoundResult]:
    """The results with these digests, from the votes of some members (keys) that a ledger has."""
    found: dict[bytes, RoundResult] = {}
    for records in (ledger.named(), *map(ledger.chain, voters)):
        for record in records:
            if record.kind == Kind.ROUND_VOTE:
                result = decode_round_vote(record.payload).result
                if result.digest in wanted:
                    found[result.digest] = result
    return found
