"""The routes about lines and their versions. A line is named by its name, or by its genesis manifest in hexadecimal."""

from collections.abc import Callable
from typing import Annotated

from fastapi import FastAPI, Path, Query, Request
from pydantic import BeforeValidator
from starlette.responses import Response

from p2pverify.api.answers import NO_TOKEN, SECURED, answers, as_decimal, refusal, reply
from p2pverify.node.lines.documents import FetchDocument, LinesDocument, ReleaseDocument, VersionsDocument
from p2pverify.node.ports import Orders, Reports, UnknownVersion
from p2pverify.node.training.documents import RoundsDocument

_NO_VERSION = {404: "The network has no such line or version."}
Line = Annotated[str, Path(max_length=100)]
Number = Annotated[int, Path(ge=0), BeforeValidator(as_decimal)]
AskedLine = Annotated[str, Query(alias="line", max_length=100)]
AskedNumber = Annotated[int, Query(alias="number", ge=0), BeforeValidator(as_decimal)]


def add_lines(app: FastAPI, reports: Reports) -> None:
    """The routes that read."""

    @app.get("/v1/lines", responses=answers(LinesDocument))
    async def lines() -> Response:
        """The models of the network that have later versions, and who may release them."""
        return reply(reports.lines())

    @app.get("/v1/rounds", responses=answers(RoundsDocument))
    async def rounds() -> Response:
        """The training rounds of all trained lines: the open one, and the newest ones that are over."""
        return reply(reports.rounds())

    @app.get("/v1/lines/{line}/versions", responses=answers(VersionsDocument, errors=_NO_VERSION))
    async def versions(line: Line) -> Response:
        """The versions of a line: their status and origin, who serves them, and whether this node can."""
        try:
            return reply(reports.versions(line))
        except UnknownVersion as unknown:
            return _unknown(unknown)

    @app.get("/v1/lines/{line}/versions/{number}", responses=answers(ReleaseDocument, errors=_NO_VERSION))
    async def release(line: Line, number: Number) -> Response:
        """The bytes of a version's release and of its manifest."""
        try:
            return reply(reports.release(line, number))
        except UnknownVersion as unknown:
            return _unknown(unknown)


def add_fetches(app: FastAPI, refused: Callable[[Request], Response | None], orders: Orders) -> None:
    """The routes that fetch a version's files. `refused` answers requests without the right token."""
    errors = {**NO_TOKEN, **_NO_VERSION}

    def answer(request: Request, do: Callable[[], FetchDocument], status: int) -> Response:
        try:
            return refused(request) or reply(do(), status=status)
        except UnknownVersion as unknown:
            return _unknown(unknown)

    @app.get("/v1/fetch", responses=answers(FetchDocument, errors=errors), openapi_extra=SECURED)
    async def fetched(request: Request, line: AskedLine, number: AskedNumber) -> Response:
        """How far a download is; needs the bearer token from the home directory."""
        return answer(request, lambda: orders.fetched(line, number), 200)

    @app.post(
        "/v1/fetch",
        status_code=202,
        responses=answers(FetchDocument, status=202, errors=errors),
        openapi_extra=SECURED,
    )
    async def fetch(request: Request, line: AskedLine, number: AskedNumber) -> Response:
        """Begin to fetch the files of a version from peers; needs the bearer token from the home directory."""
        return answer(request, lambda: orders.fetch(line, number), 202)


def _unknown(unknown: UnknownVersion) -> Response:
    return refusal(404, "no_such_version", unknown.reason)
