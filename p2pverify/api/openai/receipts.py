"""The routes of receipts: the whole receipt, and its events as they happen."""

import json
from collections.abc import AsyncIterator

import trio
from fastapi import FastAPI, Request
from starlette.responses import Response

from p2pverify.api.openai import sse
from p2pverify.api.openai.errors import OpenAIError
from p2pverify.api.openai.routes import READING, Guard, described
from p2pverify.node.clients.book import BookError
from p2pverify.node.clients.desk import Client
from p2pverify.node.clients.door import Door
from p2pverify.node.clients.order import OpenOrder
from p2pverify.node.reports.documents.jsonform import written
from p2pverify.node.reports.documents.receipt import ReceiptDocument, ReceiptEvents

PING_S = 5.0
RECEIPT, EVENTS = "/v1/receipts/{receipt_id}", "/v1/receipts/{receipt_id}/events"


def add_receipts(app: FastAPI, door: Door, guard: Guard) -> None:
    """Add the routes."""

    @app.get(RECEIPT, responses=described("The receipt.", READING, (404, 503), ReceiptDocument))
    async def receipt(request: Request, receipt_id: str) -> Response:
        """The receipt of an answer that this client got: question, answer, signed bytes, and what was checked."""
        return _json(written(await _find(door, receipt_id, await guard(request))))

    @app.get(EVENTS, responses=described("The events, or a stream of them.", READING, (404, 503), ReceiptEvents))
    async def events(request: Request, receipt_id: str) -> Response:
        """What happened to an order. With 'Accept: text/event-stream', the events as they happen, until the end."""
        client = await guard(request)
        document = await _find(door, receipt_id, client)
        if "text/event-stream" in request.headers.get("accept", ""):
            return sse.stream(_follow(document, door.open_order(receipt_id, client)), {})
        return _json(written(_events(document)))


async def _find(door: Door, receipt_id: str, client: Client) -> ReceiptDocument:
    try:
        found = await door.receipt(receipt_id, client)
    except BookError as error:
        raise OpenAIError(503, "not_readable", f"the receipts cannot be read: {error.reason}; {error.hint}") from None
    if found is None:
        raise OpenAIError(404, "no_such_receipt", "there is no such receipt, or it was pruned", "id")
    return found


async def _follow(document: ReceiptDocument, opened: OpenOrder | None) -> AsyncIterator[bytes]:
    """All events so far, then each as it happens, then the state at the end."""
    told = 0
    while True:
        is_over = opened is None or opened.is_over
        document = document if opened is None else opened.document
        for one in document.events[told:]:
            yield sse.event(written(one), one.event)
        told = len(document.events)
        if is_over or opened is None:
            break
        if opened.document is document and not opened.is_over:
            with trio.move_on_after(PING_S) as scope:
                await opened.wait_changed()
            if scope.cancelled_caught:
                yield b": waiting\n\n"
    yield sse.event({"id": document.id, "state": document.state}, "end")


def _events(document: ReceiptDocument) -> ReceiptEvents:
    return ReceiptEvents(
        schema="p2pverify/client-receipt-events/1", id=document.id, state=document.state, events=document.events
    )


def _json(value: object) -> Response:
    return Response(json.dumps(value, separators=(",", ":"), allow_nan=False), media_type="application/json")
