"""One answer to one question of a client: peers are asked in turn until one has answered, and this node comes last."""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import trio

from p2pverify.core.counters import Counters
from p2pverify.core.inference.question import Question
from p2pverify.node import ports
from p2pverify.node.clients.choice import AnswerPeer, Choice
from p2pverify.node.clients.line import AnswerLine, Exchanged, LineFailed
from p2pverify.node.driver import Driver

PEERS_TRIED = 3
ANSWER_S = 120.0  # at most, and never longer than the contract's deadline


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


class Asking:
    """Asks for one node's clients. `dice` draws nonces."""

    def __init__(
        self, driver: Driver, network: ports.NetworkPort, choice: Choice, dice: random.Random, counters: Counters
    ) -> None:
        self._driver = driver
        self._network = network
        self._choice = choice
        self._dice = dice
        self._counters = counters

    async def answer(
        self,
        question: Question,
        take: Callable[[tuple[int, ...]], None],
        note: Callable[[str, AnswerPeer, str], None],
    ) -> PeerAnswer:
        """Get one answer. `take` gets the tokens as they arrive; `note` gets what happens: a word, whom, why.

        If a peer fails in the middle, the next one is asked the same question. Within a class it has the same answer,
        so it goes on where the other one ended. Raises NoAnswer.
        """
        epoch = self._driver.machine.context.params.epoch_at(self._driver.now_ms())
        reasons: list[str] = []
        taken: list[int] = []
        for candidate in [*self._choice.candidates(epoch)[:PEERS_TRIED], self._choice.own()]:
            note("asked", candidate, "")
            began_ms = self._driver.now_ms()
            try:
                exchanged = await self._ask(candidate, question, taken, take)
            except LineFailed as failed:
                reasons.append(failed.code)
                note("failed", candidate, failed.code)
                self._counters.count(f"no answer: {failed.code}")
                if failed.is_fault and not candidate.is_own:
                    self._choice.note_failed(candidate.peer, epoch)
                continue
            self._counters.count("answered by this node" if candidate.is_own else "answered by peers")
            note("answered", candidate, "")
            return PeerAnswer(candidate, exchanged, max(0, self._driver.now_ms() - began_ms))
        raise NoAnswer(tuple(reasons))

    async def _ask(
        self, candidate: AnswerPeer, question: Question, taken: list[int], take: Callable[[tuple[int, ...]], None]
    ) -> Exchanged:
        """Ask one candidate; `taken` are the tokens that the client has already. Raises LineFailed."""
        line = AnswerLine(self._driver, self._network, candidate, question, self._dice.randbytes(32))
        heard = _Heard(taken, take)
        seconds = min(ANSWER_S, self._driver.machine.context.params.deadline_ms / 1000)
        exchanged = None
        with trio.move_on_after(seconds) as heard.scope:
            exchanged = await line.ask(heard.hear)
        if heard.differs or (exchanged is not None and heard.count < len(taken)):
            raise LineFailed("another-answer", is_fault=False)
        if exchanged is None:
            raise LineFailed("timeout", is_fault=True)
        return exchanged


class _Heard:
    """What one candidate has said, against the tokens that the client has already from others."""

    def __init__(self, taken: list[int], take: Callable[[tuple[int, ...]], None]) -> None:
        self._taken = taken
        self._take = take
        self.scope = trio.CancelScope()
        self.count = 0
        self.differs = False

    def hear(self, tokens: Sequence[int]) -> None:
        """Pass on the tokens that are new to the client. The first other token ends the line."""
        known = self._taken[self.count : self.count + len(tokens)]
        if self.differs or list(tokens[: len(known)]) != known:
            self.differs = True
            self.scope.cancel()
            return
        self.count += len(tokens)
        fresh = tuple(tokens[len(known) :])
        if fresh:
            self._taken += fresh
            self._take(fresh)
