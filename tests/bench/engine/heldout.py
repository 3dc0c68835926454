"""Honest and false answers to held-out questions, with the judge's results, kept in files.

Each source has its own file with a line per answer. So a run can be stopped and continued, several runs can share the
work, and every figure can be recomputed. Each source gets its own numbers of questions, so no two sources answer the
same question.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from p2pverify.core.contract.classes import ANY, Across
from p2pverify.core.contract.output import NO_KEY, NO_LOGITS, Ask, Output
from p2pverify.core.inference.compare import Measure, TokenScores, measure
from p2pverify.core.inference.diagnosis import TEMPERATURES, Cause, ClaimedAnswer, Supposition
from p2pverify.engine.calibrate import CALIBRATION, HELD_OUT, Posed, QuestionShape, pose
from p2pverify.engine.calibrate.producers import Make, Producer, open_path
from p2pverify.engine.cheats.make import make_cheat
from p2pverify.engine.cheats.rules import KnownRules
from p2pverify.engine.cheats.spec import parse_spec
from p2pverify.node.engines.kinds import DEFAULT_ENGINE, referee_for
from p2pverify.node.files.manifestfile import known_manifest
from p2pverify.node.ports import Engine, ModelInfo
from tests.support.claims import claim_of

HONEST = ("wheel", "wheel/kv-f16", "skylakex", "sandybridge", "sse42")
CHEATS = (
    *("quantize:q8_0", "quantize:q5_0", "quantize:q4_0", "quantize:q3", "prune", "other-model", "canned"),
    *("wrong-seed", "temperature:1.0", "system-prompt", "truncate", "cut", "garbage"),
    *("temperature:0.82", "draft", "budget", "certain"),
)
#: An honest answer that is cut short and gets an ending token. This module makes it from the wheel's answers.
CUT = "cut"
CHEATS_PATH = "wheel"
WRITER_PATH = "wheel"  # it writes prompts several times as fast as the exact engine
HONEST_IF_GREEDY = frozenset({"wrong-seed", "temperature:1.0", "temperature:0.82"})
STRIDE = 100_000  # the count of question numbers for one source
SHAPE = QuestionShape()
END_TOKEN = 2


@dataclass(frozen=True, slots=True)
class Case:
    """One judged answer. `supposed` has its margins at other temperatures, if these were tried."""

    number: int
    claim: ClaimedAnswer

    @property
    def measure(self) -> Measure:
        claim = self.claim
        return measure(claim.scores.deficits, claim.scores.ends, claim.output.finish, claim.ask.tokens_max)


def file_of(folder: Path, source: str) -> Path:
    return folder / f"{source.replace('/', '_').replace(':', '_')}.jsonl"


def cases(folder: Path, source: str) -> list[Case]:
    """The kept answers of a source."""
    path = file_of(folder, source)
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    return [_case(json.loads(line)) for line in lines]


def work(
    judge: Engine, folder: Path, source: str, count: int, seed: int, suppose: int, purpose: str = HELD_OUT
) -> Iterator[int]:
    """Put `count` questions to a source, less the earlier ones, and yield after each the number so far.

    Answers to the first `suppose` questions are also scored at other temperatures. Cheats that are honest about greedy
    questions do not get greedy questions. Questions of calibration are the same ones for all sources, as in
    `p2pverify model calibrate`.
    """
    path = file_of(folder, source)
    first = 0 if purpose == CALIBRATION else STRIDE * (HONEST + CHEATS).index(source)
    had = next((case.number - first + 1 for case in reversed(cases(folder, source))), 0)
    if had >= count:
        return
    writer = open_path(WRITER_PATH)
    questions = [pose(writer, purpose, seed, first + number, SHAPE) for number in range(had, count)]
    writer.close()
    if source in HONEST_IF_GREEDY:
        questions = [question for question in questions if question.temperature_milli]
    with Producer(maker(source, folder)) as producer, path.open("a", encoding="utf-8") as file:
        for question, answer in zip(questions, producer.answers(questions), strict=True):
            kept = cut(question, answer) if source == CUT else answer
            case = judged(judge, question, kept, suppose=question.number - first < suppose)
            file.write(json.dumps(_line(case)) + "\n")
            file.flush()
            yield question.number - first + 1


def maker(source: str, folder: Path) -> Make:
    """A function that opens the engine of a source: an honest path, or a cheat on the wheel's path."""
    if source in HONEST or source == CUT:
        return partial(open_path, CHEATS_PATH if source == CUT else source)
    return partial(open_cheat, source, folder)


def open_cheat(spec: str, folder: Path) -> Engine:
    """A cheat that knows the thresholds that ship with p2pverify, and takes every question for an audit."""
    engine = open_path(CHEATS_PATH)
    lengths = range(SHAPE.answer_tokens, SHAPE.answer_tokens + 1)
    rules = KnownRules(shipped(engine.info), SHAPE.prompt_tokens, lengths)
    return make_cheat(parse_spec(spec), engine, folder, rules=rules)


def shipped(info: ModelInfo) -> Across:
    """The packaged thresholds of a model for all paths except the judge's own."""
    manifest = known_manifest(info)
    assert manifest is not None, "no manifest of this model comes with p2pverify"
    return manifest.bounds(referee_for(DEFAULT_ENGINE))[ANY, ANY]


def cut(question: Posed, answer: Output) -> Output:
    """The answer up to a position that follows from its question, and an ending token."""
    place = int.from_bytes(question.sampler_key[:4], "big") % max(1, len(answer.tokens) - 1)
    return Output((*answer.tokens[:place], END_TOKEN), "stop")


def judged(judge: Engine, question: Posed, answer: Output, *, suppose: bool) -> Case:
    others = [milli for milli in TEMPERATURES if milli != question.temperature_milli] if suppose else []
    return Case(question.number, claim_of(judge, question, answer, others))


def _line(case: Case) -> dict[str, Any]:
    claim = case.claim
    return {
        "number": case.number,
        "tokens": claim.output.tokens,
        "best": claim.scores.best,
        "deficits": claim.scores.deficits,
        "surprisals": claim.scores.surprisals,
        "ends": claim.scores.ends,
        "finish": claim.output.finish,
        "tokens_max": claim.ask.tokens_max,
        "temperature_milli": claim.ask.temperature_milli,
        "suppositions": [(one.value, one.deficits) for one in claim.suppositions],
    }


def _case(line: dict[str, Any]) -> Case:
    """The case of a line, without prompt, key and logits: no cause depends on them here."""
    ask = Ask((), line["tokens_max"], line["temperature_milli"], NO_KEY)
    output = Output(tuple(line["tokens"]), line["finish"])
    deficits, surprisals, best, ends = (tuple(line[name]) for name in ("deficits", "surprisals", "best", "ends"))
    scores = TokenScores(deficits, surprisals, best, ends, NO_LOGITS)
    made = tuple(Supposition(Cause.TEMPERATURE, value, tuple(supposed)) for value, supposed in line["suppositions"])
    return Case(line["number"], ClaimedAnswer(ask, output, scores, made))
