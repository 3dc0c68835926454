"""Server-sent events: the bytes of a stream."""

import json
from collections.abc import AsyncIterator, Mapping

from starlette.responses import StreamingResponse

DONE = b"data: [DONE]\n\n"
_HEADERS = {"x-accel-buffering": "no"}  # proxies should pass each event on at once


def event(value: object, name: str = "") -> bytes:
    """One event with a JSON value."""
    data = json.dumps(value, separators=(",", ":"), allow_nan=False)
    return f"{f'event: {name}{chr(10)}' if name else ''}data: {data}\n\n".encode()


def stream(events: AsyncIterator[bytes], headers: Mapping[str, str]) -> StreamingResponse:
    """A response that sends the events as they come."""
    return StreamingResponse(events, headers={**_HEADERS, **headers}, media_type="text/event-stream")
