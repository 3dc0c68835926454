"""Whether a node can start in a home: its files, its disk, its ports, its database, and its machine's class."""

import os
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from p2pverify.cli.doctor.findings import HealthFinding, fault, ok, run, skipped, warning
from p2pverify.cli.progress import Progress

if TYPE_CHECKING:
    from pathlib import Path

    from p2pverify.core.contract.manifest import Manifest
    from p2pverify.core.contract.network import Network
    from p2pverify.engine.engines import EngineSettings
    from p2pverify.node.files.config import Config
    from p2pverify.node.files.home import Home

MEGABYTE = 1_000_000
FREE_BYTES_MIN = 100 * MEGABYTE  # below, a node soon cannot store what it receives
FREE_BYTES_WANTED = 1_000 * MEGABYTE


@dataclass(slots=True)
class HomeExam:
    """The checks of a home. Each reads what the checks before it found; what could not be read is None."""

    home: "Home"
    progress: Progress
    is_running: bool
    is_quick: bool
    config: "Config | None" = None
    network: "Network | None" = None
    manifests: "Sequence[Manifest]" = ()

    def findings(self) -> Iterator[HealthFinding]:
        yield from run("identity", self._identity)
        yield from run("settings", self._settings)
        yield from run("network", self._network)
        yield from run("disk", self._disk)
        yield from run("database", self._database)
        yield from run("ports", self._ports)
        yield from run("weights", self._weights)
        yield from run("class", self._class)

    def _identity(self) -> Iterator[HealthFinding]:
        from p2pverify.cli.setup.init import own_peer_id

        yield ok("identity", own_peer_id(self.home))

    def _settings(self) -> Iterator[HealthFinding]:
        from p2pverify.node.files.config import load_config

        self.config = load_config(self.home.config_path)
        names = ("weights", "corpus", "replay", "llama_variants")
        missing = [name for name in names if (path := getattr(self.config, name)) is not None and not path.exists()]
        for name in missing:
            yield fault("settings", f"the file of '{name}' does not exist", f"correct '{name}' in config.toml")
        if not missing:
            yield ok("settings", str(self.home.config_path))

    def _network(self) -> Iterator[HealthFinding]:
        from p2pverify.node.files.networkfile import load_network

        if not self.home.network_path.exists():
            todo = "join one with 'p2pverify join NETWORK-FILE', or found one with 'p2pverify network new'"
            yield warning("network", "this home has joined none", todo)
            return
        self.network, self.manifests = load_network(self.home.network_path)
        yield ok("network", f"{self.network.name} ({self.network.id.hex()[:16]})")

    def _disk(self) -> Iterator[HealthFinding]:
        from p2pverify.store.disk import disk_figures

        free = disk_figures(self.home.database_path).get("free_bytes")
        probe = self.home.path / f".doctor.{os.getpid()}"
        try:
            with probe.open("wb") as file:
                file.write(bytes(4096))
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            yield fault("disk", f"nothing can be written to {self.home.path} ({error.strerror})", "free some space")
            return
        finally:
            with suppress(OSError):
                probe.unlink()
        text = "can be written" if free is None else f"{free // MEGABYTE:,} MB free"
        if free is not None and free < FREE_BYTES_MIN:
            yield fault("disk", text, "free some space: a node that cannot store signs nothing")
        elif free is not None and free < FREE_BYTES_WANTED:
            yield warning("disk", text, "free some space soon")
        else:
            yield ok("disk", text)

    def _database(self) -> Iterator[HealthFinding]:
        from p2pverify.cli.setup.init import own_key
        from p2pverify.cli.show.checkup import AFTER_DAMAGE
        from p2pverify.store.integrity.checkup import check_up

        if not self.home.database_path.exists():
            yield skipped("database", "there is none: no node was started here yet")
            return
        self.progress("reading the database", 0, 0)
        network_id = None if self.network is None else self.network.id
        found = check_up(self.home.database_path, network_id, own_key(self.home))
        if found.faults:
            count = len(found.faults) + found.faults_more
            yield fault(
                "database",
                f"{count} damaged; the first: {found.faults[0].reason}",
                f"'p2pverify ledger check' lists them; {AFTER_DAMAGE}",
            )
        else:
            yield ok("database", f"{found.records:,} records, {found.own_records:,} of them its own; no damage")

    def _ports(self) -> Iterator[HealthFinding]:
        import trio

        from p2pverify.listening import check_ports
        from p2pverify.net.border.sockets import ListenError

        if self.config is None or self.is_running:
            yield skipped("ports", "the node listens" if self.is_running else "the settings cannot be read")
            return
        config = self.config

        async def try_to_listen() -> None:
            check_ports(config.listen, config.http, config.gateway or None)

        try:
            trio.run(try_to_listen)
        except ListenError as error:
            yield fault("ports", str(error), "set 'listen' in config.toml")
            return
        yield ok("ports", f"{', '.join((*config.listen, config.http))}: free")

    def _weights(self) -> Iterator[HealthFinding]:
        from p2pverify.engine.onhand import find_weights

        if self.config is None or self.network is None:
            yield skipped("weights", "no settings or no network")
            return
        chosen, _, _ = self._start(self.config, self.network)
        kind = chosen.kind
        if self.config.weights is not None:
            yield ok("weights", f"{self.config.weights} for the engine {kind}")
            return
        if chosen.opening.weights is not None:
            yield ok("weights", f"{chosen.opening.weights}, of the version that this node serves")
            return
        found = find_weights(self.network, self.manifests, kind)
        if found is None and kind != "openai":
            yield fault(
                "weights",
                f"the engine {kind} runs no model of this network",
                "set 'engine' in config.toml; 'p2pverify network show' lists the classes",
            )
            return
        where = "those that come with it" if found is None or found.path is None else str(found.path)
        yield ok("weights", f"{where}, for the engine {kind}")

    def _start(self, config: "Config", network: "Network") -> "tuple[EngineSettings, Network, tuple[Manifest, ...]]":
        """What the node would start with: the version of its model that it served last, if its weights are here."""
        from p2pverify.cli.run.join import engine_settings
        from p2pverify.engine.starting import start_model
        from p2pverify.store.blobs.store import BlobStore

        folders = [folder for folder in (self.home.blobs_path, self.home.path / "rounds") if folder.is_dir()]

        def fetched(digest: bytes) -> "Path | None":
            found = (BlobStore(folder, 0).path(digest) for folder in folders)
            return next((path for path in found if path is not None), None)

        given = engine_settings(config, network)
        return start_model(given, network, tuple(self.manifests), self.home.version_path, fetched)

    def _class(self) -> Iterator[HealthFinding]:
        from p2pverify.engine.engines import Engines
        from p2pverify.node.rerun.judge import prove_class

        config, network = self.config, self.network
        if self.is_running:
            yield skipped("class", "the running node passed this test at its start")
            return
        if config is None or network is None:
            yield skipped("class", "no settings or no network")
            return
        if self.is_quick:
            yield skipped("class", "the model was not run", "leave out --quick")
            return
        self.progress("loading the model", 0, 0)
        settings, contract, manifests = self._start(config, network)
        engines = Engines(settings, network, manifests, self.home.cheat_path, self.progress)
        try:
            self.progress("answering golden questions", 0, 1)
            proven = prove_class(contract, manifests, engines.honest)
        finally:
            engines.close()
        yield ok("class", f"this machine computes in {network.classes[proven.index].name}")
