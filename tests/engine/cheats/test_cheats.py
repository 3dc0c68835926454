"""Every kind of cheat lies about its share of questions, reproducibly, and under the honest name."""

from pathlib import Path

import pytest

from p2pverify.core.contract.output import Ask, Output
from p2pverify.engine.cheats.kinds import KINDS
from p2pverify.engine.cheats.make import SIGNAL_FILE, SLEEPER_ANSWERS, make_cheat
from p2pverify.engine.cheats.spec import CheatSpec
from p2pverify.engine.toy import END, ToyEngine
from p2pverify.node.ports import Engine

KEY = bytes(range(32))
ENGINE_KINDS = tuple(name for name in KINDS if CheatSpec(name).has_lie)
#: Kinds that correct a cheaper model's answer. The toy's cheaper model is so far off that the answer becomes right.
CORRECTING = {"draft", "budget", "certain"}
#: LIARS are kinds that lie about each sampled question that they pick; the others have their moments.
LATER = {"sleeper", "takeover", "lies-to-clients"}
LIARS = tuple(kind for kind in ENGINE_KINDS if kind not in {"cache", "slow-hardware", "busy", *LATER, *CORRECTING})
#: Kinds whose answer to a question does not depend on what they were asked before.
STEADY = tuple(kind for kind in LIARS if kind != "duplicate-aware")


def ask(engine: Engine, number: int, *, key: bytes = KEY) -> Output:
    prompt = engine.encode_chat(f"question {number}")
    return engine.answer(Ask(prompt, 16, 800, key)).output


@pytest.mark.parametrize("kind", LIARS)
def test_a_full_cheat_lies_always(kind: str, tmp_path: Path) -> None:
    """At rate 1 each answer is false, but the engine describes itself as honest."""
    honest = ToyEngine()
    cheat = make_cheat(CheatSpec(kind), ToyEngine(), tmp_path)
    assert cheat.info == honest.info
    for number in range(50):
        told, true = ask(cheat, number), ask(honest, number)
        assert (told.tokens, told.finish) != (true.tokens, true.finish)
        assert 1 <= len(told.tokens) <= 16
        assert honest.decode(told.tokens) == cheat.decode(told.tokens)


@pytest.mark.parametrize("kind", ENGINE_KINDS)
def test_a_rare_cheat_is_honest_otherwise(kind: str, tmp_path: Path) -> None:
    """At rate 0 each answer is right."""
    cheat = make_cheat(CheatSpec(kind, rate=0.0001), ToyEngine(), tmp_path)
    assert all(ask(cheat, number) == ask(ToyEngine(), number) for number in range(30))


@pytest.mark.parametrize("kind", STEADY)
def test_lies_keep_their_share_and_repeat(kind: str, tmp_path: Path) -> None:
    """At rate 0.3 about 30 % of the answers are false, and a second cheat gives the same answers."""
    cheat = make_cheat(CheatSpec(kind, rate=0.3), ToyEngine(), tmp_path)
    again = make_cheat(CheatSpec(kind, rate=0.3), ToyEngine(), tmp_path)
    told = [ask(cheat, number) for number in range(300)]
    assert [ask(again, number) for number in reversed(range(300))] == told[::-1]
    lies = sum(one != ask(ToyEngine(), number) for number, one in enumerate(told))
    assert 60 <= lies <= 120


@pytest.mark.parametrize("kind", ENGINE_KINDS)
def test_prompts_are_derived_honestly(kind: str, tmp_path: Path) -> None:
    """A cheat writes honest prompts, so that its audits count."""
    cheat = make_cheat(CheatSpec(kind), ToyEngine(), tmp_path)
    assert cheat.write_prompt(bytes(16), 12) == ToyEngine().write_prompt(bytes(16), 12)


def test_a_lazy_pruned_cheat_derives_other_prompts(tmp_path: Path) -> None:
    """If it has only the cheaper model, this model also writes the prompts."""
    cheat = make_cheat(CheatSpec("prune"), ToyEngine(), tmp_path, derive_honestly=False)
    assert cheat.write_prompt(bytes(16), 12) == ToyEngine("pruned").write_prompt(bytes(16), 12)


@pytest.mark.parametrize("kind", ENGINE_KINDS)
def test_cheats_refuse_what_the_engine_refuses(kind: str, tmp_path: Path) -> None:
    """A question that does not fit is refused."""
    cheat = make_cheat(CheatSpec(kind), ToyEngine(), tmp_path)
    for prompt, tokens_max in (((), 1), ((999,), 1), ((-1,), 1), ((5,), 0), ((5,), 10_000)):
        with pytest.raises(ValueError):
            cheat.answer(Ask(prompt, tokens_max, 0, KEY))


@pytest.mark.parametrize("kind", ENGINE_KINDS)
def test_cheats_tell_tokens_of_the_answer_that_they_will_sign(kind: str, tmp_path: Path) -> None:
    """The told tokens are the first ones of the answer. Most kinds tell each token, as an honest engine does."""
    cheat = make_cheat(CheatSpec(kind, "1" if kind in {"slow-hardware", "busy"} else ""), ToyEngine(), tmp_path)
    for number in range(20):
        told: list[int] = []
        made = cheat.answer(Ask(cheat.encode_chat(f"question {number}"), 16, 800, KEY), told.extend)
        assert tuple(told) == made.output.tokens[: len(told)]
        if kind not in {"canned", "cache", "truncate", "garbage"}:
            assert tuple(told) == made.output.tokens


@pytest.mark.parametrize("kind", ["wrong-seed", "temperature"])
def test_a_wrong_sampler_is_honest_when_greedy(kind: str, tmp_path: Path) -> None:
    """Greedy answers have no seed and no temperature, so they are right."""
    cheat, honest = make_cheat(CheatSpec(kind), ToyEngine(), tmp_path), ToyEngine()
    prompt = honest.encode_chat("hello")
    answers = [engine.answer(Ask(prompt, 9, 0, KEY)).output for engine in (cheat, honest)]
    assert answers[0] == answers[1]


def test_a_temperature_is_the_one_that_was_asked_for(tmp_path: Path) -> None:
    """The argument is a temperature. The question's own temperature gives the honest answer."""
    honest = ToyEngine()
    assert ask(make_cheat(CheatSpec("temperature", "0.8"), ToyEngine(), tmp_path), 1) == ask(honest, 1)
    assert ask(make_cheat(CheatSpec("temperature", "1.2"), ToyEngine(), tmp_path), 1) != ask(honest, 1)


def test_a_cache_answers_near_prompts_and_other_seeds_from_memory(tmp_path: Path) -> None:
    """A known question with another seed and a nearly equal question get the old answer. Other answers are right."""
    cheat, honest = make_cheat(CheatSpec("cache"), ToyEngine(), tmp_path), ToyEngine()
    first = ask(cheat, 1)
    assert first == ask(honest, 1)
    assert ask(cheat, 1, key=bytes(32)).tokens == first.tokens != ask(honest, 1, key=bytes(32)).tokens
    assert ask(cheat, 2).tokens == first.tokens != ask(honest, 2).tokens
    far = honest.encode_chat("WHY?")
    answers = [e.answer(Ask(far, 9, 800, KEY)).output for e in (cheat, honest)]
    assert answers[0] == answers[1]


def test_a_sleeper_is_honest_for_a_while(tmp_path: Path) -> None:
    """It lies after the given number of answers, or after the default number."""
    for argument, awake in (("3", 3), ("", SLEEPER_ANSWERS)):
        cheat, honest = make_cheat(CheatSpec("sleeper", argument), ToyEngine(), tmp_path), ToyEngine()
        told = [ask(cheat, number) == ask(honest, number) for number in range(awake + 5)]
        assert told == [True] * awake + [False] * 5


def test_a_takeover_is_honest_until_it_is_told(tmp_path: Path) -> None:
    """All of a gang then tell the same lie."""
    gang, honest = [make_cheat(CheatSpec("takeover"), ToyEngine(), tmp_path) for _ in range(2)], ToyEngine()
    assert [ask(each, 1) for each in gang] == [ask(honest, 1)] * 2
    (tmp_path / SIGNAL_FILE).touch()
    lies = [ask(each, 1) for each in gang]
    assert lies[0] == lies[1] != ask(honest, 1)


def test_who_is_aware_of_duplicates_lies_only_at_first_sight(tmp_path: Path) -> None:
    """A repeated prompt gets an honest answer, whatever its seed."""
    cheat, honest = make_cheat(CheatSpec("duplicate-aware"), ToyEngine(), tmp_path), ToyEngine()
    assert ask(cheat, 1) != ask(honest, 1)
    assert ask(cheat, 1) == ask(honest, 1)
    assert ask(cheat, 1, key=bytes(32)) == ask(honest, 1, key=bytes(32))


def test_prefilled_evidence_has_the_honest_logits_of_false_tokens(tmp_path: Path) -> None:
    """The tokens are the cheaper model's. The digest is that of the honest model reading these tokens."""
    cheat, cheaper, honest = (
        make_cheat(CheatSpec("prefill-evidence"), ToyEngine(), tmp_path),
        make_cheat(CheatSpec("prune"), ToyEngine(), tmp_path),
        ToyEngine(),
    )
    told, plain = ask(cheat, 1), ask(cheaper, 1)
    prompt = honest.encode_chat("question 1")
    read = honest.score(Ask(prompt, len(told.tokens), 800, KEY), told.tokens)
    assert told.tokens == plain.tokens
    assert told.logits == read.logits != plain.logits


@pytest.mark.parametrize(
    ("kind", "argument"),
    [
        *(("prune", "6"), ("quantize", "q9"), ("temperature", "0"), ("temperature", "nan"), ("temperature", "x")),
        *(("sleeper", "-1"), ("sleeper", "1e3"), ("other-model", "/nowhere.gguf")),
    ],
)
def test_impossible_arguments_are_refused(kind: str, argument: str, tmp_path: Path) -> None:
    """A kind without an argument accepts none, and an argument must be valid."""
    with pytest.raises(ValueError):
        make_cheat(CheatSpec(kind, argument), ToyEngine(), tmp_path)


def test_a_canned_answer_is_the_same_for_all(tmp_path: Path) -> None:
    """It depends neither on the question nor on the key."""
    cheat = make_cheat(CheatSpec("canned"), ToyEngine(), tmp_path)
    assert ask(cheat, 1) == ask(cheat, 2) == ask(cheat, 2, key=bytes(32))


def test_a_truncated_answer_claims_another_end(tmp_path: Path) -> None:
    """Half of a long answer is called complete. Half of a complete answer is called too long."""
    cheat, honest = make_cheat(CheatSpec("truncate"), ToyEngine(), tmp_path), ToyEngine()
    for number in range(50):
        told, true = ask(cheat, number), ask(honest, number)
        assert told.tokens == true.tokens[: len(told.tokens)]
        assert (told.finish == "stop") is (told.tokens[-1] != END and len(told.tokens) == 8)
