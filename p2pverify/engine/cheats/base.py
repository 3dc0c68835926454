"""The base of all lying engines: an honest engine whose passes are counted, a share of the questions, and a lie."""

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from typing import Protocol

from p2pverify.core.contract.output import Ask
from p2pverify.core.inference.compare import TokenScores
from p2pverify.node.ports import Engine, Generated, Hear, ModelInfo, unheard

DOMAIN = b"p2pverify/cheat/1\0"


class Lie(Protocol):
    """The false answer to a question that fits. A lie tells its tokens as an engine does, once they are certain."""

    def __call__(self, asked: Ask, hear: Hear = unheard, /) -> Generated: ...


def check_fits(asked: Ask, info: ModelInfo) -> None:
    """Refuse a question that every engine refuses, for lies that ask no engine. Raises ValueError."""
    if not asked.prompt or asked.tokens_max < 1 or asked.temperature_milli < 0:
        raise ValueError("the question is empty, asks for no token, or has a negative temperature")
    if len(asked.prompt) + asked.tokens_max > info.context_tokens:
        raise ValueError(f"the question does not fit a context of {info.context_tokens}")
    if any(not 0 <= token < info.vocab_tokens for token in asked.prompt):
        raise ValueError(f"a token is not in the vocabulary of {info.vocab_tokens}")


def digest_of(asked: Ask, domain: bytes) -> bytes:
    """A digest (32 B) of the prompt and the sampler key."""
    tokens = b"".join(token.to_bytes(4, "big") for token in asked.prompt)
    return hashlib.sha256(DOMAIN + domain + b"\0" + tokens + b"\0" + asked.sampler_key).digest()


class CountedEngine:
    """Implements the node's port `Engine` with another engine, and counts in `passes` the passes through its model.

    An answer takes one pass for each of its tokens, and a scored answer takes one in all.
    """

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.passes = 0

    @property
    def info(self) -> ModelInfo:
        return replace(self.engine.info, lanes=1)

    def write_prompt(self, seed: bytes, tokens_max: int) -> tuple[int, ...]:
        return self.engine.write_prompt(seed, tokens_max)

    def encode_chat(self, text: str, system: str = "") -> tuple[int, ...]:
        return self.engine.encode_chat(text, system)

    def encode_text(self, text: str) -> tuple[int, ...]:
        return self.engine.encode_text(text)

    def decode(self, tokens: Sequence[int]) -> str:
        return self.engine.decode(tokens)

    def answer(self, ask: Ask, hear: Hear = unheard) -> Generated:
        made = self.engine.answer(ask, hear)
        self.passes += len(made.output.tokens)
        return made

    def score(self, ask: Ask, tokens: Sequence[int]) -> TokenScores:
        self.passes += 1
        return self.engine.score(ask, tokens)

    def close(self) -> None:
        self.engine.close()


class CheatingEngine:
    """Implements the node's port `Engine`, and lies with `lie` on a share of the questions: `rate`, as in `CheatSpec`.

    `other` is an engine that the lie uses. It is closed with this one. `writer` writes the prompts; by default it is
    the honest engine.
    """

    def __init__(
        self, engine: CountedEngine, rate: float, lie: Lie, other: Engine | None = None, writer: Engine | None = None
    ) -> None:
        self._counted = engine
        self.engine = engine.engine
        self._threshold = int(rate * 2**64)
        self._lie = lie
        self._other = other
        self._writer = self.engine if writer is None else writer

    @property
    def passes(self) -> int:
        """The passes through the honest model that the answers so far took. An honest answer takes one a token."""
        return self._counted.passes

    @property
    def info(self) -> ModelInfo:
        return self._counted.info

    def write_prompt(self, seed: bytes, tokens_max: int) -> tuple[int, ...]:
        return self._writer.write_prompt(seed, tokens_max)

    def encode_chat(self, text: str, system: str = "") -> tuple[int, ...]:
        return self.engine.encode_chat(text, system)

    def encode_text(self, text: str) -> tuple[int, ...]:
        return self.engine.encode_text(text)

    def decode(self, tokens: Sequence[int]) -> str:
        return self.engine.decode(tokens)

    def score(self, ask: Ask, tokens: Sequence[int]) -> TokenScores:
        return self.engine.score(ask, tokens)

    def close(self) -> None:
        if self._other is not None:
            self._other.close()
        self.engine.close()

    def answer(self, ask: Ask, hear: Hear = unheard) -> Generated:
        check_fits(ask, self.info)
        lies = int.from_bytes(digest_of(ask, b"pick")[:8], "big") < self._threshold
        return self._lie(ask, hear) if lies else self._counted.answer(ask, hear)
