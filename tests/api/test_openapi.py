"""The API does what /openapi.json says: every document fits its schema, and every error status is declared."""

import json
from contextlib import AsyncExitStack
from functools import partial

import pytest
import trio

from p2pverify.api import middleware
from p2pverify.api.app import ROUTES
from p2pverify.api.rules import route_of
from p2pverify.api.server import serve
from p2pverify.core.state.state import Member
from p2pverify.node.ports import Neighbour
from p2pverify.node.reports.documents.jsonform import parse, written
from p2pverify.node.reports.documents.shape import ApiDocument
from tests.api.fakes import TOKEN, FakeReports, NoOrders, Reply, request
from tests.api.test_server import BEARER, HOME_KEY, NEWCOMER, running
from tests.node.reports.test_explain import disputed, node, world_of
from tests.support.worlds import run_until

KINDS = {kind.__annotations__["schema"].__args__[0]: kind for kind in ApiDocument.__subclasses__()}


def check(text: bytes) -> str:
    """Check that a reader gets the document that was written, with all numbers in their bounds. Returns its name."""
    kind = KINDS[json.loads(text)["schema"]]
    assert list(written(parse(kind, text)).items()) == list(json.loads(text).items())
    return kind.__name__


def declared(schema: dict[str, object], path: str, method: str, reply: Reply) -> str | None:
    """The declared schema of an answer, by status and media type."""
    answer = schema["paths"][path][method.lower()]["responses"][str(reply.status)]
    media = reply.headers["content-type"].split(";")[0]
    return answer["content"][media].get("schema", {}).get("$ref", "").rpartition("/")[2]


async def check_answers(url: str, asked: list[tuple[str, str, dict[str, object]]]) -> set[tuple[str, int]]:
    """Send the requests and compare each answer with its schema. Returns the paths and statuses that came."""
    port, seen = int(url.rsplit(":", 1)[1]), set()
    schema = (await trio.to_thread.run_sync(request, port, "/openapi.json")).json()
    for method, path, options in asked:
        reply = await trio.to_thread.run_sync(partial(request, port, path, method=method, **options))
        route = route_of(ROUTES, path.partition("?")[0]) or path
        named = declared(schema, route, method, reply)
        if reply.headers["content-type"] == "application/json":
            assert named == check(reply.body), path
        seen.add((route, reply.status))
    return seen


@pytest.mark.parametrize("classes", [1, 2])
async def test_real_answers_fit_their_schemas(classes):
    """The answers come from a node in a world with a liar, within a class and across, before its first cut and after
    disputes."""
    world = world_of(classes, hardware="testbox", across_percent=75)
    liar = world.peers[2].machine.key
    plain = [("GET", path, {}) for path in ("/v1/status", "/v1/peers", "/v1/scores", "/v1/blobs", "/readyz", "/livez")]
    plain += [("GET", path, {}) for path in ("/v1/scores?view=provisional", "/v1/audits", "/metrics")]
    plain = [
        ("GET", path, {})
        for path in (
            "/v1/status",
            "/v1/peers",
            "/v1/scores",
            "/v1/audits",
            "/readyz",
            "/livez",
            "/v1/datasets",
            "/v1/accounts",
            "/v1/accounts/pool/movements",
            "/v1/cheques",
            "/v1/rules",
        )
    ]
    plain += [("GET", path, {}) for path in ("/v1/scores?view=provisional", "/metrics", "/v1/lines", "/v1/rounds")]
    changed = [("GET", "/v1/status", {}), ("GET", "/v1/scores?view=provisional", {})]
    async with AsyncExitStack() as stack:
        reports = await stack.enter_async_context(node(world))
        nursery = await stack.enter_async_context(trio.open_nursery())
        run = partial(serve, reports, bind="127.0.0.1:0", token=TOKEN, home_key=HOME_KEY, orders=NoOrders())
        url = await nursery.start(run)
        reports._network.peers = (Neighbour(liar, "a", outbound=True, in_mesh=True),)
        assert ("/readyz", 503) in await check_answers(url, plain)
        assert run_until(world, lambda: bool(disputed(world, across=classes > 1)), epochs_max=20)
        names = [audit.id for audit in reports.audits(limit=100).audits]
        names = [*disputed(world, across=classes > 1)[:3], *names[:2], *names[-2:]]
        seen = await check_answers(url, plain + [("GET", f"/v1/audit?id={name}", {}) for name in names])
        assert {("/v1/audit", 200), ("/v1/status", 200), ("/readyz", 200)} <= seen
        fold = world.peers[0].machine.fold
        for change in ({"weight": 0}, {"weight": 0, "fork_until": 99}, {"convicted_epoch": 1, "conviction": "x"}):
            for name, value in change.items():
                setattr(fold.latest.members[world.peers[0].machine.key], name, value)
            await check_answers(url, changed)
        fold.latest.members.clear()
        fold.latest.members[liar] = Member(active=True)
        reports._scores = (b"", {})
        await check_answers(url, changed)
        nursery.cancel_scope.cancel()


async def test_every_error_is_declared_and_no_other():
    """Each status that a route can give is in the document with its schema, and each declared status can occur."""
    paths = ["/v1/status", "/v1/peers", "/v1/scores", "/v1/audits", "/v1/audit?id=x", "/readyz", "/livez", "/metrics"]
    paths += ["/v1/passport?peer=x", "/v1/me", "/v1/blobs"]
    paths += ["/v1/passport?peer=x", "/v1/me", "/v1/datasets", "/v1/accounts"]
    paths += ["/v1/cheques", "/v1/accounts/pool/movements", "/v1/accounts/x/movements"]
    paths += ["/v1/rules", "/v1/rounds", "/v1/lines", "/v1/lines/other/versions", "/v1/lines/other/versions/1"]
    asked = [("GET", path, {"host": "example.org"}) for path in paths]
    asked += [("GET", path.partition("?")[0] + "?nonsense=1", {}) for path in paths]
    asked += [("GET", path, {"headers": (("Content-Length", "9999"),)}) for path in paths]
    asked += [
        ("GET", f"/v1/passport?peer={NEWCOMER}", {}),
        ("GET", "/v1/audit?id=e9-9-bob", {}),
        ("GET", f"/v1/accounts/{NEWCOMER}/movements", {}),
        ("GET", "/v1/me", {}),
        ("GET", "/v1/blobs", {}),
        ("GET", "/readyz", {}),
        ("GET", "/metrics", {}),
    ]
    asked += [("GET", f"/v1/lines/{path}", {}) for path in ("other/versions", "other/versions/1", "tiny/versions/x")]
    orders = ("/v1/leave", f"/v1/sponsor?peer={NEWCOMER}", "/v1/sign?kind=dataset", "/v1/fetch?line=other&number=1")
    orders = ("/v1/accept?id=x", *orders)
    for method, order in [*(("POST", order) for order in orders), ("GET", orders[-1])]:
        asked += [
            (method, order, {"host": "example.org"}),
            (method, order.partition("?")[0] + "?x=1", {}),
            (method, order, {"headers": (*BEARER, ("Content-Length", "99999"))}),
            (method, order, {}),
            (method, order, {"headers": (("Authorization", "Bearer no"),)}),
            (method, order, {"headers": BEARER}),
        ]
    asked += [("POST", f"/v1/accept?id={'ab' * 32}", {"headers": BEARER})]
    asked += [("GET", "/livez", {}), ("POST", "/v1/fetch?line=tiny&number=1", {"headers": BEARER})]
    async with running(FakeReports(reasons=["no neighbours"], unreadable=True)) as server:
        seen = await check_answers(server.url, asked)
        schema = (await server.ask("/openapi.json")).json()
    can_come = {
        (path, int(status))
        for path, operations in schema["paths"].items()
        for operation in operations.values()
        for status in operation["responses"]
    }
    successes = {(path, 200) for path, _ in can_come if path.startswith("/v1/")} | {("/readyz", 200)}
    assert can_come - seen - {(path, 500) for path, _ in can_come} <= successes  # other tests cover the successes
    assert "422" not in json.dumps(schema)
    for order in orders:
        assert schema["paths"][order.partition("?")[0]]["post"]["security"] == [{"token": []}]
    limit = schema["paths"]["/v1/audits"]["get"]["parameters"][0]["schema"]
    assert (limit["minimum"], limit["maximum"]) == (1, 1000)


async def test_a_fault_of_the_node_is_declared_too(monkeypatch):
    """The answer for a failed report has the schema of errors."""
    monkeypatch.setattr(middleware._log, "exception", lambda *_: None)
    async with running(FakeReports(faulty=True)) as server:
        assert ("/v1/status", 500) in await check_answers(server.url, [("GET", "/v1/status", {})])
