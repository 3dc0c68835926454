"""The routes of the local API, on FastAPI.

Every answer is one document of `node/reports/documents`, in JSON. Handlers are `async`, so that they run in the
node's own thread, where its state is consistent. `middleware` checks every request before a route sees it.
"""

import hmac
from dataclasses import replace
from typing import Annotated, Any

from fastapi import FastAPI, Query, Request
from fastapi.exceptions import RequestValidationError
from prometheus_client import CollectorRegistry
from pydantic import BeforeValidator, Field
from starlette.exceptions import HTTPException
from starlette.responses import Response

from p2pverify import __version__
from p2pverify.api.amendments import add_acceptance, add_rules
from p2pverify.api.answers import NO_TOKEN, SCHEMAS, SECURED, answer, answers, as_decimal, refusal, reply, schemas
from p2pverify.api.lines import add_fetches, add_lines
from p2pverify.api.metrics import CONTENT_TYPE, render
from p2pverify.api.middleware import FAULT, error_of
from p2pverify.api.openai.app import OPENAI_ROUTES, add_door
from p2pverify.api.openai.requests import ChatRequest, CompletionRequest
from p2pverify.api.openai.routes import Guard
from p2pverify.api.rules import RouteRule, route_of
from p2pverify.api.settle import View, add_settlement
from p2pverify.core.encoding.peerid import key_of
from p2pverify.core.errors import DecodeError
from p2pverify.core.records.envelope import PAYLOAD_BYTES_MAX, Kind
from p2pverify.node.clients.book import BookError
from p2pverify.node.clients.door import Door
from p2pverify.node.data.documents import DatasetsDocument, SignedDocument, SignedKind
from p2pverify.node.ports import Orders, Reports, UnknownAudit
from p2pverify.node.reports.documents.audits import AuditsDocument
from p2pverify.node.reports.documents.blobs import BlobsDocument
from p2pverify.node.reports.documents.explained import ExplainedAudit
from p2pverify.node.reports.documents.health import ErrorDocument, LeaveDocument, Live, Ready, SponsorDocument
from p2pverify.node.reports.documents.me import MeDocument
from p2pverify.node.reports.documents.passport import PassportDocument
from p2pverify.node.reports.documents.peers import PeersDocument
from p2pverify.node.reports.documents.scores import ScoresDocument
from p2pverify.node.reports.documents.status import StatusDocument
from p2pverify.node.user_error import UserError

AUDITS_DEFAULT = 100
AUDITS_MAX = 1000
NAME_CHARS_MAX = 100
EXPLAIN_WAIT_S = 5.0  # shorter than the time after which an idle connection is closed
#: The paths, and what they take.
ROUTES: dict[str, RouteRule] = {
    "/v1/status": RouteRule(),
    "/v1/peers": RouteRule(),
    "/v1/scores": RouteRule(frozenset({"view"})),
    "/v1/audits": RouteRule(frozenset({"limit"})),
    "/v1/audit": RouteRule(frozenset({"id"})),
    "/v1/me": RouteRule(),
    "/v1/blobs": RouteRule(),
    "/v1/passport": RouteRule(frozenset({"peer"})),
    "/v1/leave": RouteRule(),
    "/v1/sponsor": RouteRule(frozenset({"peer"})),
    "/v1/datasets": RouteRule(frozenset({"view"})),
    "/v1/accounts": RouteRule(frozenset({"view"})),
    "/v1/accounts/{peer}/movements": RouteRule(),
    "/v1/cheques": RouteRule(),
    "/v1/sign": RouteRule(frozenset({"kind"}), body_bytes_max=PAYLOAD_BYTES_MAX),
    "/v1/rules": RouteRule(),
    "/v1/accept": RouteRule(frozenset({"id"})),
    "/v1/lines": RouteRule(),
    "/v1/rounds": RouteRule(),
    "/v1/lines/{line}/versions": RouteRule(),
    "/v1/lines/{line}/versions/{number}": RouteRule(),
    "/v1/fetch": RouteRule(frozenset({"line", "number"})),
    "/livez": RouteRule(),
    "/readyz": RouteRule(),
    "/metrics": RouteRule(),
    "/openapi.json": RouteRule(),
}
_EXPOSITION = {"description": "Prometheus' text format 0.0.4.", "content": {"text/plain": {}}}


class _Described(FastAPI):
    """FastAPI with an OpenAPI document that describes the handlers here correctly."""

    def openapi(self) -> dict[str, Any]:
        """Remove FastAPI's 422 for routes that read a query, because `_bad_query` answers 400 here."""
        if self.openapi_schema is not None:
            return self.openapi_schema
        document = super().openapi()
        for operations in document["paths"].values():
            for operation in operations.values():
                operation["responses"].pop("422", None)
        parts = document["components"]["schemas"]
        for unused in ("HTTPValidationError", "ValidationError"):
            parts.pop(unused, None)
        parts |= schemas(document["paths"])
        bearer = {"type": "http", "scheme": "bearer"}
        document["components"]["securitySchemes"] = {"token": bearer, "key": bearer}
        for kind in (ChatRequest, CompletionRequest):
            parts |= kind.model_json_schema(ref_template=SCHEMAS).get("$defs", {})
        return document


PeerId = Annotated[str, Field(max_length=NAME_CHARS_MAX)]
_NO_PEER_ID = "peer: not a peer id (12D3Koo...)"
Limit = Annotated[int, Field(ge=1, le=AUDITS_MAX), BeforeValidator(as_decimal)]


def new_app(
    reports: Reports,
    registry: CollectorRegistry,
    *,
    token: str,
    orders: Orders,
    door: Door | None = None,
    guard: Guard | None = None,
) -> FastAPI:
    """The API of one node. `orders` are carried out in the node's thread, after the token was found right.

    With a `door` it serves clients too; `guard` says which client asks.
    """
    app = _Described(title="p2pverify node", version=__version__, docs_url=None, redoc_url=None)
    _add_reports(app, reports)
    _add_disk_reports(app, reports)
    _add_records(app, reports)
    add_settlement(app, reports)
    add_lines(app, reports)
    add_rules(app, reports)
    _add_health(app, reports, registry)
    _add_orders(app, token, orders)
    if door is not None and guard is not None:
        add_door(app, door, guard)
    app.add_exception_handler(RequestValidationError, _bad_query)
    app.add_exception_handler(HTTPException, _http_error)
    app.add_exception_handler(Exception, _fault)
    return app


def _add_reports(app: FastAPI, reports: Reports) -> None:
    @app.get("/v1/status", responses=answers(StatusDocument))
    async def status() -> Response:
        """The identity and the progress of this node."""
        return reply(reports.status())

    @app.get("/v1/peers", responses=answers(PeersDocument))
    async def peers() -> Response:
        """The connected peers."""
        return reply(reports.peers())

    @app.get("/v1/scores", responses=answers(ScoresDocument))
    async def scores(view: View = "final") -> Response:
        """Scores and standings in the newest certified view, or provisionally from all records that the node holds."""
        return reply(reports.scores(final=view == "final"))

    @app.get("/v1/audits", responses=answers(AuditsDocument))
    async def audits(limit: Limit = AUDITS_DEFAULT) -> Response:
        """The newest audits and the disputes."""
        return reply(reports.audits(limit=limit))

    @app.get("/v1/audit", responses=answers(ExplainedAudit, errors={404: "The node knows no such audit."}))
    async def audit(name: Annotated[str, Query(alias="id", max_length=NAME_CHARS_MAX)]) -> Response:
        """The explanation of one audit as far as it is known now; ask again until it is complete."""
        try:
            return reply(await reports.explain(name, wait_s=EXPLAIN_WAIT_S))
        except UnknownAudit as unknown:
            return refusal(404, "no_such_audit", unknown.reason)


def _add_records(app: FastAPI, reports: Reports) -> None:
    """The routes of what one view says of data, and of one peer."""

    @app.get("/v1/datasets", responses=answers(DatasetsDocument))
    async def datasets(view: View = "final") -> Response:
        """The data sets that members offer, in the newest certified view or provisionally."""
        return reply(reports.datasets(final=view == "final"))

    @app.get("/v1/passport", responses=answers(PassportDocument, errors={404: "No recent cut has this peer."}))
    async def passport(peer: PeerId) -> Response:
        """One peer's row of a recent certified view as a file that anybody can check with the network's definition."""
        try:
            found = reports.passport(key_of(peer))
        except DecodeError:
            return refusal(400, "bad_query", _NO_PEER_ID)
        if found is None:
            return refusal(404, "no_passport", "no recent certified cut has a row of this peer with enough signatures")
        return reply(found)


def _add_disk_reports(app: FastAPI, reports: Reports) -> None:
    """The routes that read the disk."""

    @app.get("/v1/me", responses=answers(MeDocument, errors={503: "The audits on disk cannot be read."}))
    async def me() -> Response:
        """How peers treat the clients of this node, by its own audits, beside what the network's audits find."""
        try:
            return reply(await reports.me())
        except BookError as error:
            return refusal(503, "not_readable", f"{error.reason}; {error.hint}")

    @app.get("/v1/blobs", responses=answers(BlobsDocument, errors={503: "The files on disk cannot be read."}))
    async def blobs() -> Response:
        """The files of models on this machine, and which of them other peers can fetch."""
        try:
            return reply(await reports.blobs())
        except UserError as error:
            return refusal(503, "not_readable", f"{error.reason}; {error.hint}")


def _add_health(app: FastAPI, reports: Reports, registry: CollectorRegistry) -> None:
    @app.get("/livez", responses=answers(Live))
    async def livez() -> Response:
        """Whether the process answers."""
        return reply(Live(schema="p2pverify/live/1", live=True))

    @app.get("/readyz", responses=answers(Ready) | {503: answer(Ready, "The node is not ready.")})
    async def readyz() -> Response:
        """Whether the node takes part in the network; if not (503), why."""
        reasons = tuple(reports.unready())
        document = Ready(schema="p2pverify/ready/1", ready=not reasons, reasons=reasons)
        return reply(document, status=503 if reasons else 200)

    @app.get("/metrics", response_class=Response, responses=answers(ErrorDocument) | {200: _EXPOSITION})
    async def metrics() -> Response:
        """Metrics for Prometheus."""
        return Response(render(registry), headers={"content-type": CONTENT_TYPE})


_BYTES = {"application/cbor": {"schema": {"type": "string", "format": "binary"}}}
_PAYLOAD: dict[str, Any] = {"requestBody": {"required": True, "content": _BYTES}}


def _add_orders(app: FastAPI, token: str, orders: Orders) -> None:
    """The routes that change something. They need the bearer token from the home directory."""
    expected = f"Bearer {token}".encode()

    def refused(request: Request) -> Response | None:
        given = request.headers.getlist("authorization")
        if len(given) != 1:
            message = "send the token from the home directory as 'Authorization: Bearer TOKEN'"
            return refusal(401, "no_token", message, {"www-authenticate": "Bearer"})
        if not hmac.compare_digest(given[0].encode("latin-1"), expected):
            return refusal(403, "wrong_token", "this is not the token in the node's home directory")
        return None

    add_fetches(app, refused, orders)
    add_acceptance(app, refused, orders)

    @app.post(
        "/v1/leave",
        status_code=202,
        responses=answers(LeaveDocument, status=202, errors=NO_TOKEN),
        openapi_extra=SECURED,
    )
    async def leave(request: Request) -> Response:
        """Leave the network for good; needs the bearer token from the home directory."""
        document = LeaveDocument(schema="p2pverify/leave/1", leaving=True, reasons=())
        return refused(request) or reply(replace(document, reasons=tuple(orders.leave())), status=202)

    @app.post(
        "/v1/sponsor",
        status_code=202,
        responses=answers(SponsorDocument, status=202, errors=NO_TOKEN),
        openapi_extra=SECURED,
    )
    async def sponsor(request: Request, peer: PeerId) -> Response:
        """Stand for a newcomer, by its peer id; needs the bearer token from the home directory."""
        answer = refused(request)
        if answer is not None:
            return answer
        try:
            key = key_of(peer)
        except DecodeError:
            return refusal(400, "bad_query", _NO_PEER_ID)
        why = orders.sponsor(key)
        said = SponsorDocument(schema="p2pverify/sponsor/1", peer_id=peer, sponsored=why is None, reason=why)
        return reply(said, status=202)

    @app.post(
        "/v1/sign",
        status_code=202,
        responses=answers(SignedDocument, status=202, errors=NO_TOKEN),
        openapi_extra={**SECURED, **_PAYLOAD},
    )
    async def sign(request: Request, kind: SignedKind) -> Response:
        """Sign a record with the payload in the body, once it counts; needs the bearer token from the home."""
        answer = refused(request)
        if answer is not None:
            return answer
        record, why = await orders.sign(Kind[kind.upper()], await request.body())
        signed = None if record is None else record.hex()
        return reply(SignedDocument(schema="p2pverify/signed/1", kind=kind, record=signed, reason=why), status=202)


async def _bad_query(_request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    faults = [f"{fault['loc'][-1]}: {fault['msg']}" for fault in error.errors()]
    return refusal(400, "bad_query", "; ".join(faults))


async def _http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    if error.status_code == 404:
        return refusal(404, "not_found", f"there is no such path; there are {', '.join({**ROUTES, **OPENAI_ROUTES})}")
    body = error_of(_rule(request), error.status_code, "refused", str(error.detail))
    return Response(body, error.status_code, dict(error.headers or {}), "application/json")


async def _fault(request: Request, _exception: Exception) -> Response:
    """Answer 500. The exception goes on to the middleware, which logs it."""
    return Response(error_of(_rule(request), 500, "internal", FAULT), 500, media_type="application/json")


def _rule(request: Request) -> RouteRule:
    route = route_of(OPENAI_ROUTES, request.url.path)
    return RouteRule() if route is None else OPENAI_ROUTES[route]
