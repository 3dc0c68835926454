"""Questions as a network asks them, from a seed: the judge's model writes the prompts, a hash draws the rest.

What a question is for goes into every hash, so that questions to calibrate with and questions to test with are never
the same, whatever their seeds.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from p2pverify.core.compare import Measure, measure
from p2pverify.node.ports import Engine, Generated, Scored

CALIBRATION = "calibration"
HELD_OUT = "held-out"
DOMAIN = "p2pverify/calibrate/1"


@dataclass(frozen=True, slots=True)
class Shape:
    """What is asked: lengths in tokens, and the share of greedy questions, as in a network's rules."""

    prompt_tokens: int = 32
    answer_tokens: int = 64
    temperature_milli: int = 800
    greedy_percent: int = 20


@dataclass(frozen=True, slots=True)
class Posed:
    """One question, ready to be put to an engine."""

    number: int
    prompt: tuple[int, ...]
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

    def scored_by(self, engine: Engine, tokens: Sequence[int]) -> Scored:
        """What an engine says of an answer of at least one token."""
        return engine.score(self.prompt, tokens, temperature_milli=self.temperature_milli, sampler_key=self.sampler_key)

    def measured_by(self, engine: Engine, answer: Generated) -> Measure:
        """The measure of an answer, with `engine` as the judge."""
        scored = self.scored_by(engine, answer.tokens)
        return measure(scored.deficits, scored.ends, answer.finish, self.tokens_max)


def pose(writer: Engine, purpose: str, seed: int, number: int, shape: Shape) -> Posed:
    """The question of a number. `writer` writes its prompt. Raises ValueError if its context is too short."""

    def drawn(what: str) -> bytes:
        return hashlib.sha256(f"{DOMAIN}\0{purpose}\0{seed}\0{number}\0{what}".encode()).digest()

    greedy = int.from_bytes(drawn("greedy")[:8], "big") % 100 < shape.greedy_percent
    return Posed(
        number,
        writer.write_prompt(drawn("prompt")[:16], shape.prompt_tokens),
        shape.answer_tokens,
        0 if greedy else shape.temperature_milli,
        drawn("key"),
    )
