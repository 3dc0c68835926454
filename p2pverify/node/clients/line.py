"""A line: one answer of one peer, or of this node's own engine, whose tokens are heard as they are made.

A client's request has the form of any other request, and takes the same way.
"""

import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from p2pverify.core.contract.network import Network
from p2pverify.core.errors import DecodeError
from p2pverify.core.inference.question import (
    EXPIRY_EPOCHS,
    Answer,
    Question,
    Request,
    RequestRefused,
    decode_response,
    encode_request,
    sign_request,
)
from p2pverify.core.records.payloads.report import sealed_nonce
from p2pverify.node import ports
from p2pverify.node.clients.choice import AnswerPeer
from p2pverify.node.requests.asking import ask_streaming

#: Refusals that say nothing against a peer: it has too much to do, or its context is too small.
TOO_LONG = "prompt-too-long"
INNOCENT = frozenset({"busy", TOO_LONG, "too-large"})
_CONTEXT = re.compile(r"([1-9]\d{0,5}) ", re.ASCII)

Serve = Callable[[bytes, bytes, ports.Hear], Awaitable[bytes]]


@dataclass(frozen=True, slots=True)
class Requester:
    """Who asks: its identity in a network, and its clock.

    `serve` answers with the own engine, and `cost_ms` is the time that this takes for a question; 0 if it is unknown.
    `owe` hears of each answer that another peer (key, 32 B) gave.
    """

    network: Network
    seed: bytes
    key: bytes
    now_ms: Callable[[], int]
    serve: Serve | None = None
    cost_ms: Callable[[Question], int] = lambda _: 0
    owe: Callable[[bytes], None] = lambda _: None

    @property
    def epoch(self) -> int:
        return self.network.params.epoch_at(self.now_ms())


class LineFailed(Exception):
    """There is no answer on this line. `code` is one word; `is_fault` says whether to leave the peer out for a time.

    `context` is the most tokens that the peer can hold, if it has refused for that.
    """

    def __init__(self, code: str, *, is_fault: bool, context: int | None = None) -> None:
        super().__init__(code)
        self.context = context
        self.code = code
        self.is_fault = is_fault


@dataclass(frozen=True, slots=True)
class Exchanged:
    """The signed request, and the response with its signed receipt: their bytes, and the answer that they hold."""

    request: bytes
    response: bytes
    answer: Answer


class AnswerLine:
    """Asks one candidate one question. The secret `salt` (32 B) opens the nonce. The caller sets the deadline."""

    def __init__(
        self, requester: Requester, network: ports.AskingPort, candidate: AnswerPeer, question: Question, salt: bytes
    ) -> None:
        own, epoch = requester, requester.epoch
        # A challenger's nonce is of this form too. So the client cannot choose, after it has seen the answer, what the
        # request was for.
        nonce = sealed_nonce(own.network.id, own.key, candidate.peer, max(0, epoch), question.id, salt)
        self._serve = own.serve
        self._network = network
        self._candidate = candidate
        expiry = epoch + EXPIRY_EPOCHS
        self._request = Request(own.network.id, own.key, candidate.peer, question.id, nonce, expiry)
        self._data = encode_request(self._request, question, sign_request(own.seed, self._request))
        self._tokens_max = question.tokens_max

    async def ask(self, hear: ports.Hear) -> Exchanged:
        """The answer, once its receipt holds; `hear` gets its tokens before. Raises LineFailed."""
        response = await self._respond(hear)
        try:
            answer = decode_response(response, self._request)
        except RequestRefused as refused:
            context = _context_in(refused) if refused.code == TOO_LONG else None
            raise LineFailed(refused.code, is_fault=refused.code not in INNOCENT, context=context) from None
        except DecodeError:
            raise LineFailed("malformed", is_fault=True) from None
        if answer.receipt.class_index != self._candidate.class_index:
            raise LineFailed("another-class", is_fault=True)
        return Exchanged(self._data, response, answer)

    async def _respond(self, hear: ports.Hear) -> bytes:
        if self._candidate.is_own:
            assert self._serve is not None
            return await self._serve(self._data, self._candidate.peer, hear)
        asking = ask_streaming(self._network, self._candidate.peer, self._data, tokens_max=self._tokens_max, hear=hear)
        try:
            return (await asking).data
        except ports.AskError as failed:
            raise LineFailed(failed.reason, is_fault=failed.reason not in INNOCENT) from None


def _context_in(refused: RequestRefused) -> int | None:
    """The number with which the detail of the refusal begins; None if it has none."""
    found = _CONTEXT.match(refused.detail)
    return None if found is None else int(found.group(1))
