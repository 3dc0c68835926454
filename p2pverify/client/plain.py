"""`Client`: the API of a node for programs without async code. It holds no connection between its calls."""

import socket
import ssl
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar, overload

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


class Client:
    """A node's client.

    `home` is the home directory of a node on this machine (default: P2PVERIFY_HOME, else the user's). The node must
    prove that it is this home's. `url` is the address of any node instead, and `key` the key that it asks for.
    `timeout_s` is the most seconds that one call may take, a stream as a whole; None means no limit. A call that takes
    longer raises TimeoutError.
    """

    def __init__(
        self,
        home: str | Path | None = None,
        *,
        url: str | None = None,
        key: str | None = None,
        timeout_s: float | None = None,
    ) -> None:
        self._place = NodePlace.of(home, url)
        self._key = key
        self._timeout_s = timeout_s

    def ask(
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
        """The answer to a text or a conversation. Raises ClientError, TimeoutError.

        Without `model` it is the node's. `panel` and `every` are as in the table of `client/README.md`.
        """
        wishes = Wishes(model, temperature, max_tokens, seed, panel, every)
        address, end = self._place.find(), self._end()
        self._prove(address, end)
        body = wishes.body(messages, self._model(wishes, address, end), stream=False)
        return self._call(calls.ask(body, self._key), address, end)

    @contextmanager
    def stream(
        self,
        messages: Messages,
        *,
        model: str | None = None,
        temperature: float | None = None,
        max_tokens: int | None = None,
        seed: int | None = None,
        panel: int | None = None,
        every: int | None = None,
    ) -> Iterator["AnswerStream"]:
        """The same as `ask`, as an iterator over pieces of the text, for a `with` block.

        The end of the block closes the connection, also if the answer is not complete. Raises as `ask`.
        """
        wishes = Wishes(model, temperature, max_tokens, seed, panel, every)
        address, end = self._place.find(), self._end()
        self._prove(address, end)
        body = wishes.body(messages, self._model(wishes, address, end), stream=True)
        with _opened(address, calls.stream(body, self._key), end) as parts:
            yield AnswerStream(address, parts)

    def receipt(self, receipt_id: str) -> ReceiptDocument:
        """The receipt of an answer that this client got. Raises ClientError, TimeoutError."""
        address, end = self._place.find(), self._end()
        self._prove(address, end)
        return self._call(calls.receipt(receipt_id, self._key), address, end)

    def scores(self, *, provisional: bool = False) -> ScoresDocument:
        """The scores in the newest final view, or in that of all records that the node holds. Raises as `receipt`."""
        return self._call(calls.scores(provisional=provisional), self._place.find(), self._end())

    def passport(self, peer_id: str) -> PassportDocument:
        """A peer's row of a recent final view, with its proof. Raises as `receipt`."""
        return self._call(calls.passport(peer_id), self._place.find(), self._end())

    @overload
    def verify(
        self, proof: ReceiptDocument, *, network: "Network | Path | str | None" = None, cut: bytes | str | None = None
    ) -> "CheckedReceipt": ...
    @overload
    def verify(
        self, proof: PassportDocument, *, network: "Network | Path | str | None" = None, cut: bytes | str | None = None
    ) -> "PassportFacts": ...
    @overload
    def verify(
        self, proof: Proof, *, network: "Network | Path | str | None" = None, cut: bytes | str | None = None
    ) -> "CheckedReceipt | PassportFacts": ...
    def verify(
        self, proof: Proof, *, network: "Network | Path | str | None" = None, cut: bytes | str | None = None
    ) -> "CheckedReceipt | PassportFacts":
        """As the function `verify`. The network is that of the home, if there is a home. Asks no node."""
        return verify(proof, network=self._place.network(network), cut=cut)

    def _end(self) -> float | None:
        return None if self._timeout_s is None else time.monotonic() + self._timeout_s

    def _prove(self, address: ApiAddress, end: float | None) -> None:
        """Have the node of a home prove itself before it gets a question or a key."""
        if address.home_key is not None:
            self._call(calls.alive(), address, end)

    def _model(self, wishes: Wishes, address: ApiAddress, end: float | None) -> str:
        return wishes.model if wishes.model is not None else self._call(calls.models(self._key), address, end)

    @staticmethod
    def _call(call: ClientCall[_T], address: ApiAddress, end: float | None) -> _T:
        with _opened(address, call.request, end) as parts:
            body = b"".join(parts)
        try:
            return call.read(body)
        except DocumentError as error:
            raise address.not_it(f"no p2pverify node of this version: {error}") from None


class AnswerStream:
    """The pieces of an answer's text, as they come. After the last one `reply` is the whole answer."""

    def __init__(self, address: ApiAddress, parts: Iterator[bytes]) -> None:
        self._pieces = self._read(address, parts)
        self._reply: Reply | None = None

    def __iter__(self) -> Iterator[str]:
        return self._pieces

    @property
    def reply(self) -> Reply:
        """The whole answer. Raises RuntimeError before the end of the stream."""
        if self._reply is None:
            raise RuntimeError("read the stream to its end before you read its reply")
        return self._reply

    def _read(self, address: ApiAddress, parts: Iterator[bytes]) -> Iterator[str]:
        reader = ChunkReader()
        try:
            for part in parts:
                yield from filter(None, reader.feed(part))
        except DocumentError as error:
            raise address.not_it(f"no p2pverify node of this version: {error}") from None
        self._reply = reader.end()


@contextmanager
def _opened(address: ApiAddress, request: HttpRequest, end: float | None) -> Iterator[Iterator[bytes]]:
    """Send a request. The iterator has the parts of the answer's body. Closes the connection at the end."""
    exchange = Exchange(address, request)
    data = exchange.begin()
    try:
        connection = _connect(address, end)
    except TimeoutError:
        raise
    except OSError as error:
        why = error.strerror or str(error)
        raise NoNodeError(f"no node answers at {address.url} ({why})", "check the address, or start it") from None
    try:
        with suppress(BrokenPipeError, ConnectionResetError):  # its refusal may be there already
            connection.settimeout(_left(end))
            connection.sendall(data)
        yield _parts(exchange, connection, address, end)
    finally:
        connection.close()


def _connect(address: ApiAddress, end: float | None) -> socket.socket:
    connection = socket.create_connection((address.host, address.port), _left(end))
    if not address.is_tls:
        return connection
    try:
        return ssl.create_default_context().wrap_socket(connection, server_hostname=address.host)
    except BaseException:
        connection.close()
        raise


def _parts(exchange: Exchange, connection: socket.socket, address: ApiAddress, end: float | None) -> Iterator[bytes]:
    while not exchange.is_over:
        try:
            connection.settimeout(_left(end))
            data = connection.recv(_CHUNK_BYTES)
        except TimeoutError:
            raise
        except OSError:
            raise NoNodeError(f"the connection to {address.url} broke", "ask again") from None
        part = exchange.feed(data)
        if part:
            yield part


def _left(end: float | None) -> float | None:
    """The seconds that are left. Raises TimeoutError if there are none."""
    if end is None:
        return None
    left = end - time.monotonic()
    if left <= 0:
        raise TimeoutError("the call took longer than its timeout_s")
    return left
