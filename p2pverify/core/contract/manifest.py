"""The manifest: a model's digests, which anybody can check before using it, and measurements of the model.

Golden vectors prove the class in which a machine computes. Calibrations say how answers of one path look to the
engine of another. Canaries commit to answers that the publisher keeps secret. The modules `golden`, `compare` and
`canary` use them.
"""

from dataclasses import dataclass

from p2pverify.core.contract.classes import Across, across_value, read_across
from p2pverify.core.contract.golden import GOLDEN_ANSWER_TOKENS_MAX, GOLDEN_PATHS_MAX, NO_GOLDEN, Golden, read_golden
from p2pverify.core.encoding.canon import (
    Value,
    as_array,
    as_bytes,
    as_text,
    as_uint,
    check_sorted,
    decode,
    encode,
    sha256,
)
from p2pverify.core.errors import DecodeError

DOMAIN = "p2pverify/manifest/1"
MANIFEST_BYTES_MAX = 49_152
CALIBRATIONS_MAX = 64
CANARIES_MAX = 256
SAMPLES_MAX = 2**32 - 1
MILLION = 1_000_000


@dataclass(frozen=True, slots=True)
class Calibration:
    """How honest answers of one path look to a judge of another path.

    It was measured over `samples` answers of `tokens` tokens. `alarm_ppm` is an upper bound (95 %) of the rate at which
    the judge would call an honest answer a mismatch, in parts per million.
    """

    judge_engine: str
    judge_path: str
    engine: str
    numeric_path: str
    samples: int
    tokens: int
    across: Across
    alarm_ppm: int

    @property
    def pair(self) -> tuple[str, str, str, str]:
        return (self.judge_engine, self.judge_path, self.engine, self.numeric_path)

    def to_value(self) -> list[object]:
        return [*self.pair, self.samples, self.tokens, across_value(self.across), self.alarm_ppm]


@dataclass(frozen=True, slots=True)
class CanaryAnswer:
    """The salted hash (32 B) of a canary's answer on one numeric path."""

    engine: str
    numeric_path: str
    answer: bytes


@dataclass(frozen=True, slots=True)
class Canary:
    """A commitment to a secret prompt and its greedy answers of up to `tokens_max` tokens: see `inference.canary`."""

    prompt: bytes
    tokens_max: int
    answers: tuple[CanaryAnswer, ...]

    def to_value(self) -> list[object]:
        return [self.prompt, self.tokens_max, [[a.engine, a.numeric_path, a.answer] for a in self.answers]]


@dataclass(frozen=True, slots=True)
class Manifest:
    """Description of a model. Digests are SHA-256; `parent` is the manifest of the version before, if any.

    Calibrations are sorted by pair, canaries by the hash of their prompt, a canary's answers by path; all distinct.
    """

    model: str
    weights: bytes
    tokenizer: bytes
    template: bytes
    quantisation: str
    licence: str
    provenance: str
    parent: bytes | None
    golden: Golden = NO_GOLDEN
    calibrations: tuple[Calibration, ...] = ()
    canaries: tuple[Canary, ...] = ()

    def encode(self) -> bytes:
        return encode(
            [
                DOMAIN,
                self.model,
                self.weights,
                self.tokenizer,
                self.template,
                self.quantisation,
                self.licence,
                self.provenance,
                self.parent,
                self.golden.to_value(),
                [calibration.to_value() for calibration in self.calibrations],
                [canary.to_value() for canary in self.canaries],
            ]
        )

    @property
    def digest(self) -> bytes:
        return sha256(self.encode())

    def bounds(self, judge_engine: str, judge_path: str = "") -> dict[tuple[str, str], Across]:
        """The thresholds from a judge's calibrations, by engine and numeric path of the answers.

        Only calibrations of the path `judge_path` count; "" if the judge has one path.
        """
        return {
            (one.engine, one.numeric_path): one.across
            for one in self.calibrations
            if one.judge_engine == judge_engine and judge_path in ("", one.judge_path)
        }


def decode_manifest(data: bytes) -> Manifest:
    """Read a canonical manifest. Raises DecodeError."""
    top = as_array(decode(data, size_max=MANIFEST_BYTES_MAX), "manifest", length=12)
    if top[0] != DOMAIN:
        raise DecodeError("not a manifest")
    found = Manifest(
        as_text(top[1], "model", 128),
        as_bytes(top[2], "weights", size=32),
        as_bytes(top[3], "tokenizer", size=32),
        as_bytes(top[4], "template", size=32),
        as_text(top[5], "quantisation", 64),
        as_text(top[6], "licence", 64),
        as_text(top[7], "provenance", 512),
        None if top[8] is None else as_bytes(top[8], "parent", size=32),
        read_golden(top[9]),
        tuple(_calibration(item) for item in as_array(top[10], "calibrations", length_max=CALIBRATIONS_MAX)),
        tuple(_canary(item) for item in as_array(top[11], "canaries", length_max=CANARIES_MAX)),
    )
    check_sorted([calibration.pair for calibration in found.calibrations], "calibrations")
    check_sorted([canary.prompt for canary in found.canaries], "canaries")
    return found


def _calibration(value: Value) -> Calibration:
    judge, judge_path, engine, path, samples, tokens, across, alarm = as_array(value, "calibration", length=8)
    read = read_across(across)
    if read is None:
        raise DecodeError("a calibration has no thresholds")
    return Calibration(
        as_text(judge, "judge's engine", 128),
        as_text(judge_path, "judge's numeric path", 128),
        as_text(engine, "engine", 128),
        as_text(path, "numeric path", 128),
        as_uint(samples, "samples", SAMPLES_MAX),
        as_uint(tokens, "tokens", SAMPLES_MAX),
        read,
        as_uint(alarm, "alarm_ppm", MILLION),
    )


def _canary(value: Value) -> Canary:
    prompt, tokens_max, answers = as_array(value, "canary", length=3)
    read = []
    for item in as_array(answers, "canary answers", length_max=GOLDEN_PATHS_MAX):
        engine, path, answer = as_array(item, "canary answer", length=3)
        read.append(
            CanaryAnswer(
                as_text(engine, "engine", 128), as_text(path, "numeric path", 128), as_bytes(answer, "answer", size=32)
            )
        )
    check_sorted([(answer.engine, answer.numeric_path) for answer in read], "a canary's answers")
    return Canary(
        as_bytes(prompt, "canary prompt", size=32),
        as_uint(tokens_max, "tokens_max", GOLDEN_ANSWER_TOKENS_MAX),
        tuple(read),
    )
