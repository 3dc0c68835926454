"""Reads a peer's local API: one document for each request. It gives orders, too, as the operator of a home.

A cheating peer can show false values here, so `verdict` uses only the documents of honest peers.
"""

import http.client
from collections.abc import Mapping
from typing import TypeVar
from urllib.parse import urlsplit

from prometheus_client.parser import text_string_to_metric_families

from p2pverify.node.files.home import Home
from p2pverify.node.identity.private import HomeError
from p2pverify.node.reports.documents.jsonform import DocumentError, parse
from p2pverify.node.reports.documents.shape import ApiDocument

BODY_BYTES_MAX = 8 * 1024 * 1024
TIMEOUT_S = 10.0  # long, because a busy peer on a busy machine answers late

_D = TypeVar("_D", bound=ApiDocument)


class ReadError(Exception):
    """The peer did not answer, or answered with another document."""


def fetch(url: str, path: str, kind: type[_D], *, status: int = 200) -> _D:
    """One document of the API at `url`, with the HTTP status that it must have. Blocks for at most about TIMEOUT_S.

    Raises ReadError.
    """
    return _parsed(kind, _exchange(url, "GET", path, status=status), f"{url}{path}")


def post(home: Home, path: str, kind: type[_D], body: bytes) -> _D:
    """Give the running node of a home an order, with the home's token. Blocks like `fetch`. Raises ReadError."""
    try:
        url, token = home.read_api(), home.read_token()
    except HomeError as error:
        raise ReadError(f"{home.path}: {error.reason}") from None
    if url is None or token is None:
        raise ReadError(f"no node runs in {home.path}")
    headers = {"Authorization": f"Bearer {token}"}
    return _parsed(kind, _exchange(url, "POST", path, status=202, headers=headers, body=body), f"{url}{path}")


def events(url: str, part: str) -> dict[str, int]:
    """What one part of a node has counted, by event. Blocks like `fetch`. Raises ReadError."""
    text = _exchange(url, "GET", "/metrics").decode(errors="replace")
    return {
        sample.labels["event"]: int(sample.value)
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.labels.get("part") == part and "event" in sample.labels
    }


def _exchange(
    url: str,
    method: str,
    path: str,
    *,
    status: int = 200,
    headers: Mapping[str, str] | None = None,
    body: bytes | None = None,
) -> bytes:
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=TIMEOUT_S)
    try:
        # The server would keep the connection open for a next request, and it limits its connections.
        connection.request(method, path, body, {"Connection": "close", **(headers or {})})
        response = connection.getresponse()
        found = response.read(BODY_BYTES_MAX + 1)
    except (OSError, http.client.HTTPException) as error:
        raise ReadError(f"{url}{path}: {error}") from None
    finally:
        connection.close()
    if response.status != status or len(found) > BODY_BYTES_MAX:
        raise ReadError(f"{url}{path}: status {response.status}, {len(found)} bytes")
    return found


def _parsed(kind: type[_D], body: bytes, where: str) -> _D:
    try:
        return parse(kind, body)
    except DocumentError as error:
        raise ReadError(f"{where}: {error}") from None
