"""The command line's client of the local API: standard library only, one request, one JSON document or stream.

A server at the address in the home's `api` file is not trusted until it has proven that it is this home's node and has
answered with the right document. The node may have died, and another program or node may have taken its port.
"""

import hmac
import http.client
import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Generic, TypeVar
from urllib.parse import urlsplit

import click

from p2pverify.cli.errors import CliError, NotRunningError
from p2pverify.node.endpoints import proof
from p2pverify.node.files.home import Home
from p2pverify.node.reports.documents.health import ErrorDocument, Live
from p2pverify.node.reports.documents.jsonform import DocumentError, parse
from p2pverify.node.reports.documents.shape import ApiDocument

TIMEOUT_S = 5.0
_ANSWER_BYTES_MAX = 64 * 1024 * 1024
_CHUNK_BYTES = 65_536
_REFUSED = "is this the home of the node that is running?"
_D = TypeVar("_D", bound=ApiDocument)


@dataclass(frozen=True, slots=True)
class ApiAnswer(Generic[_D]):
    """A document of the API, and its original text."""

    document: _D
    text: str


def get(
    home: Home,
    path: str,
    kind: type[_D],
    *,
    timeout_s: float = TIMEOUT_S,
    token: str | None = None,
    refused: str = _REFUSED,
) -> ApiAnswer[_D]:
    """The document at `path`. Raises NotRunningError if no node answers, CliError with the hint `refused` if it
    refuses.

    A caller that sends the home's token has made sure before that this home's node answers.
    """
    return _read(*_fetch(home, "GET", path, token=token, timeout_s=timeout_s), kind, refused)


def post(home: Home, path: str, kind: type[_D], *, body: bytes = b"") -> ApiAnswer[_D]:
    """Send a POST request with the home's token, which only the proven node of this home gets. Raises as `get`."""
    return _read(*_fetch(home, "POST", path, token=prove(home), body=body), kind, _REFUSED)


def prove(home: Home) -> str:
    """Make sure that this home's node answers. Returns the home's token, for requests to it. Raises as `get`."""
    token = home.read_token()
    if token is None:
        raise NotRunningError(f"{home.path} has no token: no node was ever started there")
    get(home, "/livez", Live)
    return token


def get_json(home: Home, path: str, token: str) -> object:
    """The value at `path`, whose form is OpenAI's; None if it is no JSON. Raises as `get`."""
    _, body = _fetch(home, "GET", path, token=token)
    try:
        found: object = json.loads(body)
    except (ValueError, RecursionError):
        return None
    return found


class ApiStream:
    """An answer that is read as it comes. Methods raise as `get`."""

    def __init__(self, response: http.client.HTTPResponse, url: str, timeout_s: float) -> None:
        self._response = response
        self._url = url
        self._timeout_s = timeout_s
        self.status = response.status
        self.headers = response.headers

    def read(self, bytes_max: int) -> bytes:
        """The next bytes, at most so many; empty at the end."""
        with _explained(self._url, self._timeout_s):
            return self._response.read(bytes_max)

    def line(self, bytes_max: int) -> bytes:
        """The next line, or the first bytes of a longer one; empty at the end."""
        with _explained(self._url, self._timeout_s):
            return self._response.readline(bytes_max)


@contextmanager
def stream(home: Home, path: str, body: bytes, *, token: str, timeout_s: float) -> Iterator[ApiStream]:
    """Send JSON with POST, and give the answer as it comes; no part of it may take longer than `timeout_s`.

    Call `prove` before, because the body is sent at once. Raises as `get`.
    """
    url, nonce = _url(home), os.urandom(proof.NONCE_BYTES)
    headers = {**_headers(nonce, token), "Content-Type": "application/json"}
    with _explained(url, timeout_s):
        connection = _connect(url, timeout_s)
    try:
        with _explained(url, timeout_s):
            connection.request("POST", path, body, headers)
            response = connection.getresponse()
        _check_proof(home, url, nonce, response.headers.get(proof.PROOF_HEADER, ""))
        yield ApiStream(response, url, timeout_s)
    finally:
        connection.close()


def print_json(text: str) -> None:
    """Print a document's original text, in UTF-8 as JSON requires, in any terminal encoding."""
    click.echo(text.encode())


def _fetch(
    home: Home, method: str, path: str, *, token: str | None = None, timeout_s: float = TIMEOUT_S, body: bytes = b""
) -> tuple[str, bytes]:
    """The node's URL, and the body of its answer."""
    url, nonce = _url(home), os.urandom(proof.NONCE_BYTES)
    with _explained(url, timeout_s):
        shown, answer = _exchange(url, method, path, _headers(nonce, token), timeout_s, body)
    _check_proof(home, url, nonce, shown)
    return url, answer


def _url(home: Home) -> str:
    url = home.read_api()
    if url is None:
        raise NotRunningError(f"no node is running in {home.path}")
    return url


def _headers(nonce: bytes, token: str | None) -> dict[str, str]:
    return {proof.NONCE_HEADER: nonce.hex(), **({} if token is None else {"Authorization": f"Bearer {token}"})}


@contextmanager
def _explained(url: str, timeout_s: float) -> Iterator[None]:
    """Turn the faults of a connection into NotRunningError."""
    try:
        yield
    except TimeoutError:
        raise NotRunningError(f"nothing answers at {url} within {timeout_s:g} s") from None
    except OSError as error:
        raise NotRunningError(f"no node answers at {url} ({error.strerror or error})") from None
    except (http.client.HTTPException, ValueError):
        raise NotRunningError(f"what answers at {url} is not a p2pverify node") from None


def _check_proof(home: Home, url: str, nonce: bytes, shown: str) -> None:
    key = home.key()
    if key is None or not hmac.compare_digest(shown.encode(), proof.prove(key, nonce).hex().encode()):
        raise NotRunningError(f"what answers at {url} is not the node of {home.path}")


def _read(url: str, body: bytes, kind: type[_D], refused: str) -> ApiAnswer[_D]:
    try:
        text = body.decode()
        return ApiAnswer(parse(kind, text), text)
    except ValueError:
        refusal = _refusal(body)
    if refusal is None:
        raise NotRunningError(f"what answers at {url} is not a p2pverify node of this version")
    raise CliError(f"the node refused: {refusal.message}", refused)


def _refusal(body: bytes) -> ErrorDocument | None:
    try:
        return parse(ErrorDocument, body)
    except DocumentError:
        return None


def _exchange(
    url: str, method: str, path: str, headers: dict[str, str], timeout_s: float, sent: bytes
) -> tuple[str, bytes]:
    """Proof and body of one request, within `timeout_s`. Raises OSError, HTTPException or ValueError."""
    deadline = time.monotonic() + timeout_s
    connection = _connect(url, timeout_s)
    try:
        connection.request(method, path, sent or None, headers)
        response = connection.getresponse()
        body = bytearray()
        while chunk := response.read1(_CHUNK_BYTES):
            body += chunk
            if len(body) > _ANSWER_BYTES_MAX:
                raise ValueError("the answer is too long")
            if time.monotonic() > deadline:
                raise TimeoutError
        return response.headers.get(proof.PROOF_HEADER, ""), bytes(body)
    finally:
        connection.close()


def _connect(url: str, timeout_s: float) -> http.client.HTTPConnection:
    """A connection that opens with its first request. Raises ValueError."""
    parts = urlsplit(url)
    if parts.scheme != "http" or parts.hostname is None or parts.port is None:
        raise ValueError("not the URL of a local API")
    return http.client.HTTPConnection(parts.hostname, parts.port, timeout=timeout_s)
