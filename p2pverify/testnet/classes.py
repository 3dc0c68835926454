"""The determinism classes of a testnet: one for every numeric path that its peers may run on.

The classes of a language model come from its known manifest, because one process cannot load all builds of
llama.cpp. A peer finds its own class by its self-test. The classes of toy engines come from the engines themselves.
"""

from dataclasses import dataclass
from pathlib import Path

from p2pverify.core.contract.manifest import Manifest
from p2pverify.engine.cheats.make import check_weights
from p2pverify.engine.errors import WeightsError
from p2pverify.engine.registry import EngineOpening, open_engine
from p2pverify.node.engines.kinds import ENGINES
from p2pverify.node.files.manifestfile import known_manifest
from p2pverify.node.ports import ModelInfo
from p2pverify.testnet.plan import Plan, PlanError
from p2pverify.testnet.scenario import PathTable


@dataclass(frozen=True, slots=True)
class Classes:
    """The classes of one model: the description of the first one's engine, engine and numeric path of the others, and
    the model's manifest if it is known.
    """

    info: ModelInfo
    others: tuple[tuple[str, str], ...] = ()
    known: Manifest | None = None


def find_classes(plan: Plan) -> tuple[Classes, ...]:
    """The classes of each model of a plan. Opens engines, which blocks.

    Raises EngineUnavailable, and PlanError if nothing is known of the paths of a model, if two files are the same
    model, or if a cheater cannot make its own weights from the model's.
    """
    _check_cheats(plan)
    found = tuple(_of_model(plan, weights) for weights in plan.models)
    if len({one.info.weights_sha256 for one in found}) < len(found):
        raise PlanError("two of the files are the same model", "name another one with --also")
    return found


def _of_model(plan: Plan, weights: Path | None) -> Classes:
    paths = list(dict.fromkeys(peer.path for peer in plan.peers if peer.weights == weights))
    if not any(ENGINES[path.engine].is_model for path in paths):
        infos = [_info(path, weights) for path in paths]
        return Classes(infos[0], tuple((info.engine, info.numeric_path) for info in infos[1:]))
    info = _info(PathTable() if plan.has_paths else paths[0], weights)
    known = known_manifest(info) if plan.has_paths else None
    if known is None and plan.has_paths and weights is not None:
        raise PlanError(
            f"no manifest says which numeric paths of {info.model} there are",
            f"measure them with 'p2pverify model add {weights}', or let all peers run on one path",
        )
    if known is None:
        return Classes(info)
    others = known.golden.beside(info.engine, info.numeric_path)
    return Classes(info, others, known)


def _check_cheats(plan: Plan) -> None:
    for peer in plan.cheaters:
        if peer.cheat is None or peer.weights is None or not ENGINES[peer.path.engine].is_model:
            continue
        try:
            check_weights(peer.cheat, peer.weights)
        except (ValueError, WeightsError) as error:
            raise PlanError(
                f"no weights for {peer.cheat} can be made from {peer.weights}: {error}",
                "choose another --cheat, for example canned or wrong-seed",
            ) from None


def _info(path: PathTable, weights: Path | None) -> ModelInfo:
    engine = open_engine(path.engine, EngineOpening(variant=path.variant, weights=weights))
    try:
        return engine.info
    finally:
        engine.close()
