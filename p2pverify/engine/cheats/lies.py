"""Lies that need no other weights: the honest model is asked something else, asked less, or not asked at all."""

import hashlib
from dataclasses import replace
from pathlib import Path

from p2pverify.core.contract.output import NO_KEY, Ask, Output
from p2pverify.core.limits import BoundedDict
from p2pverify.engine.chat import frame
from p2pverify.engine.cheats.base import Lie, digest_of
from p2pverify.engine.cheats.rules import KnownRules
from p2pverify.node.ports import Engine, Generated, Hear, unheard

CANNED_TEXT = "Tell me something interesting."
CANNED_MAX = 64
HIDDEN_TEXT = "You are a helpful assistant of Acme Cloud. Recommend our products whenever it is possible. Be brief."
TEMPERATURE_MILLI = 1000
CACHE_MAX = 1024
#: Two prompts are near if they share at least this percentage of the tokens that occur in either of them.
NEAR_PERCENT = 25
#: The text in the prompts of a testnet's clients, unless the cheat is told another one.
CLIENTS_TEXT = "client"
SEEN_MAX = 65_536


def canned(engine: Engine) -> Lie:
    """Answers every question as if it were one other question, which it computes once per length and temperature."""
    prompt = engine.encode_chat(CANNED_TEXT)
    room = engine.info.context_tokens - len(prompt)
    kept: BoundedDict[tuple[int, int], Generated] = BoundedDict(CANNED_MAX)

    def lie(asked: Ask, hear: Hear = unheard) -> Generated:
        shape = (min(asked.tokens_max, room), asked.temperature_milli)
        if shape not in kept:
            kept[shape] = engine.answer(Ask(prompt, *shape, NO_KEY), hear)
        return replace(kept[shape], first_token_ms=0, total_ms=0)

    return lie


def cached(engine: Engine) -> Lie:
    """Answers from a cache: a prompt that it has seen with any seed, or a near prompt, gets the earlier answer.

    Any other prompt is answered honestly, and the answer is cached.
    """
    template = frozenset(engine.encode_chat(""))
    kept: BoundedDict[tuple[int, ...], tuple[frozenset[int], int, Generated]] = BoundedDict(CACHE_MAX)

    def lie(asked: Ask, hear: Hear = unheard) -> Generated:
        words = frozenset(asked.prompt) - template
        near = [
            (_shared_percent(words, known), answer)
            for known, temperature, answer in kept.values()
            if temperature == asked.temperature_milli and len(answer.output.tokens) <= asked.tokens_max
        ]
        best = max(near, key=lambda found: found[0], default=None)  # the oldest of equals
        if best is not None and best[0] >= NEAR_PERCENT:
            return replace(best[1], first_token_ms=0, total_ms=0)
        answer = engine.answer(asked, hear)
        kept[tuple(asked.prompt)] = (words, asked.temperature_milli, answer)
        return answer

    return lie


def _shared_percent(one: frozenset[int], two: frozenset[int]) -> int:
    return 100 * len(one & two) // max(1, len(one | two))


def truncated(engine: Engine) -> Lie:
    """Stops halfway and says that this was the end."""

    def lie(asked: Ask, _hear: Hear = unheard) -> Generated:
        half = engine.answer(replace(asked, tokens_max=(asked.tokens_max + 1) // 2))
        if half.output.finish == "length":
            return replace(half, output=replace(half.output, finish="stop"))
        count = max(1, len(half.output.tokens) // 2)
        less = engine.answer(replace(asked, tokens_max=count))
        return replace(less, output=replace(less.output, finish="length"))

    return lie


def wrongly_seeded(engine: Engine) -> Lie:
    """Samples with a key of its own; its greedy answers are honest."""

    def lie(asked: Ask, hear: Hear = unheard) -> Generated:
        return engine.answer(replace(asked, sampler_key=digest_of(asked, b"key")), hear)

    return lie


def heated(engine: Engine, temperature_milli: int = TEMPERATURE_MILLI) -> Lie:
    """Samples at another temperature, with the right key; its greedy answers are honest."""

    def lie(asked: Ask, hear: Hear = unheard) -> Generated:
        changed = temperature_milli if asked.temperature_milli else 0
        return engine.answer(replace(asked, temperature_milli=changed), hear)

    return lie


def prompted(engine: Engine) -> Lie:
    """Has hidden instructions as the system message. Without room, or with a system message of the client, it is
    honest."""
    usual, hidden = (engine.encode_chat("a", system)[: frame(engine, system)[0]] for system in ("", HIDDEN_TEXT))

    def lie(asked: Ask, hear: Hear = unheard) -> Generated:
        prompt = (*hidden, *asked.prompt[len(usual) :])
        fits = len(prompt) + asked.tokens_max <= engine.info.context_tokens
        is_usual = tuple(asked.prompt[: len(usual)]) == usual
        return engine.answer(replace(asked, prompt=prompt) if fits and is_usual else asked, hear)

    return lie


def garbage(engine: Engine) -> Lie:
    """Runs no model: takes tokens from a hash, as many as were asked for."""
    vocab_tokens = engine.info.vocab_tokens

    def lie(asked: Ask, _hear: Hear = unheard) -> Generated:
        stream = hashlib.shake_256(digest_of(asked, b"garbage")).digest(4 * asked.tokens_max)
        tokens = (int.from_bytes(stream[at : at + 4], "big") % vocab_tokens for at in range(0, len(stream), 4))
        return Generated(Output(tuple(tokens), "length", digest_of(asked, b"logits")), 0, 0)

    return lie


# ---------------------------------------------------------------- when to lie


def asleep(engine: Engine, lie: Lie, answers: int) -> Lie:
    """Is honest for the first `answers` answers, then lies."""
    left = answers

    def later(asked: Ask, hear: Hear = unheard) -> Generated:
        nonlocal left
        left -= 1
        return engine.answer(asked, hear) if left >= 0 else lie(asked, hear)

    return later


def told(engine: Engine, lie: Lie, signal: Path) -> Lie:
    """Is honest until the file `signal` exists, then lies. So several cheaters can begin at the same time."""

    def ordered(asked: Ask, hear: Hear = unheard) -> Generated:
        return lie(asked, hear) if signal.exists() else engine.answer(asked, hear)

    return ordered


def to_clients(engine: Engine, lie: Lie, text: str) -> Lie:
    """Lies about prompts with this text. In a testnet all clients use it, so this cheat knows every auditor."""

    def sorted_out(asked: Ask, hear: Hear = unheard) -> Generated:
        return lie(asked, hear) if text in engine.decode(asked.prompt) else engine.answer(asked, hear)

    return sorted_out


def once(engine: Engine, lie: Lie) -> Lie:
    """Lies when it sees a prompt for the first time, and is honest when it sees the prompt again."""
    seen: BoundedDict[tuple[int, ...], None] = BoundedDict(SEEN_MAX)

    def first(asked: Ask, hear: Hear = unheard) -> Generated:
        prompt = tuple(asked.prompt)
        if prompt in seen:
            return engine.answer(asked, hear)
        seen[prompt] = None
        return lie(asked, hear)

    return first


def beyond_usual(engine: Engine, lie: Lie, rules: KnownRules) -> Lie:
    """Is honest about questions of the lengths that most audits have, and lies about all others."""
    template = sum(frame(engine))

    def told(asked: Ask, hear: Hear = unheard) -> Generated:
        fits = len(asked.prompt) - template <= rules.prompt_tokens and asked.tokens_max in rules.answer_tokens
        return engine.answer(asked, hear) if fits else lie(asked, hear)

    return told
