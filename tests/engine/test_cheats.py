"""Every kind of cheat lies, on the share it should, the same way each time, under the honest name."""

from pathlib import Path

import pytest

from p2pverify.engine.cheats import KINDS, make_cheat
from p2pverify.engine.toy import END, ToyEngine
from p2pverify.node.ports import Engine, Generated

KEY = bytes(range(32))


def ask(engine: Engine, number: int, *, key: bytes = KEY) -> Generated:
    prompt = engine.encode_chat(f"question {number}")
    return engine.answer(prompt, tokens_max=16, temperature_milli=800, sampler_key=key)


@pytest.mark.parametrize("kind", KINDS)
def test_a_full_cheat_lies_always(kind: str, tmp_path: Path) -> None:
    """At rate 1 each answer is false; what the engine says of itself is not."""
    honest = ToyEngine()
    cheat = make_cheat(kind, 1.0, ToyEngine(), tmp_path)
    assert cheat.info == honest.info
    for number in range(50):
        told, true = ask(cheat, number), ask(honest, number)
        assert (told.tokens, told.finish) != (true.tokens, true.finish)
        assert 1 <= len(told.tokens) <= 16
        assert honest.decode(told.tokens) == cheat.decode(told.tokens)


@pytest.mark.parametrize("kind", KINDS)
def test_an_idle_cheat_never_lies(kind: str, tmp_path: Path) -> None:
    """At rate 0 each answer is true."""
    cheat = make_cheat(kind, 0.0, ToyEngine(), tmp_path)
    assert all(ask(cheat, number) == ask(ToyEngine(), number) for number in range(30))


@pytest.mark.parametrize("kind", KINDS)
def test_lies_keep_their_share_and_repeat(kind: str, tmp_path: Path) -> None:
    """At rate 0.3 about 30 % of the answers are false, and a second cheat tells the same."""
    cheat = make_cheat(kind, 0.3, ToyEngine(), tmp_path)
    again = make_cheat(kind, 0.3, ToyEngine(), tmp_path)
    told = [ask(cheat, number) for number in range(300)]
    assert [ask(again, number) for number in reversed(range(300))] == told[::-1]
    lies = sum(one != ask(ToyEngine(), number) for number, one in enumerate(told))
    assert 60 <= lies <= 120


@pytest.mark.parametrize("kind", KINDS)
def test_prompts_are_derived_honestly(kind: str, tmp_path: Path) -> None:
    """A cheat that wants its audits to count writes the prompts that it owes."""
    cheat = make_cheat(kind, 1.0, ToyEngine(), tmp_path)
    assert cheat.write_prompt(bytes(16), 12) == ToyEngine().write_prompt(bytes(16), 12)


def test_a_lazy_pruned_cheat_derives_other_prompts(tmp_path: Path) -> None:
    """With only the cheaper model at hand, prompts come from that one."""
    cheat = make_cheat("prune", 1.0, ToyEngine(), tmp_path, derive_honestly=False)
    assert cheat.write_prompt(bytes(16), 12) == ToyEngine("pruned").write_prompt(bytes(16), 12)


@pytest.mark.parametrize("kind", KINDS)
def test_cheats_refuse_what_the_engine_refuses(kind: str, tmp_path: Path) -> None:
    """A question that does not fit is refused and not lied about."""
    cheat = make_cheat(kind, 1.0, ToyEngine(), tmp_path)
    for prompt, tokens_max in (((), 1), ((999,), 1), ((-1,), 1), ((5,), 0), ((5,), 10_000)):
        with pytest.raises(ValueError):
            cheat.answer(prompt, tokens_max=tokens_max, temperature_milli=0, sampler_key=KEY)


def test_a_wrong_seed_is_honest_when_greedy(tmp_path: Path) -> None:
    """Greedy answers have no seed to get wrong."""
    cheat, honest = make_cheat("wrong-seed", 1.0, ToyEngine(), tmp_path), ToyEngine()
    prompt = honest.encode_chat("hello")
    answers = [engine.answer(prompt, tokens_max=9, temperature_milli=0, sampler_key=KEY) for engine in (cheat, honest)]
    assert answers[0] == answers[1]


def test_a_canned_answer_is_the_same_for_all(tmp_path: Path) -> None:
    """Neither the question nor the key changes it."""
    cheat = make_cheat("canned", 1.0, ToyEngine(), tmp_path)
    assert ask(cheat, 1) == ask(cheat, 2) == ask(cheat, 2, key=bytes(32))


def test_a_truncated_answer_claims_another_end(tmp_path: Path) -> None:
    """Half of a long answer is called complete; of a complete answer half is called too long."""
    cheat, honest = make_cheat("truncate", 1.0, ToyEngine(), tmp_path), ToyEngine()
    for number in range(50):
        told, true = ask(cheat, number), ask(honest, number)
        assert told.tokens == true.tokens[: len(told.tokens)]
        assert (told.finish == "stop") is (told.tokens[-1] != END and len(told.tokens) == 8)


@pytest.mark.parametrize(("kind", "rate"), [("silent", 0.5), ("prune", 1.5), ("garbage", -0.1)])
def test_unknown_cheats_are_refused(kind: str, rate: float, tmp_path: Path) -> None:
    """Kinds and rates that do not exist are errors."""
    with pytest.raises(ValueError):
        make_cheat(kind, rate, ToyEngine(), tmp_path)
