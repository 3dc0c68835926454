"""Questions like those of a network, from a seed: the judge's model writes the prompts, a hash draws the rest.

Every hash includes the purpose of the question. So a question for calibration is never equal to a question for testing,
even with the same seed.
"""

import hashlib
from dataclasses import dataclass

from p2pverify.core.contract.output import Ask, Output
from p2pverify.core.inference.compare import Measure, TokenScores, measure
from p2pverify.node.ports import Engine

CALIBRATION = "calibration"
HELD_OUT = "held-out"
DOMAIN = "p2pverify/calibrate/1"


@dataclass(frozen=True, slots=True)
class QuestionShape:
    """The shape of questions: lengths in tokens, and the share of greedy questions, as in a network's rules."""

    prompt_tokens: int = 32
    answer_tokens: int = 64
    temperature_milli: int = 800
    greedy_percent: int = 20


@dataclass(frozen=True, slots=True)
class Posed(Ask):
    """A question with its number."""

    number: int

    def measure_of(self, output: Output, scored: TokenScores) -> Measure:
        """The measure of an answer with these scores."""
        return measure(scored.deficits, scored.ends, output.finish, self.tokens_max)

    def measured_by(self, engine: Engine, output: Output) -> Measure:
        """The measure of an answer, with `engine` as the judge."""
        return self.measure_of(output, engine.score(self, output.tokens))


def pose(
    writer: Engine, purpose: str, seed: int, number: int, shape: QuestionShape, prompt: tuple[int, ...] | None = None
) -> Posed:
    """The question with this number. `writer` writes its prompt, unless one is given.

    Raises ValueError if the writer's context is too short.
    """

    def drawn(what: str) -> bytes:
        return hashlib.sha256(f"{DOMAIN}\0{purpose}\0{seed}\0{number}\0{what}".encode()).digest()

    greedy = int.from_bytes(drawn("greedy")[:8], "big") % 100 < shape.greedy_percent
    return Posed(
        writer.write_prompt(drawn("prompt")[:16], shape.prompt_tokens) if prompt is None else prompt,
        shape.answer_tokens,
        0 if greedy else shape.temperature_milli,
        drawn("key"),
        number,
    )
