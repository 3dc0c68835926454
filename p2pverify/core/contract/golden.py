"""Golden vectors: fixed questions, and the answers of an honest engine to them on each numeric path.

They prove a determinism class: an engine whose answers are equal in every digest computes in that class, on any
processor. Running the questions is left to `node.engines.selftest`.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from p2pverify.core.contract.output import Ask, Output
from p2pverify.core.contract.shapes import TEMPERATURE_MILLI_MAX
from p2pverify.core.encoding.canon import Value, as_array, as_bytes, as_text, as_uint, check_sorted, digest, read_tokens
from p2pverify.core.errors import DecodeError

DOMAIN = "p2pverify/golden/1"
GOLDEN_QUESTIONS_MAX = 8
GOLDEN_PATHS_MAX = 64
GOLDEN_PROMPT_TOKENS_MAX = 256
GOLDEN_ANSWER_TOKENS_MAX = 256


@dataclass(frozen=True, slots=True)
class GoldenAnswer:
    """An answer in two digests (32 B each): of tokens and finish, and of the logits from which they were picked."""

    tokens: bytes
    logits: bytes


@dataclass(frozen=True, slots=True)
class GoldenPath:
    """The answers of one numeric path of one engine build, in the order of the questions."""

    engine: str
    numeric_path: str
    answers: tuple[GoldenAnswer, ...]

    def to_value(self) -> list[object]:
        return [self.engine, self.numeric_path, [[answer.tokens, answer.logits] for answer in self.answers]]


@dataclass(frozen=True, slots=True)
class Golden:
    """Questions and the answers of every known path; paths are sorted by engine and numeric path, and distinct."""

    questions: tuple[Ask, ...] = ()
    paths: tuple[GoldenPath, ...] = ()

    def to_value(self) -> list[object]:
        return [[question.to_value() for question in self.questions], [path.to_value() for path in self.paths]]

    def of(self, engine: str, numeric_path: str) -> GoldenPath | None:
        """The path of that name, if it is known."""
        return next((p for p in self.paths if (p.engine, p.numeric_path) == (engine, numeric_path)), None)

    def distinct(self) -> tuple[GoldenPath, ...]:
        """The paths that can be classes: those that show their logits. Of paths with equal answers only the first."""
        shown = [path for path in reversed(self.paths) if all(any(answer.logits) for answer in path.answers)]
        return tuple(sorted({path.answers: path for path in shown}.values(), key=lambda p: (p.engine, p.numeric_path)))

    def beside(self, engine: str, numeric_path: str) -> tuple[tuple[str, str], ...]:
        """Engine and numeric path of all distinct classes except the class of the given path."""
        own = self.of(engine, numeric_path)
        same = () if own is None else own.answers
        return tuple((path.engine, path.numeric_path) for path in self.distinct() if path.answers != same)

    def merged(self, paths: Sequence[GoldenPath]) -> "Golden":
        """These vectors with further paths; a path replaces one of the same name."""
        known = {(path.engine, path.numeric_path): path for path in (*self.paths, *paths)}
        return Golden(self.questions, tuple(known[name] for name in sorted(known)))


NO_GOLDEN = Golden()


def golden_answer(output: Output) -> GoldenAnswer:
    """The digests of an answer."""
    return GoldenAnswer(digest([DOMAIN, list(output.tokens), output.finish]), output.logits)


def read_golden(value: Value) -> Golden:
    """Read the manifest's golden vectors. Raises DecodeError."""
    questions, paths = as_array(value, "golden", length=2)
    read = Golden(
        tuple(_question(item) for item in as_array(questions, "golden questions", length_max=GOLDEN_QUESTIONS_MAX)),
        tuple(_path(item) for item in as_array(paths, "golden paths", length_max=GOLDEN_PATHS_MAX)),
    )
    check_sorted([(path.engine, path.numeric_path) for path in read.paths], "golden paths")
    if any(len(path.answers) != len(read.questions) for path in read.paths):
        raise DecodeError("a golden path does not answer every question")
    if read.paths and not read.questions:
        raise DecodeError("golden paths without questions prove nothing")
    return read


def _question(value: Value) -> Ask:
    prompt, tokens_max, temperature, key = as_array(value, "golden question", length=4)
    read = Ask(
        read_tokens(prompt, "golden prompt", GOLDEN_PROMPT_TOKENS_MAX),
        as_uint(tokens_max, "tokens_max", GOLDEN_ANSWER_TOKENS_MAX),
        as_uint(temperature, "temperature_milli", TEMPERATURE_MILLI_MAX),
        as_bytes(key, "sampler key", size=32),
    )
    if not read.prompt or not read.tokens_max:
        raise DecodeError("a golden question asks for nothing")
    return read


def _path(value: Value) -> GoldenPath:
    engine, numeric_path, answers = as_array(value, "golden path", length=3)
    read = []
    for item in as_array(answers, "golden answers", length_max=GOLDEN_QUESTIONS_MAX):
        tokens, logits = as_array(item, "golden answer", length=2)
        read.append(GoldenAnswer(as_bytes(tokens, "tokens", size=32), as_bytes(logits, "logits", size=32)))
    return GoldenPath(as_text(engine, "engine", 128), as_text(numeric_path, "numeric path", 128), tuple(read))
