"""The door for clients as a whole: its routes, its guards, and the application that the gateway serves."""

import hmac

from fastapi import FastAPI, Request
from starlette.exceptions import HTTPException
from starlette.responses import Response

from p2pverify import __version__
from p2pverify.api.openai.errors import OpenAIError
from p2pverify.api.openai.receipts import add_receipts
from p2pverify.api.openai.routes import BODY_BYTES_MAX, CHAT, COMPLETIONS, Guard, add_openai
from p2pverify.api.rules import RouteRule
from p2pverify.node.clients.book import BookError, KeyRing
from p2pverify.node.clients.desk import LOCAL, Client
from p2pverify.node.clients.door import Door

OPENAI_ROUTES: dict[str, RouteRule] = {
    CHAT: RouteRule(body_bytes_max=BODY_BYTES_MAX, is_openai=True),
    COMPLETIONS: RouteRule(body_bytes_max=BODY_BYTES_MAX, is_openai=True),
    "/v1/models": RouteRule(is_openai=True),
    "/v1/models/{model}": RouteRule(is_openai=True),
    "/v1/receipts/{receipt_id}": RouteRule(is_openai=True),
    "/v1/receipts/{receipt_id}/events": RouteRule(is_openai=True),
}


def add_door(app: FastAPI, door: Door, guard: Guard) -> None:
    """Add all routes for clients."""
    add_openai(app, door, guard)
    add_receipts(app, door, guard)


def new_gateway(door: Door, guard: Guard) -> FastAPI:
    """An application with the routes for clients and nothing else."""
    app = FastAPI(title="p2pverify gateway", version=__version__, openapi_url=None, docs_url=None, redoc_url=None)
    add_door(app, door, guard)
    app.add_exception_handler(HTTPException, _http_error)
    return app


async def _http_error(_request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    if error.status_code == 404:
        return OpenAIError(404, "not_found", f"there is no such path; there are {', '.join(OPENAI_ROUTES)}").response()
    return OpenAIError(error.status_code, "refused", str(error.detail)).response(dict(error.headers or {}))


def local_guard() -> Guard:
    """Lets everybody in who reaches a loopback address, with whatever key."""

    async def guard(_request: Request) -> Client:
        return LOCAL

    return guard


def key_guard(keys: KeyRing, token: str | None = None) -> Guard:
    """Lets nobody in without a valid key. The home's `token` is the operator's own, who is served as without keys."""

    async def guard(request: Request) -> Client:
        given = request.headers.getlist("authorization")
        scheme, _, secret = given[0].partition(" ") if len(given) == 1 else ("", "", "")
        if scheme.lower() != "bearer" or not secret:
            raise _unauthorised("no_api_key", "send a key of this node as 'Authorization: Bearer KEY'")
        if token is not None and hmac.compare_digest(secret.strip().encode(), token.encode()):
            return LOCAL
        try:
            client = await keys.find(secret.strip())
        except BookError as error:
            raise OpenAIError(503, "not_readable", f"the keys cannot be read: {error.reason}; {error.hint}") from None
        if client is None:
            raise _unauthorised("invalid_api_key", "this key is not valid, or was revoked")
        return client

    return guard


def _unauthorised(code: str, message: str) -> OpenAIError:
    return OpenAIError(401, code, message)
