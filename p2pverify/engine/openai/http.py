"""JSON requests to a model server, one at a time, on a kept connection with limits on size and time.

Other modules decide the content of requests and the meaning of answers. Redirects are not followed, so that the key is
sent to no other server.
"""

import http.client
import json
import socket
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from p2pverify.engine.errors import EngineUnavailable
from p2pverify.node.endpoints.address import check_server

CHUNK_BYTES = 1 << 16
MESSAGE_CHARS_MAX = 200
CONNECT_S, ANSWER_S = 10.0, 300.0
BODY_BYTES_MAX = 1 << 20
KEY_VARIABLE = "P2PVERIFY_OPENAI_KEY"


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A model on a server: a base URL that ends in /v1, the model's name ("" for the only one), a key ("" for none)."""

    url: str
    model: str = ""
    key: str = field(default="", repr=False)


class ServerError(EngineUnavailable):
    """The server does not answer as required. The message says what to do."""


class ServerBusy(ServerError):
    """The server has no room for the request now (429, 503)."""


class ServerRefused(ServerError):
    """The server understood the request and refuses it (400, 404, 413, 422)."""


class Server:
    """The server behind a base URL such as "http://127.0.0.1:8000/v1". Not thread-safe: one request at a time."""

    def __init__(self, url: str, key: str = "", *, answer_s: float = ANSWER_S) -> None:
        """`answer_s` limits one answer (seconds from request to last byte). Raises ServerError for an unusable URL."""
        try:
            parts = urlsplit(check_server(url))
        except ValueError as error:
            raise ServerError(str(error)) from None
        if not key.isascii() or not key.isprintable():
            raise ServerError(f"the key in {KEY_VARIABLE} or config.toml has characters that no header can carry")
        self.url = url.rstrip("/")
        self._path = parts.path.rstrip("/")
        self._answer_s = answer_s
        self._headers = {"Content-Type": "application/json", "Accept": "application/json"}
        if key:
            self._headers["Authorization"] = f"Bearer {key}"
        kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
        self._connection = kind(str(parts.hostname), parts.port, timeout=CONNECT_S)
        self._is_late = False

    def get(self, path: str, *, size_max: int) -> dict[str, Any]:
        """The JSON object at a path. Raises ServerError."""
        return self._call("GET", path, None, size_max)

    def post(self, path: str, body: Mapping[str, object], *, size_max: int) -> dict[str, Any]:
        """Send a JSON object and return the JSON object of the answer, at most `size_max` bytes. Raises ServerError."""
        return self._call("POST", path, json.dumps(body).encode(), size_max)

    def close(self) -> None:
        self._connection.close()

    def _call(self, method: str, path: str, body: bytes | None, size_max: int) -> dict[str, Any]:
        if body is not None and len(body) > BODY_BYTES_MAX:
            raise ServerError(f"the request has {len(body)} bytes, and at most {BODY_BYTES_MAX} are sent")
        with self._guarded():
            response = self._send(method, path, body)
            data = self._read(response, size_max)
            if self._is_late:  # a head or body that the timer has cut looks complete
                raise TimeoutError
            if response.will_close:
                self._connection.close()
        self._check_status(response.status, data)
        try:
            document = json.loads(data, parse_constant=_refuse_constant)
        except (ValueError, RecursionError):
            raise ServerError(f"the server at {self.url} does not answer in JSON") from None
        if not isinstance(document, dict):
            raise ServerError(f"the server at {self.url} answers with something that is no JSON object")
        return document

    @contextmanager
    def _guarded(self) -> Iterator[None]:
        """Turn errors of the connection into ServerError, and close the connection after an error.

        A timer ends the whole exchange, because a server that sends a byte now and then never reaches the limit of one
        read.
        """
        self._is_late = False
        timer = threading.Timer(CONNECT_S + self._answer_s, self._cut)
        timer.daemon = True
        timer.start()
        try:
            yield
        except BaseException as error:
            self.close()
            if isinstance(error, TimeoutError) or (self._is_late and isinstance(error, Exception)):
                raise ServerError(f"the server at {self.url} does not answer in time") from None
            if isinstance(error, OSError):
                raise ServerError(f"no server answers at {self.url} ({error}): start it, or set openai_url") from None
            if isinstance(error, http.client.HTTPException):
                what = type(error).__name__
                raise ServerError(f"what answers at {self.url} breaks off or is no HTTP ({what})") from None
            raise
        finally:
            timer.cancel()

    def _cut(self) -> None:
        self._is_late = True
        sock = self._connection.sock
        if sock is not None:
            with suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)

    def _send(self, method: str, path: str, body: bytes | None) -> http.client.HTTPResponse:
        """Send on the kept connection. If the server has closed it, send once more on a new connection."""
        is_kept = self._connection.sock is not None
        try:
            return self._exchange(method, path, body)
        except (http.client.RemoteDisconnected, BrokenPipeError, ConnectionResetError):
            self._connection.close()
            if not is_kept or self._is_late:
                raise
            return self._exchange(method, path, body)

    def _exchange(self, method: str, path: str, body: bytes | None) -> http.client.HTTPResponse:
        if self._connection.sock is None:
            self._connection.connect()
        if self._connection.sock is not None:
            self._connection.sock.settimeout(self._answer_s)
        self._connection.request(method, self._path + path, body, self._headers)
        return self._connection.getresponse()

    def _read(self, response: http.client.HTTPResponse, size_max: int) -> bytes:
        deadline = time.monotonic() + self._answer_s
        parts: list[bytes] = []
        size = 0
        while chunk := response.read1(CHUNK_BYTES):
            parts.append(chunk)
            size += len(chunk)
            if size > size_max:
                raise ServerError(f"the server at {self.url} sends more than the {size_max} bytes that are read")
            if time.monotonic() > deadline:
                raise TimeoutError
        is_short = bool(response.length)
        response.close()  # read1 leaves it open at its end, so the connection would stay busy
        if is_short:
            raise http.client.IncompleteRead(b"")
        return b"".join(parts)

    def _check_status(self, status: int, data: bytes) -> None:
        if status == http.client.OK:
            return
        said = f"{status} {_message(data)}".rstrip()
        if status in (401, 403):
            raise ServerError(f"the server at {self.url} wants another key ({said}): set {KEY_VARIABLE}")
        if status in (400, 404, 413, 422):
            raise ServerRefused(f"the server at {self.url} refuses: {said}")
        if status in (429, 503):
            raise ServerBusy(f"the server at {self.url} is busy: {said}")
        raise ServerError(f"the server at {self.url} fails: {said}")


def _message(data: bytes) -> str:
    """The message in an error's body, in the format of OpenAI, FastAPI and others."""
    try:
        found = json.loads(data)
    except (ValueError, RecursionError):
        return ""
    for name in ("error", "message", "detail"):
        if isinstance(found, dict) and name in found:
            found = found[name]
    return "".join(c for c in str(found) if c.isprintable())[:MESSAGE_CHARS_MAX]


def _refuse_constant(name: str) -> float:
    raise ValueError(name)
