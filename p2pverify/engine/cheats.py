"""Engines that lie, each around an honest one, so that a testnet can show that they are found out.

A cheat lies on a share of questions that it picks by a hash of the question, so that a repeated question gets the
same answer. It claims the honest engine's identity, and refuses what the honest engine would refuse. Not answering
at all is not an engine's matter.
"""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from p2pverify.engine.gguf_prune import prune
from p2pverify.engine.llama import LlamaEngine
from p2pverify.engine.toy import ToyEngine
from p2pverify.node.ports import Engine, Generated, ModelInfo

KINDS = ("prune", "canned", "truncate", "wrong-seed", "garbage")
PRUNED_LAYERS = range(13, 19)  # of 30: a fifth faster, and still fluent
CANNED_TEXT = "Tell me something interesting."
CANNED_MAX = 64

DOMAIN = b"p2pverify/cheat/1\0"


@dataclass(frozen=True, slots=True)
class Asked:
    """What an engine is asked to answer."""

    prompt: Sequence[int]
    tokens_max: int
    temperature_milli: int
    sampler_key: bytes

    def put_to(self, engine: Engine) -> Generated:
        return engine.answer(
            self.prompt,
            tokens_max=self.tokens_max,
            temperature_milli=self.temperature_milli,
            sampler_key=self.sampler_key,
        )

    def check_fits(self, info: ModelInfo) -> None:
        """What every engine refuses, for lies that ask no engine. Raises ValueError."""
        if not self.prompt or self.tokens_max < 1 or self.temperature_milli < 0:
            raise ValueError("the question is empty, asks for no token, or has a negative temperature")
        if len(self.prompt) + self.tokens_max > info.context_tokens:
            raise ValueError(f"the question does not fit a context of {info.context_tokens}")
        if any(not 0 <= token < info.vocab_tokens for token in self.prompt):
            raise ValueError(f"a token is not in the vocabulary of {info.vocab_tokens}")

    def digest(self, domain: bytes) -> bytes:
        """32 bytes that follow from prompt and sampler key."""
        tokens = b"".join(token.to_bytes(4, "big") for token in self.prompt)
        return hashlib.sha256(DOMAIN + domain + b"\0" + tokens + b"\0" + self.sampler_key).digest()


Lie = Callable[[Asked], Generated]
"""The false answer to a question that fits."""


class Cheat:
    """Fulfils the node's `Engine` port, lying with `lie` on a share of the questions."""

    def __init__(self, engine: Engine, rate: float, lie: Lie) -> None:
        if not 0 <= rate <= 1:
            raise ValueError(f"a cheat's rate is between 0 and 1, not {rate}")
        self.engine = engine
        self._threshold = int(rate * 2**64)
        self._lie = lie

    @property
    def info(self) -> ModelInfo:
        return self.engine.info

    def write_prompt(self, seed: bytes, tokens_max: int) -> tuple[int, ...]:
        return self.engine.write_prompt(seed, tokens_max)

    def encode_chat(self, text: str) -> tuple[int, ...]:
        return self.engine.encode_chat(text)

    def decode(self, tokens: Sequence[int]) -> str:
        return self.engine.decode(tokens)

    def close(self) -> None:
        self.engine.close()

    def answer(
        self, prompt: Sequence[int], *, tokens_max: int, temperature_milli: int, sampler_key: bytes
    ) -> Generated:
        asked = Asked(prompt, tokens_max, temperature_milli, sampler_key)
        asked.check_fits(self.info)
        if int.from_bytes(asked.digest(b"pick")[:8], "big") < self._threshold:
            return self._lie(asked)
        return asked.put_to(self.engine)


class Pruned(Cheat):
    """Serves a cheaper model under the honest one's name."""

    def __init__(self, engine: Engine, rate: float, cheaper: Engine, *, derive_honestly: bool) -> None:
        """With `derive_honestly` prompts are written by the honest model, which is seldom; else by the cheaper one."""
        super().__init__(engine, rate, lambda asked: asked.put_to(cheaper))
        self.cheaper = cheaper
        self._writer = engine if derive_honestly else cheaper

    def write_prompt(self, seed: bytes, tokens_max: int) -> tuple[int, ...]:
        return self._writer.write_prompt(seed, tokens_max)

    def close(self) -> None:
        self.cheaper.close()
        super().close()


def make_cheat(kind: str, rate: float, engine: Engine, workdir: Path, *, derive_honestly: bool = True) -> Engine:
    """An engine that lies on a share `rate` (0 to 1) of the questions; it owns `engine` from now on.

    `kind` is one of KINDS; "prune" writes its cheaper model into `workdir`, which exists. Raises ValueError for
    an unknown kind, rate or engine, EngineUnavailable if the cheaper model cannot be made.
    """
    match kind:
        case "prune":
            return Pruned(engine, rate, _cheaper(engine, workdir), derive_honestly=derive_honestly)
        case "canned":
            return Cheat(engine, rate, canned(engine))
        case "truncate":
            return Cheat(engine, rate, truncated(engine))
        case "wrong-seed":
            return Cheat(engine, rate, wrongly_seeded(engine))
        case "garbage":
            return Cheat(engine, rate, garbage(engine))
        case _:
            raise ValueError(f"no cheat is called {kind!r}: there are {', '.join(KINDS)}")


def canned(engine: Engine) -> Lie:
    """Answers every question as if it were one other question, which it computes once per length and temperature."""
    prompt = engine.encode_chat(CANNED_TEXT)
    room = engine.info.context_tokens - len(prompt)
    kept: dict[tuple[int, int], Generated] = {}

    def lie(asked: Asked) -> Generated:
        shape = (min(asked.tokens_max, room), asked.temperature_milli)
        if shape not in kept:
            if len(kept) >= CANNED_MAX:
                kept.clear()
            kept[shape] = Asked(prompt, *shape, bytes(32)).put_to(engine)
        return replace(kept[shape], first_token_ms=0, total_ms=0)

    return lie


def truncated(engine: Engine) -> Lie:
    """Stops halfway and says that this was the end."""

    def lie(asked: Asked) -> Generated:
        half = replace(asked, tokens_max=(asked.tokens_max + 1) // 2).put_to(engine)
        if half.finish == "length":
            return replace(half, finish="stop")
        return replace(half, tokens=half.tokens[: max(1, len(half.tokens) // 2)], finish="length")

    return lie


def wrongly_seeded(engine: Engine) -> Lie:
    """Samples with a key of its own; its greedy answers are honest."""
    return lambda asked: replace(asked, sampler_key=asked.digest(b"key")).put_to(engine)


def garbage(engine: Engine) -> Lie:
    """Runs no model: tokens by hash, as many as were asked for."""
    vocab_tokens = engine.info.vocab_tokens

    def lie(asked: Asked) -> Generated:
        stream = hashlib.shake_256(asked.digest(b"garbage")).digest(4 * asked.tokens_max)
        tokens = (int.from_bytes(stream[at : at + 4], "big") % vocab_tokens for at in range(0, len(stream), 4))
        return Generated(tuple(tokens), "length", 0, 0)

    return lie


def _cheaper(engine: Engine, workdir: Path) -> Engine:
    match engine:
        case ToyEngine():
            return ToyEngine(variant="pruned")
        case LlamaEngine():
            target = workdir / f"pruned-{PRUNED_LAYERS.start}-{PRUNED_LAYERS.stop - 1}.gguf"
            prune(engine.path, target, PRUNED_LAYERS)
            return LlamaEngine(target)
        case _:
            raise ValueError("only a llama or a toy engine can be pruned")
