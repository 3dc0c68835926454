"""The local API over a real socket: every route, every refusal, and bytes that are no request."""

import json
import socket
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from functools import partial

import pytest
import trio
from prometheus_client.parser import text_string_to_metric_families

from p2pverify.api import bind as api_bind
from p2pverify.api import connections, middleware
from p2pverify.api.bind import BindError
from p2pverify.api.server import serve
from p2pverify.core.encoding import sign
from p2pverify.core.encoding.peerid import key_of, peer_id
from p2pverify.core.records.envelope import Kind
from p2pverify.node.endpoints.proof import NONCE_BYTES, NONCE_HEADER, PROOF_HEADER, prove
from p2pverify.node.reports.documents.explained import ExplainedAudit
from p2pverify.node.reports.documents.health import Live, Ready
from p2pverify.node.reports.documents.jsonform import written
from p2pverify.node.reports.documents.shape import ApiDocument
from tests.api.fakes import TOKEN, FakeReports, NoOrders, Reply, request
from tests.support.documents import (
    ALICE,
    AUDITS,
    BLOBS,
    EXPLAINED,
    LINES,
    ME,
    PASSPORT,
    PEERS,
    RELEASE_BYTES,
    ROUNDS,
    RULES_IN_FORCE,
    SCORES,
    STATUS,
    VERSIONS,
)

HOME_KEY = bytes(range(32))
BEARER = (("Authorization", f"Bearer {TOKEN}"),)


NEWCOMER = peer_id(sign.public_key(bytes(32)))


@dataclass
class Server:
    """A running API with its reports."""

    url: str
    reports: FakeReports
    orders: NoOrders = field(default_factory=NoOrders)

    @property
    def port(self) -> int:
        return int(self.url.rsplit(":", 1)[1])

    async def ask(self, path: str, **options: object) -> Reply:
        """Send one request from a thread."""
        return await trio.to_thread.run_sync(partial(request, self.port, path, **options))


class SlowReports(FakeReports):
    """Explanations that wait until the test lets them go."""

    def __init__(self) -> None:
        super().__init__()
        self.go = trio.Event()
        self.both = trio.Event()
        self.waiting = 0

    async def explain(self, name: str, *, wait_s: float) -> ExplainedAudit:
        self.waiting += 1
        if self.waiting == 2:
            self.both.set()
        await self.go.wait()
        return await super().explain(name, wait_s=wait_s)


@asynccontextmanager
async def running(reports: FakeReports | None = None) -> AsyncIterator[Server]:
    """Serve on a free port during the block, and check that shutdown is quick and without errors."""
    with trio.fail_after(20):
        async with trio.open_nursery() as nursery:
            chosen = reports or FakeReports()
            orders = NoOrders()
            run = partial(
                serve,
                chosen,
                bind="127.0.0.1:0",
                token=TOKEN,
                home_key=HOME_KEY,
                orders=orders,
            )
            yield Server(await nursery.start(run), chosen, orders)
            nursery.cancel_scope.cancel()


@pytest.mark.parametrize("path", ["/livez", "/v1/status", "/metrics", "/nowhere", "/v1/audits?limit=x", "/v1/leave"])
async def test_every_answer_proves_of_which_home_it_is(path: str) -> None:
    """A nonce comes back as its HMAC with the home's key. Without a valid nonce there is no proof."""
    nonce = bytes(range(NONCE_BYTES))
    async with running() as server:
        reply = await server.ask(path, headers=((NONCE_HEADER, nonce.hex()),))
        assert reply.headers[PROOF_HEADER.lower()] == prove(HOME_KEY, nonce).hex()
        for others in ((), (nonce.hex()[1:],), ("g" * 64,), ("\xff" * 64,), (nonce.hex(), nonce.hex())):
            reply = await server.ask(path, headers=tuple((NONCE_HEADER, each) for each in others))
            assert PROOF_HEADER.lower() not in reply.headers


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/v1/status", STATUS),
        ("/v1/peers", PEERS),
        ("/v1/scores", SCORES),
        ("/v1/scores?view=final", SCORES),
        ("/v1/scores?view=provisional", replace(SCORES, final=False)),
        ("/v1/audits", AUDITS),
        ("/v1/audit?id=e3-1-alice", EXPLAINED),
        ("/v1/rounds", ROUNDS),
        ("/v1/lines", LINES),
        ("/v1/rules", RULES_IN_FORCE),
        ("/v1/lines/tiny/versions", VERSIONS),
        (f"/v1/lines/{VERSIONS.line.genesis}/versions", VERSIONS),
        ("/v1/lines/tiny/versions/0", RELEASE_BYTES),
        ("/v1/me", ME),
        ("/v1/blobs", BLOBS),
        (f"/v1/passport?peer={ALICE}", PASSPORT),
        ("/v1/audits?limit=1000", replace(AUDITS, audits=AUDITS.audits * 10)),
        ("/livez", Live(schema="p2pverify/live/1", live=True)),
        ("/readyz", Ready(schema="p2pverify/ready/1", ready=True, reasons=())),
    ],
)
async def test_reports_are_served_as_they_are(path: str, expected: ApiDocument) -> None:
    """Each route answers with the report's document, its keys in order, and forbids caching."""
    async with running() as server:
        reply = await server.ask(path)
        assert (reply.status, reply.body) == (200, json.dumps(written(expected), separators=(",", ":")).encode())
        assert reply.headers["content-type"] == "application/json"
        assert reply.headers["cache-control"] == "no-store"


async def test_an_unready_node_says_why() -> None:
    """/readyz gives 503 with the reasons, and 200 when they are gone. /livez stays 200."""
    async with running(FakeReports(reasons=["no neighbours", "no final cut"])) as server:
        reply = await server.ask("/readyz")
        assert reply.status == 503
        assert reply.json()["reasons"] == ["no neighbours", "no final cut"]
        assert (await server.ask("/livez")).status == 200
        server.reports.reasons.clear()
        assert (await server.ask("/readyz")).status == 200


@pytest.mark.parametrize(
    ("path", "named"),
    [
        ("/v1/scores?view=latest", "view"),
        ("/v1/scores?view=", "view"),
        ("/v1/scores?final=1", "'final'"),
        ("/v1/audit", "id"),
        ("/v1/passport", "peer"),
        ("/v1/passport?peer=alice", "peer"),
        ("/v1/audit?id=" + "e" * 101, "id"),
        ("/v1/audits?limit=0", "limit"),
        ("/v1/audits?limit=1001", "limit"),
        ("/v1/audits?limit=-1", "limit"),
        ("/v1/audits?limit=5.0", "limit"),
        ("/v1/audits?limit=1_0", "limit"),
        ("/v1/audits?limit=%D9%A3", "limit"),
        ("/v1/audits?limit=99999999999999999999", "limit"),
        ("/v1/audits?limit=5&limit=6", "twice"),
        ("/v1/audits?limit=%ff", "UTF-8"),
        ("/v1/audits?limit", "name=value"),
        ("/v1/audits?" + "&".join(f"a{i}=1" for i in range(20)), "name=value"),
        ("/v1/audits?limit=" + "1" * 600, "longer"),
        ("/v1/status?x=1", "'x'"),
        ("/livez?x=1", "'x'"),
    ],
)
async def test_a_malformed_query_is_refused_with_its_fault(path: str, named: str) -> None:
    """A query that a route does not take gets a 400 that names the fault."""
    async with running() as server:
        reply = await server.ask(path)
        assert reply.status == 400
        document = reply.json()
        assert (document["schema"], document["error"]) == ("p2pverify/error/1", "bad_query")
        assert named in str(document["message"])


async def test_an_unknown_audit_is_not_found() -> None:
    """An unknown audit name gets a 404 that says so."""
    async with running() as server:
        reply = await server.ask("/v1/audit?id=e9-9-bob")
        assert (reply.status, reply.json()["error"]) == (404, "no_such_audit")
        assert "e9-9-bob" in str(reply.json()["message"])


@pytest.mark.parametrize("path", ["/v1/leave", f"/v1/sponsor?peer={NEWCOMER}", "/v1/sign?kind=erasure"])
async def test_orders_need_the_token(path: str) -> None:
    """Without the token nothing happens, and the answer says why. With it the node is told once."""
    async with running() as server:
        nothing = await server.ask(path, method="POST")
        assert (nothing.status, nothing.json()["error"]) == (401, "no_token")
        assert nothing.headers["www-authenticate"] == "Bearer"
        twice = await server.ask(path, method="POST", headers=BEARER * 2)
        assert twice.status == 401
        for value in (f"Bearer {TOKEN[:-1]}", f"Bearer {TOKEN}0", f"Basic {TOKEN}", TOKEN, "Bearer \xff"):
            wrong = await server.ask(path, method="POST", headers=(("Authorization", value),))
            assert (wrong.status, wrong.json()["error"]) == (403, "wrong_token")
        assert (await server.ask(path, headers=BEARER)).status == 405
        assert server.orders.count == 0
        assert (await server.ask(path, method="POST", headers=BEARER)).status == 202
        assert server.orders.count == 1


async def test_the_answers_to_orders() -> None:
    """A leave says why it must wait, and a sponsor why it has no effect."""
    async with running() as server:
        left = (await server.ask("/v1/leave", method="POST", headers=BEARER)).json()
        assert (left["leaving"], left["reasons"]) == (True, ["silent"])
        for sponsored, reason in ((True, None), (False, "no newcomer")):
            told = (await server.ask(f"/v1/sponsor?peer={NEWCOMER}", method="POST", headers=BEARER)).json()
            assert (told["peer_id"], told["sponsored"], told["reason"]) == (NEWCOMER, sponsored, reason)
        assert server.orders.sponsored == [key_of(NEWCOMER)] * 2
        for query in ("", "?peer=", "?peer=nobody", f"?peer={NEWCOMER}&x=1"):
            bad = await server.ask(f"/v1/sponsor{query}", method="POST", headers=BEARER)
            assert (bad.status, bad.json()["error"]) == (400, "bad_query")


async def test_a_payload_is_signed_as_it_was_sent() -> None:
    """The answer names the record, or says why there is none. Other kinds cannot be ordered."""
    async with running() as server:
        for body, record, reason in ((b"\x80", "00" * 32, None), (b"", None, "malformed")):
            told = (await server.ask("/v1/sign?kind=statement", method="POST", headers=BEARER, body=body)).json()
            assert (told["kind"], told["record"], told["reason"]) == ("statement", record, reason)
        assert server.orders.signed == [(Kind.STATEMENT, b"\x80"), (Kind.STATEMENT, b"")]
        for query in ("", "?kind=vote", "?kind=7"):
            bad = await server.ask(f"/v1/sign{query}", method="POST", headers=BEARER)
            assert (bad.status, bad.json()["error"]) == (400, "bad_query")


async def test_foreign_host_headers_are_refused() -> None:
    """Only loopback names with the API's port pass, so a rebound DNS name cannot read anything."""
    async with running() as server:
        port = server.port
        for host in (f"127.0.0.1:{port}", f"localhost:{port}", f"LOCALHOST:{port}", f"[::1]:{port}"):
            assert (await server.ask("/livez", host=host)).status == 200
        for host in ("example.org", f"example.org:{port}", "127.0.0.1", f"127.0.0.1:{port + 1}", "localhost."):
            reply = await server.ask("/livez", host=host)
            assert (reply.status, reply.json()["error"]) == (403, "wrong_host")


async def test_bodies_are_limited() -> None:
    """A body of unknown or too large length is refused before it is read."""
    async with running() as server:
        for header in (("Content-Length", "5000"), ("Transfer-Encoding", "chunked")):
            reply = await server.ask("/v1/leave", method="POST", headers=(*BEARER, header))
            assert (reply.status, reply.json()["error"]) == (413, "too_large")
        assert server.orders.count == 0


async def test_unknown_paths_name_the_known_ones() -> None:
    """A wrong path gets a list of the right ones."""
    async with running() as server:
        reply = await server.ask("/v1/score")
        assert reply.status == 404
        assert "/v1/scores" in str(reply.json()["message"])


async def test_a_fault_in_a_report_is_an_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    """An exception in a report becomes a 500 and a log entry, and the server continues."""
    logged: list[str] = []
    monkeypatch.setattr(middleware._log, "exception", lambda text, *_: logged.append(text))
    async with running(FakeReports(faulty=True)) as server:
        reply = await server.ask("/v1/status")
        assert reply.status == 500
        assert b"RuntimeError" not in reply.body
        assert (await server.ask("/livez")).status == 200
    assert len(logged) == 1


HOST = b"Host: 127.0.0.1:PORT\r\n"
GARBAGE: dict[str, bytes] = {
    "zeros": bytes(4096),
    "high bytes": bytes(range(128, 256)) * 64,
    "TLS hello": bytes.fromhex("1603010200010001fc0303") + bytes(500),
    "HTTP/2 preface and garbage": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes(range(256)),
    "no host": b"GET /livez HTTP/1.1\r\n\r\n",
    "two hosts": b"GET /livez HTTP/1.1\r\n" + HOST + HOST + b"\r\n",
    "HTTP/0.9": b"GET /livez\r\n\r\n",
    "endless header": b"GET /livez HTTP/1.1\r\nX: " + b"a" * 100_000,
    "bad length": b"POST /v1/leave HTTP/1.1\r\n" + HOST + b"Content-Length: -5\r\n\r\n",
    "two lengths": b"POST /v1/leave HTTP/1.1\r\n" + HOST + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\n",
    "bad chunks": b"POST /v1/leave HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n",
    "not UTF-8 in path": b"GET /\xff\xfe HTTP/1.1\r\n" + HOST + b"\r\n",
    "escaped garbage in path": b"GET /%ff%00%0a HTTP/1.1\r\n" + HOST + b"\r\n",
    "not UTF-8 in query": b"GET /v1/audits?limit=\xff HTTP/1.1\r\n" + HOST + b"\r\n",
    "CONNECT": b"CONNECT example.org:443 HTTP/1.1\r\n" + HOST + b"\r\n",
    "absolute target": b"GET http://example.org/livez HTTP/1.1\r\n" + HOST + b"\r\n",
    "websocket and trailing bytes": b"GET /v1/status HTTP/1.1\r\n" + HOST + b"Upgrade: websocket\r\n"
    b"Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
    + bytes(range(256)),
    "upgrade to h2c": b"GET /livez HTTP/1.1\r\n" + HOST + b"Upgrade: h2c\r\nConnection: Upgrade, HTTP2-Settings"
    b"\r\nHTTP2-Settings: AAAA\r\n\r\n" + bytes(64),
}


@pytest.mark.parametrize("data", GARBAGE.values(), ids=GARBAGE.keys())
async def test_garbage_leaves_the_server_alive(data: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    """For any bytes, the connection ends without a report, and the next request is answered."""
    monkeypatch.setattr(connections, "IDLE_S", 2)  # longer than it takes to send a request on a busy machine
    async with running() as server:
        stream = await trio.open_tcp_stream("127.0.0.1", server.port)
        async with stream:
            try:
                await stream.send_all(data.replace(b"PORT", str(server.port).encode()))
                await stream.send_eof()
                answer = await _read_to_end(stream)
            except trio.BrokenResourceError:
                answer = b""
        assert b'"peer_id"' not in answer
        assert server.orders.count == 0
        assert (await server.ask("/livez")).status == 200


async def _read_to_end(stream: trio.SocketStream) -> bytes:
    answer = bytearray()
    async for chunk in stream:
        answer += chunk
    return bytes(answer)


async def test_silent_and_half_requests_do_not_delay_shutdown() -> None:
    """Open connections without a complete request are dropped when the server stops."""
    async with running() as server:
        silent = await trio.open_tcp_stream("127.0.0.1", server.port)
        half = await trio.open_tcp_stream("127.0.0.1", server.port)
        await half.send_all(b"GET /livez HTTP/1.1\r\nHo")
        assert (await server.ask("/livez")).status == 200
    async with silent, half:
        assert await silent.receive_some() == b""


async def test_connections_are_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    """Above the limit, the oldest connection without a request makes room, and this is counted."""
    monkeypatch.setattr(connections, "CONNECTIONS_MAX", 3)
    async with running() as server, AsyncExitStack() as stack:
        streams = []
        for _ in range(3):
            streams.append(await stack.enter_async_context(await trio.open_tcp_stream("127.0.0.1", server.port)))
            await streams[-1].send_all(b"GET /metrics HTTP/1.1\r\n")  # incomplete, so the connection stays open
        reply = await server.ask("/metrics")
        assert b'p2pverify_api_connections_total{end="evicted"} 1.0' in reply.body
        assert await streams[0].receive_some() == b""
        await streams[1].send_all(b"Host: 127.0.0.1:%d\r\n\r\n" % server.port)
        assert b"200" in await streams[1].receive_some()


async def test_a_connection_with_a_request_is_never_evicted(monkeypatch: pytest.MonkeyPatch) -> None:
    """When all connections are being answered, a new one is refused."""
    monkeypatch.setattr(connections, "CONNECTIONS_MAX", 2)
    reports = SlowReports()
    async with running(reports) as server, trio.open_nursery() as nursery:
        replies: list[Reply] = []

        async def ask() -> None:
            replies.append(await server.ask("/v1/audit?id=e3-1-alice"))

        nursery.start_soon(ask)
        nursery.start_soon(ask)
        await reports.both.wait()
        async with await trio.open_tcp_stream("127.0.0.1", server.port) as third:
            assert await third.receive_some() == b""
        reports.go.set()
    assert [reply.status for reply in replies] == [200, 200]


async def test_thousands_of_idle_connections_leave_room() -> None:
    """Clients that connect and say nothing do not keep others out."""
    async with running() as server:
        idle = []
        try:
            for _ in range(8):
                for _ in range(150):
                    idle.append(await trio.open_tcp_stream("127.0.0.1", server.port))
                    if len(idle) > 600:  # this process may not have as many files open
                        await trio.aclose_forcefully(idle.pop(0))
                assert (await server.ask("/livez")).status == 200
        finally:
            for stream in idle:
                await trio.aclose_forcefully(stream)


async def test_web_pages_of_other_origins_are_refused() -> None:
    """Any page can send requests to loopback, so those of other origins reach no route."""
    async with running() as server:
        own = f"http://127.0.0.1:{server.port}"
        assert (await server.ask("/v1/leave", method="POST", headers=(*BEARER, ("Origin", own)))).status == 202
        for origin in ("http://evil.example", "null", f"https://127.0.0.1:{server.port}", own + "1", ""):
            reply = await server.ask("/v1/leave", method="POST", headers=(*BEARER, ("Origin", origin)))
            assert (reply.status, reply.json()["error"]) == (403, "foreign_origin")
    assert server.orders.left == 1


async def test_many_readers_in_turn_are_all_answered(monkeypatch: pytest.MonkeyPatch) -> None:
    """A reader that has its answer no longer takes a place."""
    monkeypatch.setattr(connections, "CONNECTIONS_MAX", 3)
    async with running() as server:
        for _ in range(30):
            assert (await server.ask("/livez")).status == 200


async def test_a_reader_that_stops_reading_does_not_block_shutdown(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A client with a full window that does not read loses its connection, and the server ends."""
    monkeypatch.setattr(api_bind, "STUCK_READER_MS", 300)
    reports = FakeReports(figures={f"figure{i:04} {'x' * 90}": i for i in range(2000)})
    async with running(reports) as server:
        stuck = socket.socket()
        stuck.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
        stuck.connect(("127.0.0.1", server.port))
        request = b"GET /metrics HTTP/1.1\r\nHost: 127.0.0.1:%d\r\n\r\n" % server.port
        stuck.sendall(request * 60)
        assert (await server.ask("/livez")).status == 200
    stuck.close()


async def test_metrics_parse_and_carry_the_counters() -> None:
    """Prometheus' own parser reads the metrics, with any labels."""
    figures = {"judged accept": 3, 'judged reject "bad"\\ \n signature': 4, "": 8}
    async with running(FakeReports(figures=figures)) as server:
        await server.ask("/v1/status?x=1")
        await server.ask("/nowhere/" + "x" * 100)
        reply = await server.ask("/metrics")
    assert reply.headers["content-type"].startswith("text/plain; version=0.0.4")
    samples = {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(reply.body.decode())
        for sample in family.samples
    }
    for name, number in figures.items():
        assert samples["p2pverify_events_total", (("event", name),)] == number
    assert samples["p2pverify_api_requests_total", (("route", "/v1/status"), ("status", "400"))] == 1
    assert samples["p2pverify_api_requests_total", (("route", "other"), ("status", "404"))] == 1
    assert any(name == "process_resident_memory_bytes" for name, _ in samples)


async def test_every_route_is_described() -> None:
    """The OpenAPI document is served and has the routes of the 404 answer."""
    async with running() as server:
        document = (await server.ask("/openapi.json")).json()
        known = str((await server.ask("/x")).json()["message"])
    paths = document["paths"]
    assert isinstance(paths, dict)
    assert {"/v1/status", "/v1/scores", "/v1/audits", "/readyz", "/metrics", "/v1/leave"} <= set(paths)
    assert all(path in known for path in paths)


@pytest.mark.parametrize(
    "bind",
    ["0.0.0.0:0", "[::]:0", "192.0.2.1:80", "example.org:80", "127.0.0.1", "127.0.0.1:65536", "127.0.0.1:x",
     ":80", "::1:80", "[127.0.0.1]:80", "127.0.0.1:-1", "127.0.0.1:٣", "unix:/x", "", "fd://3"],
)  # fmt: skip
async def test_only_loopback_is_served(bind: str) -> None:
    """An invalid address, or one that other machines could reach, is refused with advice."""
    with pytest.raises(ValueError, match=r"127\.0\.0\.1"):
        await serve(FakeReports(), bind=bind, token=TOKEN, home_key=HOME_KEY, orders=NoOrders())


async def test_a_port_in_use_is_named() -> None:
    """A second server on one port gives a clear message and no exception group."""
    async with running() as server:
        with pytest.raises(BindError, match=str(server.port)):
            await serve(
                FakeReports(), bind=f"127.0.0.1:{server.port}", token=TOKEN, home_key=HOME_KEY, orders=NoOrders()
            )


async def test_the_port_is_free_after_shutdown() -> None:
    """Cancelling closes the listener, so that a restart can bind the same port."""
    async with running() as server:
        port = server.port
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", port)) != 0


async def test_a_cancelled_start_ends() -> None:
    """Cancelling before the server has started ends it too."""
    with trio.fail_after(10), trio.CancelScope() as scope:
        scope.cancel()
        await serve(FakeReports(), bind="127.0.0.1:0", token=TOKEN, home_key=HOME_KEY, orders=NoOrders())
    assert scope.cancelled_caught
