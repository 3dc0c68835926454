"""`AsyncClient`: the API of a node for programs on trio or asyncio. It holds no connection between its calls."""

import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar, overload

import anyio
from anyio.abc import ByteStream
from anyio.streams.tls import TLSStream

from p2pverify.client import calls
from p2pverify.client.address import ApiAddress, NodePlace
from p2pverify.client.calls import ClientCall, Messages, Wishes
from p2pverify.client.errors import NoNodeError
from p2pverify.client.exchange import Exchange, HttpRequest
from p2pverify.client.replies import ChunkReader, Reply
from p2pverify.client.verifying import Proof, verify
from p2pverify.node.reports.documents.jsonform import DocumentError
from p2pverify.node.reports.documents.passport import PassportDocument
from p2pverify.node.reports.documents.receipt import ReceiptDocument
from p2pverify.node.reports.documents.scores import ScoresDocument

if TYPE_CHECKING:
    from p2pverify.client.checking import CheckedReceipt
    from p2pverify.core.contract.network import Network
    from p2pverify.core.proofs.passport import PassportFacts

_CHUNK_BYTES = 65_536
_T = TypeVar("_T")


class AsyncClient:
    """A node's client. `home`, `url` and `key` are as for `Client`.

    Calls have no time limit of their own: use `trio.fail_after`, `asyncio.timeout` or `anyio.fail_after`. A cancelled
    call closes its connection.
    """

    def __init__(self, home: str | Path | None = None, *, url: str | None = None, key: str | None = None) -> None:
        self._place = NodePlace.of(home, url)
        self._key = key

    async def ask(
        self,
        messages: Messages,
        *,
        model: str | None = None,
        temperature: float | None = None,
        max_tokens: int | None = None,
        seed: int | None = None,
        panel: int | None = None,
        every: int | None = None,
    ) -> Reply:
        """The answer to a text or a conversation. Raises ClientError.

        Without `model` it is the node's. `panel` and `every` are as in the table of `client/README.md`.
        """
        wishes = Wishes(model, temperature, max_tokens, seed, panel, every)
        address = await self._proven()
        body = wishes.body(messages, await self._model(wishes, address), stream=False)
        return await _call(calls.ask(body, self._key), address)

    @asynccontextmanager
    async def stream(
        self,
        messages: Messages,
        *,
        model: str | None = None,
        temperature: float | None = None,
        max_tokens: int | None = None,
        seed: int | None = None,
        panel: int | None = None,
        every: int | None = None,
    ) -> AsyncIterator["AsyncAnswerStream"]:
        """The same as `ask`, as an iterator over pieces of the text, for an `async with` block.

        The end of the block closes the connection, also if the answer is not complete. Raises as `ask`.
        """
        wishes = Wishes(model, temperature, max_tokens, seed, panel, every)
        address = await self._proven()
        body = wishes.body(messages, await self._model(wishes, address), stream=True)
        async with _opened(address, calls.stream(body, self._key)) as parts:
            yield AsyncAnswerStream(address, parts)

    async def receipt(self, receipt_id: str) -> ReceiptDocument:
        """The receipt of an answer that this client got. Raises ClientError."""
        return await _call(calls.receipt(receipt_id, self._key), await self._proven())

    async def scores(self, *, provisional: bool = False) -> ScoresDocument:
        """The scores in the newest final view, or in that of all records that the node holds. Raises ClientError."""
        return await _call(calls.scores(provisional=provisional), await self._find())

    async def passport(self, peer_id: str) -> PassportDocument:
        """A peer's row of a recent final view, with its proof. Raises ClientError."""
        return await _call(calls.passport(peer_id), await self._find())

    @overload
    async def verify(
        self, proof: ReceiptDocument, *, network: "Network | Path | str | None" = None, cut: bytes | str | None = None
    ) -> "CheckedReceipt": ...
    @overload
    async def verify(
        self, proof: PassportDocument, *, network: "Network | Path | str | None" = None, cut: bytes | str | None = None
    ) -> "PassportFacts": ...
    @overload
    async def verify(
        self, proof: Proof, *, network: "Network | Path | str | None" = None, cut: bytes | str | None = None
    ) -> "CheckedReceipt | PassportFacts": ...
    async def verify(
        self, proof: Proof, *, network: "Network | Path | str | None" = None, cut: bytes | str | None = None
    ) -> "CheckedReceipt | PassportFacts":
        """As the function `verify`, in a thread. The network is that of the home, if there is a home."""
        check = partial(verify, proof, network=self._place.network(network), cut=cut)
        return await anyio.to_thread.run_sync(check)

    async def _find(self) -> ApiAddress:
        return await anyio.to_thread.run_sync(self._place.find)

    async def _proven(self) -> ApiAddress:
        """The address. The node of a home proves itself before it gets a question or a key."""
        address = await self._find()
        if address.home_key is not None:
            await _call(calls.alive(), address)
        return address

    async def _model(self, wishes: Wishes, address: ApiAddress) -> str:
        return wishes.model if wishes.model is not None else await _call(calls.models(self._key), address)


class AsyncAnswerStream:
    """The pieces of an answer's text, as they come. After the last one `reply` is the whole answer."""

    def __init__(self, address: ApiAddress, parts: "_Parts") -> None:
        self._address = address
        self._parts = parts
        self._reader = ChunkReader()
        self._waiting: list[str] = []
        self._reply: Reply | None = None

    @property
    def reply(self) -> Reply:
        """The whole answer. Raises RuntimeError before the end of the stream."""
        if self._reply is None:
            raise RuntimeError("read the stream to its end before you read its reply")
        return self._reply

    def __aiter__(self) -> "AsyncAnswerStream":
        return self

    async def __anext__(self) -> str:
        while not self._waiting:
            part = await self._parts.receive()
            if not part:
                self._reply = self._reader.end()
                raise StopAsyncIteration
            try:
                self._waiting = [piece for piece in self._reader.feed(part) if piece]
            except DocumentError as error:
                raise self._address.not_it(f"no p2pverify node of this version: {error}") from None
        return self._waiting.pop(0)


async def _call(call: ClientCall[_T], address: ApiAddress) -> _T:
    async with _opened(address, call.request) as parts:
        body = bytearray()
        while part := await parts.receive():
            body += part
    try:
        return call.read(bytes(body))
    except DocumentError as error:
        raise address.not_it(f"no p2pverify node of this version: {error}") from None


class _Parts:
    """The parts of an answer's body, from a connection."""

    def __init__(self, exchange: Exchange, stream: ByteStream, address: ApiAddress) -> None:
        self._exchange = exchange
        self._stream = stream
        self._address = address

    async def receive(self) -> bytes:
        """The next part; b"" at the end. Raises ClientError."""
        while not self._exchange.is_over:
            try:
                data = await self._stream.receive(_CHUNK_BYTES)
            except anyio.EndOfStream:
                data = b""
            except (anyio.BrokenResourceError, OSError):
                raise NoNodeError(f"the connection to {self._address.url} broke", "ask again") from None
            part = self._exchange.feed(data)
            if part:
                return part
        return b""


@asynccontextmanager
async def _opened(address: ApiAddress, request: HttpRequest) -> AsyncIterator[_Parts]:
    """Send a request. Closes the connection at the end."""
    exchange = Exchange(address, request)
    data = exchange.begin()
    try:
        stream = await _connect(address)
    except (anyio.BrokenResourceError, anyio.EndOfStream, OSError) as error:
        cause = (
            error.__cause__ if isinstance(error.__cause__, OSError) else error
        )  # anyio's own says only that it failed
        why = getattr(cause, "strerror", None) or str(cause) or type(cause).__name__
        raise NoNodeError(f"no node answers at {address.url} ({why})", "check the address, or start it") from None
    try:
        with suppress(anyio.BrokenResourceError):  # its refusal may be there already
            await stream.send(data)
        yield _Parts(exchange, stream, address)
    finally:
        await anyio.aclose_forcefully(stream)


async def _connect(address: ApiAddress) -> ByteStream:
    stream = await anyio.connect_tcp(address.host, address.port)
    if not address.is_tls:
        return stream
    try:
        context = await anyio.to_thread.run_sync(ssl.create_default_context)
        return await TLSStream.wrap(stream, hostname=address.host, ssl_context=context, standard_compatible=False)
    except BaseException:
        await anyio.aclose_forcefully(stream)
        raise
