"""A client's order on its way: tokens of the door become the texts and chunks of an answer."""

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, replace

from p2pverify.api.openai import sse
from p2pverify.api.openai.errors import OpenAIError
from p2pverify.api.openai.responses import AnswerText, Json, ResponseForm, TokenLogprob, Usage, verified
from p2pverify.api.openai.text import TextWriter
from p2pverify.node.clients.order import NO_MAJORITY, NO_TOKENS, DoorError, OpenOrder, Order, Piece

RETRY_AFTER_S = 5
RECEIPT_HEADER = "x-p2pverify-receipt"


@dataclass(frozen=True, slots=True)
class Wish:
    """How a client wants its answer."""

    kind: str  # "chat.completion" or "text_completion"
    stops: tuple[str, ...]
    includes_usage: bool
    prompt_tokens: int  # of all prompts, each counted once
    logprobs: bool = False


class Answering:
    """One order and the texts of its answers."""

    def __init__(
        self, form: ResponseForm, order: Order, wish: Wish, opened: OpenOrder, piece: Callable[[int], bytes]
    ) -> None:
        self._order = opened
        self._wish = wish
        self._piece = piece
        self._form = form
        self._writers = [TextWriter(piece, wish.stops) for _ in order.prompts]
        self.headers = {RECEIPT_HEADER: opened.document.id}

    async def whole(self) -> Json:
        """The complete answer. Raises OpenAIError."""
        return self._form.whole(await self._texts(None), self._usage(), self._order.document)

    async def events(self, first: Piece | None) -> AsyncIterator[bytes]:
        """The events of a stream. `first` is the first piece, which the caller has awaited to answer errors plainly."""
        if self._wish.kind == "chat.completion":
            for index in range(len(self._writers)):
                yield sse.event(self._form.first(index))
        piece = first
        try:
            if self._wish.logprobs:  # they are known when the answer is complete
                for one in await self._texts(first):
                    yield sse.event(self._form.part(replace(one, finish=None)))
                piece = None
            while piece is not None:
                text = self._writers[piece.index].feed(piece.tokens)
                if text:
                    yield sse.event(self._form.part(AnswerText(piece.index, text)))
                piece = await self.next_piece()
        except OpenAIError as error:  # the status is sent already
            yield sse.event(error.body)
            yield sse.DONE
            return
        for chunk in self._last_chunks():
            yield sse.event(chunk)
        yield sse.DONE

    async def _texts(self, piece: Piece | None) -> list[AnswerText]:
        """All texts, when all are complete. `piece` is a piece that was received before. Raises OpenAIError."""
        texts = ["" for _ in self._writers]
        piece = piece or await self.next_piece()
        while piece is not None:
            texts[piece.index] += self._writers[piece.index].feed(piece.tokens)
            piece = await self.next_piece()
        return [
            AnswerText(index, texts[index] + writer.end(), self._finish(index), self._logprobs(index))
            for index, writer in enumerate(self._writers)
        ]

    def _logprobs(self, index: int) -> Json | None:
        """The log-probabilities of the tokens that made a text; special tokens have no text."""
        scores = self._order.scores.get(index)
        if scores is None:
            return None
        used = self._order.document.returned(index).tokens[: self._writers[index].tokens]
        pieces = zip(map(self._piece, used), scores.surprisals, strict=False)
        return self._form.logprobs([TokenLogprob(data, -micro / 1e6) for data, micro in pieces if data])

    async def next_piece(self) -> Piece | None:
        """The next piece of any answer; None when the receipt is on disk. Raises OpenAIError."""
        try:
            return await self._order.receive()
        except DoorError as error:
            raise refusal_of(error) from None

    def _last_chunks(self) -> list[Json]:
        """What is left of each text, why it ended, the counts, and in the last chunk who answered."""
        chunks: list[Json] = []
        for index, writer in enumerate(self._writers):
            rest = writer.end()
            if rest:
                chunks.append(self._form.part(AnswerText(index, rest)))
            chunks.append(self._form.part(AnswerText(index, "", self._finish(index))))
        if self._wish.includes_usage:
            chunks = [{**chunk, "usage": None} for chunk in chunks]
            chunks.append(self._form.usage(self._usage()))
        chunks[-1]["p2pverify"] = verified(self._order.document)
        return chunks

    def _finish(self, index: int) -> str:
        return "stop" if self._writers[index].stopped else self._order.document.returned(index).finish

    def _usage(self) -> Usage:
        return Usage(self._wish.prompt_tokens, sum(writer.tokens for writer in self._writers))


def refusal_of(error: DoorError) -> OpenAIError:
    """The error of a client for an order without an answer.

    Answers without a majority are a finding. A client that asked again would get one peer's answer, and hide it.
    """
    if error.code == NO_MAJORITY:
        return OpenAIError(502, error.code, str(error), final=True)
    if error.code == NO_TOKENS:
        return OpenAIError(404, error.code, str(error), "model")
    return OpenAIError(503, error.code, str(error), retry_after_s=RETRY_AFTER_S if error.is_busy else None)
