"""Orders of clients: what is wanted, the pieces of the answers, and the state of an order that is being answered."""

from contextlib import suppress
from dataclasses import dataclass

import trio

from p2pverify.core.inference.compare import TokenScores
from p2pverify.core.window import NO_CHECKS, CheckPolicy
from p2pverify.node.clients.book import ReportWish
from p2pverify.node.clients.desk import LOCAL, Client
from p2pverify.node.reports.documents.receipt import ReceiptDocument

NO_MAJORITY = "no_majority"  # the code of an order whose full check found no majority

NO_TOKENS = "no_tokens"  # the code of an order for a model whose tokens this machine does not have


class DoorError(Exception):
    """An order has no answer. `code` is one word for programs, the message is for people."""

    def __init__(self, code: str, message: str, *, is_busy: bool = False) -> None:
        super().__init__(message)
        self.code = code
        self.is_busy = is_busy


@dataclass(frozen=True, slots=True)
class Order:
    """What a client wants: one answer to each of `prompts`. `seed` is its number, None for a random one.

    With `logprobs` this node's own engine computes each answer's log-probabilities. `policy` says which of the client's
    answers are compared with those of other peers, and `report` what others may learn of a wrong one. If `peer` is
    given, this peer is asked, and nobody else. `model` is the digest (32 B) of a model's manifest, by default that of
    this node's model.
    """

    endpoint: str
    prompts: tuple[tuple[int, ...], ...]
    tokens_max: int
    temperature_milli: int
    seed: int | None
    client: Client = LOCAL
    logprobs: bool = False
    policy: CheckPolicy = NO_CHECKS
    peer: bytes | None = None
    report: ReportWish = "never"
    model: bytes | None = None


@dataclass(frozen=True, slots=True)
class Piece:
    """Tokens of one of the answers."""

    index: int
    tokens: tuple[int, ...]


class OpenOrder:
    """An order that is being answered. Others can read its events and its state meanwhile."""

    def __init__(self, document: ReceiptDocument, client: Client, report: ReportWish, pieces_max: int) -> None:
        self.report = report
        self.document = document
        self.client = client
        self.scores: dict[int, TokenScores] = {}  # of the answers, if the order asked for log-probabilities
        self._send, self._pieces = trio.open_memory_channel[Piece](pieces_max)
        self._changed = trio.Event()
        self._error: DoorError | None = None
        self._is_over = False

    async def receive(self) -> Piece | None:
        """The next piece; None when all answers are complete and the receipt is on disk. Raises DoorError."""
        try:
            return await self._pieces.receive()
        except trio.EndOfChannel:
            if self._error is not None:
                raise self._error from None
            return None

    @property
    def is_over(self) -> bool:
        """Whether the document does not change any more."""
        return self._is_over

    async def wait_changed(self) -> None:
        """Wait until the document has changed, or is over."""
        await self._changed.wait()

    def take(self, index: int, tokens: tuple[int, ...]) -> None:
        """Pass tokens on, unless the client has gone. There is room for all tokens of an order, so this never waits."""
        with suppress(trio.BrokenResourceError):
            self._send.send_nowait(Piece(index, tokens))

    def change(self, document: ReceiptDocument) -> None:
        """Show another state of the receipt."""
        self.document = document
        self._changed.set()
        self._changed = trio.Event()

    def end(self, error: DoorError | None) -> None:
        """Say that no more pieces come."""
        self._error = error
        self._is_over = True
        self._send.close()
        self._changed.set()
