"""Manifests in network files and in files of their own: the keys as they are read, and the lines to write.

The core's own decoder checks whether the keys together make a valid manifest.
"""

import json
from dataclasses import dataclass
from typing import Annotated

from p2pverify.core.contract.classes import ACROSS_BOUNDS, Across
from p2pverify.core.contract.golden import Golden, GoldenAnswer, GoldenPath
from p2pverify.core.contract.manifest import Calibration, Canary, CanaryAnswer, Manifest
from p2pverify.core.contract.output import Ask
from p2pverify.core.contract.pool import Line as PoolLine
from p2pverify.core.contract.pool import Pool
from p2pverify.node.files.tomlfile import Check


def _check_count(number: int) -> None:
    if number < 0:
        raise ValueError(f"{number} is less than 0")


Count = Annotated[int, Check(_check_count)]


def check_digest(text: str) -> str:
    """64 hex digits in lower case, or ValueError."""
    if len(text) != 64 or not set(text) <= set("0123456789abcdef"):
        raise ValueError(f"{text[:80]!r} is not a SHA-256 digest: 64 hex digits in lower case")
    return text


def check_text(text: str) -> str:
    """One line that is safe to show on a terminal, or ValueError."""
    if not text.isprintable():
        raise ValueError(f"{text[:80]!r} holds control characters")
    return text


Digest = Annotated[str, Check(check_digest)]
Line = Annotated[str, Check(check_text)]


def toml_text(text: str) -> str:
    """A TOML basic string, with JSON's escapes and the one for DEL."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


@dataclass(frozen=True, kw_only=True)
class _PathTable:
    engine: Line
    numeric_path: Line


@dataclass(frozen=True, kw_only=True)
class GoldenQuestionTable:
    """A golden question; `sampler_key` in 64 hex digits."""

    prompt: tuple[Count, ...]
    tokens_max: Count
    temperature_milli: Count
    sampler_key: Digest


@dataclass(frozen=True, kw_only=True)
class GoldenPathTable(_PathTable):
    """The answers of one path: for each question, the digest of its tokens and the digest of its logits."""

    answers: tuple[tuple[Digest, Digest], ...]


@dataclass(frozen=True, kw_only=True)
class PoolLineTable:
    """A line of the pooled test: see `core.contract.pool.Line`."""

    base: Count
    slope: Count
    rate_ppm: Count


@dataclass(frozen=True, kw_only=True)
class PoolTable:
    """The bets of the pooled test: see `core.contract.pool.Pool`."""

    keeps_ppm: Count
    lines: tuple[PoolLineTable, ...]

    def pool(self) -> Pool:
        return Pool(self.keeps_ppm, tuple(PoolLine(one.base, one.slope, one.rate_ppm) for one in self.lines))


@dataclass(frozen=True, kw_only=True)
class AcrossTable:
    """Thresholds of the referee: see `core.contract.network.Across`."""

    match_base: Count
    match_slope: Count
    mismatch_base: Count
    mismatch_slope: Count
    end_max: Count
    honest_ppm: Count
    pool: PoolTable | None = None

    def across(self) -> Across:
        pool = None if self.pool is None else self.pool.pool()
        return Across(**{name: getattr(self, name) for name, _ in ACROSS_BOUNDS}, pool=pool)


@dataclass(frozen=True, kw_only=True)
class CalibrationTable(_PathTable):
    """What honest answers of a path look like to a judge of another path."""

    judge_engine: Line
    judge_path: Line
    samples: Count
    tokens: Count
    across: AcrossTable
    alarm_ppm: Count


@dataclass(frozen=True, kw_only=True)
class CanaryAnswerTable(_PathTable):
    """A salted hash in 64 hex digits."""

    answer: Digest


@dataclass(frozen=True, kw_only=True)
class CanaryTable:
    """A commitment to a secret prompt and its answers."""

    prompt: Digest
    tokens_max: Count
    answers: tuple[CanaryAnswerTable, ...]


@dataclass(frozen=True, kw_only=True)
class ManifestTable:
    """A model, described by digests (64 hex digits)."""

    model: Line
    weights: Digest
    tokenizer: Digest
    template: Digest
    quantisation: Line
    licence: Line
    provenance: Line = ""
    parent: Digest | None = None
    golden_question: tuple[GoldenQuestionTable, ...] = ()
    golden_path: tuple[GoldenPathTable, ...] = ()
    calibration: tuple[CalibrationTable, ...] = ()
    canary: tuple[CanaryTable, ...] = ()

    def manifest(self) -> Manifest:
        """The manifest, in the order of the file; not checked yet."""
        return Manifest(
            self.model,
            bytes.fromhex(self.weights),
            bytes.fromhex(self.tokenizer),
            bytes.fromhex(self.template),
            self.quantisation,
            self.licence,
            self.provenance,
            None if self.parent is None else bytes.fromhex(self.parent),
            Golden(tuple(map(_question, self.golden_question)), tuple(map(_path, self.golden_path))),
            tuple(map(_calibration, self.calibration)),
            tuple(map(_canary, self.canary)),
        )


def _question(table: GoldenQuestionTable) -> Ask:
    key = bytes.fromhex(table.sampler_key)
    return Ask(table.prompt, table.tokens_max, table.temperature_milli, key)


def _path(table: GoldenPathTable) -> GoldenPath:
    answers = (GoldenAnswer(bytes.fromhex(tokens), bytes.fromhex(logits)) for tokens, logits in table.answers)
    return GoldenPath(table.engine, table.numeric_path, tuple(answers))


def _calibration(table: CalibrationTable) -> Calibration:
    return Calibration(
        table.judge_engine,
        table.judge_path,
        table.engine,
        table.numeric_path,
        table.samples,
        table.tokens,
        table.across.across(),
        table.alarm_ppm,
    )


def _canary(table: CanaryTable) -> Canary:
    answers = tuple(CanaryAnswer(a.engine, a.numeric_path, bytes.fromhex(a.answer)) for a in table.answers)
    return Canary(bytes.fromhex(table.prompt), table.tokens_max, answers)


# ---------------------------------------------------------------- writing


def manifest_lines(manifest: Manifest, inside: str = "") -> list[str]:
    """The lines of a manifest's tables; `inside` is the prefix of their names."""
    lines = [f"model = {toml_text(manifest.model)}"]
    lines += [f'{name} = "{getattr(manifest, name).hex()}"' for name in ("weights", "tokenizer", "template")]
    lines += [f"{name} = {toml_text(getattr(manifest, name))}" for name in ("quantisation", "licence", "provenance")]
    if manifest.parent is not None:
        lines.append(f'parent = "{manifest.parent.hex()}"')
    for question in manifest.golden.questions:
        lines += ["", f"[[{inside}golden_question]]", f"prompt = {list(question.prompt)}"]
        lines += [f"tokens_max = {question.tokens_max}", f"temperature_milli = {question.temperature_milli}"]
        lines.append(f'sampler_key = "{question.sampler_key.hex()}"')
    for path in manifest.golden.paths:
        lines += ["", f"[[{inside}golden_path]]", *_path_lines(path.engine, path.numeric_path), "answers = ["]
        lines += [f'  ["{answer.tokens.hex()}", "{answer.logits.hex()}"],' for answer in path.answers] + ["]"]
    for calibration in manifest.calibrations:
        lines += ["", f"[[{inside}calibration]]", f"judge_engine = {toml_text(calibration.judge_engine)}"]
        lines.append(f"judge_path = {toml_text(calibration.judge_path)}")
        lines += _path_lines(calibration.engine, calibration.numeric_path)
        lines += [f"{name} = {getattr(calibration, name)}" for name in ("samples", "tokens", "alarm_ppm")]
        lines.append(f"across = {across_text(calibration.across)}")
    for canary in manifest.canaries:
        lines += ["", f"[[{inside}canary]]", f'prompt = "{canary.prompt.hex()}"', f"tokens_max = {canary.tokens_max}"]
        lines.append("answers = [")
        for answer in canary.answers:
            where = ", ".join(_path_lines(answer.engine, answer.numeric_path))
            lines.append(f'  {{ {where}, answer = "{answer.answer.hex()}" }},')
        lines.append("]")
    return lines


def across_text(across: Across) -> str:
    """The thresholds as an inline table."""
    items = [f"{name} = {getattr(across, name)}" for name, _ in ACROSS_BOUNDS]
    if across.pool is not None:
        items.append(f"pool = {_pool_text(across.pool)}")
    return "{ " + ", ".join(items) + " }"


def _pool_text(pool: Pool) -> str:
    lines = (f"{{ base = {one.base}, slope = {one.slope}, rate_ppm = {one.rate_ppm} }}" for one in pool.lines)
    return f"{{ keeps_ppm = {pool.keeps_ppm}, lines = [{', '.join(lines)}] }}"


def _path_lines(engine: str, numeric_path: str) -> list[str]:
    return [f"engine = {toml_text(engine)}", f"numeric_path = {toml_text(numeric_path)}"]
