"""Makes version 1 of a testnet's model, before the peers start. Only its publisher has the file."""

import hashlib
from dataclasses import dataclass, replace
from pathlib import Path

from p2pverify.core.contract.golden import Golden, GoldenPath
from p2pverify.core.contract.history.files import FileEntry
from p2pverify.core.contract.history.recipe import encode_recipe
from p2pverify.core.contract.history.release import HOW_OF, How, Release
from p2pverify.core.contract.manifest import Manifest
from p2pverify.engine.errors import WeightsError
from p2pverify.engine.gguf.weights import bundled
from p2pverify.engine.lineage.check import run_recipe
from p2pverify.engine.lineage.spelling import recipe_of
from p2pverify.engine.registry import EngineOpening, open_engine
from p2pverify.node.engines.kinds import ENGINES
from p2pverify.node.engines.selftest import answer_golden, golden_questions
from p2pverify.node.files.networkfile import manifest_of
from p2pverify.store.blobs.measure import chunks_of, measure_file
from p2pverify.store.blobs.store import BlobStore
from p2pverify.testnet.plan import Plan, PlanError

QUOTA_BYTES = 20 * 10**9
#: A toy's file: four chunks, so that several peers can send some.
_TOY_BYTES = 7 * 2**19
#: Every peer answers them when it tests the version, so there are two: a greedy one and a sampled one.
_GOLDEN = slice(1, 3)


@dataclass(frozen=True, slots=True)
class MadeVersion:
    """Version 1: its manifest, its file on disk with the entry of the release, and how it was made."""

    manifest: Manifest
    path: Path
    entry: FileEntry
    how: How
    recipe: bytes | None

    def release(self, genesis: bytes) -> Release:
        """Its release. `genesis` is the digest of the manifest of version 0 (32 B)."""
        return Release(
            0, 1, self.manifest.encode(), (genesis,), self.how, self.recipe, (self.entry,)
        )  # fmt: skip


def make_version(plan: Plan, target: Path) -> MadeVersion:
    """Write the weights of version 1 to `target`, and measure them. Blocks for seconds.

    Raises PlanError if the scenario's recipe makes no weights of the model, and EngineUnavailable.
    """
    assert plan.upgrade is not None
    peer, recipe, how = plan.publisher, None, How.FINE_TUNE
    if ENGINES[peer.path.engine].is_model:
        try:
            source = peer.weights or bundled()
            made = recipe_of(plan.upgrade.recipe, [bytes(32)])
            run_recipe(made, [source], target)
        except (ValueError, WeightsError) as error:
            raise PlanError(f"{plan.upgrade.recipe} makes no version 1: {error}", "choose another recipe") from None
        recipe, how = encode_recipe(made), HOW_OF[type(made)]
    else:
        target.write_bytes(hashlib.shake_256(b"version 1 of testnet %d" % plan.seed).digest(_TOY_BYTES))
    found = measure_file(target)
    opening = EngineOpening(variant=peer.path.variant, weights=target, expect_sha256=found.sha256)
    engine = open_engine(peer.path.engine, opening)
    try:
        info, questions = engine.info, golden_questions(engine)[_GOLDEN]
        answers = answer_golden(engine, questions)
    finally:
        engine.close()
    golden = Golden(questions, (GoldenPath(info.engine, info.numeric_path, answers),))
    manifest = replace(manifest_of(info), golden=golden)
    return MadeVersion(manifest, target, found.entry("version-1.gguf"), how, recipe)


def hand_over(made: MadeVersion, folder: Path) -> None:
    """Move the file into the store of a node's home, at `folder`. Blocks. Raises StoreError."""
    chunks = measure_file(made.path).chunks
    part = BlobStore(folder, QUOTA_BYTES).begin(made.entry, chunks, pin=True)
    try:
        with made.path.open("rb") as file:
            for chunk, data in enumerate(chunks_of(file.fileno(), made.entry.size)):
                part.write(chunk, data)
        part.finish()
    finally:
        part.close()
    made.path.unlink()


def is_exact(entry: FileEntry, folder: Path) -> bool:
    """Whether the store of a home has the whole file, to the byte. Blocks."""
    path = BlobStore(folder, QUOTA_BYTES).path(entry.sha256)
    if path is None:
        return False
    found = measure_file(path)
    return (found.sha256, found.chunks.size) == (entry.sha256, entry.size)
