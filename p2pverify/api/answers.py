"""What all routes share: how they answer, and which errors they declare."""

import json
from collections.abc import Mapping
from typing import Any

from pydantic import TypeAdapter
from pydantic.json_schema import JsonSchemaMode
from starlette.responses import Response

from p2pverify.api.middleware import error_body
from p2pverify.node.reports.documents.health import ErrorDocument
from p2pverify.node.reports.documents.jsonform import written
from p2pverify.node.reports.documents.shape import ApiDocument

#: Where an OpenAPI document has the schema of a model.
SCHEMAS = "#/components/schemas/{model}"
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
    refused = {code: answer(ErrorDocument, why) for code, why in {**_ALWAYS, **errors}.items()}
    return {status: answer(model, (model.__doc__ or "").strip())} | refused


def answer(model: type[ApiDocument], what: str) -> dict[str, Any]:
    """One answer of a route, for FastAPI's `responses`.

    It names the document's schema, which `schemas` makes when somebody asks for it. FastAPI's own `model` would make
    the schema of each answer of each route whenever an application is made, which takes a sixth of a second.
    """
    named = SCHEMAS.format(model=model.__name__)
    return {"description": what, "content": {"application/json": {"schema": {"$ref": named}}}}


def schemas(paths: object) -> dict[str, Any]:
    """The JSON schemas of the documents that an OpenAPI document's `paths` name, and of their parts, by name."""
    text = json.dumps(paths)
    named = [kind for kind in ApiDocument.__subclasses__() if f'"{SCHEMAS.format(model=kind.__name__)}"' in text]
    kinds: list[tuple[str, JsonSchemaMode, TypeAdapter[Any]]]
    kinds = [(kind.__name__, "serialization", TypeAdapter(kind)) for kind in named]
    _, found = TypeAdapter.json_schemas(kinds, ref_template=SCHEMAS)
    return dict(found["$defs"])


def reply(document: ApiDocument, *, status: int = 200) -> Response:
    body = json.dumps(written(document), separators=(",", ":"), allow_nan=False)
    return Response(body, status_code=status, media_type="application/json")


def refusal(status: int, error: str, message: str, headers: Mapping[str, str] | None = None) -> Response:
    body = error_body(error, message)
    return Response(body, status_code=status, headers=dict(headers or {}), media_type="application/json")
