"""Makes the questions of an audit, and measures the answers, both with the referee.

A server that names its tokens is judged by them, if they are the tokens of its text. The text of any other server is
tokenised again. This may give other tokens than the server picked, so an answer is judged only if the server reports
the same number of tokens.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Protocol

from p2pverify.core.contract.output import FINISHES, Ask
from p2pverify.core.inference.compare import Measure, TokenScores, malformed, measure_claim
from p2pverify.core.inference.endpoint import (
    AUDIT_PROMPT_TOKENS_MAX,
    REASON_BYTES_MAX,
    REPLY_BYTES_MAX,
    TURN_BYTES_MAX,
    AuditPlan,
    EndpointAnswer,
    Reading,
)
from p2pverify.engine.chat import frame
from p2pverify.engine.endpoint.client import ServerReply, clean
from p2pverify.node.ports import Engine

_HALF = "\ufffd"
_SPECIAL = "<|"


class EndpointReferee(Engine, Protocol):
    """The referee, and what only engines of our own can do."""

    def next_token(self, ask: Ask, tokens: Sequence[int]) -> tuple[int, int]:
        """The token that this engine writes after an answer's `tokens`, and its surprisal."""
        ...

    def ends(self, token: int) -> bool:
        """Whether a token ends an answer."""
        ...


class EndpointJudge:
    """The questions and measures of one plan. `corpus` are the prompts of a file, if the questions come from one.

    Blocks for seconds; not thread-safe.
    """

    def __init__(self, referee: EndpointReferee, plan: AuditPlan, corpus: Sequence[str] = ()) -> None:
        """Raises ValueError if the system message or the corpus cannot be used."""
        self._referee = referee
        self._plan = plan
        self._before, self._after = frame(referee)
        # A written turn that is tokenised again can have more tokens than before.
        if sum(frame(referee, plan.system)) > AUDIT_PROMPT_TOKENS_MAX - 2 * plan.turn_tokens:
            raise ValueError("the system message is too long")
        self._corpus = tuple(text for text in corpus if self._fits(text))
        if corpus and not self._corpus:
            raise ValueError(f"no prompt of the file has at most {plan.turn_tokens} tokens and no special token")

    def question(self, number: int) -> tuple[str, tuple[int, ...]]:
        """The user's turn with this number, and the whole prompt."""
        plan = self._plan
        if self._corpus:
            turn = self._corpus[plan.corpus_line(number, len(self._corpus))]
        else:
            written = self._referee.write_prompt(plan.question_seed(number), plan.turn_tokens)
            turn = self._referee.decode(written[self._before : len(written) - self._after])
            turn = clean(turn.strip() or "Hello", TURN_BYTES_MAX)
        return turn, self.prompt(turn)

    def prompt(self, turn: str) -> tuple[int, ...]:
        """The prompt that the template makes of a user's turn."""
        return self.suppose(self._plan.system, turn)

    def suppose(self, system: str, turn: str) -> tuple[int, ...]:
        """The prompt with another system message; with "" it is the template's own, if it has one."""
        return self._referee.encode_chat(turn, system)

    def judge(self, turn: str, prompt: tuple[int, ...], reply: ServerReply) -> EndpointAnswer:
        """An answer with its measure, or with the reason why it is not judged."""
        text = clean(reply.text, REPLY_BYTES_MAX)
        unread = EndpointAnswer(turn, prompt, Reading.NONE, text, counted=reply.counted)
        if reply.finish not in FINISHES:
            return unjudged(unread, f"the answer ended for another reason: {reply.finish!r}")
        if text != reply.text:
            return unjudged(unread, f"the text is longer than {REPLY_BYTES_MAX} bytes, or is no Unicode")
        if reply.ids is None:
            return self._judge_text(unread, reply)
        tokens = reply.ids[: self._plan.answer_tokens + 1]
        if len(tokens) == len(reply.ids) and self._is_known(tokens) and not self._is_text_of(tokens, text):
            return unjudged(unread, "the token ids are not those of the text")
        return self._measured(unread, Reading.TOKENS, tokens, reply.finish)

    def score(self, prompt: tuple[int, ...], tokens: Sequence[int]) -> TokenScores | None:
        """The referee's scores, None if there are unknown tokens."""
        return self._referee.score(self._plan.ask(prompt), tokens) if self._is_known(tokens) else None

    def measure(self, prompt: tuple[int, ...], tokens: Sequence[int], finish: str) -> Measure:
        """The measure of an answer."""
        scored = self.score(prompt, tokens)
        if scored is None:
            return malformed(len(tokens))
        return measure_claim(scored.deficits, scored.ends, len(tokens), finish, self._plan.answer_tokens)

    def _judge_text(self, unread: EndpointAnswer, reply: ServerReply) -> EndpointAnswer:
        tokens = self._referee.encode_text(unread.reply)
        if reply.count is None:
            return unjudged(unread, "the server names neither its tokens nor their number")
        if reply.count - len(tokens) not in ((0, 1) if reply.finish == "stop" else (0,)):
            return unjudged(unread, f"the text has {len(tokens)} tokens, and the server reports {reply.count}")
        return self._measured(unread, Reading.TEXT, tokens[: self._plan.answer_tokens + 1], reply.finish)

    def _measured(self, unread: EndpointAnswer, reading: Reading, tokens: Sequence[int], finish: str) -> EndpointAnswer:
        """Servers leave out the token that ends an answer, so it is added if it is missing."""
        room = self._plan.answer_tokens + 1 - len(tokens)
        if finish == "stop" and room and self._is_known(tokens) and not (tokens and self._referee.ends(tokens[-1])):
            tokens = (*tokens, self._end_after(unread.prompt, tokens))
        if not tokens:
            return unjudged(unread, "the answer is empty, although it does not say that it is complete")
        found = self.measure(unread.prompt, tokens, finish)
        return replace(unread, reading=reading, tokens=tuple(tokens), finish=finish, measure=found)

    def _end_after(self, prompt: tuple[int, ...], tokens: Sequence[int]) -> int:
        """The end token that is likeliest after an answer."""
        ask, referee = self._plan.ask(prompt), self._referee
        picked, _ = referee.next_token(ask, tokens)
        if referee.ends(picked):
            return picked
        ends = [token for token in range(referee.info.vocab_tokens) if referee.ends(token)]
        return min(ends, key=lambda end: referee.score(ask, (*tokens, end)).deficits[-1])

    def _is_known(self, tokens: Sequence[int]) -> bool:
        return all(token < self._referee.info.vocab_tokens for token in tokens)

    def _is_text_of(self, tokens: Sequence[int], text: str) -> bool:
        """Whether tokens give this text. Servers may drop blanks at both ends, and half a character at the end."""
        return self._referee.decode(tokens).strip().rstrip(_HALF) == text.strip().rstrip(_HALF)

    def _fits(self, text: str) -> bool:
        """Whether a line can be asked. Servers read the names of special tokens as these tokens, and we as text."""
        if _SPECIAL in text or len(text.encode(errors="replace")) > TURN_BYTES_MAX:
            return False
        return len(self._referee.encode_text(text)) <= self._plan.turn_tokens


def unjudged(answer: EndpointAnswer, reason: str) -> EndpointAnswer:
    """An answer that counts for nothing, and why."""
    return replace(answer, reading=Reading.NONE, reason=clean(reason, REASON_BYTES_MAX))
