"""The toy engine behaves as a real one does."""

import pytest

from p2pverify.engine.select import open_engine
from p2pverify.engine.toy import CONTEXT_TOKENS, END, ToyEngine

SEED = bytes(range(16))
KEY, OTHER_KEY = bytes(32), bytes([1]) * 32


def ask(engine: ToyEngine, *, temperature_milli: int = 0, key: bytes = KEY) -> tuple[int, ...]:
    prompt = engine.encode_chat("why is the sky blue?")
    return engine.answer(prompt, tokens_max=32, temperature_milli=temperature_milli, sampler_key=key).tokens


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
    """Another key or another temperature gives another answer; the same ones give the same."""
    toy = ToyEngine()
    answers = [ask(toy, temperature_milli=700), ask(toy, temperature_milli=700, key=OTHER_KEY)]
    answers += [ask(toy, temperature_milli=800), ask(toy)]
    assert len(set(answers)) == 4
    assert answers[0] == ask(toy, temperature_milli=700)


def test_finishes() -> None:
    """Answers that reach the end token stop with it; the others have as many tokens as asked for."""
    toy = ToyEngine()
    finishes = set()
    for number in range(50):
        prompt = toy.encode_chat(f"question {number}")
        answer = toy.answer(prompt, tokens_max=40, temperature_milli=0, sampler_key=KEY)
        finishes.add(answer.finish)
        assert (answer.tokens[-1] == END) is (answer.finish == "stop")
        assert END not in answer.tokens[:-1]
        assert answer.finish == "stop" or len(answer.tokens) == 40
    assert finishes == {"stop", "length"}


def test_prompts_are_what_a_client_would_send() -> None:
    """A derived prompt, read as text and encoded as a chat, is itself."""
    toy = ToyEngine()
    for number in range(50):
        prompt = toy.write_prompt(number.to_bytes(16, "big"), 12)
        assert 3 <= len(prompt) <= 14
        assert toy.encode_chat(toy.decode(prompt)) == prompt


def test_prefixes_of_answers_agree() -> None:
    """A shorter answer is the beginning of a longer one."""
    toy = ToyEngine()
    prompt = toy.encode_chat("x")
    long, short = (
        toy.answer(prompt, tokens_max=size, temperature_milli=900, sampler_key=KEY).tokens for size in (20, 5)
    )
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
        ToyEngine().answer(prompt, tokens_max=tokens_max, temperature_milli=temperature_milli, sampler_key=KEY)


def test_a_seed_has_sixteen_bytes() -> None:
    """Another size of seed is refused."""
    with pytest.raises(ValueError, match="16 bytes"):
        ToyEngine().write_prompt(bytes(15), 4)
