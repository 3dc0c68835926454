"""Causes of real differences: the bundled model judges its own answers, which were made in different ways."""

from dataclasses import replace

import pytest

from p2pverify.core.contract.classes import Across
from p2pverify.core.contract.output import Output
from p2pverify.core.inference.diagnosis import Cause, Finding, find_cause
from p2pverify.engine.calibrate import HELD_OUT, Posed, QuestionShape, pose
from p2pverify.engine.llama.engine import LlamaEngine
from tests.support.claims import claim_of

BOUNDS = Across(200_000, 500, 300_000, 1_000, 1_100_000, 10_000)
SHAPE = QuestionShape(prompt_tokens=16, answer_tokens=32, greedy_percent=0)
HOT = 1_200


@pytest.fixture(scope="module")
def question(llama: LlamaEngine) -> Posed:
    return pose(llama, HELD_OUT, 0, 4, SHAPE)


def cause_of(llama: LlamaEngine, question: Posed, answer: Output, *supposed: int) -> Finding:
    """The judge's finding on an answer. The numbers are temperatures to suppose."""
    return find_cause(claim_of(llama, question, answer, supposed, in_class=True), BOUNDS)


def test_an_honest_answer_has_none(llama: LlamaEngine, question: Posed) -> None:
    """The model's own answer has equal bits. With other logits, the cause is other numerics."""
    answer = llama.answer(question).output
    assert cause_of(llama, question, answer) == Finding(Cause.NONE, None, 0)
    assert cause_of(llama, question, replace(answer, logits=bytes(32))).cause is Cause.NUMERICS


def test_another_seed(llama: LlamaEngine, question: Posed) -> None:
    """The tokens are likely, but not those of this key."""
    answer = llama.answer(replace(question, sampler_key=bytes(32))).output
    found = cause_of(llama, question, answer, 0, 1_000)
    assert found.cause is Cause.SEED
    assert found.margin > 0


def test_another_temperature(llama: LlamaEngine, question: Posed) -> None:
    """The right temperature explains every token, also for a greedy answer."""
    hot = llama.answer(replace(question, temperature_milli=HOT)).output
    found = cause_of(llama, question, hot, 0, 1_000, HOT)
    assert (found.cause, found.value) == (Cause.TEMPERATURE, HOT)
    cold = llama.answer(replace(question, temperature_milli=0)).output
    found = cause_of(llama, question, cold, 0, 1_000, HOT)
    assert (found.cause, found.value) == (Cause.TEMPERATURE, 0)


def test_a_cut_answer(llama: LlamaEngine, question: Posed) -> None:
    """The answer is cut after a few tokens, with and without an ending token."""
    answer = llama.answer(question).output
    short = replace(answer, tokens=answer.tokens[:20], finish="length")
    assert cause_of(llama, question, short) == Finding(Cause.TRUNCATED, 20, 0)
    ended = replace(answer, tokens=(*answer.tokens[:20], 2), finish="stop")
    found = cause_of(llama, question, ended)
    assert (found.cause, found.position) == (Cause.TRUNCATED, 20)
    assert found.margin > BOUNDS.end_max


def test_an_answer_to_something_else(llama: LlamaEngine, question: Posed) -> None:
    """It is no near tie, no other temperature, and no answer of the model with another seed."""
    other = pose(llama, HELD_OUT, 0, 5, SHAPE)
    answer = llama.answer(replace(question, prompt=other.prompt)).output
    assert cause_of(llama, question, answer, 0, 1_000).cause in {Cause.PROMPT, Cause.MODEL, Cause.QUANTISATION}
