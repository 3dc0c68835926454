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
    """The first class's model description, engine and numeric path of the other classes, and the model's manifest."""

    info: ModelInfo
    others: tuple[tuple[str, str], ...] = ()
    known: Manifest | None = None


def find_classes(plan: Plan) -> Classes:
    """The classes of a plan. Opens an engine, which blocks.

    Raises EngineUnavailable, and PlanError if nothing is known of the paths of the model, or if a cheater cannot make
    its own weights from the model's.
    """
    _check_cheats(plan)
    paths = list(dict.fromkeys(peer.path for peer in plan.peers))
    if not any(ENGINES[path.engine].is_model for path in paths):
        infos = [_info(path, None) for path in paths]
        return Classes(infos[0], tuple((info.engine, info.numeric_path) for info in infos[1:]))
    info = _info(PathTable() if plan.has_paths else paths[0], plan.weights)
    known = known_manifest(info) if plan.has_paths else None
    if known is None and plan.has_paths and plan.weights is not None:
        raise PlanError(
            f"no manifest says which numeric paths of {info.model} there are",
            f"measure them with 'p2pverify model add {plan.weights}', or let all peers run on one path",
        )
    if known is None:
        return Classes(info)
    others = known.golden.beside(info.engine, info.numeric_path)
    return Classes(info, others, known)


def _check_cheats(plan: Plan) -> None:
    if plan.weights is None:
        return
    for peer in plan.cheaters:
        try:
            if peer.cheat is not None:
                check_weights(peer.cheat, plan.weights)
        except (ValueError, WeightsError) as error:
            raise PlanError(
                f"no weights for {peer.cheat} can be made from {plan.weights}: {error}",
                "choose another --cheat, for example canned or wrong-seed",
            ) from None


def _info(path: PathTable, weights: Path | None) -> ModelInfo:
    engine = open_engine(path.engine, EngineOpening(variant=path.variant, weights=weights))
    try:
        return engine.info
    finally:
        engine.close()
