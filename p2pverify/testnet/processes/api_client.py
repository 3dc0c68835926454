"""Reads a peer's local API: one document for each request.

A cheating peer can show false values here, so `verdict` uses only the documents of honest peers.
"""

import http.client
from typing import TypeVar
from urllib.parse import urlsplit

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
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=TIMEOUT_S)
    try:
        # The server would keep the connection open for a next request, and it limits its connections.
        connection.request("GET", path, headers={"Connection": "close"})
        response = connection.getresponse()
        body = response.read(BODY_BYTES_MAX + 1)
    except (OSError, http.client.HTTPException) as error:
        raise ReadError(f"{url}{path}: {error}") from None
    finally:
        connection.close()
    if response.status != status or len(body) > BODY_BYTES_MAX:
        raise ReadError(f"{url}{path}: status {response.status}, {len(body)} bytes")
    try:
        return parse(kind, body)
    except DocumentError as error:
        raise ReadError(f"{url}{path}: {error}") from None
