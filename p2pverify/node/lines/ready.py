"""Makes ready what this node needs for other versions of its model: the weights, and the proof that they run here.

A version of the final view is looked for on this machine, and fetched from peers if the operator allows it. Its engine
must give the golden answers of the node's class. After that the machine may serve it.
"""

import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import trio

from p2pverify.core.contract.history.files import FileEntry
from p2pverify.core.contract.manifest import Manifest
from p2pverify.core.contract.network import Network
from p2pverify.core.events import HeldModel, VersionHeld
from p2pverify.core.machine import Machine
from p2pverify.core.state.lines.versions import (
    Status,
    contract_at,
    model_of,
)
from p2pverify.node.blobs.fetcher import BlobFetcher, BlobProgress
from p2pverify.node.driver import Driver
from p2pverify.node.engines.classes import ClassError, match_class
from p2pverify.node.engines.refusals import EngineBusy, ModelUnavailable
from p2pverify.node.engines.selftest import run_selftest
from p2pverify.node.lines.known import NO_MANIFESTS, KnownVersion, releases, sources
from p2pverify.node.lines.served import ServedFile
from p2pverify.node.ports import Engine, ModelInfo
from p2pverify.node.user_error import UserError

if TYPE_CHECKING:
    from trio_typing import TaskStatus  # the stubs that libp2p brings hide trio's own name

log = logging.getLogger(__name__)

FETCH_IT = (
    "fetch it with 'p2pverify model fetch', set fetch = true in [upgrade] of config.toml, or copy the file to this "
    "machine and name it with 'p2pverify model add FILE --unmeasured'"
)
Fetch = Callable[[FileEntry], Awaitable[Path]]
"""Fetches a file from peers. Raises UserError."""
Ready = Callable[[Path], Awaitable[None]]
Keep = Callable[[ServedFile | None], None]
"""Keeps on disk which version this node serves; None is version 0. Blocks."""


@dataclass(frozen=True, slots=True)
class UpgradeSettings:
    """Whether a node serves the current version of its model by itself, and whether it fetches the weights for it."""

    follow: bool = False
    fetch: bool = False


STAY = UpgradeSettings()


class VersionEngines(Protocol):
    """Finds and opens the engines of later versions."""

    def find_version(self, manifest: Manifest) -> Path | None:
        """The file with the weights of a version on this machine. Blocks."""
        ...

    def open_version(self, role: str, manifest: Manifest, path: Path) -> Engine:
        """An engine of this node's kind, or the referee, with other weights. Blocks. Raises ModelUnavailable."""
        ...


class VersionFault(UserError):
    """This node cannot compute with a version."""


class Versions:
    """Keeps the machine supplied with the versions that it may have to compute.

    `manifests` are those of the network file, and `trained` those of versions that training rounds made.
    A cheater of a testnet is not `tested`, because it knows what it runs.
    """

    def __init__(
        self,
        network: Network,
        manifests: Sequence[Manifest],
        engines: VersionEngines,
        *,
        tested: bool = True,
        trained: Mapping[bytes, Manifest] = NO_MANIFESTS,
    ) -> None:
        self._network = network
        self._manifests = {manifest.digest: manifest for manifest in manifests}
        self._engines = engines
        self._tested = tested
        self._trained = trained
        self._found: dict[bytes, tuple[Manifest, Path]] = {}
        self._unfit: set[bytes] = set()  # versions that failed the self-test, which no later try changes
        self._kept: int | None = None  # the number of the version that the home remembers
        self._changed = trio.Event()
        #: Why this node does not have a version, by the digest of its manifest.
        self.missing: dict[bytes, str] = {}

    def open(self, role: str, model: bytes) -> Engine:
        """The engine of a role for a version that was found. Blocks. Raises ModelUnavailable."""
        found = self._found.get(model)
        if found is None:
            raise ModelUnavailable("this node does not have the weights of that version")
        return self._engines.open_version(role, *found)

    async def run(
        self,
        driver: Driver,
        fetch: Fetch | None,
        ready: Ready,
        keep: Keep,
        *,
        task_status: "TaskStatus[None]" = trio.TASK_STATUS_IGNORED,
    ) -> None:
        """Make versions ready until cancelled, whenever a final view names new ones.

        `fetch` is None if the operator has no weights fetched. `ready` gets the file of each version that is ready.
        `keep` is told which version this node serves.
        """
        driver.on_final(self.look_again)
        task_status.started()
        while True:
            self._changed = trio.Event()
            for release in releases(driver.machine, self._manifests, self._trained):
                if release.manifest.digest not in driver.machine.context.held:
                    await self._prepare(driver, release, fetch, ready)
            await self._remember(driver, keep)
            await self._changed.wait()

    async def _remember(self, driver: Driver, keep: Keep) -> None:
        """Keep the version that this node serves, so that it starts with it again."""
        machine = driver.machine
        state, index = machine.fold.latest, machine.context.class_index
        line = self._network.line_of(index)
        if line is None or machine.key not in state.members:
            return
        held = machine.context.held.get(model_of(self._network, state, machine.key))
        number = state.version_of(machine.key)
        if held is None or number == self._kept:
            return
        served = ServedFile(self._network.lines[line].genesis, held.manifest) if number else None
        await trio.to_thread.run_sync(keep, served)
        self._kept = number

    def look_again(self) -> None:
        """Look for what is missing once more: a view is new, or a file."""
        self._changed.set()

    async def _prepare(self, driver: Driver, release: KnownVersion, fetch: Fetch | None, ready: Ready) -> None:
        digest = release.manifest.digest
        if digest in self._unfit or release.status in (Status.RETIRED, Status.RECALLED):
            return
        try:
            held = await self._hold(driver, release, fetch)
        except (UserError, ModelUnavailable, EngineBusy) as error:
            said = str(error)
            if self.missing.get(digest) != said:
                log.warning("version %d (%s) is not ready: %s", release.number, release.status, said)
            self.missing[digest] = error.reason if isinstance(error, UserError) else said
            return
        self.missing.pop(digest, None)
        log.info("version %d is ready: %s", release.number, release.manifest.model)
        driver.order(VersionHeld(held))
        await ready(self._found[digest][1])

    async def _hold(self, driver: Driver, release: KnownVersion, fetch: Fetch | None) -> HeldModel:
        """Find or fetch the weights of a version, and test them. Raises UserError."""
        manifest = release.manifest
        path = await trio.to_thread.run_sync(self._engines.find_version, manifest)
        if path is None:
            weights = release.weights
            if fetch is None or weights is None or release.status is Status.OVERLAP:
                raise VersionFault("this machine does not have its weights", FETCH_IT)
            path = await fetch(weights)
        self._found[manifest.digest] = (manifest, path)
        index = driver.machine.context.class_index
        line = self._network.line_of(index)
        assert line is not None  # it has releases
        contract = contract_at(self._network, driver.machine.fold.latest, index, release.number)

        def examine(engine: Engine) -> ModelInfo:
            if self._tested:
                goldens = [manifest.golden] if manifest.golden.questions else []
                found, _ = match_class(contract, [manifest], engine.info, run_selftest(engine, goldens))
                if found != index:
                    raise ClassError(f"this machine computes it in another class, {contract.classes[found].name!r}")
            return engine.info

        try:
            info = await driver.use_engine(examine, model=manifest.digest)
        except ClassError:
            self._unfit.add(manifest.digest)
            raise
        return HeldModel(manifest, info.context_tokens, info.vocab_tokens)


def fetching(machine: Machine, fetcher: BlobFetcher | None, progress: Callable[[str, int, int], None]) -> Fetch | None:
    """Fetches files of releases from the members of the network; None without a fetcher.

    `progress` gets what is done, and how many bytes of how many.
    """
    if fetcher is None:
        return None

    async def fetch(entry: FileEntry) -> Path:
        def tell(at: BlobProgress) -> None:
            progress(f"fetching {entry.path} from {at.sources} peers", at.done, at.total)

        return await fetcher.fetch(entry, sources(machine, entry.sha256), progress=tell)

    return fetch
