"""Fetches the weights of a network's model for a machine that has none, before its node starts.

The home reads the ledger from other peers without an engine, and signs nothing. From the newest final view follow the
current version, its files, and who serves it.
"""

from contextlib import closing
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import trio

from p2pverify.app import NodeSettings
from p2pverify.core.contract.manifest import Manifest
from p2pverify.core.encoding.sign import public_key
from p2pverify.core.machine import Machine
from p2pverify.core.state.lines.versions import Status
from p2pverify.engine.errors import WeightsError
from p2pverify.engine.onhand import find_weights
from p2pverify.node.blobs.files import NO_SERVING, BlobFiles
from p2pverify.node.driver import Driver
from p2pverify.node.engines.classes import runnable_models
from p2pverify.node.engines.none import NoEngine
from p2pverify.node.identity.papers import IdentityPapers
from p2pverify.node.lines.known import KnownVersion, NamedFiles, releases
from p2pverify.node.lines.ready import fetching
from p2pverify.node.lines.served import ServedFile, keep_version, read_version
from p2pverify.node.user_error import UserError
from p2pverify.store.blobs.store import BlobStore
from p2pverify.store.journal import StoreJournal
from p2pverify.store.sqlite import Store

if TYPE_CHECKING:
    from p2pverify.net.adapter import Libp2pNetwork

#: A view that is at most this many epochs old is new enough to say what is served.
RECENT_EPOCHS = 1
NEVER_MS = 2**53


class NothingToFetch(UserError):
    """The network's model cannot be fetched."""


def needs_weights(settings: NodeSettings) -> bool:
    """Whether this machine has no weights that a node with these settings could start with. Blocks."""
    given = settings.engine
    if given.opening.weights is not None or given.kind == "openai":
        return False
    served = read_version(settings.home.version_path)
    files = BlobStore(settings.home.blobs_path, settings.blobs.quota_bytes)
    if served is not None and files.path(served.manifest.weights) is not None:
        return False
    try:
        return find_weights(settings.network, settings.manifests, given.kind) is None
    except WeightsError:
        return True


async def fetch_current(settings: NodeSettings) -> Path:
    """Fetch the weights of the current version, and note in the home that it is served. Returns the file's place.

    Raises UserError. The ledger that was read meanwhile stays in the home.
    """
    home, network = settings.home, settings.network
    IdentityPapers(home).check_may_run(public_key(home.load_identity()))
    seed, models = home.load_identity(), runnable_models(network, settings.manifests, settings.engine.kind)
    lined = [one for one in models if network.line_from(one.digest) is not None]
    if len(lined) != 1:
        raise NothingToFetch(
            f"{len(lined)} models of this network have versions that peers can share, for the engine "
            f"{settings.engine.kind!r}",
            "name a file of the weights with --weights",
        )
    with home.lock(), closing(Store.open(home.database_path, network.id, public_key(seed))) as store:
        index = next(number for number, kind in enumerate(network.classes) if kind.manifest == lined[0].digest)
        machine = Machine(network, seed, index, lined[0], 1, start=settings.start, shelf=store.shelf)
        machine.context.quiet_until_ms = NEVER_MS
        journal = StoreJournal(store, machine.key, settings.history)
        driver = Driver(machine, journal, NoEngine())
        await trio.to_thread.run_sync(journal.load_into, driver)
        async with trio.open_nursery() as nursery:
            await nursery.start(store.run)
            mesh = _mesh(settings, seed, driver)
            await nursery.start(mesh.run)
            await nursery.start(driver.run, mesh)
            found = await _fetch(settings, driver, mesh, lined[0])
            nursery.cancel_scope.cancel()
    return found


async def _fetch(settings: NodeSettings, driver: Driver, mesh: "Libp2pNetwork", first: Manifest) -> Path:
    release = await _current(settings, driver, first)
    weights = release.weights
    if weights is None:
        digest = release.manifest.weights.hex()
        raise NothingToFetch(
            f"the network serves version {release.number} of {first.model}, and no release names its file",
            f"get the file with the SHA-256 {digest} from its publisher, and name it with --weights",
        )
    keeper = BlobStore(settings.home.blobs_path, settings.blobs.quota_bytes)
    blobs = BlobFiles(keeper, NamedFiles(driver.machine), NO_SERVING)
    fetch = fetching(driver.machine, blobs.fetcher(mesh), partial(_tell, settings))
    assert fetch is not None  # it has a fetcher
    path = await fetch(weights)
    served = ServedFile(first.digest, release.manifest) if release.number else None
    await trio.to_thread.run_sync(keep_version, settings.home.version_path, served)
    return path


async def _current(settings: NodeSettings, driver: Driver, first: Manifest) -> KnownVersion:
    """The current version by a recent final view. Waits until other peers have shown one."""
    machine, params = driver.machine, settings.network.params
    _tell(settings, "reading the ledger from other peers", 0, 0)
    while machine.fold.latest.epoch < params.epoch_at(driver.now_ms()) - RECENT_EPOCHS or not machine.fold.latest.index:
        await driver.wait_final(machine.fold.latest.index + 1)
    known = releases(machine, {first.digest: first})
    current = next((one for one in known if one.status is Status.CURRENT), None)
    if current is None:
        raise NothingToFetch(
            f"the current version of {first.model} was released in the network from which this one was forked",
            "get its file from its publishers, and name it with --weights",
        )
    return current


def _mesh(settings: NodeSettings, seed: bytes, driver: Driver) -> "Libp2pNetwork":
    from p2pverify.net.adapter import Libp2pNetwork

    return Libp2pNetwork(
        seed,
        settings.network.id,
        settings.listen,
        settings.bootstrap,
        driver,
        announce=settings.announce,
        mdns=settings.mdns,
    )


def _tell(settings: NodeSettings, what: str, done: int, total: int) -> None:
    if settings.on_progress is not None:
        settings.on_progress(what, done, total)
