"""Lies that need other weights: a cheaper model, or just another model, under the name of the honest model."""

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from p2pverify.core.contract.output import Ask, Output
from p2pverify.engine.chat import frame
from p2pverify.engine.cheats.base import Lie
from p2pverify.engine.exact import ExactEngine
from p2pverify.engine.gguf.prune import layer_count, prune, reverse
from p2pverify.engine.gguf.quantise import FORMATS, requantise
from p2pverify.engine.gguf.reader import read_head
from p2pverify.engine.llama.engine import LlamaEngine
from p2pverify.engine.toy import ToyEngine
from p2pverify.node.files.textfile import user_path
from p2pverify.node.ports import Engine, Generated, Hear, unheard

QUANTISATION = "q4_0"
LAYERS_MIN = 6


def pruned_layers(count: int) -> range:
    """The layers that a cheaper model lacks, of a model with `count`: of 30 a fifth, which leaves it fluent.

    Raises ValueError if the model has too few.
    """
    return _checked(count, range(13 * count // 30, 19 * count // 30))


def reversed_layers(count: int) -> range:
    """The layers that stand in reverse order in another model: the middle third. Raises ValueError, as before."""
    return _checked(count, range(count // 3, 2 * count // 3))


def _checked(count: int, layers: range) -> range:
    if len(layers) < 1 or count < LAYERS_MIN:
        raise ValueError(f"a model with {count} layers has too few to leave out or to reverse: at least {LAYERS_MIN}")
    return layers


def pruned(engine: Engine, workdir: Path) -> Engine:
    """The engine's weights without some layers."""
    return _made(
        engine, workdir, "pruned", "pruned", lambda s, t: prune(s, t, pruned_layers(layer_count(read_head(s))))
    )


def quantised(engine: Engine, workdir: Path, form: str = QUANTISATION) -> Engine:
    """The engine's weights in another quantisation. Raises ValueError for an unknown one."""
    if form not in FORMATS:
        raise ValueError(f"no quantisation is called {form!r}: there are {', '.join(FORMATS)}")
    return _made(engine, workdir, form, form, lambda source, target: requantise(source, target, form))


def other(engine: Engine, workdir: Path, path: str = "") -> Engine:
    """Another model: the GGUF file at `path`, if one is given.

    Without a path, it is our own tensors with some layers in reverse order: as fast as the honest model, and trained by
    nobody.
    """
    if not path:
        return _made(
            engine, workdir, "reversed", "other", lambda s, t: reverse(s, t, reversed_layers(layer_count(read_head(s))))
        )
    if not isinstance(engine, LlamaEngine | ExactEngine):
        raise ValueError("only a llama or an exact engine can load another model's weights")
    return _like(engine, user_path(path))


def served_by(engine: Engine, model: Engine) -> Lie:
    """Lets another model answer.

    If its tokenizer differs, prompt and answer are converted as text. The digest of its logits is then that of its own
    tokens.
    """
    if model.info.tokenizer_sha256 == engine.info.tokenizer_sha256:
        return model.answer
    before, after = frame(engine)

    def lie(asked: Ask, _hear: Hear = unheard) -> Generated:
        text = engine.decode(asked.prompt[before : len(asked.prompt) - after])
        answer = model.answer(replace(asked, prompt=model.encode_chat(text)))
        tokens = engine.encode_text(model.decode(answer.output.tokens))[: asked.tokens_max]
        finish = "length" if len(tokens) == asked.tokens_max else "stop"
        return replace(answer, output=Output(tokens, finish, answer.output.logits))

    return lie


def evidenced(engine: Engine, lie: Lie) -> Lie:
    """Lets the honest model read a false answer once, so that the digest of the logits is the honest model's."""

    def told(asked: Ask, hear: Hear = unheard) -> Generated:
        false = lie(asked, hear)
        honest = engine.score(asked, false.output.tokens)
        return replace(false, output=replace(false.output, logits=honest.logits))

    return told


def _made(engine: Engine, workdir: Path, name: str, variant: str, make: Callable[[Path, Path], None]) -> Engine:
    """An engine like the given one, with weights made from its weights. They are written into `workdir` once."""
    match engine:
        case ToyEngine():
            return ToyEngine(variant, path=engine.info.numeric_path, engine=engine.info.engine)
        case LlamaEngine() | ExactEngine():
            target = workdir / f"{name}-{engine.info.weights_sha256[:8].hex()}.gguf"
            if not target.exists():
                make(engine.path, target)
            return _like(engine, target)
        case _:
            raise ValueError("other weights can be made for an engine of our own only")


def _like(engine: LlamaEngine | ExactEngine, path: Path) -> Engine:
    """An engine in the same numeric path with other weights."""
    if not os.access(path, os.R_OK):
        raise ValueError(f"there are no weights to read at {path}")
    context_tokens = engine.info.context_tokens
    if isinstance(engine, ExactEngine):
        return ExactEngine(path, cache=path.parent, context_tokens=context_tokens)
    return LlamaEngine(
        path, variant=engine.variant, variants_folder=engine.variants_folder, context_tokens=context_tokens
    )
