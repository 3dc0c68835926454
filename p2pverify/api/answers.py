"""What all routes share: how they answer, and which errors they declare."""

import json
from collections.abc import Mapping
from typing import Any

from starlette.responses import Response

from p2pverify.api.middleware import error_body
from p2pverify.node.reports.documents.health import ErrorDocument
from p2pverify.node.reports.documents.jsonform import written
from p2pverify.node.reports.documents.shape import ApiDocument

#: Errors that every route can answer with, because `middleware` checks every request first.
_ALWAYS = {
    400: "The query is not one that this path takes.",
    403: "The request is for another host.",
    413: "The body is too large, or of unknown length.",
    500: "The node failed to answer; its log says why.",
}
_NO_ERRORS: Mapping[int, str] = {}
NO_TOKEN = {401: "There is no token.", 403: "The token, or the host, is another's."}
SECURED: dict[str, Any] = {"security": [{"token": []}]}


def as_decimal(value: object) -> object:
    if isinstance(value, str) and not (value.isascii() and value.isdecimal() and len(value) <= 9):
        raise ValueError("not a whole number in decimal digits")
    return value


def answers(model: type[ApiDocument], *, status: int = 200, errors: Mapping[int, str] = _NO_ERRORS) -> Any:
    """The answers of a route, for FastAPI's `responses`: its document, and each error that it can give."""
    refused = {code: {"model": ErrorDocument, "description": why} for code, why in {**_ALWAYS, **errors}.items()}
    return {status: {"model": model, "description": (model.__doc__ or "").strip()}} | refused


def reply(document: ApiDocument, *, status: int = 200) -> Response:
    body = json.dumps(written(document), separators=(",", ":"), allow_nan=False)
    return Response(body, status_code=status, media_type="application/json")


def refusal(status: int, error: str, message: str, headers: Mapping[str, str] | None = None) -> Response:
    body = error_body(error, message)
    return Response(body, status_code=status, headers=dict(headers or {}), media_type="application/json")
