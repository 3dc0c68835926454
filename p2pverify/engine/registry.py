"""Opens an engine by its kind, and the referee of a network by its id; the only place that knows them all."""

from pathlib import Path
from typing import assert_never

from p2pverify.engine import toy
from p2pverify.engine.errors import EngineUnavailable
from p2pverify.engine.gguf import weights as model_weights
from p2pverify.engine.llama.engine import LlamaEngine
from p2pverify.engine.openai import Endpoint, OpenAIEngine
from p2pverify.engine.toy import ToyEngine
from p2pverify.node.engines.kinds import EngineKind
from p2pverify.node.ports import Engine

#: Referees by the engine id that a network file names.
EXACT_REFEREE = "exact/1"
REFEREES = (EXACT_REFEREE, toy.REFEREE)


def open_engine(
    kind: EngineKind,
    *,
    weights: Path | None = None,
    variant: str = "",
    variants: Path | None = None,
    endpoint: Endpoint | None = None,
    expect_sha256: bytes | None = None,
    progress: model_weights.Progress | None = None,
) -> Engine:
    """Open an engine. Blocks for about half a second: call it in a thread.

    Without `weights` the bundled model is used, whose digest is known. Weights from elsewhere are compared with
    `expect_sha256` if given; without it they are only named by their digest. `variant` names another numeric path of
    the same kind, "" the usual one; `variants` is the folder with llama.cpp's, `endpoint` the server for "openai".
    Raises EngineUnavailable or a subclass, which say what to do.
    """
    match kind:
        case "toy":
            return _toy(variant)
        case "llama" | "exact" | "openai" | "transformers":
            expected = expect_sha256 or (model_weights.SHA256 if weights is None else None)
            path = weights or model_weights.bundled()
            if kind == "exact":
                return _exact(path, expected, progress)
            if kind == "transformers":
                return _transformers(path, expected, progress)
            if kind == "openai":
                if endpoint is None:
                    raise EngineUnavailable("no server is named for the engine 'openai': set openai_url")
                return OpenAIEngine(path, endpoint, expect_sha256=expected, progress=progress)
            return LlamaEngine(
                path, expect_sha256=expected, progress=progress, variant=variant, variants_folder=variants
            )
        case _:
            assert_never(kind)


def open_referee(
    referee: str,
    *,
    weights: Path | None = None,
    expect_sha256: bytes | None = None,
    progress: model_weights.Progress | None = None,
) -> Engine:
    """Open the engine that judges across classes. Blocks for seconds. Raises EngineUnavailable."""
    if referee == toy.REFEREE:
        return _toy(toy.REFEREE_PATH)
    if referee == EXACT_REFEREE:
        return open_engine("exact", weights=weights, expect_sha256=expect_sha256, progress=progress)
    known = ", ".join(REFEREES)
    raise EngineUnavailable(f"this p2pverify has no referee {referee!r}, only {known}: install one that has it")


def referee_for(engine: str) -> str:
    """The engine id of the referee between engines of a kind or id."""
    return toy.REFEREE if engine.startswith("toy") else EXACT_REFEREE


def _toy(path: str) -> ToyEngine:
    if path == toy.REFEREE_PATH:
        return ToyEngine(path=path, engine=toy.REFEREE)
    return ToyEngine(path=path or toy.PATH)


def _exact(path: Path, expected: bytes | None, progress: model_weights.Progress | None) -> Engine:
    from p2pverify.engine.exact import ExactEngine  # noqa: PLC0415 - few nodes need it, and it maps large files

    return ExactEngine(path, expect_sha256=expected, progress=progress)


def _transformers(path: Path, expected: bytes | None, progress: model_weights.Progress | None) -> Engine:
    from p2pverify.engine.transformers import TransformersEngine  # noqa: PLC0415 - an extra

    return TransformersEngine(path, expect_sha256=expected, progress=progress)
