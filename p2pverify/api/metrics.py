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


class RequestCounts(Collector):
    """Requests to the local API, by route and status code."""

    def __init__(self) -> None:
        self._counts: dict[tuple[str, str], int] = {}

    def count(self, route: str, status: int) -> None:
        """One more. The caller keeps the number of distinct routes small."""
        key = (route, str(status))
        self._counts[key] = self._counts.get(key, 0) + 1

    def collect(self) -> Iterable[Metric]:
        text = "Requests to the local API, by route and status."
        family = CounterMetricFamily("p2pverify_api_requests", text, labels=("route", "status"))
        for key, number in sorted(self._counts.items()):
            family.add_metric(key, number)
        yield family


def new_registry(reports: Reports, requests: RequestCounts) -> CollectorRegistry:
    """A registry of its own (nothing global): the node's figures, the API's and those of the process."""
    registry = CollectorRegistry()
    registry.register(_NodeCollector(reports))
    registry.register(requests)
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
