"""The self-test: an engine answers golden questions, and the digests of its answers show its determinism class.

The questions are fixed texts, so that all engines with the same tokenizer get the same tokens. Some engines compute
other logits token by token than in one pass. Such logits equal those of no other engine, so the self-test reports none.
The module `classes` reads the answers.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from p2pverify.core.contract.golden import Golden, GoldenAnswer, GoldenQuestion, golden_answer
from p2pverify.core.encoding.canon import sha256
from p2pverify.core.inference.question import NO_LOGITS
from p2pverify.node.ports import GENERATE, SCORE, Engine, Generated

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


def golden_questions(engine: Engine) -> tuple[GoldenQuestion, ...]:
    """The usual questions, as tokens of the engine's vocabulary."""
    return tuple(
        GoldenQuestion(engine.encode_chat(text), ANSWER_TOKENS, temperature, sha256(text.encode()))
        for text, temperature in QUESTIONS
    )


def answer_golden(engine: Engine, questions: Sequence[GoldenQuestion]) -> tuple[GoldenAnswer, ...]:
    """The engine's answers. Blocks for seconds. Raises ValueError for questions of another vocabulary."""
    made = [answer_question(engine, question) for question in questions]
    longest = max(range(len(questions)), key=lambda index: len(questions[index].prompt), default=None)
    are_equal = longest is None or is_steady(engine, questions[longest], made[longest])
    return tuple(golden_answer(one.tokens, one.finish, one.logits_sha256 if are_equal else NO_LOGITS) for one in made)


def answer_question(engine: Engine, question: GoldenQuestion) -> Generated:
    """One answer. Blocks. Raises ValueError for a question of another vocabulary."""
    return engine.answer(
        question.prompt,
        tokens_max=question.tokens_max,
        temperature_milli=question.temperature_milli,
        sampler_key=question.sampler_key,
    )


def is_steady(engine: Engine, question: GoldenQuestion, made: Generated) -> bool:
    """Whether one pass over the answer gives the logits from which it was picked. True if the engine cannot score."""
    if SCORE not in engine.info.can:
        return True
    scored = engine.score(
        question.prompt,
        made.tokens,
        temperature_milli=question.temperature_milli,
        sampler_key=question.sampler_key,
    )
    return scored.logits_sha256 == made.logits_sha256


@dataclass(frozen=True, slots=True)
class Answered:
    """The questions of a self-test, and the engine's answers to them."""

    questions: tuple[GoldenQuestion, ...]
    answers: tuple[GoldenAnswer, ...]


def run_selftest(engine: Engine, goldens: Sequence[Golden]) -> tuple[Answered, ...]:
    """Answer the questions of golden vectors, each set once. Empty for an engine that cannot generate."""
    if GENERATE not in engine.info.can:
        return ()
    sets = dict.fromkeys(golden.questions for golden in goldens if golden.questions)
    return tuple(Answered(questions, answer_golden(engine, questions)) for questions in sets)
