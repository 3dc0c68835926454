"""The engine of a home that has no weights yet: it computes nothing."""

# ruff: noqa: ARG002 - it has the arguments of an engine

from collections.abc import Sequence

from p2pverify.core.contract.output import Ask
from p2pverify.core.inference.compare import TokenScores
from p2pverify.node.ports import Engine, Generated, Hear, ModelInfo, unheard

_INFO = ModelInfo("none", bytes(32), bytes(32), bytes(32), "none", "none", "none", "none", 1, 1, frozenset())


class NoEngine(Engine):
    """Every method but `info` and `close` raises ValueError."""

    @property
    def info(self) -> ModelInfo:
        return _INFO

    def write_prompt(self, seed: bytes, tokens_max: int) -> tuple[int, ...]:
        raise ValueError(_WHY)

    def answer(self, ask: Ask, hear: Hear = unheard) -> Generated:
        raise ValueError(_WHY)

    def score(self, ask: Ask, tokens: Sequence[int]) -> TokenScores:
        raise ValueError(_WHY)

    def encode_chat(self, text: str, system: str = "") -> tuple[int, ...]:
        raise ValueError(_WHY)

    def encode_text(self, text: str) -> tuple[int, ...]:
        raise ValueError(_WHY)

    def decode(self, tokens: Sequence[int]) -> str:
        raise ValueError(_WHY)

    def close(self) -> None:
        """There is nothing to close."""


_WHY = "this machine has no weights of the model yet"
