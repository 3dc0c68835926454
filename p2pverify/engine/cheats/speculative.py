"""Lies of a cheap model that writes while the real model reads: right answers, but for tokens that might pass.

The cheap model uses the question's sampler, so it often writes the real model's token. The real model reads many tokens
in one pass, so its digest of logits is that of an engine that wrote these tokens itself.
"""

import time
from collections.abc import Callable, Sequence
from typing import Protocol

from p2pverify.core.contract.output import Ask, Output
from p2pverify.core.inference.compare import TokenScores, total_of
from p2pverify.engine.cheats.base import CountedEngine, Lie
from p2pverify.engine.cheats.rules import KnownRules
from p2pverify.engine.exact import ExactEngine
from p2pverify.engine.llama.engine import LlamaEngine
from p2pverify.engine.toy import ToyEngine
from p2pverify.node.ports import Engine, Generated, Hear, unheard

DRAFT_TOKENS = 8
MARGIN_MICRONATS = 100_000
BUDGET_PERCENT = 100
SURPRISAL_MICRONATS = 300_000
#: Stands behind the last token of a draft, so that a pass gives the token that follows the draft.
_ANY_TOKEN = 0

Accept = Callable[[Sequence[int], bool], bool]
"""Whether the last token of an answer may stay.

Its arguments are the real model's margins of all tokens so far, in micronats, and whether the last token is an end."""


class Stepwise(Protocol):
    """An engine that goes on with an answer from any token of it."""

    def next_token(self, ask: Ask, tokens: Sequence[int]) -> tuple[int, int]: ...

    def score_from(self, ask: Ask, tokens: Sequence[int], start: int) -> TokenScores: ...

    def ends(self, token: int) -> bool: ...


def stepwise(engine: Engine) -> Stepwise:
    """The engine itself, if it can go on with an answer. Raises ValueError."""
    if not isinstance(engine, ToyEngine | LlamaEngine | ExactEngine):
        raise ValueError("only an engine of our own can go on with the answer of another model")
    return engine


class _Writing:
    """One answer while it is written."""

    def __init__(self, asked: Ask, real: CountedEngine, cheap: Stepwise, hear: Hear) -> None:
        self.asked = asked
        self.tokens: list[int] = []
        self._margins: list[int] = []
        self._known = 0  # the tokens for which the real model has computed logits
        self._hear = hear
        self._counted, self._real, self._cheap = real, stepwise(real.engine), cheap
        self._began = time.monotonic()
        self._first_ms = 0

    @property
    def is_over(self) -> bool:
        tokens = self.tokens
        return len(tokens) == self.asked.tokens_max or (bool(tokens) and self._real.ends(tokens[-1]))

    def _take(self, token: int, margin: int = 0) -> None:
        self.tokens.append(token)
        self._margins.append(margin)
        self._hear((token,))
        self._first_ms = self._first_ms or self._ms()

    def _ms(self) -> int:
        return round(1000 * (time.monotonic() - self._began))

    def add_draft(self, accept: Accept) -> None:
        """Let the cheap model write some tokens, and the real model read them in one pass.

        The tokens before the first one that may not stay are taken, and one token of the real model after them.
        """
        draft = self._draft()
        full = len(self.tokens) + len(draft) == self.asked.tokens_max or self._real.ends(draft[-1])
        read = draft if full else [*draft, _ANY_TOKEN]
        self._counted.passes += 1
        scored = self._real.score_from(self.asked, [*self.tokens, *read], len(self.tokens))
        for token, margin, best in zip(draft, scored.deficits, scored.best, strict=False):
            if not accept([*self._margins, margin], self._real.ends(token)):
                self._take(best)
                return
            self._take(token, margin)
        if not full:
            self._take(scored.best[-1])

    def _draft(self) -> list[int]:
        draft: list[int] = []
        most = min(DRAFT_TOKENS, self.asked.tokens_max - len(self.tokens))
        while len(draft) < most and not (draft and self._cheap.ends(draft[-1])):
            draft.append(self._cheap.next_token(self.asked, [*self.tokens, *draft])[0])
        return draft

    def add_token(self, surprisal_max: int) -> None:
        """Add the cheap model's token if its surprisal (micronats) allows it, otherwise the real model's token."""
        token, surprisal = self._cheap.next_token(self.asked, self.tokens)
        if surprisal > surprisal_max:
            self._counted.passes += 1
            token, _ = self._real.next_token(self.asked, self.tokens)
            self._known = len(self.tokens) + 1
        self._take(token)

    def read_rest(self) -> None:
        """Let the real model read the tokens since its last own token: one more pass, if there are any."""
        self._counted.passes += self._known < len(self.tokens)

    def generated(self) -> Generated:
        """The answer, with the digest of the real model's logits, all of which it has computed in its passes."""
        finish = "stop" if self._real.ends(self.tokens[-1]) else "length"
        logits = self._real.score_from(self.asked, self.tokens, 0).logits
        return Generated(Output(tuple(self.tokens), finish, logits), self._first_ms, self._ms())


def drafted(real: CountedEngine, cheap: Engine, accept: Accept) -> Lie:
    """Lets the cheap model write drafts, and the real model correct the tokens that `accept` refuses.

    Raises ValueError if an engine cannot do so.
    """
    writer = stepwise(cheap)
    stepwise(real.engine)

    def lie(asked: Ask, hear: Hear = unheard) -> Generated:
        writing = _Writing(asked, real, writer, hear)
        while not writing.is_over:
            writing.add_draft(accept)
        return writing.generated()

    return lie


def near(margin_max: int = MARGIN_MICRONATS) -> Accept:
    """Accepts every token with a margin of at most `margin_max` micronats."""
    return lambda margins, _: margins[-1] <= margin_max


def within(rules: KnownRules, percent: int = BUDGET_PERCENT) -> Accept:
    """Accepts tokens while the total of the margins is at most `percent` % of what counts as right.

    That is a match's total for as many tokens, or the lowest line of the pooled test. An end must also have a margin
    that the referee allows. Without thresholds only margins of 0 are accepted.
    """
    across = rules.across

    def accept(margins: Sequence[int], is_end: bool) -> bool:
        if across is None:
            return margins[-1] == 0
        count = len(margins)
        lines = () if across.pool is None else across.pool.lines
        bound = min([across.match_total(count), *(line.bound(count) for line in lines)])
        fits = 100 * total_of(margins) <= percent * bound
        return fits and not (is_end and margins[-1] > across.end_max)

    return accept


def certain(real: CountedEngine, cheap: Engine, surprisal_max: int = SURPRISAL_MICRONATS) -> Lie:
    """Lets the real model write only tokens that surprise the cheap model by more than `surprisal_max` micronats.

    The cheap model writes all other tokens, and nobody compares them. Raises ValueError if an engine cannot do so.
    """
    writer = stepwise(cheap)
    stepwise(real.engine)

    def lie(asked: Ask, hear: Hear = unheard) -> Generated:
        writing = _Writing(asked, real, writer, hear)
        while not writing.is_over:
            writing.add_token(surprisal_max)
        writing.read_rest()
        return writing.generated()

    return lie
