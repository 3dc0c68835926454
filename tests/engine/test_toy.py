"""The toy engine behaves like a real engine."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from p2pverify.core.contract.classes import Across
from p2pverify.core.contract.output import Ask, Output
from p2pverify.core.inference.compare import Verdict, measure, verdict
from p2pverify.engine.errors import EngineUnavailable
from p2pverify.engine.registry import open_engine, open_referee
from p2pverify.engine.toy import CONTEXT_TOKENS, END, PATH, REFEREE, REFEREE_PATH, ToyEngine

SEED = bytes(range(16))
KEY, OTHER_KEY = bytes(32), bytes([1]) * 32


def ask(engine: ToyEngine, *, temperature_milli: int = 0, key: bytes = KEY) -> tuple[int, ...]:
    prompt = engine.encode_chat("why is the sky blue?")
    return engine.answer(Ask(prompt, 32, temperature_milli, key)).output.tokens


def test_equal_engines_agree() -> None:
    """Two instances write the same prompt and give the same answer."""
    alice, bob = ToyEngine(), ToyEngine()
    assert alice.write_prompt(SEED, 12) == bob.write_prompt(SEED, 12)
    assert ask(alice) == ask(bob)
    assert alice.info == bob.info == open_engine("toy").info


def test_another_variant_is_another_model() -> None:
    """A variant has other weights, answers and prompts."""
    honest, other = ToyEngine(), ToyEngine("other")
    assert honest.info.weights_sha256 != other.info.weights_sha256
    assert ask(honest) != ask(other)
    assert honest.write_prompt(SEED, 12) != other.write_prompt(SEED, 12)


def test_greedy_ignores_the_key() -> None:
    """At temperature 0 the sampler's key changes nothing."""
    assert ask(ToyEngine()) == ask(ToyEngine(), key=OTHER_KEY)


def test_sampling_follows_key_and_temperature() -> None:
    """Another key or temperature gives another answer. Equal ones give the same answer."""
    toy = ToyEngine()
    answers = [ask(toy, temperature_milli=700), ask(toy, temperature_milli=700, key=OTHER_KEY)]
    answers += [ask(toy, temperature_milli=800), ask(toy)]
    assert len(set(answers)) == 4
    assert answers[0] == ask(toy, temperature_milli=700)


def test_finishes() -> None:
    """Answers that reach the end token stop with it. The others have the requested number of tokens."""
    toy = ToyEngine()
    finishes = set()
    for number in range(50):
        prompt = toy.encode_chat(f"question {number}")
        told: list[int] = []
        answer = toy.answer(Ask(prompt, 40, 0, KEY), told.extend).output
        assert tuple(told) == answer.tokens
        finishes.add(answer.finish)
        assert (answer.tokens[-1] == END) is (answer.finish == "stop")
        assert END not in answer.tokens[:-1]
        assert answer.finish == "stop" or len(answer.tokens) == 40
    assert finishes == {"stop", "length"}


def test_prompts_are_what_a_client_would_send() -> None:
    """A derived prompt is read as text and encoded as a chat to itself."""
    toy = ToyEngine()
    for number in range(50):
        prompt = toy.write_prompt(number.to_bytes(16, "big"), 12)
        assert 3 <= len(prompt) <= 14
        assert toy.encode_chat(toy.decode(prompt)) == prompt


def test_prefixes_of_answers_agree() -> None:
    """A shorter answer is the beginning of a longer one."""
    toy = ToyEngine()
    prompt = toy.encode_chat("x")
    long, short = (toy.answer(Ask(prompt, size, 900, KEY)).output.tokens for size in (20, 5))
    assert long[:5] == short


def test_special_bytes_in_a_text_are_not_special_tokens() -> None:
    """A user cannot write an end of turn."""
    toy = ToyEngine()
    assert toy.encode_chat("a\0b\x01c\x02") == toy.encode_chat("a b c ")


@pytest.mark.parametrize(
    ("prompt", "tokens_max", "temperature_milli"),
    [((), 1, 0), ((256,), 1, 0), ((-1,), 1, 0), ((5,), 0, 0), ((5,), CONTEXT_TOKENS, 0), ((5,), 1, -1)],
)
def test_what_does_not_fit_is_refused(prompt: tuple[int, ...], tokens_max: int, temperature_milli: int) -> None:
    """Empty, foreign or too long questions raise ValueError."""
    with pytest.raises(ValueError):
        ToyEngine().answer(Ask(prompt, tokens_max, temperature_milli, KEY))


def test_a_seed_has_sixteen_bytes() -> None:
    """Another size of seed is refused."""
    with pytest.raises(ValueError, match="16 bytes"):
        ToyEngine().write_prompt(bytes(15), 4)


PATHS = ("toy/a", "toy/b")


def test_paths_differ_where_two_tokens_nearly_tie() -> None:
    """Engines of two paths sometimes give other tokens, always other digests of logits, and write other prompts."""
    one, two = (ToyEngine(path=path) for path in PATHS)
    assert one.info.numeric_path != two.info.numeric_path
    assert one.info.weights_sha256 == two.info.weights_sha256
    assert one.write_prompt(SEED, 12) != two.write_prompt(SEED, 12)
    same = 0
    for number in range(100):
        prompt = one.encode_chat(f"question {number}")
        asked = Ask(prompt, 32, 800, KEY)
        first, second = one.answer(asked).output, two.answer(asked).output
        same += first.tokens == second.tokens
        assert first.logits != second.logits
        assert first.logits == ToyEngine(path=PATHS[0]).answer(asked).output.logits
    assert 10 < same < 90


@pytest.mark.parametrize("temperature_milli", [0, 800])
def test_an_engine_scores_its_own_answers_with_nothing(temperature_milli: int) -> None:
    """All margins are 0, the digest of logits is equal, and the end is where the answer has it."""
    toy = ToyEngine(path=PATHS[0])
    finishes = set()
    for number in range(60):
        prompt = toy.encode_chat(f"question {number}")
        made = toy.answer(Ask(prompt, 24, temperature_milli, KEY)).output
        scored = toy.score(Ask(prompt, len(made.tokens), temperature_milli, KEY), made.tokens)
        assert scored.deficits == (0,) * len(made.tokens)
        assert scored.best == made.tokens
        assert scored.ends == tuple(token == END for token in made.tokens)
        assert scored.logits == made.logits
        finishes.add(made.finish)
    assert finishes == {"stop", "length"}


def verdicts(answer: Callable[[tuple[int, ...]], Output], temperature_milli: int) -> set[Verdict]:
    """The referee's verdicts on answers to a hundred prompts, by the thresholds of toy networks."""
    bounds = Across(100_000, 5_000, 500_000, 20_000, 50_000, 10_000)
    referee = open_referee(REFEREE)
    found = set()
    for number in range(100):
        prompt = referee.write_prompt(number.to_bytes(16, "big"), 12)
        made = answer(prompt)
        scored = referee.score(Ask(prompt, len(made.tokens), temperature_milli, KEY), made.tokens)
        found.add(verdict(measure(scored.deficits, scored.ends, made.finish, 16), bounds))
    return found


@pytest.mark.parametrize("path", [*PATHS, PATH, REFEREE_PATH])
@pytest.mark.parametrize("temperature_milli", [0, 800])
def test_the_referee_tells_honest_paths(path: str, temperature_milli: int) -> None:
    """Honest answers are matches on every path."""
    toy = ToyEngine(path=path)

    def answer(prompt: tuple[int, ...]) -> Output:
        return toy.answer(Ask(prompt, 16, temperature_milli, KEY)).output

    assert verdicts(answer, temperature_milli) == {Verdict.MATCH}


CHEATS = {
    "another model": ("pruned", 800, KEY, 16),
    "another seed": ("honest", 800, OTHER_KEY, 16),
    "another temperature": ("honest", 1000, KEY, 16),
    "no sampling": ("honest", 0, KEY, 16),
}


@pytest.mark.parametrize("cheat", CHEATS)
def test_the_referee_tells_cheats(cheat: str) -> None:
    """Another model, seed or temperature is always a mismatch."""
    variant, temperature_milli, key, tokens_max = CHEATS[cheat]
    toy = ToyEngine(variant, path=PATHS[0])

    def answer(prompt: tuple[int, ...]) -> Output:
        return toy.answer(Ask(prompt, tokens_max, temperature_milli, key)).output

    assert verdicts(answer, 800) == {Verdict.MISMATCH}


@pytest.mark.parametrize("finish", ["stop", "length"])
def test_the_referee_tells_a_cut_answer(finish: str) -> None:
    """Half an answer is a mismatch, whatever it claims about its end. So is a wrong claim about the end."""
    toy = ToyEngine(path=PATHS[0])
    finishes = []

    def answer(prompt: tuple[int, ...]) -> Output:
        made = toy.answer(Ask(prompt, 8, 800, KEY)).output
        finishes.append(made.finish)
        return replace(made, finish=finish if made.finish == "length" else "length")

    assert verdicts(answer, 800) == {Verdict.MISMATCH}
    assert set(finishes) == {"stop", "length"}


@pytest.mark.parametrize("temperature_milli", [0, 800])
def test_an_answer_is_continued_from_any_token(temperature_milli: int) -> None:
    """The next token is that of the whole answer, and the scores of the rest are the end of all scores."""
    toy = ToyEngine()
    asked = Ask(toy.encode_chat("why?"), 24, temperature_milli, KEY)
    tokens = toy.answer(asked).output.tokens
    scored = toy.score(asked, tokens)
    for start in range(len(tokens)):
        assert toy.next_token(asked, tokens[:start]) == (tokens[start], scored.surprisals[start])
        rest = toy.score_from(asked, tokens, start)
        assert (rest.deficits, rest.best) == (scored.deficits[start:], tokens[start:])
        assert (rest.surprisals, rest.ends) == (scored.surprisals[start:], scored.ends[start:])
    for start in (-1, len(tokens)):
        with pytest.raises(ValueError, match="no token"):
            toy.score_from(asked, tokens, start)


@pytest.mark.parametrize(("prompt", "tokens"), [((), (5,)), ((5,), ()), ((5,), (256,)), ((5,), (5,) * CONTEXT_TOKENS)])
def test_what_cannot_be_scored_is_refused(prompt: tuple[int, ...], tokens: tuple[int, ...]) -> None:
    """No tokens, too many tokens, and tokens outside the vocabulary raise ValueError."""
    with pytest.raises(ValueError):
        ToyEngine().score(Ask(prompt, len(tokens), 0, KEY), tokens)


def test_an_unknown_referee_is_named() -> None:
    """The error lists the known referees."""
    with pytest.raises(EngineUnavailable, match=r"exact/1, toy-exact/1"):
        open_referee("oracle/3")
