"""The self-test: an engine answers golden questions, and the digests of its answers show its determinism class.

The questions are fixed texts, so that all engines with the same tokenizer get the same tokens. Some engines compute
other logits token by token than in one pass. Such logits equal those of no other engine, so the self-test reports none.
The module `classes` reads the answers.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from p2pverify.core.contract.golden import Golden, GoldenAnswer, golden_answer
from p2pverify.core.contract.output import NO_LOGITS, Ask, Output
from p2pverify.core.encoding.canon import sha256
from p2pverify.node.ports import GENERATE, SCORE, Engine

_LONG = "Explain how a diesel engine works, and compare it with a petrol engine in terms of efficiency, cost and noise."
#: The questions of a new manifest: text, and temperature in thousandths. Similar numeric paths can agree for dozens of
#: tokens: llama.cpp for AVX2 and for AVX512 agree in the first question, and differ at the sixth token of the second.
QUESTIONS = (
    ("Why is the sky blue?", 0),
    (_LONG, 0),
    ("List ten animals.", 800),
    ("Give me a recipe for bread with four ingredients.", 800),
)
ANSWER_TOKENS = 24


def golden_questions(engine: Engine) -> tuple[Ask, ...]:
    """The usual questions, as tokens of the engine's vocabulary."""
    return tuple(
        Ask(engine.encode_chat(text), ANSWER_TOKENS, temperature, sha256(text.encode()))
        for text, temperature in QUESTIONS
    )


def answer_golden(engine: Engine, questions: Sequence[Ask]) -> tuple[GoldenAnswer, ...]:
    """The engine's answers. Blocks for seconds. Raises ValueError for questions of another vocabulary."""
    made = [engine.answer(question).output for question in questions]
    longest = max(range(len(questions)), key=lambda index: len(questions[index].prompt), default=None)
    are_equal = longest is None or is_steady(engine, questions[longest], made[longest])
    return tuple(golden_answer(one if are_equal else replace(one, logits=NO_LOGITS)) for one in made)


def is_steady(engine: Engine, question: Ask, made: Output) -> bool:
    """Whether one pass over the answer gives the logits from which it was picked. True if the engine cannot score."""
    return SCORE not in engine.info.can or engine.score(question, made.tokens).logits == made.logits


@dataclass(frozen=True, slots=True)
class Answered:
    """The questions of a self-test, and the engine's answers to them."""

    questions: tuple[Ask, ...]
    answers: tuple[GoldenAnswer, ...]


def run_selftest(engine: Engine, goldens: Sequence[Golden]) -> tuple[Answered, ...]:
    """Answer the questions of golden vectors, each set once. Empty for an engine that cannot generate."""
    if GENERATE not in engine.info.can:
        return ()
    sets = dict.fromkeys(golden.questions for golden in goldens if golden.questions)
    return tuple(Answered(questions, answer_golden(engine, questions)) for questions in sets)
