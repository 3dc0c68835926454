"""One question for an engine."""

from collections.abc import Sequence
from dataclasses import dataclass

from p2pverify.node.ports import Engine, Generated, TokenScores


@dataclass(frozen=True, slots=True)
class Ask:
    """A question: the prompt's tokens, the answer's length limit, the temperature and the sampler's key."""

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
        """An engine's scores of an answer of at least one token."""
        return engine.score(self.prompt, tokens, temperature_milli=self.temperature_milli, sampler_key=self.sampler_key)
