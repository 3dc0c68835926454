"""A node's measurements as metric families, by Prometheus' conventions.

Units are seconds and bytes. A name that ends in `_total` only grows. A family holds one kind of thing. Values that
matter for alerts have families of their own. All other counts of the node's parts are in `p2pverify_events_total`, by
part and event.
"""

from collections.abc import Iterable, Iterator, Mapping

from prometheus_client.metrics_core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)

from p2pverify.core.outlook import next_cut
from p2pverify.core.roles.cut_maker import cut_due_ms
from p2pverify.core.settle.books import AccountRow, account_rows
from p2pverify.core.state import view
from p2pverify.core.state.score import MILLION, Standing
from p2pverify.node.reports.readiness import Node, unready
from p2pverify.node.timing import Times

PREFIX = "p2pverify_"
SERIES_MAX = 2000
LABEL_CHARS_MAX = 100
#: Figures of the node's parts that are not events, and the family that shows each. None: another family shows it, or it
#: is a limit. `tests/node/reports/test_metrics.py` finds figures that are missing here.
LEVELS: Mapping[str, str | None] = {
    "records": "records",
    "authors": "authors",
    "waiting": "waiting_records",
    "forked": "forked_records",
    "jobs": "queue_length:answers of the engine",
    "asks": "queue_length:answers of others",
    "driver effects waiting": "queue_length:effects",
    "driver requests waiting": "queue_length:requests",
    "clients answers being made": "queue_length:answers for clients",
    "clients audits waiting": "queue_length:audits of receipts",
    "driver ids being fetched": "queue_length:records to fetch",
    "store queue_used": "queue_length:writes",
    "driver strangers": "stranger_authors",
    "driver records of strangers": "stranger_records",
    "driver sync neighbours": "sync_neighbours",
    "driver neighbours without a common cut": "sync_neighbours_gone",
    "tabs": "settle_tabs",
    "bills": "settle_bills",
    "net links": "connections",
    "store answers": "stored_answers",
    "store records_damaged": "damaged_records",
    "store answers_damaged": "damaged_answers",
    "store bytes": "database_bytes",
    "store horizon_epoch": "horizon_epoch",
    "store records_in_memory": "records_in_memory",
    "store free_bytes": "home_free_bytes",
    "blobs held": "blobs_held",
    "blobs bytes": "blobs_bytes",
    "blobs quota": "blobs_quota_bytes",
    "lines versions announced": "lines_versions:announced",
    "lines versions current": "lines_versions:current",
    "lines versions overlap": "lines_versions:overlap",
    "lines versions retired": "lines_versions:retired",
    "lines versions recalled": "lines_versions:recalled",
    "lines members behind": "lines_members_behind",
    "lines own version": "lines_own_version",
    "lines own behind": "lines_own_behind",
    "lines not ready": "lines_versions_missing",
    "epoch": None,
    "neighbours": None,
    "final_index": None,
    "final_epoch": None,
    "driver jobs waiting": None,
    "driver oldest waiting ms": None,
    "driver jobs done": None,
    "driver jobs failed": None,
    "driver jobs late": None,
    "driver jobs dropped": None,
    "driver engine busy ms": None,
    "store records": None,
    "store queue_max": None,
    "store batch_writes_max": None,
    "net dials_failed": None,
}
ROUTER_SIZES = "net router_size_"
_LABELS = {"queue_length": "queue", "lines_versions": "status"}
_TEXTS = {
    "records": "Stored records.",
    "authors": "Authors of stored records.",
    "waiting_records": "Records that wait for the record before them.",
    "forked_records": "Records held beside their authors' followed logs: the evidence of forks.",
    "queue_length": "What waits, by what it waits for.",
    "stranger_authors": "Authors of stored records that are not members of the newest final view.",
    "stranger_records": "Records of such authors.",
    "sync_neighbours": "Neighbours whose record lists are kept for sync.",
    "sync_neighbours_gone": "Neighbours that have forgotten all cuts which this node knows.",
    "settle_tabs": "Clients whose debts for answers are counted.",
    "settle_bills": "Peers that are paid for answers to clients of this node.",
    "connections": "Open connections, those to peers of other networks included.",
    "stored_answers": "Stored answers, for questions that are asked again.",
    "damaged_records": "Stored records that were found damaged and are not replaced yet.",
    "damaged_answers": "Stored answers that were found damaged.",
    "horizon_epoch": 'Epoch below which a node with history = "window" keeps no records.',
    "records_in_memory": "Decoded records in memory; the others are read from the database when they are needed.",
    "database_bytes": "Size of the database, its write-ahead log included.",
    "blobs_held": "Files of models that are whole on this machine, in the store or served from their place.",
    "blobs_bytes": "Size of the store of such files.",
    "blobs_quota_bytes": "The most bytes of that store.",
    "lines_versions": "Known versions of the network's lines, by status.",
    "lines_members_behind": "Members that serve a version which they should have left.",
    "lines_own_version": "Number of the version that this node serves.",
    "lines_own_behind": "Whether this node serves a version which it should have left: serve the current one.",
    "lines_versions_missing": "Versions that this node could not make ready; 'p2pverify model versions' says why.",
    "home_free_bytes": "Free space on the file system of the home.",
}


def families(node: Node, figures: Mapping[str, int]) -> Iterator[Metric]:
    """All families of one node. `figures` are its parts' figures; a name is the part, a space, and the figure."""
    yield from _readiness(node)
    yield from _cuts(node)
    scores = view.scores(node.machine.network, node.latest)
    own = next((score for score in scores if score.peer == node.machine.key), None)
    yield from _own(own)
    yield from _members(node, scores)
    yield from _money(node)
    yield from _engine(node.driver.engine_statistics())
    text = "Own answers to inference requests, from receiving the request to sending the answer. Without refusals."
    yield _times("answer_duration_seconds", text, node.driver.answer_times)
    text = "Answers of others to this peer's audits, as measured for the ledger."
    yield _times("ask_duration_seconds", text, node.driver.ask_times)
    yield _gauge("neighbours", "Connected peers of the network.", len(node.network.neighbours()))
    yield _counter("dials_failed", "Dials that failed.", figures.get("net dials_failed", 0))
    yield from _levels(figures)
    yield from _router(figures)
    yield _events(figures)


def is_event(name: str) -> bool:
    """Whether a figure of a part only grows and has no family of its own."""
    return name not in LEVELS and not name.startswith(ROUTER_SIZES)


def _readiness(node: Node) -> Iterator[Metric]:
    reasons = unready(node)
    yield _gauge("ready", "Whether the node is ready (1) or not (0); /readyz says why not.", int(not reasons))
    yield _gauge("unready_reasons", "Number of reasons why the node is not ready.", len(reasons))


def _cuts(node: Node) -> Iterator[Metric]:
    params, latest = node.machine.network.params, node.latest
    coming, _ = next_cut(params, latest, node.driver.now_ms())
    yield _gauge("epoch", "The epoch by this machine's clock; negative before the network begins.", node.epoch)
    yield _gauge("epoch_duration_seconds", "How long an epoch lasts.", params.epoch_ms / 1000)
    yield _gauge("cut_epoch", "The epoch of the newest final cut; 0 before there is one.", latest.epoch)
    text = (
        "Time since the newest final cut was due, or the first one if none is final. Above 3 epochs, cuts have stopped."
    )
    yield _gauge("cut_age_seconds", text, node.cut_age_ms / 1000)
    text = "Unix time from which the next cut may be proposed."
    yield _gauge("next_cut_timestamp_seconds", text, cut_due_ms(params, coming) / 1000)
    yield _counter("cuts_final", "Final cuts since the network began.", latest.index)
    text = "How far the clocks of most members are ahead of this one; negative if they are behind."
    yield _gauge("clock_skew_seconds", text, node.machine.clocks.ahead * params.epoch_ms / 1000)


def _own(own: view.Score | None) -> Iterator[Metric]:
    """This peer's row in the newest final view, or a newcomer's row if it has none."""
    standing = own.standing if own else None
    family = GaugeMetricFamily(f"{PREFIX}own_standing", "1 for the own standing, 0 for others.", labels=("standing",))
    for each in Standing:
        family.add_metric((str(each),), int(each is standing))
    yield family
    yield _gauge("own_weight", "The own weight, 0 or 1: whether this peer certifies cuts.", own.weight if own else 0)
    low, high = (own.low_ppm, own.high_ppm) if own else (0, MILLION)
    yield _gauge("own_score_low_ratio", "The own score: lower end of the 95 % interval, 0 to 1.", low / MILLION)
    yield _gauge("own_score_high_ratio", "Upper end of the 95 % interval, 0 to 1.", high / MILLION)
    text = "Evidence against this peer, as a share of what convicts: in the test that has most."
    yield _gauge("own_evidence_ratio", text, max(_shares(own)) if own else 0)
    is_forked = own is not None and own.fork_until is not None
    yield _gauge("own_forked", "Whether this peer is without weight because its log forked.", int(is_forked))
    if own is not None and own.availability_ppm is not None:
        text = "Share of requests that this peer answered, as the median over its challengers."
        yield _gauge("own_availability_ratio", text, own.availability_ppm / MILLION)
    for name, text, value in (
        ("own_agreements", "Own answers that were found right.", own.agreements if own else 0),
        ("own_dissents", "Own answers that lost a dispute.", own.dissents if own else 0),
        ("own_no_shows", "Owed audits that this peer did not show.", own.no_shows if own else 0),
        ("own_slots_owed", "Audits that this peer owed.", own.slots_owed if own else 0),
    ):
        yield _counter(name, text, value)


def _shares(own: view.Score) -> tuple[float, ...]:
    """How far each test of a peer has come, as a share of what convicts."""
    return (
        own.cusum / own.threshold,
        own.long_cusum / own.long_threshold,
        own.capital / own.capital_threshold,
    )


def _members(node: Node, scores: Iterable[view.Score]) -> Iterator[Metric]:
    counts = dict.fromkeys(Standing, 0)
    for score in scores:
        counts[score.standing] += 1
    text = "Members of the newest final view, by standing."
    family = GaugeMetricFamily(f"{PREFIX}members", text, labels=("standing",))
    for standing, count in counts.items():
        family.add_metric((str(standing),), count)
    yield family
    latest = node.latest
    here = {node.machine.key, *(neighbour.peer for neighbour in node.network.neighbours())}
    yield _gauge(
        "weight", "The weight of all members together; two thirds of it make a cut final.", latest.total_weight
    )
    yield _gauge("weight_connected", "The weight of this peer and its neighbours.", latest.weight_of(here))
    yield _gauge(
        "disputes_open", "Disputes that are not decided.", sum(d.decision is None for d in latest.disputes.values())
    )
    yield _counter("convictions", "Peers convicted since the network began.", len(latest.convicted))
    yield _counter("forks", "Proven forks of logs since the network began.", latest.totals.get("forks", 0))


def _money(node: Node) -> Iterator[Metric]:
    """The accounts of a network with a tariff, in millionths of its unit."""
    books, tariff = node.latest.books, node.machine.network.tariff
    if books is None or tariff is None:
        return
    rows = account_rows(books)
    own = next((row for row in rows if row.key == node.machine.key), AccountRow(node.machine.key))
    text = "Sum over all accounts of the newest final view. It must be 0: otherwise report a bug."
    yield _gauge("settle_sum", text, sum(row.total for row in rows))
    text = "What this peer has vested among all others, in millionths of the tariff's unit; below 0 it owes."
    yield _gauge("settle_own_vested", text, own.vested)
    yield _gauge("settle_own_escrow", "What vests later for this peer, in millionths.", own.escrow)
    owing = books.is_indebted(node.machine.key, tariff.limit)
    yield _gauge("settle_own_indebted", "Whether this peer owes the limit, so that it earns nothing.", int(owing))


def _engine(figures: Mapping[str, int]) -> Iterator[Metric]:
    yield _gauge("engine_jobs_waiting", "Jobs that wait for the engine.", figures["jobs waiting"])
    text = "How long the oldest job has been waiting for the engine."
    yield _gauge("engine_oldest_job_age_seconds", text, figures["oldest waiting ms"] / 1000)
    yield _counter(
        "engine_jobs_done", "Jobs that the engine has ended, failed and late ones included.", figures["jobs done"]
    )
    yield _counter("engine_jobs_failed", "Jobs in which the engine failed.", figures["jobs failed"])
    yield _counter("engine_jobs_late", "Jobs that ended after their deadline.", figures["jobs late"])
    yield _counter("engine_jobs_dropped", "Jobs that were never begun.", figures["jobs dropped"])
    yield _counter("engine_busy_seconds", "How long the engine has worked.", figures["engine busy ms"] / 1000)


def _levels(figures: Mapping[str, int]) -> Iterator[Metric]:
    found: dict[str, GaugeMetricFamily] = {}
    for key, told in LEVELS.items():
        if told is None or key not in figures:
            continue
        name, _, label = told.partition(":")
        labels = (_LABELS[name],) if label else ()
        family = found.setdefault(name, GaugeMetricFamily(PREFIX + name, _TEXTS[name], labels=labels))
        family.add_metric((label,) if label else (), figures[key])
    yield from found.values()


def _router(figures: Mapping[str, int]) -> Iterator[Metric]:
    """Sizes of the gossip router's tables; those in bytes have a family of their own."""
    entries = GaugeMetricFamily(f"{PREFIX}router_entries", "Entries in the tables of gossip.", labels=("table",))
    sizes = GaugeMetricFamily(f"{PREFIX}router_bytes", "Bytes in the buffers of gossip.", labels=("table",))
    for key, number in sorted(figures.items()):
        if key.startswith(ROUTER_SIZES):
            table = key.removeprefix(ROUTER_SIZES)
            family = sizes if table.endswith("_bytes") else entries
            family.add_metric((table.removesuffix("_bytes"),), number)
    yield from (family for family in (entries, sizes) if family.samples)


def _events(figures: Mapping[str, int]) -> Metric:
    text = "What the parts of the node have counted since it was started."
    family = CounterMetricFamily(f"{PREFIX}events", text, labels=("part", "event"))
    events = [name for name in sorted(figures) if is_event(name)]
    totals: dict[tuple[str, str], int] = {}
    for name in events[:SERIES_MAX]:
        part, _, event = name.partition(" ")
        label = (part, event[:LABEL_CHARS_MAX]) if event else ("machine", part)
        totals[label] = totals.get(label, 0) + figures[name]
    for label, number in totals.items():
        family.add_metric(label, number)
    return family


def _gauge(name: str, text: str, value: float) -> Metric:
    return GaugeMetricFamily(PREFIX + name, text, value)


def _counter(name: str, text: str, value: float) -> Metric:
    return CounterMetricFamily(PREFIX + name, text, value)


def _times(name: str, text: str, times: Times) -> Metric:
    return HistogramMetricFamily(PREFIX + name, text, buckets=times.buckets(), sum_value=times.sum_s)
