"""The routes of money: accounts, their movements, and cheques that are not on the ledger yet."""

from typing import Annotated, Literal

from fastapi import FastAPI, Path
from starlette.responses import Response

from p2pverify.api.answers import answers, refusal, reply
from p2pverify.core.encoding.peerid import key_of
from p2pverify.core.errors import DecodeError
from p2pverify.core.settle.books import POOL
from p2pverify.node.ports import Reports
from p2pverify.node.settle.documents import AccountsDocument, ChequesDocument, MovementsDocument
from p2pverify.node.settle.movements import NoMovements

View = Literal["final", "provisional"]
Account = Annotated[str, Path(max_length=100)]
_POOL_NAME = "pool"


def add_settlement(app: FastAPI, reports: Reports) -> None:
    """The routes, all of which only read."""

    @app.get("/v1/accounts", responses=answers(AccountsDocument))
    async def accounts(view: View = "final") -> Response:
        """Who earned and owes what, in the newest certified view or provisionally. The sum over all accounts is 0."""
        return reply(reports.accounts(final=view == "final"))

    @app.get(
        "/v1/accounts/{peer}/movements",
        responses=answers(MovementsDocument, errors={404: "There are no such movements to show."}),
    )
    async def movements(peer: Account) -> Response:
        """All movements of one account (a peer id, or "pool") up to the newest final cut, and what each comes from."""
        try:
            key = POOL if peer == _POOL_NAME else key_of(peer)
        except DecodeError:
            return refusal(400, "bad_query", "peer: give a peer id (12D3Koo...), or pool")
        try:
            return reply(await reports.movements(key))
        except NoMovements as error:
            return refusal(404, "no_movements", error.reason)

    @app.get("/v1/cheques", responses=answers(ChequesDocument))
    async def cheques() -> Response:
        """What clients owe this node for answers and what it owes, beside the ledger, with the newest cheques."""
        return reply(reports.cheques())
