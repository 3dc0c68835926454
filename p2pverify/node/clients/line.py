"""A line: one answer of one peer, or of this node's own engine, whose tokens are heard as they are made.

A client's request has the form of any other request, and takes the same way.
"""

from dataclasses import dataclass

from p2pverify.core.errors import DecodeError
from p2pverify.core.inference.question import (
    Answer,
    Question,
    Request,
    RequestRefused,
    decode_response,
    encode_request,
    sign_request,
)
from p2pverify.core.records.payloads.report import sealed_nonce
from p2pverify.core.roles.asker import EXPIRY_EPOCHS
from p2pverify.node import ports
from p2pverify.node.clients.choice import AnswerPeer
from p2pverify.node.driver import Driver
from p2pverify.node.requests.asking import ask_streaming

#: Refusals that say nothing against a peer: it has too much to do.
BUSY = frozenset({"busy"})


class LineFailed(Exception):
    """There is no answer on this line. `code` is one word; `is_fault` says whether to leave the peer out for a time."""

    def __init__(self, code: str, *, is_fault: bool) -> None:
        super().__init__(code)
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
        self, driver: Driver, network: ports.NetworkPort, candidate: AnswerPeer, question: Question, salt: bytes
    ) -> None:
        context = driver.machine.context
        epoch = context.params.epoch_at(driver.now_ms())
        expiry = epoch + EXPIRY_EPOCHS
        # A challenger's nonce is of this form too. So the client cannot choose, after it has seen the answer, what the
        # request was for.
        nonce = sealed_nonce(context.network_id, context.key, candidate.peer, max(0, epoch), question.id, salt)
        self._driver = driver
        self._network = network
        self._candidate = candidate
        self._request = Request(context.network_id, context.key, candidate.peer, question.id, nonce, expiry)
        self._data = encode_request(self._request, question, sign_request(context.seed, self._request))
        self._tokens_max = question.tokens_max

    async def ask(self, hear: ports.Hear) -> Exchanged:
        """The answer, once its receipt holds; `hear` gets its tokens before. Raises LineFailed."""
        response = await self._respond(hear)
        try:
            answer = decode_response(response, self._request)
        except RequestRefused as refused:
            raise LineFailed(refused.code, is_fault=refused.code not in BUSY) from None
        except DecodeError:
            raise LineFailed("malformed", is_fault=True) from None
        if answer.receipt.class_index != self._candidate.class_index:
            raise LineFailed("another-class", is_fault=True)
        return Exchanged(self._data, response, answer)

    async def _respond(self, hear: ports.Hear) -> bytes:
        if self._candidate.is_own:
            return await self._driver.serve(self._data, self._candidate.peer, hear)
        asking = ask_streaming(self._network, self._candidate.peer, self._data, tokens_max=self._tokens_max, hear=hear)
        try:
            return (await asking).data
        except ports.AskError as failed:
            raise LineFailed(failed.reason, is_fault=failed.reason not in BUSY) from None
