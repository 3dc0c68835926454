"""Metrics for Prometheus, in its text format 0.0.4: of the node (read at each scrape), the API and the process."""

from collections.abc import Iterable

from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest
from prometheus_client.metrics_core import (
    CounterMetricFamily,
    InfoMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from p2pverify import __version__
from p2pverify.core.counters import Counters
from p2pverify.node.ports import Reports

CONTENT_TYPE = CONTENT_TYPE_PLAIN_0_0_4


class Counts(Collector):
    """Counts of the local API: requests by route and status, connections by how they ended."""

    def __init__(self) -> None:
        self._requests: dict[str, Counters] = {}  # by route; each counts by status
        self._connections = Counters()

    def count_request(self, route: str, status: int) -> None:
        """Count one request. The caller keeps the number of distinct routes small."""
        self._requests.setdefault(route, Counters()).count(str(status))

    def count_connection(self, end: str) -> None:
        """Count one connection that was "served", "failed", "refused", "evicted", or "delayed" before it was taken."""
        self._connections.count(end)

    def collect(self) -> Iterable[Metric]:
        """Both metric families."""
        text = "Requests to the local API, by route and status."
        requests = CounterMetricFamily("p2pverify_api_requests", text, labels=("route", "status"))
        for route, statuses in sorted(self._requests.items()):
            for status, number in sorted(statuses.items()):
                requests.add_metric((route, status), number)
        text = "Connections to the local API: how they ended, and how often one could not be taken yet (delayed)."
        connections = CounterMetricFamily("p2pverify_api_connections", text, labels=("end",))
        for end, number in sorted(self._connections.items()):
            connections.add_metric((end,), number)
        return requests, connections


def new_registry(reports: Reports, counts: Counts) -> CollectorRegistry:
    """A registry of its own (nothing global), with the metrics of the node, the API and the process."""
    registry = CollectorRegistry()
    registry.register(_NodeCollector(reports))
    registry.register(counts)
    ProcessCollector(registry=registry)
    return registry


def render(registry: CollectorRegistry) -> bytes:
    """The whole exposition, in Prometheus' text format."""
    return generate_latest(registry)


class _NodeCollector(Collector):
    def __init__(self, reports: Reports) -> None:
        self._reports = reports

    def describe(self) -> Iterable[Metric]:
        """Empty, because registering must not ask a node that is still starting."""
        return ()

    def collect(self) -> Iterable[Metric]:
        """All metric families, read from the node now."""
        yield InfoMetricFamily("p2pverify_build", "The running program.", {"version": __version__})
        yield from self._reports.metrics()
