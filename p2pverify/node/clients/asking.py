"""One answer to one question of a client: peers are asked in turn until one has answered, and this node comes last."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import trio

from p2pverify.core.counters import Counters
from p2pverify.core.inference.agreement import Agreement, Relation
from p2pverify.core.inference.question import CONTEXT_TOKENS_MAX, Question, patience_ms
from p2pverify.node import ports
from p2pverify.node.clients.choice import AnswerPeer, Choice
from p2pverify.node.clients.line import AnswerLine, Exchanged, LineFailed, Requester
from p2pverify.node.reports.documents.receipt import EventName

PEERS_TRIED = 3
ANSWER_S = 120.0  # at most for a question as members owe them, and never longer than the contract's deadline
SLOWER = 8  # how many times slower than the own engine a peer may be with a long question

Take = Callable[[tuple[int, ...]], None]
"""Takes tokens of the answer that the client gets."""

SaltOf = Callable[[bytes], bytes]
"""The secret salt (32 B) of a request to a peer; another one for each request."""

Remark = Callable[[EventName, AnswerPeer, str], None]
"""Takes what happens: a word, with which peer, and why."""


def usual_answer(context: int, prompt_tokens: int) -> int:
    """The length of an answer of peers that hold `context` tokens or more.

    It is the rest of the context, or a quarter of it after a prompt that only peers with a larger context can hold.
    """
    room = max(context - prompt_tokens, 1 if context > prompt_tokens else context // 4)
    return min(room, CONTEXT_TOKENS_MAX - prompt_tokens)


class NoAnswer(Exception):
    """Nobody could answer; `reasons` has a word for each candidate that was asked."""

    def __init__(self, reasons: tuple[str, ...]) -> None:
        super().__init__(", ".join(reasons))
        self.reasons = reasons

    @property
    def is_busy(self) -> bool:
        """Whether it may help to ask again a little later."""
        return "busy" in self.reasons


@dataclass(frozen=True, slots=True)
class PeerAnswer:
    """A checked answer: its signature holds, and it is for this question, of the candidate's class."""

    candidate: AnswerPeer
    exchanged: Exchanged
    elapsed_ms: int


@dataclass(frozen=True, slots=True)
class AnsweredQuestion:
    """The answers to one question. A `panel` of 1 compares nothing; otherwise `agreement` says what it has found."""

    answers: tuple[PeerAnswer, ...]
    panel: int = 1
    agreement: Agreement = field(default=Agreement(0, (Relation.AGREES,)))

    @property
    def returned(self) -> PeerAnswer | None:
        """The answer that the client gets; None without a majority."""
        return None if self.agreement.chosen is None else self.answers[self.agreement.chosen]

    @property
    def related(self) -> list[tuple[PeerAnswer, Relation | None]]:
        """The answers, the one that the client gets first, and how each compares; None if nothing was compared."""
        relations = (None,) if self.panel == 1 else self.agreement.relations
        return sorted(zip(self.answers, relations, strict=True), key=lambda each: each[0] is not self.returned)


class Asking:
    """Asks for one node's clients."""

    def __init__(self, requester: Requester, network: ports.AskingPort, choice: Choice, counters: Counters) -> None:
        self._requester = requester
        self._network = network
        self._choice = choice
        self._counters = counters

    @property
    def epoch(self) -> int:
        return self._requester.epoch

    async def answer(
        self, question: Question, salt_of: SaltOf, take: Take, note: Remark, named: AnswerPeer | None = None
    ) -> AnsweredQuestion:
        """Get one answer, of the peer `named` or of the best one. `take` gets the tokens as they arrive.

        If a peer fails in the middle, the next one is asked the same question. Within a class it has the same answer,
        so it goes on where the other one ended. Raises NoAnswer.
        """
        reasons: list[str] = []
        taken: list[int] = []
        for candidate in self.candidates(question, 1) if named is None else [named]:
            try:
                return AnsweredQuestion((await self.ask(candidate, question, salt_of, HeardTokens(taken, take), note),))
            except LineFailed as failed:
                reasons.append(failed.code)
        raise NoAnswer(tuple(reasons))

    def candidates(self, question: Question, panel: int) -> list[AnswerPeer]:
        """Who is asked, in this order: a panel, some peers in reserve, and at last this node if it runs the model."""
        found = self._choice.candidates(self.epoch, panel, question.size)
        own = self._choice.own()
        return [*found[: PEERS_TRIED + (panel if panel > 1 else 0)], *([] if own is None else [own])]

    async def ask(
        self, candidate: AnswerPeer, question: Question, salt_of: SaltOf, heard: "HeardTokens", note: Remark
    ) -> PeerAnswer:
        """Ask one candidate, and remember how it answered. Raises LineFailed."""
        epoch, began_ms = self.epoch, self._requester.now_ms()
        note("asked", candidate, "")
        try:
            with self._choice.asking(candidate.peer):
                exchanged = await self._hear(candidate, question, salt_of(candidate.peer), heard)
        except LineFailed as failed:
            note("failed", candidate, failed.code)
            self._counters.count(f"no answer: {failed.code}")
            if failed.context is not None and failed.context < question.size:
                self._choice.note_context(candidate.peer, epoch, failed.context)
            if failed.is_fault and not candidate.is_own:
                self._choice.note_failed(candidate.peer, epoch)
            raise
        if not candidate.is_own:
            self._requester.owe(candidate.peer)
        elapsed_ms = max(0, self._requester.now_ms() - began_ms)
        self._choice.note_speed(candidate.peer, epoch, elapsed_ms, len(exchanged.answer.output.tokens))
        self._counters.count("answered by this node" if candidate.is_own else "answered by peers")
        note("answered", candidate, "")
        return PeerAnswer(candidate, exchanged, elapsed_ms)

    async def _hear(self, candidate: AnswerPeer, question: Question, salt: bytes, heard: "HeardTokens") -> Exchanged:
        """The answer of one candidate, which must begin with the tokens that the client has. Raises LineFailed."""
        line = AnswerLine(self._requester, self._network, candidate, question, salt)
        exchanged = None
        with trio.move_on_after(self.patience_s(question)) as heard.scope:
            exchanged = await line.ask(heard.hear)
        if heard.differs or (exchanged is not None and heard.is_short):
            raise LineFailed("another-answer", is_fault=False)
        if exchanged is None:
            raise LineFailed("timeout", is_fault=True)
        return exchanged

    def patience_s(self, question: Question) -> float:
        """How long one peer may take. A long question has as much more as a slow peer needs, by this node's speed.

        Without a measured speed it has as much as a responder may take by the contract.
        """
        params = self._requester.network.params
        usual_s = min(ANSWER_S, params.deadline_ms / 1000)
        cost_ms = self._requester.cost_ms(question)
        if cost_ms:
            return usual_s + SLOWER * cost_ms / 1000
        return usual_s * patience_ms(params, question.size) / params.deadline_ms


class HeardTokens:
    """What one candidate says, against the tokens `taken` that the client has already from others."""

    def __init__(self, taken: list[int], take: Take) -> None:
        self._taken = taken
        self._take = take
        self.scope = trio.CancelScope()
        self._count = 0
        self.differs = False

    @property
    def is_short(self) -> bool:
        """Whether the client has more tokens already."""
        return self._count < len(self._taken)

    def hear(self, tokens: Sequence[int]) -> None:
        """Pass on the tokens that are new to the client. The first other token ends the line."""
        known = self._taken[self._count : self._count + len(tokens)]
        if self.differs or list(tokens[: len(known)]) != known:
            self.differs = True
            self.scope.cancel()
            return
        self._count += len(tokens)
        fresh = tuple(tokens[len(known) :])
        if fresh:
            self._taken += fresh
            self._take(fresh)
