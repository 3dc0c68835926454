"""The calls of a client as values: what is sent, and how the answer is read. The two clients carry them out."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Generic, TypeVar
from urllib.parse import quote, urlencode

from p2pverify.client.exchange import HttpRequest
from p2pverify.client.replies import Reply, read_model, read_reply
from p2pverify.node.reports.documents.health import Live
from p2pverify.node.reports.documents.jsonform import parse
from p2pverify.node.reports.documents.passport import PassportDocument
from p2pverify.node.reports.documents.receipt import ReceiptDocument
from p2pverify.node.reports.documents.scores import ScoresDocument

ANSWER_BYTES_MAX = 16 * 1024 * 1024
STREAM_BYTES_MAX = 256 * 1024 * 1024
DOCUMENT_BYTES_MAX = 64 * 1024 * 1024
_SMALL_BYTES_MAX = 262_144
_CHAT = "/v1/chat/completions"
_T = TypeVar("_T")

Messages = str | Sequence[Mapping[str, str]]
"""A question, or a conversation: messages with a `role` ("system", "user", "assistant") and a `content`."""


@dataclass(frozen=True, slots=True)
class ClientCall(Generic[_T]):
    """One call. `read` raises DocumentError for an answer of another form."""

    request: HttpRequest
    read: Callable[[bytes], _T]


@dataclass(frozen=True, slots=True)
class Wishes:
    """How a question shall be answered. None leaves the choice to the node.

    `panel` is the number of peers (1 or more) that a full check asks; `every` is the number of questions among which
    one, at a secret random place, gets a full check.
    """

    model: str | None = None
    temperature: float | None = None
    max_tokens: int | None = None
    seed: int | None = None
    panel: int | None = None
    every: int | None = None

    def body(self, messages: Messages, model: str, *, stream: bool) -> bytes:
        """The body of the request. Raises ValueError, TypeError for what is no JSON."""
        said = [{"role": "user", "content": messages}] if isinstance(messages, str) else [dict(one) for one in messages]
        check = {"panel": self.panel, "every": self.every}
        asked: dict[str, object] = {
            "temperature": self.temperature,
            "max_tokens": self.max_tokens,
            "seed": self.seed,
            "p2pverify": {name: value for name, value in check.items() if value is not None} or None,
            "stream": True if stream else None,
            "stream_options": {"include_usage": True} if stream else None,
        }
        given = {name: value for name, value in asked.items() if value is not None}
        return json.dumps({"model": model, "messages": said, **given}, allow_nan=False).encode()


def alive() -> ClientCall[Live]:
    return ClientCall(HttpRequest("GET", "/livez", _SMALL_BYTES_MAX), partial(parse, Live))


def models(key: str | None) -> ClientCall[str]:
    return ClientCall(HttpRequest("GET", "/v1/models", _SMALL_BYTES_MAX, key=key), read_model)


def ask(body: bytes, key: str | None) -> ClientCall[Reply]:
    return ClientCall(HttpRequest("POST", _CHAT, ANSWER_BYTES_MAX, body, key), read_reply)


def stream(body: bytes, key: str | None) -> HttpRequest:
    return HttpRequest("POST", _CHAT, STREAM_BYTES_MAX, body, key)


def receipt(name: str, key: str | None) -> ClientCall[ReceiptDocument]:
    path = f"/v1/receipts/{quote(name, safe='')}"
    return ClientCall(HttpRequest("GET", path, DOCUMENT_BYTES_MAX, key=key), partial(parse, ReceiptDocument))


def scores(*, provisional: bool) -> ClientCall[ScoresDocument]:
    path = f"/v1/scores?view={'provisional' if provisional else 'final'}"
    return ClientCall(HttpRequest("GET", path, DOCUMENT_BYTES_MAX), partial(parse, ScoresDocument))


def passport(peer: str) -> ClientCall[PassportDocument]:
    path = f"/v1/passport?{urlencode({'peer': peer})}"
    return ClientCall(HttpRequest("GET", path, _SMALL_BYTES_MAX * 2), partial(parse, PassportDocument))
