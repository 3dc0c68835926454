"""One HTTP exchange as a state machine: it makes the bytes to send, and takes the bytes that arrive.

It opens no socket. A connection carries one exchange, because a node closes it after its answer.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import chain

import h11

from p2pverify.client.address import ApiAddress, ProofCheck
from p2pverify.client.errors import (
    BusyError,
    ClientError,
    NoAnswerError,
    NoMajorityError,
    NoNodeError,
    NotAllowedError,
    NotFoundError,
    ParameterError,
)
from p2pverify.node.endpoints.proof import PROOF_HEADER

HEAD_BYTES_MAX = 32_768
REFUSAL_BYTES_MAX = 65_536
RECEIPT_HEADER = "x-p2pverify-receipt"
_TEXT_CHARS_MAX = 1000
_RETRY_AFTER_S_MAX = 86_400


@dataclass(frozen=True, slots=True)
class HttpRequest:
    """A request, and the number of bytes that its answer may have. `key` goes into the header Authorization."""

    method: str
    path: str
    bytes_max: int
    body: bytes = b""
    key: str | None = None


class Exchange:
    """Send what `begin` returns, then `feed` what arrives until `is_over`."""

    def __init__(self, address: ApiAddress, request: HttpRequest) -> None:
        self._address = address
        self._request = request
        self._proof = ProofCheck.new()
        self._connection = h11.Connection(h11.CLIENT, max_incomplete_event_size=HEAD_BYTES_MAX)
        self._status = 0
        self._headers: dict[str, str] = {}
        self._refusal = bytearray()
        self._left = request.bytes_max
        self.is_over = False

    def begin(self) -> bytes:
        """The bytes of the request."""
        request = self._request
        headers = [
            ("Host", self._address.host_header),
            ("User-Agent", "p2pverify"),
            ("Connection", "close"),
            self._proof.header,
        ]
        if request.key is not None:
            headers.append(("Authorization", f"Bearer {request.key}"))
        if request.method == "POST":
            headers += [("Content-Type", "application/json"), ("Content-Length", str(len(request.body)))]
        target = self._address.prefix + request.path
        try:
            data = self._connection.send(h11.Request(method=request.method, target=target, headers=headers))
        except h11.LocalProtocolError:
            raise ValueError("the key has characters that no key has") from None
        data = (data or b"") + (self._connection.send(h11.Data(data=request.body)) or b"")
        return data + (self._connection.send(h11.EndOfMessage()) or b"")

    def feed(self, data: bytes) -> bytes:
        """Take bytes; none mean that the connection ended. Returns bytes of the answer's body. Raises ClientError."""
        found = bytearray()
        try:
            self._connection.receive_data(data)
            while not self.is_over:
                event = self._connection.next_event()
                if event is h11.NEED_DATA:
                    break
                if isinstance(event, h11.Response):
                    self._take_head(event)
                elif isinstance(event, h11.Data):
                    found += self._take_body(bytes(event.data))
                elif not isinstance(event, h11.InformationalResponse):
                    self.is_over = True
        except h11.RemoteProtocolError:
            if data:
                raise self._address.not_it("not a p2pverify node") from None
            raise NoNodeError(f"the connection to {self._address.url} broke", "ask again") from None
        if self.is_over and self._is_refusal:
            raise self._refused()
        return bytes(found)

    @property
    def _is_refusal(self) -> bool:
        return self._status // 100 != 2

    def _take_head(self, head: h11.Response) -> None:
        self._status = head.status_code
        self._headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in head.headers}
        if sum(map(len, chain.from_iterable(head.headers))) > HEAD_BYTES_MAX:
            raise self._address.not_it("not a p2pverify node")
        self._proof.check(self._address, self._headers.get(PROOF_HEADER.lower(), ""))

    def _take_body(self, data: bytes) -> bytes:
        if self._is_refusal:
            self._refusal += data
            if len(self._refusal) > REFUSAL_BYTES_MAX:
                raise self._address.not_it("not a p2pverify node")
            return b""
        self._left -= len(data)
        if self._left < 0:
            raise NoNodeError(
                f"the node at {self._address.url} sent more than {self._request.bytes_max} bytes", "check the address"
            )
        return data

    def _refused(self) -> ClientError:
        said = _Refusal.read(bytes(self._refusal))
        if said is None:
            return self._address.not_it(f"not a p2pverify node (HTTP status {self._status})")
        receipt = self._headers.get(RECEIPT_HEADER)
        wait = self._headers.get("retry-after", "")
        if self._status in (401, 403):
            return NotAllowedError(said.message, code=said.code)
        if self._status == 404 and said.param != "model":
            return NotFoundError(said.message, code=said.code)
        if self._status in (429, 503) and wait.isdecimal() and len(wait) < 10:
            wait_s = min(int(wait), _RETRY_AFTER_S_MAX)
            return BusyError(said.message, retry_after_s=wait_s, code=said.code, receipt=receipt)
        if self._status // 100 == 4:
            return ParameterError(said.message, param=said.param, code=said.code)
        return said.without_answer(receipt)


@dataclass(frozen=True, slots=True)
class _Refusal:
    message: str
    code: str
    param: str | None

    @classmethod
    def read(cls, body: bytes) -> "_Refusal | None":
        """A refusal in OpenAI's form or in the local API's; None if it is neither."""
        try:
            value = json.loads(body)
        except (ValueError, RecursionError):
            return None
        if not isinstance(value, dict):
            return None
        if isinstance(value.get("error"), dict):
            return cls.of(value["error"])
        return cls.of({"message": value.get("message"), "code": value.get("error")})

    @classmethod
    def of(cls, error: Mapping[str, object]) -> "_Refusal | None":
        message, code, param = error.get("message"), error.get("code"), error.get("param")
        if not isinstance(message, str) or not isinstance(code, str):
            return None
        return cls(_clean(message), _clean(code), _clean(param) if isinstance(param, str) else None)

    def without_answer(self, receipt: str | None) -> NoAnswerError:
        kind = NoMajorityError if self.code == "no_majority" else NoAnswerError
        return kind(self.message, code=self.code, receipt=receipt)


def broken_off(error: Mapping[str, object]) -> NoAnswerError:
    """The error that a stream ended with."""
    said = _Refusal.of(error) or _Refusal("the answer broke off", "", None)
    return said.without_answer(None)


def _clean(text: str) -> str:
    """A node's text as one printable line of limited length."""
    return "".join(c if c.isprintable() else " " for c in text[:_TEXT_CHARS_MAX])
