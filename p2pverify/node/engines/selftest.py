"""The self-test: an engine answers golden questions, and its digests say in which class it computes.

The questions are fixed texts, so that every engine over the same tokenizer is asked the same tokens. An engine whose
logits depend on how it computes them, token by token or in one pass, gives equal bits to nobody: for the purpose of
classes it shows no logits. What the answers mean is left to `classes`.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from p2pverify.core.contract.golden import Golden, GoldenAnswer, GoldenQuestion, golden_answer
from p2pverify.core.encoding.canon import sha256
from p2pverify.core.inference.question import NO_LOGITS
from p2pverify.node.ports import GENERATE, SCORE, Engine, Generated

_LONG = "Explain how a diesel engine works, and compare it with a petrol engine in terms of efficiency, cost and noise."
#: What a new manifest asks: text and temperature in thousandths. Paths that are close can agree for dozens of tokens:
#: llama.cpp for AVX2 and for AVX512 do in the first of these, and part at the sixth token of the second.
QUESTIONS = (
    ("Why is the sky blue?", 0),
    (_LONG, 0),
    ("List ten animals.", 800),
    ("Give me a recipe for bread with four ingredients.", 800),
)
ANSWER_TOKENS = 24


def golden_questions(engine: Engine) -> tuple[GoldenQuestion, ...]:
    """The usual questions, in the tokens of the engine's vocabulary."""
    return tuple(
        GoldenQuestion(engine.encode_chat(text), ANSWER_TOKENS, temperature, sha256(text.encode()))
        for text, temperature in QUESTIONS
    )


def answer_golden(engine: Engine, questions: Sequence[GoldenQuestion]) -> tuple[GoldenAnswer, ...]:
    """What the engine answers. Blocks for seconds. Raises ValueError for questions of another vocabulary."""
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
    """Whether one pass over the answer gives the logits from which it was picked, where the engine can tell."""
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
    """The questions that were asked, and the engine's answers to them."""

    questions: tuple[GoldenQuestion, ...]
    answers: tuple[GoldenAnswer, ...]


def run_selftest(engine: Engine, goldens: Sequence[Golden]) -> tuple[Answered, ...]:
    """Answer the questions of some golden vectors, each set once. An engine that generates nothing answers none."""
    if GENERATE not in engine.info.can:
        return ()
    sets = dict.fromkeys(golden.questions for golden in goldens if golden.questions)
    return tuple(Answered(questions, answer_golden(engine, questions)) for questions in sets)
