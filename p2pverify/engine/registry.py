"""Opens an engine by its kind, and the referee of a network by its id. Only this module knows all engines."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from p2pverify.engine import toy
from p2pverify.engine.errors import EngineUnavailable
from p2pverify.engine.gguf import weights as model_weights
from p2pverify.engine.llama.causal import CONTEXT_TOKENS
from p2pverify.engine.llama.engine import LlamaEngine
from p2pverify.engine.openai import Endpoint, OpenAIEngine
from p2pverify.engine.toy import ToyEngine
from p2pverify.node.engines.kinds import REFEREES, EngineKind, is_referee, referee_path
from p2pverify.node.ports import Engine


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineOpening:
    """What an engine is opened with; an engine ignores what it does not need.

    - `weights`: a model file instead of the bundled model; of a toy any file.
    - `expect_sha256`: the digest that other weights must have. Without it, their digest is only their name.
    - `variant`: another numeric path of the same kind, or the device of the engine "exact"; "" is the usual one.
    - `variants`: the folder with the variants of llama.cpp.
    - `endpoint`: the server of the engine "openai".
    - `context_tokens`: the most tokens of prompt and answer together, if the model allows as many.
    - `lanes`: how many questions are answered at a time, each with memory for `context_tokens`.
    """

    weights: Path | None = None
    variant: str = ""
    variants: Path | None = None
    endpoint: Endpoint | None = None
    expect_sha256: bytes | None = None
    progress: model_weights.Progress | None = None
    context_tokens: int = CONTEXT_TOKENS
    lanes: int = 1

    @property
    def path(self) -> Path:
        """The weights. Raises EngineUnavailable if none are given and the bundled model is missing."""
        return self.weights or model_weights.bundled()

    @property
    def expected(self) -> bytes | None:
        return self.expect_sha256 or (model_weights.SHA256 if self.weights is None else None)


BUNDLED = EngineOpening()  # with the bundled model, on the usual path


def open_engine(kind: EngineKind, given: EngineOpening = BUNDLED) -> Engine:
    """Open an engine. Blocks for about half a second, so call it in a thread.

    Raises EngineUnavailable or a subclass, and the message says what to do.
    """
    return OPENERS[kind](given)


def open_referee(referee: str, given: EngineOpening = BUNDLED) -> Engine:
    """Open the engine that judges across classes. Blocks for seconds. Raises EngineUnavailable."""
    if referee not in REFEREES:
        known = ", ".join(REFEREES)
        raise EngineUnavailable(f"this p2pverify has no referee {referee!r}, only {known}: install one that has it")
    kind = REFEREES[referee]
    opened = open_engine(kind, replace(given, variant=toy.REFEREE_PATH if kind == "toy" else ""))
    if not is_referee(referee, opened.info.engine, opened.info.numeric_path):
        found = f"{opened.info.engine} {opened.info.numeric_path}"
        opened.close()
        raise EngineUnavailable(
            f"this machine computes {found}, and the referee is {referee} {referee_path(referee)}: "
            f"run the node on a machine that has it"
        )
    return opened


def _llama(given: EngineOpening) -> Engine:
    return LlamaEngine(
        given.path,
        expect_sha256=given.expected,
        progress=given.progress,
        variant=given.variant,
        variants_folder=given.variants,
        context_tokens=given.context_tokens,
        lanes=given.lanes,
    )


def _exact(given: EngineOpening) -> Engine:
    from p2pverify.engine.exact import ExactEngine  # noqa: PLC0415 - few nodes need it, and it maps large files

    return ExactEngine(
        given.path,
        expect_sha256=given.expected,
        progress=given.progress,
        context_tokens=given.context_tokens,
        variant=given.variant,
    )


def _openai(given: EngineOpening) -> Engine:
    path = given.path
    if given.endpoint is None:
        raise EngineUnavailable("no server is named for the engine 'openai': set openai_url")
    return OpenAIEngine(
        path,
        given.endpoint,
        expect_sha256=given.expected,
        progress=given.progress,
        context_tokens=given.context_tokens,
    )


def _transformers(given: EngineOpening) -> Engine:
    from p2pverify.engine.transformers import TransformersEngine  # noqa: PLC0415 - an extra

    return TransformersEngine(
        given.path, expect_sha256=given.expected, progress=given.progress, context_tokens=given.context_tokens
    )


def _tabular(given: EngineOpening) -> Engine:
    from p2pverify.engine.tabular.engine import NUMERIC_PATH, open_model  # noqa: PLC0415 - few nodes need it

    if given.weights is None:
        raise EngineUnavailable("no tabular model is bundled: name the file of one with --weights")
    if given.variant not in ("", NUMERIC_PATH):
        raise EngineUnavailable(f"tabular models have one numeric path, {NUMERIC_PATH!r}: leave out {given.variant!r}")
    return open_model(given.weights, given.expect_sha256, given.progress)


def _toy(given: EngineOpening) -> Engine:
    name, digest = "honest", None
    if given.weights is not None:
        name, digest = given.weights.stem[:64], model_weights.check(given.weights, given.expect_sha256)
    if given.variant == toy.REFEREE_PATH:
        return ToyEngine(name, path=toy.REFEREE_PATH, engine=toy.REFEREE, weights=digest)
    return ToyEngine(name, path=given.variant or toy.PATH, weights=digest)


OPENERS: dict[EngineKind, Callable[[EngineOpening], Engine]] = {
    "llama": _llama,
    "exact": _exact,
    "openai": _openai,
    "transformers": _transformers,
    "toy": _toy,
    "tabular": _tabular,
}
