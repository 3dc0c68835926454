"""The determinism classes of a testnet: one for every numeric path that its peers may run on.

The classes of a language model come from its packaged manifest, because one process cannot load all builds of
llama.cpp. A peer finds its own class by its self-test. The classes of toy engines come from the engines themselves.
"""

from dataclasses import dataclass

from p2pverify.core.contract.manifest import Manifest
from p2pverify.engine.registry import EngineOpening, open_engine
from p2pverify.node.engines.kinds import ENGINES
from p2pverify.node.files.manifestfile import known_manifest
from p2pverify.node.ports import ModelInfo
from p2pverify.testnet.plan import Plan
from p2pverify.testnet.scenario import PathTable


@dataclass(frozen=True, slots=True)
class Classes:
    """The first class's model description, engine and numeric path of the other classes, and the model's manifest."""

    info: ModelInfo
    others: tuple[tuple[str, str], ...] = ()
    known: Manifest | None = None


def find_classes(plan: Plan) -> Classes:
    """The classes of a plan. Opens an engine, which blocks. Raises EngineUnavailable."""
    paths = list(dict.fromkeys(peer.path for peer in plan.peers))
    if not any(ENGINES[path.engine].is_model for path in paths):
        infos = [_info(path) for path in paths]
        return Classes(infos[0], tuple((info.engine, info.numeric_path) for info in infos[1:]))
    info = _info(PathTable() if plan.has_paths else paths[0])
    known = known_manifest(info) if plan.has_paths else None
    if known is None:
        return Classes(info)
    others = known.golden.beside(info.engine, info.numeric_path)
    return Classes(info, others, known)


def _info(path: PathTable) -> ModelInfo:
    engine = open_engine(path.engine, EngineOpening(variant=path.variant))
    try:
        return engine.info
    finally:
        engine.close()
