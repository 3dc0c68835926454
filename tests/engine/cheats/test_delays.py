"""Slow or busy machines give right answers late."""

from collections.abc import Callable

import pytest

from p2pverify.core.contract.output import Ask
from p2pverify.engine.cheats import delays
from p2pverify.engine.cheats.base import Lie
from p2pverify.engine.cheats.make import make_cheat
from p2pverify.engine.cheats.spec import CheatSpec
from p2pverify.engine.toy import ToyEngine
from p2pverify.node.ports import Engine

QUESTIONS = [Ask(ToyEngine().write_prompt(bytes([at]) * 16, 12), 20, 800, bytes([at]) * 32) for at in range(40)]


@pytest.fixture
def slept(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The recorded delays of an engine, which does not really sleep."""
    found: list[float] = []
    monkeypatch.setattr("time.sleep", found.append)
    return found


def test_a_slow_machine_answers_as_a_fast_one_does(slept: list[float], tmp_path) -> None:
    """Every answer has the honest tokens and times, after a delay for each token."""
    honest, slow = ToyEngine(), make_cheat(CheatSpec("slow-hardware", "25"), ToyEngine(), tmp_path)
    for question in QUESTIONS:
        slept.clear()
        delays_before: list[int] = []
        made = slow.answer(question, lambda tokens: delays_before.append(len(slept)))  # noqa: B023
        assert made == honest.answer(question)
        assert slept == [0.025] * len(made.output.tokens)
        assert delays_before == list(range(1, len(slept) + 1))


def test_a_busy_machine_is_late_for_its_share(slept: list[float], tmp_path) -> None:
    """The same questions are late each time, and every answer is right."""
    honest, busy = ToyEngine(), make_cheat(CheatSpec("busy", "300", rate=0.5), ToyEngine(), tmp_path)
    late = []
    for question in QUESTIONS:
        before = len(slept)
        assert busy.answer(question) == honest.answer(question)
        late.append(len(slept) > before)
    assert set(slept) == {0.3}
    assert 8 < sum(late) < 32


@pytest.mark.parametrize("argument", ["0", "-1", "x", "1.5", "60001", "1000000000000", "0000001000000", "\u0663"])
@pytest.mark.parametrize("late", [delays.slow, delays.busy])
def test_delays_that_are_none(late: Callable[[Engine, str], Lie], argument: str) -> None:
    with pytest.raises(ValueError, match="milliseconds"):
        late(ToyEngine(), argument)
