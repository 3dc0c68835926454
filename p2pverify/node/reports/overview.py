"""A node's report about itself: JSON values with a schema name, made on demand. It decides nothing."""

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

import trio
from prometheus_client.metrics_core import Metric

from p2pverify.core.encoding.peerid import peer_id
from p2pverify.core.inference.speed import Fit, Speed, median
from p2pverify.core.records.payloads.cut import Cut, decode_cut
from p2pverify.core.state import view
from p2pverify.core.state.score import Standing
from p2pverify.core.state.state import State
from p2pverify.node import ports
from p2pverify.node.cover import Cover
from p2pverify.node.driver import Driver
from p2pverify.node.journal import Journal
from p2pverify.node.ports import ModelInfo, Reports
from p2pverify.node.reports import metrics, outlook, readiness
from p2pverify.node.reports.audits import AuditLog
from p2pverify.node.reports.explain import Explainer
from p2pverify.node.reports.watch import CutWatch

if TYPE_CHECKING:
    from trio_typing import TaskStatus  # the stubs that libp2p brings hide trio's own name

RECENT_CUTS = 32


class NodeReports(Reports):
    """Reads one node. Rates are fractions rounded to 6 digits; digests and roots are in hex."""

    def __init__(
        self,
        driver: Driver,
        network: ports.NetworkPort,
        journal: Journal,
        info: ModelInfo,
        cover: Cover | None = None,
    ) -> None:
        self._driver = driver
        self._machine = driver.machine
        self._network = network
        self._journal = journal
        self._info = info
        self._cover = cover
        self._node = readiness.Node(driver, network, journal)
        self._started_ms = driver.now_ms()
        self._log = AuditLog(self._machine.context)
        self._explainer = Explainer(driver, network, self._log)
        self._cuts: dict[bytes, dict[str, object]] = {}
        self._scores: tuple[bytes, Mapping[bytes, view.Score]] = (b"", {})
        driver.on_final(self._log.note_final)

    def status(self) -> dict[str, object]:
        machine, context = self._machine, self._machine.context
        latest = machine.fold.latest
        reasons = self.unready()
        recent = self._recent_cuts(latest)
        final = recent[-1] if recent else None
        own = self._score_of(machine.key)
        return {
            "schema": "p2pverify/status/1",
            "peer_id": peer_id(machine.key),
            "network": context.network_id.hex(),
            "network_name": context.network.name,
            "epoch": self._node.epoch,
            "epoch_s": context.params.epoch_ms / 1000,
            "model": self._info.model,
            "class": context.network.classes[context.class_index].name,
            "engine": self._info.engine,
            "uptime_s": max(0, self._driver.now_ms() - self._started_ms) // 1000,
            "addresses": list(self._network.addresses()),
            "neighbours": len(self._network.neighbours()),
            "records": len(context.ledger),
            "standing": None if own is None else str(own.standing),
            "own": None if own is None else _score(own),
            "ready": not reasons,
            "reasons": reasons,
            "final": final and {key: value for key, value in final.items() if key != "records"},
            "final_age_s": self._node.cut_age_ms // 1000 if final else None,
            **outlook.report(self._node),
            "recent_cuts": recent,
            "quiet": self._is_quiet(),
            "jobs": {name.replace(" ", "_"): number for name, number in self._driver.engine_statistics().items()},
        }

    def peers(self) -> dict[str, object]:
        found = [
            {
                "peer_id": peer_id(neighbour.peer),
                "address": neighbour.address,
                "outbound": neighbour.outbound,
                "in_mesh": neighbour.in_mesh,
                "standing": self._standing_of(neighbour.peer),
            }
            for neighbour in self._network.neighbours()
        ]
        return {"schema": "p2pverify/peers/1", "peers": found}

    def scores(self, *, final: bool) -> dict[str, object]:
        machine = self._machine
        state = machine.fold.latest if final else machine.provisional(self._driver.now_ms())
        is_final = final and state.index > 0  # before the first cut there is only the contract, which is no view
        found = view.scores(machine.network, state)
        return {
            "schema": "p2pverify/scores/1",
            "network": machine.context.network_id.hex(),
            "final": is_final,
            "cut": state.id.hex() if is_final else None,
            "epoch": state.epoch,
            "scores": [_score(score) for score in found],
            "hardware": _hardware(found),
        }

    def audits(self, *, limit: int) -> dict[str, object]:
        return {
            "schema": "p2pverify/audits/1",
            "audits": self._log.audits(limit),
            "disputes": self._log.disputes(),
        }

    async def explain(self, name: str, *, wait_s: float) -> dict[str, object]:
        return await self._explainer.explain(name, wait_s=wait_s)

    async def run(self, *, task_status: "TaskStatus[None]" = trio.TASK_STATUS_IGNORED) -> None:
        """Make the requested explanations, and watch whether cuts become final, until cancelled."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(CutWatch(self._node).run)
            await self._explainer.run(task_status=task_status)

    def unready(self) -> list[str]:
        return readiness.unready(self._node)

    def metrics(self) -> Iterable[Metric]:
        return metrics.families(self._node, self.figures())

    def figures(self) -> dict[str, int]:
        """Counts and sizes of the node's parts, by flat name: the part's name, a space, and the figure's."""
        machine = self._machine
        found = {**machine.statistics(), "epoch": self._node.epoch, "neighbours": len(self._network.neighbours())}
        parts: dict[str, Mapping[str, int]] = {
            "judged": machine.judged,
            "refused": machine.responder.refused,
            "asked": machine.challenger.answers,
            "cover": {} if self._cover is None else self._cover.statistics(),
            "driver": self._driver.statistics(),
            "store": self._journal.statistics(),
            "net": self._network.statistics(),
        }
        for name, figures in parts.items():
            found |= {f"{name} {what}": number for what, number in figures.items()}
        return found

    # ------------------------------------------------------------ helpers

    def _is_quiet(self) -> bool:
        return self._machine.context.silence.is_on

    def _score_of(self, peer: bytes) -> view.Score | None:
        """A peer's score in the newest final view; None for a peer that is not a member there."""
        latest = self._machine.fold.latest
        if self._scores[0] != latest.id:
            found = view.scores(self._machine.network, latest)
            self._scores = (latest.id, {score.peer: score for score in found})
        return self._scores[1].get(peer)

    def _standing_of(self, peer: bytes) -> str | None:
        found = self._score_of(peer)
        return None if found is None else str(found.standing)

    def _recent_cuts(self, latest: State) -> list[dict[str, object]]:
        """The newest final cuts on the path, oldest first. They follow from the ledger, so they survive a restart."""
        path = latest.path[-RECENT_CUTS:]
        first = latest.index - len(path) + 1
        known, self._cuts = self._cuts, {}
        for index, cut_id in enumerate(path, start=first):
            record = self._machine.context.ledger.get(cut_id)
            state = self._machine.fold.state(cut_id)
            if index > 0 and record is not None and state is not None:
                self._cuts[cut_id] = known.get(cut_id) or _cut(state, decode_cut(record.payload))
        return list(self._cuts.values())


def _cut(state: State, cut: Cut) -> dict[str, object]:
    return {
        "cut": state.id.hex(),
        "epoch": cut.epoch,
        "index": state.index,
        "ledger_root": cut.ledger_root.hex(),
        "view_root": cut.view_root.hex(),
        "records": state.totals.get("records", 0),
    }


def _score(score: view.Score) -> dict[str, object]:
    available = score.availability_ppm
    return {
        "peer_id": peer_id(score.peer),
        "class": score.class_name,
        "standing": str(score.standing),
        "reason": _reason(score),
        "weight": score.weight,
        "low": _fraction(score.low_ppm),
        "high": _fraction(score.high_ppm),
        "audits": score.audits,
        "agreements": score.agreements,
        "dissents": score.dissents,
        "challengers": score.challengers,
        "last_audit_epoch": score.last_audit_epoch if score.last_audit_epoch >= 0 else None,
        "availability": None if available is None else _fraction(available),
        "no_shows": score.no_shows,
        "slots_owed": score.slots_owed,
        "unopened": score.unopened,
        "cusum": score.cusum,
        "threshold": score.threshold,
        "convicted_epoch": score.convicted_epoch,
        "convicted_after_audits": score.convicted_after,
        "conviction": score.conviction,
        "fork_until_epoch": score.fork_until,
        "hardware": None if score.speed is None else _speed(score.speed),
    }


def _reason(score: view.Score) -> str | None:
    """Why a peer is suspect, convicted or has lost its weight; None if there is nothing to explain."""
    if score.standing is Standing.CONVICTED:
        return score.conviction
    if score.fork_until is not None:
        return f"log forked, until epoch {score.fork_until}"
    if score.standing is Standing.SUSPECT:
        return "lost disputes"
    return None


def _hardware(scores: Iterable[view.Score]) -> list[dict[str, object]]:
    """Speeds by the hardware that peers of a class claim: least, median and greatest.

    Only peers whose speed challengers know are counted.
    """
    groups: dict[tuple[str, str], list[Speed]] = {}
    for score in scores:
        if score.speed is not None:
            groups.setdefault((score.class_name, score.speed.claim), []).append(score.speed)
    found = []
    for (class_name, claim), speeds in sorted(groups.items()):
        known = [speed.typical for speed in speeds if speed.typical is not None]
        first, step = [each.first_ms for each in known], [each.step_us for each in known if each.step_us]
        entry: dict[str, object] = {"class": class_name, "claim": claim, "peers": len(speeds), "measured": len(known)}
        entry |= {str(fit): sum(s.fit is fit for s in speeds) for fit in (Fit.CONSISTENT, Fit.INCONSISTENT)}
        entry["first_token_ms"] = [min(first), median(first), max(first)] if first else None
        entry["tokens_per_s"] = [_per_second(us) for us in (max(step), median(step), min(step))] if step else None
        found.append(entry)
    return found


def _per_second(microseconds: int) -> float:
    return round(1e6 / microseconds, 1)


def _speed(speed: Speed) -> dict[str, object]:
    """Milliseconds to the first token, and tokens per second after it, as challengers measured them."""
    typical = speed.typical
    return {
        "claim": speed.claim,
        "fit": str(speed.fit),
        "challengers": speed.challengers,
        "token_ms": None if typical is None else typical.token_us / 1000,
        "first_token_ms": None if typical is None else typical.first_ms,
        "tokens_per_s": _per_second(typical.step_us) if typical is not None and typical.step_us else None,
    }


def _fraction(ppm: int) -> float:
    return round(ppm / 1_000_000, 6)
