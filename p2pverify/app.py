"""The composition root: the only file that knows every class. It starts the parts of a node in order.

The order is: home lock, store, engine, network, driver, local API. The parts stop in reverse order. Commands that only
read do not import this module; they ask the running node over its API.
"""

import logging
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import trio

from p2pverify.core.contract.manifest import Manifest
from p2pverify.core.contract.network import Network
from p2pverify.core.encoding.peerid import peer_id
from p2pverify.core.encoding.sign import public_key
from p2pverify.core.events import Leave
from p2pverify.core.machine import Machine
from p2pverify.core.settle.credit import DEFAULT_CREDIT, CreditLimits
from p2pverify.core.state.rules.following import Following
from p2pverify.core.state.state import State
from p2pverify.core.state.weights import weighted_peers
from p2pverify.core.window import NO_CHECKS, CheckPolicy
from p2pverify.engine.cheats.kinds import CheatPlace
from p2pverify.engine.cheats.rounds import machine_type, open_trainer
from p2pverify.engine.engines import Engines, EngineSettings
from p2pverify.engine.starting import start_model
from p2pverify.node.blobs.files import NO_SERVING, BlobFiles, BlobSettings
from p2pverify.node.clients.audits.auditor import Auditor
from p2pverify.node.clients.book import ReportWish
from p2pverify.node.clients.door import Door
from p2pverify.node.cover import NO_COVER, Cover, CoverPlan
from p2pverify.node.data.store import DataStore
from p2pverify.node.driver import Driver
from p2pverify.node.endpoints.proof import home_key
from p2pverify.node.engines.abilities import check_abilities
from p2pverify.node.engines.classes import match_class
from p2pverify.node.engines.selftest import run_selftest
from p2pverify.node.files.home import Home
from p2pverify.node.files.manifestfile import describes
from p2pverify.node.identity.papers import IdentityPapers
from p2pverify.node.journal import History
from p2pverify.node.lines.fetching import VersionDownloads
from p2pverify.node.lines.known import NO_MANIFESTS, NamedFiles
from p2pverify.node.lines.ready import STAY, UpgradeSettings, Versions, fetching
from p2pverify.node.lines.report import LineReports, ScoreOf
from p2pverify.node.lines.served import keep_version
from p2pverify.node.outbox import refuse_training
from p2pverify.node.reports.overview import NodeReports
from p2pverify.node.requests.orders import HomeOrders
from p2pverify.node.rules.watch import AmendmentWatch
from p2pverify.node.signals import watch_signals
from p2pverify.node.snapshot.kept import SnapshotHome
from p2pverify.node.snapshot.serving import ServedStates
from p2pverify.node.training.assembly import NodeTraining
from p2pverify.node.training.blobs import ROUND_BLOBS_BYTES_MAX
from p2pverify.node.user_error import explain
from p2pverify.store.blobs.store import BlobStore
from p2pverify.store.clients.audits import StoredAudits
from p2pverify.store.clients.keys import StoredKeys
from p2pverify.store.clients.receipts import StoredReceipts
from p2pverify.store.journal import StoreJournal
from p2pverify.store.peers import StoredPeers
from p2pverify.store.sqlite import Store

if TYPE_CHECKING:
    from trio_typing import TaskStatus  # the stubs that libp2p brings hide trio's own name

    from p2pverify.net.adapter import Libp2pNetwork

Progress = Callable[[str, int, int], None]
log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class NodeSettings:
    """The settings with which a node is started.

    `gateway` is the address at which clients with keys are served; with `clients_need_key` those of this machine need
    one too. `checks` is the policy of clients that name none. `audit_rate` is the share of receipts that is scored
    again, and `report` what others may learn of a wrong answer. `alone`: nobody can show more of the own log than this
    home holds, so that the node need not wait for others. `rejoin`: a peer that left takes part again. `start`: the
    state with which a forked network begins. `trust` is the id of a cut that the operator trusts, of any age with
    `trust_old`. `upgrade` says how the node moves between the versions of its model, and `credit` what clients of
    others may owe it. `history` says which records it keeps, and `following` which amendments of the rules it follows.
    """

    home: Home
    network: Network
    manifests: tuple[Manifest, ...]
    engine: EngineSettings
    listen: tuple[str, ...] = ("/ip4/127.0.0.1/tcp/0",)
    bootstrap: tuple[str, ...] = ()
    announce: tuple[str, ...] = ()
    mdns: bool = False
    relay: bool = True
    upnp: bool = False
    http: str = "127.0.0.1:0"
    gateway: str | None = None
    clients_need_key: bool = False
    checks: CheckPolicy = NO_CHECKS
    audit_rate: float = 0.0
    report: ReportWish = "never"
    hardware: str = ""
    cover: CoverPlan = NO_COVER
    blobs: BlobSettings = NO_SERVING
    upgrade: UpgradeSettings = STAY
    credit: CreditLimits = DEFAULT_CREDIT
    history: History = "window"
    alone: bool = False
    rejoin: bool = False
    start: State | None = None
    following: Following | None = None
    trust: bytes | None = None
    trust_old: bool = False
    on_progress: Progress | None = None


@dataclass(frozen=True, slots=True)
class Running:
    """A started node: the URLs of its API and its gateway, its peer id, and addresses at which others can dial it."""

    api: str
    peer_id: str
    addresses: tuple[str, ...]
    gateway: str | None = None


async def run_node(settings: NodeSettings, *, task_status: "TaskStatus[Running]" = trio.TASK_STATUS_IGNORED) -> None:
    """Run a node until SIGINT, SIGTERM, SIGHUP or SIGQUIT, or until cancelled. It has started when its API answers.

    Raises an exception with `reason` and `hint` (HomeError, StoreError, ...) if it cannot go on.
    """
    try:
        with settings.home.lock():
            settings.home.clear_api()  # left by a node that was killed
            await _run_locked(settings, task_status)
    except BaseException as error:
        found = explain(error)
        if found is None or found is error:
            raise
        raise found from error


async def _run_locked(settings: NodeSettings, task_status: "TaskStatus[Running]") -> None:
    home, network = settings.home, settings.network
    from p2pverify.listening import check_ports

    seed, papers = home.load_identity(), IdentityPapers(home)
    papers.check_may_run(public_key(seed))
    check_ports(settings.listen, settings.http, settings.gateway)
    with closing(Store.open(home.database_path, network.id, public_key(seed))) as store:
        files = BlobStore(home.blobs_path, settings.blobs.quota_bytes)
        rounds = BlobStore(home.path / "rounds", ROUND_BLOBS_BYTES_MAX)

        def fetched(digest: bytes) -> Path | None:
            return files.path(digest) or rounds.path(digest)

        chosen, contract, manifests = await trio.to_thread.run_sync(
            start_model, *(settings.engine, network, settings.manifests, home.version_path, fetched)
        )
        engines = await trio.to_thread.run_sync(
            *(Engines, chosen, network, manifests, home.cheat_path, settings.on_progress),
            fetched,
        )
        engine = engines.own
        driver: Driver | None = None
        try:
            own = [manifest for manifest in manifests if describes(manifest, engines.honest.info)]
            goldens = [manifest.golden for manifest in own if manifest.golden.questions]
            if goldens:
                _progress(settings, "answering golden questions", 0, 1)
            tested = await trio.to_thread.run_sync(run_selftest, engines.honest, goldens)
            class_index, manifest = match_class(contract, manifests, engine.info, tested)
            log.info("this machine computes in class %s", network.classes[class_index].name)
            check_abilities(network, engine.info)
            machine = machine_type(settings.engine.cheat)(
                network,
                seed,
                class_index,
                manifest,
                engine.info.context_tokens,
                vocab_tokens=engine.info.vocab_tokens,
                hardware=settings.hardware,
                rejoin=settings.rejoin,
                objects=settings.engine.cheat is None,
                follows=settings.upgrade.follow,
                start=settings.start,
                shelf=store.shelf,
                credit=settings.credit,
                following=settings.following,
                next_key=papers.next_key,
                succession=papers.succession(public_key(seed), network.id),
            )
            journal = StoreJournal(store, machine.key, settings.history)
            open_referee = engines.open_referee if network.referee else None
            training = _training(settings, machine, engines, rounds)
            trained = NO_MANIFESTS if training is None else training.manifests
            honest = settings.engine.cheat is None
            versions = Versions(network, settings.manifests, engines, tested=honest, trained=trained)
            driver = Driver(
                machine,
                journal,
                engine,
                open_referee=open_referee,
                open_version=versions.open,
                train=refuse_training if training is None else training.submit_nowait,
                silent=_cheats(settings, CheatPlace.SILENCE),
                alone=settings.alone or _is_first_alone(home, machine),
            )
            _progress(settings, "reading records", 0, 1)
            taken = await trio.to_thread.run_sync(journal.load_into, driver)
            machine.expect_own(max(machine.context.signed_before, papers.expected))
            _progress(settings, "reading records", taken, taken)
            if settings.rejoin:
                home.forget_leave()
            elif home.wants_leave():
                driver.order(Leave())
            states = ServedStates(machine, SnapshotHome(home))
            log.info("loaded %d records of network %s", taken, network.id.hex()[:16])
            parts = (driver, engines, versions, training, files, states, manifest)
            await _run_services(settings, seed, store, journal, *parts, task_status)
        finally:
            # A job that still runs in its thread keeps the engine, which then ends with the process.
            if driver is None or not driver.is_engine_busy:
                if driver is not None:
                    driver.close_versions()
                engines.close()


def _cheats(settings: NodeSettings, place: CheatPlace) -> bool:
    """Whether this node cheats in a place: only in a testnet."""
    return settings.engine.cheat is not None and settings.engine.cheat.place is place


async def _run_services(
    settings: NodeSettings,
    seed: bytes,
    store: Store,
    journal: StoreJournal,
    driver: Driver,
    engines: Engines,
    versions: Versions,
    training: NodeTraining | None,
    files: BlobStore,
    states: ServedStates,
    manifest: Manifest,
    task_status: "TaskStatus[Running]",
) -> None:
    from p2pverify.api.metrics import Counts
    from p2pverify.api.server import serve, serve_gateway  # heavy imports, after the cheap checks
    from p2pverify.net.adapter import Libp2pNetwork
    from p2pverify.net.protocols.blob import limits_at
    from p2pverify.net.protocols.requests import limits_within
    from p2pverify.net.reach.reaching import reach_settings

    home, network = settings.home, settings.network
    driver.on_final(states.note)
    blobs = BlobFiles(files, NamedFiles(driver.machine), settings.blobs, invents=_cheats(settings, CheatPlace.FILES))
    mesh = Libp2pNetwork(
        seed,
        network.id,
        settings.listen,
        settings.bootstrap,
        driver,
        announce=settings.announce,
        mdns=settings.mdns,
        request_limits=limits_within(network.params, engines.own.info.context_tokens),
        blobs=blobs.server if training is None else training.source(blobs.server),
        blob_limits=limits_at(settings.blobs.upload_bytes_per_s),
        states=states,
        shelf=StoredPeers(store),
        reach=reach_settings(relay=settings.relay, upnp=settings.upnp),
    )
    trained = NO_MANIFESTS if training is None else training.manifests
    cover, token, info = Cover(driver, settings.cover), home.ensure_token(), engines.own.info
    book, keys, counts = StoredReceipts(home.clients_path), StoredKeys(home.clients_path), Counts()
    auditor = Auditor(driver, book, StoredAudits(home.clients_path), settings.audit_rate)
    door = Door(
        *(driver, mesh, manifest, info, engines.open_language, book),
        policy=settings.checks,
        listed=settings.manifests,
        trained=trained,
        auditor=auditor,
        report=settings.report,
    )
    reports = NodeReports(
        *(driver, mesh, journal, info, cover, door, blobs, _line_reports(settings, driver, versions, trained), states)
    )
    downloads = VersionDownloads(driver.machine, reports.line_reports, blobs.fetcher(mesh), versions.look_again)
    amendments = AmendmentWatch(driver)
    async with trio.open_nursery() as writing:
        await writing.start(store.run)
        async with trio.open_nursery() as meshing:
            addresses = await meshing.start(mesh.run)
            async with trio.open_nursery() as running:
                stop = await running.start(watch_signals)
                await running.start(driver.run, mesh)
                running.start_soon(cover.run, mesh)
                running.start_soon(reports.run)
                running.start_soon(states.run)
                running.start_soon(blobs.serve_own, engines.files())
                if network.lines:
                    await _start_lines(running, settings, driver, mesh, versions, downloads, blobs, training)
                await running.start(door.run)
                url = await running.start(
                    partial(
                        serve,
                        reports,
                        bind=settings.http,
                        token=token,
                        home_key=home_key(token, home.identity_text()),
                        orders=HomeOrders(home, driver, downloads),
                        door=door,
                        keys=keys if settings.clients_need_key else None,
                        counts=counts,
                    )
                )
                gateway: str | None = None
                if settings.gateway is not None:
                    if not keys.all():
                        log.warning("the gateway refuses everybody: make a key with 'p2pverify key add NAME'")
                    serve_others = partial(serve_gateway, door, keys, bind=settings.gateway, counts=counts)
                    gateway = await running.start(serve_others)
                home.write_api(url)
                try:
                    task_status.started(Running(url, peer_id(driver.machine.key), tuple(addresses), gateway))
                    await stop.wait()
                finally:
                    home.clear_api()
                running.cancel_scope.cancel()
            meshing.cancel_scope.cancel()
        writing.cancel_scope.cancel()
    amendments.stopped()


async def _start_lines(
    running: trio.Nursery,
    settings: NodeSettings,
    driver: Driver,
    mesh: "Libp2pNetwork",
    versions: Versions,
    downloads: VersionDownloads,
    blobs: BlobFiles,
    training: NodeTraining | None,
) -> None:
    """Start what keeps this node supplied with the versions of its model."""
    keep = partial(keep_version, settings.home.version_path)
    fetcher = downloads.fetcher if settings.upgrade.fetch else None
    fetch = fetching(driver.machine, fetcher, partial(_progress, settings))
    await running.start(versions.run, driver, fetch, blobs.serve_file, keep)
    await running.start(downloads.run)
    if training is not None:
        await running.start(training.run, driver, mesh, downloads.fetcher.counters, versions.look_again)


def _training(settings: NodeSettings, machine: Machine, engines: Engines, rounds: BlobStore) -> NodeTraining | None:
    """This node's part in training rounds; None if no line of the network is trained."""
    if not any(line.training for line in settings.network.lines):
        return None
    index = settings.network.line_of(machine.context.class_index)
    rule = None if index is None else settings.network.lines[index].training
    rows, trainer = DataStore(settings.home), open_trainer(settings.engine.cheat, rule, engines.find_weights)
    return NodeTraining(machine, settings.manifests, trainer, rows, rounds, engines.find_version)


def _line_reports(
    settings: NodeSettings, driver: Driver, versions: Versions, trained: Mapping[bytes, Manifest]
) -> Callable[[ScoreOf], LineReports]:
    """Makes the reports about lines, once it is known how scores are found."""
    found = partial(LineReports, driver.machine, listed=settings.manifests, missing=versions.missing, trained=trained)
    return partial(found, follows=settings.upgrade.follow)


def _is_first_alone(home: Home, machine: Machine) -> bool:
    """Whether a network begins with this peer alone, which starts for the first time. So nobody has a record of it."""
    return home.take_unused() and weighted_peers(machine.fold.genesis) == [machine.key]


def _progress(settings: NodeSettings, what: str, done: int, total: int) -> None:
    if settings.on_progress is not None:
        settings.on_progress(what, done, total)
