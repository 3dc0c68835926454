"""One question, ready to be put to an engine."""

from collections.abc import Sequence
from dataclasses import dataclass

from p2pverify.node.ports import Engine, Generated, TokenScores


@dataclass(frozen=True, slots=True)
class Ask:
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

    def scored_by(self, engine: Engine, tokens: Sequence[int]) -> TokenScores:
        """What an engine says of an answer of at least one token."""
        return engine.score(self.prompt, tokens, temperature_milli=self.temperature_milli, sampler_key=self.sampler_key)
