"""The manifest of a new model: golden answers of the paths that run, thresholds of all, and what is left out."""

import pytest

from p2pverify.core.contract.classes import ANY
from p2pverify.core.contract.manifest import decode_manifest
from p2pverify.engine import toy
from p2pverify.engine.calibrate import SAMPLES_MIN, QuestionShape
from p2pverify.engine.calibrate.adopt import QUICK, UNSTEADY, Effort, adopt
from p2pverify.engine.calibrate.producers import Producer
from p2pverify.engine.errors import EngineUnavailable

EFFORT = Effort(2 * SAMPLES_MIN, QuestionShape(prompt_tokens=8, answer_tokens=8))
STAGES = ["opening the referee", "answering golden questions", "writing prompts", "judging toy/a", "judging exact"]


def adopted(*names: str, told: list[str] | None = None):
    def progress(stage: str, _done: int, _total: int) -> None:
        if told is not None and stage not in told:
            told.append(stage)

    return adopt("toy", None, names, toy.REFEREE, effort=EFFORT, progress=progress)


def test_a_path_is_in_the_manifest_with_golden_answers_and_thresholds():
    """A path that is named twice is measured once, and every stage is told."""
    told: list[str] = []
    found = adopted("toy/a", "exact", "toy/a", told=told)
    assert told == STAGES
    assert [path.numeric_path for path in found.manifest.golden.paths] == [toy.REFEREE_PATH, "toy/a"]
    bounds = found.manifest.bounds(toy.REFEREE)
    assert bounds[ANY, ANY] == bounds[toy.ENGINE, "toy/a"]
    assert found.left_out == ()
    assert decode_manifest(found.manifest.encode()) == found.manifest


def test_paths_in_no_class_are_left_out_with_the_reason(monkeypatch: pytest.MonkeyPatch):
    """One does not run. The other gives other bits in one pass: it has no golden answers, and still has thresholds."""
    golden = Producer.golden

    def unsteady(self: Producer, questions):
        if self.info.numeric_path == "toy/c":
            raise EngineUnavailable("no such build")
        answers = golden(self, questions)
        return tuple(type(one)(one.tokens, bytes(32)) for one in answers) if self.info.engine == toy.ENGINE else answers

    monkeypatch.setattr(Producer, "golden", unsteady)
    found = adopted("toy/b", "toy/c", "exact")
    assert found.left_out == (("toy/b", UNSTEADY), ("toy/c", "no such build"))
    assert [path.engine for path in found.manifest.golden.paths] == [toy.REFEREE]
    assert (toy.ENGINE, "toy/b") in found.manifest.bounds(toy.REFEREE)


def test_a_referee_must_be_steady(monkeypatch: pytest.MonkeyPatch):
    """It judges in one pass what its own class writes token by token."""
    golden = Producer.golden
    monkeypatch.setattr(
        Producer, "golden", lambda self, asked: tuple(type(a)(a.tokens, bytes(32)) for a in golden(self, asked))
    )
    with pytest.raises(ValueError, match="cannot judge this model"):
        adopted("exact")


def test_a_quick_calibration_has_enough_answers():
    """Both halves of them are fitted."""
    assert QUICK.prompts >= 2 * SAMPLES_MIN
