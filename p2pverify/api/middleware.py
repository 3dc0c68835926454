"""Middleware in front of the API: the checks that every request must pass before a route sees it.

It refuses foreign Host headers, because a web page that resolves its own name to 127.0.0.1 could otherwise read the API
(DNS rebinding). It refuses foreign Origin headers, because any web page can send requests to 127.0.0.1. It refuses
large bodies, websockets and repeated query parameters. It counts requests, and turns an exception of a route into an
answer. The routes are in `app`.
"""

import json
import logging
from urllib.parse import parse_qsl

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from p2pverify.api.metrics import Counts
from p2pverify.api.openai.errors import error_value
from p2pverify.api.rules import RouteRule, RouteRules, route_of
from p2pverify.node.endpoints.proof import NONCE_HEADER, PROOF_HEADER, answer
from p2pverify.node.reports.documents.health import ErrorDocument
from p2pverify.node.reports.documents.jsonform import written

_QUERY_BYTES_MAX = 512
_QUERY_FIELDS_MAX = 8
_HEADERS = [
    (b"cache-control", b"no-store"),
    (b"x-content-type-options", b"nosniff"),
    # One answer per connection. anycorn keeps a connection that its client has left until its idle time is over, so a
    # few readers per second would fill all places.
    (b"connection", b"close"),
]

FAULT = "the node failed to answer; its log says why"
_NONCE, _PROOF = NONCE_HEADER.lower().encode(), PROOF_HEADER.lower().encode()

_log = logging.getLogger("p2pverify.api")


class RefusedError(Exception):
    """A request that reaches no route: status code, one word, one sentence."""

    def __init__(self, status: int, error: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.error = error
        self.message = message


def error_body(error: str, message: str) -> bytes:
    """The JSON of every error."""
    return json.dumps(written(ErrorDocument(schema="p2pverify/error/1", error=error, message=message))).encode()


def allowed_hosts(port: int) -> frozenset[bytes]:
    """The Host headers that a client on this machine sends to a server on `port`."""
    names = ("127.0.0.1", "localhost", "[::1]")
    hosts = {f"{name}:{port}".encode() for name in names}
    if port == 80:
        hosts.update(name.encode() for name in names)
    return frozenset(hosts)


def error_of(rule: RouteRule, status: int, error: str, message: str) -> bytes:
    """The JSON of an error, in the shape that clients of this path expect."""
    return json.dumps(error_value(status, error, message)).encode() if rule.is_openai else error_body(error, message)


_UNKNOWN = RouteRule()


class Gate:
    """ASGI middleware around the routes. `routes` are the rules of their paths, `elsewhere` the rule of all others.

    With `hosts` None any Host and Origin passes: then each request needs a key, which no web page has. With `home_key`
    it proves to a client that this is the node of a certain home, if the client asks for it.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        hosts: frozenset[bytes] | None,
        routes: RouteRules,
        counts: Counts,
        home_key: bytes | None,
        elsewhere: RouteRule = _UNKNOWN,
    ) -> None:
        self._app = app
        self._home_key = home_key
        self._hosts = hosts
        self._routes = routes
        self._elsewhere = elsewhere
        self._counts = counts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            await self._http(scope, receive, send)
        else:
            await send({"type": "websocket.close", "code": 1003})

    async def _http(self, scope: Scope, receive: Receive, send: Send) -> None:
        status = 0
        route = route_of(self._routes, scope["path"])
        rule = self._elsewhere if route is None else self._routes[route]
        own_headers = [*_HEADERS, *_proof(scope, self._home_key)]

        async def send_counted(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message = {**message, "headers": [*message.get("headers", ()), *own_headers]}
            await send(message)

        try:
            self._check(scope, rule)
            await self._app(scope, receive, send_counted)
        except RefusedError as refused:
            await _answer(send_counted, refused.status, error_of(rule, refused.status, refused.error, refused.message))
        except Exception:  # noqa: BLE001 - the node must survive a bug in one of its reports
            _log.exception("the API failed to answer %s", scope["path"][:80])
            if status == 0:
                await _answer(send_counted, 500, error_of(rule, 500, "internal", FAULT))
        finally:
            self._counts.count_request(route or "other", status)

    def _check(self, scope: Scope, rule: RouteRule) -> None:
        """Raise RefusedError unless the request is for us, small and unambiguous."""
        headers: list[tuple[bytes, bytes]] = list(scope["headers"])
        self._check_place(headers)
        lengths = [value for name, value in headers if name == b"content-length"]
        if len(lengths) > 1:
            raise RefusedError(400, "two_lengths", "there is more than one Content-Length")
        too_long = any(not (value.isdigit() and int(value[:9]) <= rule.body_bytes_max) for value in lengths)
        if too_long or any(name == b"transfer-encoding" for name, _ in headers):
            message = f"a body may have at most {rule.body_bytes_max} bytes, of known length"
            raise RefusedError(413, "too_large", message)
        names = _query_names(scope["query_string"])
        if len(set(names)) != len(names):
            raise RefusedError(400, "bad_query", "a name occurs twice in the query")
        unknown = set(names) - rule.query if route_of(self._routes, scope["path"]) else set()
        if unknown:
            raise RefusedError(400, "bad_query", f"there is no parameter {min(unknown)[:40]!r}")

    def _check_place(self, headers: list[tuple[bytes, bytes]]) -> None:
        """Raise RefusedError for a request that was meant for another host, or that a foreign web page has made."""
        hosts = [value.lower() for name, value in headers if name == b"host"]
        if len(hosts) != 1 or (self._hosts is not None and hosts[0] not in self._hosts):
            raise RefusedError(403, "wrong_host", "this API answers only to the loopback address it is bound to")
        if self._hosts is None:
            return
        own = {b"http://" + host for host in self._hosts}
        if any(value.lower() not in own for name, value in headers if name == b"origin"):
            raise RefusedError(403, "foreign_origin", "web pages of other origins may not use this API")


def _proof(scope: Scope, home_key: bytes | None) -> list[tuple[bytes, bytes]]:
    """The header that proves which home this node belongs to, if the request asks for it."""
    nonces = [value for name, value in scope["headers"] if name == _NONCE]
    proof = answer(home_key, nonces[0]) if len(nonces) == 1 and home_key is not None else None
    return [] if proof is None else [(_PROOF, proof)]


def _query_names(query: bytes) -> list[str]:
    if not query:
        return []
    if len(query) > _QUERY_BYTES_MAX:
        raise RefusedError(400, "bad_query", f"the query is longer than {_QUERY_BYTES_MAX} bytes")
    try:
        fields = parse_qsl(
            query.decode("ascii"),
            keep_blank_values=True,
            strict_parsing=True,
            errors="strict",
            max_num_fields=_QUERY_FIELDS_MAX,
        )
    except ValueError:
        message = "the query is not of the form name=value&name=value in UTF-8"
        raise RefusedError(400, "bad_query", message) from None
    return [name for name, _ in fields]


async def _answer(send: Send, status: int, body: bytes) -> None:
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
