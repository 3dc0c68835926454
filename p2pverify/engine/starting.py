"""With what a node starts: the version that it served last, else version 0 of its model."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from p2pverify.core.contract.manifest import Manifest
from p2pverify.core.contract.network import Network
from p2pverify.engine.engines import EngineSettings
from p2pverify.engine.onhand import find_file
from p2pverify.node.lines.served import contract_of_served, read_version


def start_model(
    given: EngineSettings,
    network: Network,
    manifests: tuple[Manifest, ...],
    version_path: Path,
    fetched: Callable[[bytes], Path | None],
) -> tuple[EngineSettings, Network, tuple[Manifest, ...]]:
    """The engine's settings, the contract among the members that serve the version, and the known manifests.

    `version_path` is the file that says which version was served last, and `fetched` finds weights that were fetched.
    """
    if not network.lines or given.opening.weights is not None:
        return given, network, manifests
    served = read_version(version_path)
    path = None if served is None else find_file(served.manifest.weights, given.kind)
    path = path or (None if served is None else fetched(served.manifest.weights))
    if served is None or path is None:
        return given, network, manifests
    contract = contract_of_served(network, served)
    return replace(given, opening=replace(given.opening, weights=path)), contract, (*manifests, served.manifest)
