"""The routes of the rules: those in force with the open amendments, and the word that accepts one."""

from collections.abc import Callable
from typing import Annotated

from fastapi import FastAPI, Query, Request
from starlette.responses import Response

from p2pverify.api.answers import NO_TOKEN, SECURED, answers, refusal, reply
from p2pverify.node.ports import Orders, Reports
from p2pverify.node.rules.documents import AcceptDocument, RulesDocument

_ID_CHARS = 64
AmendmentId = Annotated[str, Query(alias="id", max_length=_ID_CHARS)]


def add_rules(app: FastAPI, reports: Reports) -> None:
    """The route that reads."""

    @app.get("/v1/rules", responses=answers(RulesDocument))
    async def rules() -> Response:
        """The rules at the newest final cut, and the open amendments: who approved them, and when they take effect."""
        return reply(reports.rules())


def add_acceptance(app: FastAPI, refused: Callable[[Request], Response | None], orders: Orders) -> None:
    """The route that accepts an amendment. `refused` answers requests without the right token."""

    @app.post(
        "/v1/accept",
        status_code=202,
        responses=answers(AcceptDocument, status=202, errors=NO_TOKEN),
        openapi_extra=SECURED,
    )
    async def accept(request: Request, name: AmendmentId) -> Response:
        """Follow an amendment once it takes effect; needs the bearer token from the home directory."""
        answer = refused(request)
        if answer is not None:
            return answer
        try:
            amendment = bytes.fromhex(name)
        except ValueError:
            return refusal(400, "bad_query", "id: give 64 hexadecimal digits")
        why = orders.accept(amendment)
        said = AcceptDocument(schema="p2pverify/accept/1", amendment=name, accepted=why is None, reason=why)
        return reply(said, status=202)
