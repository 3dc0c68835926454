"""Metrics for Prometheus, in its text format 0.0.4.

The figures are `Reports.counters()`, read at each scrape; what they mean is left to the node. A name's first
word is the family and the rest, if any, becomes the label `what`:

    "neighbours"               ->  p2pverify_node_neighbours
    "judged reject signature"  ->  p2pverify_node_judged{what="reject signature"}
    "answers_total"            ->  p2pverify_node_answers_total, a counter

Names that end with `_total` are counters. Of the others the node does not say which only ever grow, so they
are untyped, which every Prometheus function accepts.
"""

import re
from collections import Counter
from collections.abc import Iterable, Mapping

from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest
from prometheus_client.metrics_core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    InfoMetricFamily,
    Metric,
    UnknownMetricFamily,
)
from prometheus_client.registry import Collector

from p2pverify import __version__
from p2pverify.node.ports import Reports

CONTENT_TYPE = CONTENT_TYPE_PLAIN_0_0_4
_SERIES_MAX = 2000
_LABEL_CHARS_MAX = 100
_NOT_IN_A_NAME = re.compile(r"[^a-zA-Z0-9]+")


class Counts(Collector):
    """What the local API has seen: requests by route and status, connections by how they ended."""

    def __init__(self) -> None:
        self._requests: Counter[tuple[str, str]] = Counter()
        self._connections: Counter[str] = Counter()

    def count_request(self, route: str, status: int) -> None:
        """One more. The caller keeps the number of distinct routes small."""
        self._requests[route, str(status)] += 1

    def count_connection(self, end: str) -> None:
        """One more that was "served", "failed" or "refused"."""
        self._connections[end] += 1

    def collect(self) -> Iterable[Metric]:
        """Both families."""
        text = "Requests to the local API, by route and status."
        requests = CounterMetricFamily("p2pverify_api_requests", text, labels=("route", "status"))
        for key, number in sorted(self._requests.items()):
            requests.add_metric(key, number)
        text = "Connections to the local API that have ended, by how."
        connections = CounterMetricFamily("p2pverify_api_connections", text, labels=("end",))
        for end, number in sorted(self._connections.items()):
            connections.add_metric((end,), number)
        return requests, connections


def new_registry(reports: Reports, counts: Counts) -> CollectorRegistry:
    """A registry of its own (nothing global): the node's figures, the API's and those of the process."""
    registry = CollectorRegistry()
    registry.register(_NodeCollector(reports))
    registry.register(counts)
    ProcessCollector(registry=registry)
    return registry


def render(registry: CollectorRegistry) -> bytes:
    """The whole exposition."""
    return generate_latest(registry)


class _NodeCollector(Collector):
    def __init__(self, reports: Reports) -> None:
        self._reports = reports

    def describe(self) -> Iterable[Metric]:
        """Nothing: registering must not ask a node that is still starting."""
        return ()

    def collect(self) -> Iterable[Metric]:
        """All families, read from the node now."""
        yield InfoMetricFamily("p2pverify_build", "The running program.", {"version": __version__})
        ready = not self._reports.unready()
        yield GaugeMetricFamily("p2pverify_ready", "Whether the node is ready (1) or not (0).", int(ready))
        yield from families(self._reports.counters())


def families(figures: Mapping[str, int]) -> list[Metric]:
    """Metric families of flat figures, sorted by name; see the module's docstring for the naming."""
    series: dict[str, dict[str, int]] = {}
    for key, value in sorted(figures.items())[:_SERIES_MAX]:
        first, _, rest = key.strip().partition(" ")
        name = _NOT_IN_A_NAME.sub("_", first).strip("_").lower()
        if name:
            label = rest.strip()[:_LABEL_CHARS_MAX]
            values = series.setdefault(name, {})
            values[label] = values.get(label, 0) + value
    return [_family(name, values) for name, values in sorted(series.items())]


def _family(name: str, values: Mapping[str, int]) -> Metric:
    labels = () if set(values) == {""} else ("what",)
    text = f"The node's figure {name!r}."
    kind = CounterMetricFamily if name.endswith("_total") else UnknownMetricFamily
    family = kind(f"p2pverify_node_{name}", text, labels=labels)
    for label, value in values.items():
        family.add_metric([label] if labels else [], value)
    return family
