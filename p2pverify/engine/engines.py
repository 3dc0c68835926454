"""The engines of one node: its own, which may lie, and the network's referee."""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from p2pverify.core.contract.manifest import Manifest
from p2pverify.core.contract.network import Network
from p2pverify.core.events import REFEREE
from p2pverify.engine.cheats.kinds import CheatPlace
from p2pverify.engine.cheats.spec import CheatSpec
from p2pverify.engine.errors import EngineUnavailable
from p2pverify.engine.gguf.weights import Progress
from p2pverify.engine.language import find_language
from p2pverify.engine.onhand import find_file, find_weights, weights_files
from p2pverify.engine.registry import BUNDLED, EngineOpening, open_engine, open_referee
from p2pverify.node.clients.language import Language
from p2pverify.node.engines.classes import expected_weights
from p2pverify.node.engines.kinds import DEFAULT_ENGINE, EngineKind, is_referee
from p2pverify.node.engines.refusals import ModelUnavailable
from p2pverify.node.ports import Engine


@dataclass(frozen=True, slots=True)
class EngineSettings:
    """Which engine a node runs, and with what it is opened. `cheat` is for testnets only."""

    kind: EngineKind = DEFAULT_ENGINE
    opening: EngineOpening = BUNDLED
    cheat: CheatSpec | None = None


class Engines:
    """A node's engines: its `own` (which may cheat), the `honest` one inside it, and the network's referee.

    Without weights in the settings, those of the network's model are found on this machine. Opening blocks. `fetched`
    finds a file by its SHA-256 among those that were fetched from peers. `open_referee` opens the referee, when it is
    first needed. If the own engine is the referee, one engine is used for both. Raises EngineUnavailable, ClassError.
    """

    def __init__(
        self,
        settings: EngineSettings,
        network: Network,
        manifests: Sequence[Manifest],
        workdir: Path,
        progress: Progress | None = None,
        fetched: Callable[[bytes], Path | None] = lambda _digest: None,
    ) -> None:
        self._network = network
        self._settings = settings
        self._fetched = fetched
        self._workdir = workdir
        opening, expected = settings.opening, expected_weights(network, manifests, settings.kind)
        found = find_weights(network, manifests, settings.kind) if opening.weights is None else None
        if found is not None:
            opening, expected = replace(opening, weights=found.path), found.digest
        self._weights = opening.weights
        self.honest = open_engine(settings.kind, replace(opening, expect_sha256=expected, progress=progress))
        self.own = _lying(self.honest, settings.cheat, workdir, network)
        self._referee: Engine | None = None

    def files(self) -> list[Path]:
        """The file of the weights that the honest engine runs, if it runs a file."""
        return weights_files(self.honest.info.weights_sha256, self._weights)

    def open_language(self, manifest: Manifest) -> Language:
        """The tokens and the chat template of a model of the network. Blocks. Raises EngineUnavailable."""
        return find_language(manifest, self._weights)

    def open_referee(self) -> Engine:
        """The engine that judges across classes. Raises EngineUnavailable."""
        info = self.honest.info
        if is_referee(self._network.referee, info.engine, info.numeric_path):
            return self.honest
        given = EngineOpening(weights=self._weights, expect_sha256=info.weights_sha256)
        self._referee = open_referee(self._network.referee, given)
        return self._referee

    def find_version(self, manifest: Manifest) -> Path | None:
        """The file with the weights of a version on this machine; None if there is none, or the engine needs none."""
        if self._is_stale:
            return next(iter(self.files()), Path(os.devnull))  # it needs no other weights
        return self.find_weights(manifest.weights)

    def find_weights(self, digest: bytes) -> Path | None:
        """The file of weights with this SHA-256 (32 B) on this machine; None if there is none, or none is needed."""
        if digest == self.honest.info.weights_sha256 and self.files():
            return self.files()[0]
        kind = self._settings.kind
        return find_file(digest, kind) or (self._fetched(digest) if kind != "openai" else None)

    def open_version(self, role: str, manifest: Manifest, path: Path) -> Engine:
        """An engine of this node's kind, or the referee, with the weights of another version. The caller closes it.

        Blocks. Raises ModelUnavailable.
        """
        opening = replace(self._settings.opening, weights=path, expect_sha256=manifest.weights)
        if self._is_stale:
            opening = replace(opening, weights=self._weights, expect_sha256=None)
        try:
            if role == REFEREE:
                given = EngineOpening(weights=path, expect_sha256=manifest.weights)
                return open_referee(self._network.referee, given)
            honest = open_engine(self._settings.kind, opening)
        except EngineUnavailable as error:
            raise ModelUnavailable(str(error)) from error
        return _lying(honest, self._settings.cheat, self._workdir, self._network)

    @property
    def _is_stale(self) -> bool:
        """Whether the first version answers for all later ones: a cheat for testnets."""
        cheat = self._settings.cheat
        return cheat is not None and cheat.place is CheatPlace.VERSION

    def close(self) -> None:
        self.own.close()
        if self._referee is not None:
            self._referee.close()


def _lying(engine: Engine, cheat: CheatSpec | None, workdir: Path, network: Network) -> Engine:
    """The engine, wrapped if it has to lie. In this case `workdir` is made for its other weights.

    The cheat knows the rules of the network.
    """
    if cheat is None or not cheat.has_lie:
        return engine
    from p2pverify.engine.cheats.make import make_cheat  # noqa: PLC0415 - for testnets only
    from p2pverify.engine.cheats.rules import known_rules  # noqa: PLC0415 - for testnets only

    workdir.mkdir(exist_ok=True)
    return make_cheat(cheat, engine, workdir, rules=known_rules(network, engine.info))
