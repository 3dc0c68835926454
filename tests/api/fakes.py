"""A node's reports without a node, and an HTTP client."""

import http.client
import json
from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from prometheus_client.metrics_core import CounterMetricFamily, Metric

from p2pverify.core.encoding.peerid import peer_id
from p2pverify.core.records.envelope import Kind
from p2pverify.node.clients.book import BookError
from p2pverify.node.data.documents import DatasetsDocument
from p2pverify.node.lines.documents import FetchDocument, LinesDocument, ReleaseDocument, VersionsDocument
from p2pverify.node.ports import UnknownAudit, UnknownVersion
from p2pverify.node.reports.documents.audits import AuditsDocument
from p2pverify.node.reports.documents.blobs import BlobsDocument
from p2pverify.node.reports.documents.explained import ExplainedAudit
from p2pverify.node.reports.documents.me import MeDocument
from p2pverify.node.reports.documents.passport import PassportDocument
from p2pverify.node.reports.documents.peers import PeersDocument
from p2pverify.node.reports.documents.scores import ScoresDocument
from p2pverify.node.reports.documents.status import StatusDocument
from p2pverify.node.rules.documents import RulesDocument
from p2pverify.node.settle.documents import AccountsDocument, ChequesDocument, MovementsDocument
from p2pverify.node.settle.movements import NoMovements
from p2pverify.node.training.documents import RoundsDocument
from tests.support.documents import (
    ACCOUNTS,
    ALICE,
    AUDITS,
    BLOBS,
    CHEQUES,
    DATASETS,
    EXPLAINED,
    FETCH,
    LINES,
    ME,
    MOVEMENTS_OF_POOL,
    PASSPORT,
    PEERS,
    RELEASE_BYTES,
    ROUNDS,
    RULES_IN_FORCE,
    SCORES,
    STATUS,
    VERSIONS,
)

TOKEN = "5e" * 32


class NoOrders:
    """Orders that are carried out by nobody. `left` counts the leaves, `sponsored` lists the newcomers, `signed` the
    payloads."""

    def __init__(self) -> None:
        self.left = 0
        self.sponsored: list[bytes] = []
        self.signed: list[tuple[Kind, bytes]] = []
        self.fetched_versions: list[tuple[str, int]] = []
        self.accepted: list[bytes] = []

    @property
    def count(self) -> int:
        return self.left + len(self.sponsored) + len(self.signed) + len(self.fetched_versions) + len(self.accepted)

    def leave(self) -> list[str]:
        self.left += 1
        return ["silent"]

    def sponsor(self, peer: bytes) -> str | None:
        self.sponsored.append(peer)
        return "no newcomer" if len(self.sponsored) > 1 else None

    async def sign(self, kind: Kind, payload: bytes) -> tuple[bytes | None, str | None]:
        self.signed.append((kind, payload))
        return (bytes(32), None) if payload else (None, "malformed")

    def accept(self, amendment: bytes) -> str | None:
        self.accepted.append(amendment)
        return None if len(self.accepted) == 1 else "no such amendment is open"

    def fetch(self, line: str, number: int) -> FetchDocument:
        self.fetched_versions.append((line, number))
        return self.fetched(line, number)

    def fetched(self, line: str, number: int) -> FetchDocument:
        if line not in (VERSIONS.line.name, VERSIONS.line.genesis):
            raise UnknownVersion("the network has no such line; its lines: tiny")
        return replace(FETCH, number=number)


@dataclass
class FakeReports:
    """Reports that a test can change while the server runs."""

    reasons: list[str] = field(default_factory=list)
    figures: dict[str, int] = field(default_factory=dict)
    faulty: bool = False
    unreadable: bool = False

    def status(self) -> StatusDocument:
        if self.faulty:
            raise RuntimeError("a report failed")
        return STATUS

    def peers(self) -> PeersDocument:
        return PEERS

    def scores(self, *, final: bool) -> ScoresDocument:
        return replace(SCORES, final=final)

    def audits(self, *, limit: int) -> AuditsDocument:
        return replace(AUDITS, audits=AUDITS.audits * (limit // 100))

    def datasets(self, *, final: bool) -> DatasetsDocument:
        return replace(DATASETS, final=final)

    def accounts(self, *, final: bool) -> AccountsDocument:
        return replace(ACCOUNTS, final=final)

    async def movements(self, key: bytes) -> MovementsDocument:
        if key:
            raise NoMovements("there is no such account")
        return MOVEMENTS_OF_POOL

    def cheques(self) -> ChequesDocument:
        return CHEQUES

    def rules(self) -> RulesDocument:
        return RULES_IN_FORCE

    def rounds(self) -> RoundsDocument:
        return ROUNDS

    def lines(self) -> LinesDocument:
        return LINES

    def versions(self, line: str) -> VersionsDocument:
        if line not in (VERSIONS.line.name, VERSIONS.line.genesis):
            raise UnknownVersion("the network has no such line; its lines: tiny")
        return VERSIONS

    def release(self, line: str, number: int) -> ReleaseDocument:
        return replace(RELEASE_BYTES, line=self.versions(line).line.name, number=number)

    async def me(self) -> MeDocument:
        if self.unreadable:
            raise BookError("the file is damaged", "move it away")
        return ME

    async def blobs(self) -> BlobsDocument:
        if self.unreadable:
            raise BookError("the folder is damaged", "move it away")
        return BLOBS

    def passport(self, peer: bytes) -> PassportDocument | None:
        return PASSPORT if peer_id(peer) == ALICE else None

    async def explain(self, name: str, *, wait_s: float) -> ExplainedAudit:
        if name != EXPLAINED.id:
            raise UnknownAudit(f"this node knows no audit {name}")
        return EXPLAINED

    def unready(self) -> list[str]:
        return list(self.reasons)

    def metrics(self) -> Iterable[Metric]:
        family = CounterMetricFamily("p2pverify_events", "What a test counts.", labels=("event",))
        for name, number in self.figures.items():
            family.add_metric((name,), number)
        return (family,)


@dataclass
class Reply:
    """One answer of the server."""

    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> dict[str, object]:
        return json.loads(self.body)


def request(
    port: int,
    path: str,
    *,
    method: str = "GET",
    headers: tuple[tuple[str, str], ...] = (),
    host: str | None = None,
    body: bytes = b"",
) -> Reply:
    """One request on its own connection. `host` replaces the Host header; "" leaves it out."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.putrequest(method, path, skip_host=host is not None)
        if host:
            connection.putheader("Host", host)
        for name, value in headers:
            connection.putheader(name, value)
        if body:
            connection.putheader("Content-Length", str(len(body)))
        connection.endheaders(body or None)
        response = connection.getresponse()
        names = {name.lower(): value for name, value in response.getheaders()}
        return Reply(response.status, names, response.read())
    finally:
        connection.close()
