"""The command line's client of the local API: standard library only, one request, one JSON document.

A server at the address in the home's `api` file is not trusted until it has proven that it is this home's node and has
answered with the right document. The node may have died, and another program or node may have taken its port.
"""

import hmac
import http.client
import os
import time
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
    home: Home, path: str, kind: type[_D], *, timeout_s: float = TIMEOUT_S, refused: str = _REFUSED
) -> ApiAnswer[_D]:
    """The document at `path`. Raises NotRunningError if no node answers, CliError with the hint `refused` if it
    refuses.
    """
    return _ask(home, "GET", path, kind, timeout_s=timeout_s, refused=refused)


def post(home: Home, path: str, kind: type[_D]) -> ApiAnswer[_D]:
    """Send a POST request with the home's token, which only the proven node of this home gets. Raises as `get`."""
    token = home.read_token()
    if token is None:
        raise NotRunningError(f"{home.path} has no token: no node was ever started there")
    get(home, "/livez", Live)
    return _ask(home, "POST", path, kind, token=token)


def print_json(text: str) -> None:
    """Print a document's original text, in UTF-8 as JSON requires, in any terminal encoding."""
    click.echo(text.encode())


def _ask(
    home: Home,
    method: str,
    path: str,
    kind: type[_D],
    *,
    token: str | None = None,
    timeout_s: float = TIMEOUT_S,
    refused: str = _REFUSED,
) -> ApiAnswer[_D]:
    url = home.read_api()
    if url is None:
        raise NotRunningError(f"no node is running in {home.path}")
    nonce = os.urandom(proof.NONCE_BYTES)
    headers = {proof.NONCE_HEADER: nonce.hex()}
    if token is not None:
        headers["Authorization"] = f"Bearer {token}"
    try:
        shown, body = _exchange(url, method, path, headers, timeout_s)
    except TimeoutError:
        raise NotRunningError(f"nothing answers at {url} within {timeout_s:g} s") from None
    except OSError as error:
        raise NotRunningError(f"no node answers at {url} ({error.strerror or error})") from None
    except (http.client.HTTPException, ValueError):
        raise NotRunningError(f"what answers at {url} is not a p2pverify node") from None
    key = home.key()
    if key is None or not hmac.compare_digest(shown.encode(), proof.prove(key, nonce).hex().encode()):
        raise NotRunningError(f"what answers at {url} is not the node of {home.path}")
    return _read(body, kind, url, refused)


def _read(body: bytes, kind: type[_D], url: str, refused: str) -> ApiAnswer[_D]:
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


def _exchange(url: str, method: str, path: str, headers: dict[str, str], timeout_s: float) -> tuple[str, bytes]:
    """Proof and body of one request, within `timeout_s`. Raises OSError, HTTPException or ValueError."""
    parts = urlsplit(url)
    if parts.scheme != "http" or parts.hostname is None or parts.port is None:
        raise ValueError("not the URL of a local API")
    deadline = time.monotonic() + timeout_s
    connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=timeout_s)
    try:
        connection.request(method, path, headers=headers)
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
