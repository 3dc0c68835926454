"""A node's report about itself: documents made on demand. It decides nothing."""

from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import TYPE_CHECKING

import trio
from prometheus_client.metrics_core import Metric

from p2pverify.core.encoding.peerid import peer_id
from p2pverify.core.records.payloads.cut import Cut, decode_cut
from p2pverify.core.state import view
from p2pverify.core.state.state import State
from p2pverify.node import ports
from p2pverify.node.blobs.files import BlobFiles
from p2pverify.node.clients.audits.figures import me_document
from p2pverify.node.clients.door import Door
from p2pverify.node.cover import Cover
from p2pverify.node.data.documents import DatasetsDocument
from p2pverify.node.data.report import datasets_document
from p2pverify.node.driver import Driver
from p2pverify.node.endpoints.reach import Reach
from p2pverify.node.journal import Journal
from p2pverify.node.lines.documents import LinesDocument, ReleaseDocument, VersionsDocument
from p2pverify.node.lines.report import LineReports, ScoreOf
from p2pverify.node.ports import ModelInfo, Reports
from p2pverify.node.reports import metrics, outlook, readiness
from p2pverify.node.reports.audits import AuditLog
from p2pverify.node.reports.documents.audits import AuditsDocument
from p2pverify.node.reports.documents.blobs import BlobsDocument
from p2pverify.node.reports.documents.explained import ExplainedAudit
from p2pverify.node.reports.documents.me import MeDocument
from p2pverify.node.reports.documents.passport import PassportDocument
from p2pverify.node.reports.documents.peers import NeighbourDocument, PeersDocument
from p2pverify.node.reports.documents.scores import LossesRerun, ScoresDocument, StandingName
from p2pverify.node.reports.documents.status import (
    ClockDocument,
    FinalCutDocument,
    JobsDocument,
    ReachDocument,
    RecentCut,
    StatusDocument,
    StoredDocument,
)
from p2pverify.node.reports.explain import Explainer
from p2pverify.node.reports.scores import hardware_groups, score_document
from p2pverify.node.reports.watch import CutWatch
from p2pverify.node.rules.documents import RulesDocument
from p2pverify.node.rules.report import coming_amendments, rules_document
from p2pverify.node.settle.cheques import cheques_document
from p2pverify.node.settle.documents import AccountsDocument, ChequesDocument, MovementsDocument
from p2pverify.node.settle.movements import Bookkeeper
from p2pverify.node.settle.report import accounts_document
from p2pverify.node.snapshot.serving import ServedStates
from p2pverify.node.training.documents import RoundsDocument
from p2pverify.node.training.report import rounds_document, waiting_rounds

if TYPE_CHECKING:
    from trio_typing import TaskStatus  # the stubs that libp2p brings hide trio's own name

RECENT_CUTS = 32


class NodeReports(Reports):
    """Reads one node."""

    def __init__(
        self,
        driver: Driver,
        network: ports.NetworkPort,
        journal: Journal,
        info: ModelInfo,
        cover: Cover | None = None,
        door: Door | None = None,
        blobs: BlobFiles | None = None,
        lines: Callable[[ScoreOf], LineReports] | None = None,
        states: ServedStates | None = None,
    ) -> None:
        self._driver = driver
        self._machine = driver.machine
        self._network = network
        self._journal = journal
        self._info = info
        self._cover = cover
        self._door = door
        self._blobs = blobs
        self._states = states
        self.line_reports = (lines or partial(LineReports, self._machine))(self._score_of)
        self._node = readiness.Node(driver, network, journal)
        self._started_ms = driver.now_ms()
        self._log = AuditLog(self._machine.context, self._machine.objector.finding)
        self._explainer = Explainer(driver, network, self._log)
        self._bookkeeper = Bookkeeper(self._machine)
        self._cuts: dict[bytes, RecentCut] = {}
        self._scores: tuple[bytes, Mapping[bytes, view.Score]] = (b"", {})
        driver.on_final(self._log.note_final)

    def status(self) -> StatusDocument:
        machine, context = self._machine, self._machine.context
        reasons = self.unready()
        recent = self._recent_cuts(machine.fold.latest)
        own = self._score_of(machine.key)
        waits = outlook.report(self._node)
        reach = self._network.reach()
        return StatusDocument(
            schema="p2pverify/status/1",
            peer_id=peer_id(machine.key),
            network=context.network_id.hex(),
            network_name=context.network.name,
            epoch=self._node.epoch,
            epoch_s=context.params.epoch_ms / 1000,
            model=self._info.model,
            class_=context.network.classes[context.class_index].name,
            engine=self._info.engine,
            uptime_s=max(0, self._driver.now_ms() - self._started_ms) // 1000,
            addresses=tuple(self._network.addresses()),
            reach=_reach(reach),
            clock=ClockDocument(peers=reach.clocks, ahead_ms=reach.clock_ahead_ms),
            neighbours=len(self._network.neighbours()),
            records=len(context.ledger),
            stored=_stored(self._journal),
            standing=None if own is None else own.standing.value,
            own=None if own is None else score_document(own, self._rerun(machine.fold.latest, machine.key)),
            ready=not reasons,
            reasons=tuple(reasons),
            final=_final(recent[-1]) if recent else None,
            final_age_s=self._node.cut_age_ms // 1000 if recent else None,
            next_cut=waits.next_cut,
            first_score=waits.first_score,
            weight=waits.weight,
            way_to_weight=waits.way_to_weight,
            recent_cuts=recent,
            quiet=self._is_quiet(),
            jobs=_jobs(self._driver.engine_statistics()),
            version=self.line_reports.own(),
            coming=tuple(coming_amendments(self._machine)),
            rounds=tuple(waiting_rounds(self._machine)),
            checkpoint=None if self._states is None else self._states.checkpoint(),
            began_with=None if self._states is None else self._states.began_with(),
        )

    def peers(self) -> PeersDocument:
        found = [
            NeighbourDocument(
                peer_id=peer_id(neighbour.peer),
                address=neighbour.address,
                outbound=neighbour.outbound,
                in_mesh=neighbour.in_mesh,
                standing=self._standing_of(neighbour.peer),
            )
            for neighbour in self._network.neighbours()
        ]
        return PeersDocument(schema="p2pverify/peers/1", peers=tuple(found))

    def scores(self, *, final: bool) -> ScoresDocument:
        machine = self._machine
        state = machine.fold.latest if final else machine.provisional(self._driver.now_ms())
        is_final = final and state.index > 0  # before the first cut there is only the contract, which is no view
        found = view.scores(machine.network, state)
        return ScoresDocument(
            schema="p2pverify/scores/1",
            network=machine.context.network_id.hex(),
            final=is_final,
            cut=state.id.hex() if is_final else None,
            epoch=state.epoch,
            scores=tuple(score_document(score, self._rerun(state, score.peer)) for score in found),
            hardware=hardware_groups(found),
        )

    def datasets(self, *, final: bool) -> DatasetsDocument:
        state = self._machine.fold.latest if final else self._machine.provisional(self._driver.now_ms())
        return datasets_document(self._machine.context.ledger, self._machine.context.network_id, state, final=final)

    def accounts(self, *, final: bool) -> AccountsDocument:
        state = self._machine.fold.latest if final else self._machine.provisional(self._driver.now_ms())
        return accounts_document(self._machine.network, state, final=final)

    async def movements(self, key: bytes) -> MovementsDocument:
        return await self._bookkeeper.movements(key)

    def cheques(self) -> ChequesDocument:
        return cheques_document(self._machine, self._driver.now_ms())

    def rules(self) -> RulesDocument:
        return rules_document(self._machine, self._driver.now_ms())

    def rounds(self) -> RoundsDocument:
        return rounds_document(self._machine)

    def lines(self) -> LinesDocument:
        return self.line_reports.lines()

    def versions(self, line: str) -> VersionsDocument:
        return self.line_reports.versions(line)

    def release(self, line: str, number: int) -> ReleaseDocument:
        return self.line_reports.release(line, number)

    def _rerun(self, state: State, peer: bytes) -> LossesRerun | None:
        """This node's own findings on the disputes that count against a peer; None if there are none."""
        member = state.members[peer]
        lost = {loss.dispute for loss in (*member.losses, *member.far)}
        if not lost:
            return None
        found = [self._machine.objector.finding(dispute) for dispute in lost]
        return LossesRerun(lost=len(lost), confirmed=found.count(True), refuted=found.count(False))

    def audits(self, *, limit: int) -> AuditsDocument:
        return AuditsDocument(
            schema="p2pverify/audits/1",
            audits=tuple(self._log.audits(limit)),
            disputes=tuple(self._log.disputes()),
        )

    async def me(self) -> MeDocument:
        machine, auditor = self._machine, None if self._door is None else self._door.auditor
        audits = () if auditor is None else await auditor.book.all()
        scores = view.scores(machine.network, machine.fold.latest)
        rate = 0.0 if auditor is None else auditor.rate
        return me_document(machine.network, machine.key, machine.context.class_index, scores, audits, rate)

    async def blobs(self) -> BlobsDocument:
        if self._blobs is None:
            return BlobsDocument(schema="p2pverify/blobs/1", serves=False, bytes=0, quota_bytes=0, blobs=())
        return await self._blobs.document()

    def passport(self, peer: bytes) -> PassportDocument | None:
        found = self._machine.issuer.passport(peer)
        if found is None:
            return None
        head = found.score.head
        return PassportDocument(
            schema="p2pverify/passport-document/1",
            peer_id=peer_id(peer),
            network=head.network.hex(),
            cut=found.cut.id(head).hex(),
            epoch=head.epoch,
            passport=found.encode().hex(),
        )

    async def explain(self, name: str, *, wait_s: float) -> ExplainedAudit:
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
            "clients": {} if self._door is None else self._door.statistics(),
            "blobs": {} if self._blobs is None else self._blobs.statistics(),
            "lines": self.line_reports.statistics(),
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

    def _standing_of(self, peer: bytes) -> StandingName | None:
        found = self._score_of(peer)
        return None if found is None else found.standing.value

    def _recent_cuts(self, latest: State) -> tuple[RecentCut, ...]:
        """The newest final cuts on the path, oldest first. They follow from the ledger, so they survive a restart."""
        path = latest.path[-RECENT_CUTS:]
        first = latest.index - len(path) + 1
        known, self._cuts = self._cuts, {}
        for index, cut_id in enumerate(path, start=first):
            record = self._machine.context.ledger.get(cut_id)
            count = self._machine.fold.records_in.get(cut_id)
            if index > 0 and record is not None and count is not None:
                self._cuts[cut_id] = known.get(cut_id) or _cut(cut_id, index, count, decode_cut(record.payload))
        return tuple(self._cuts.values())


def _cut(cut_id: bytes, index: int, records: int, cut: Cut) -> RecentCut:
    return RecentCut(
        cut=cut_id.hex(),
        epoch=cut.epoch,
        index=index,
        ledger_root=cut.ledger_root.hex(),
        view_root=cut.view_root.hex(),
        records=records,
    )


def _final(newest: RecentCut) -> FinalCutDocument:
    return FinalCutDocument(
        cut=newest.cut,
        epoch=newest.epoch,
        index=newest.index,
        ledger_root=newest.ledger_root,
        view_root=newest.view_root,
    )


def _reach(found: Reach) -> ReachDocument:
    return ReachDocument(
        state=found.state,
        why=found.why(),
        advice=found.advice(),
        asked=found.asked,
        reached=found.reached,
        relays=found.relays,
        serves=found.serves,
        mapped=found.mapped,
    )


def _stored(journal: Journal) -> StoredDocument:
    figures = journal.statistics()
    return StoredDocument(
        history=journal.history,
        records=figures.get("records", 0),
        from_epoch=figures.get("horizon_epoch", 0),
        bytes=figures.get("bytes", 0),
    )


def _jobs(figures: Mapping[str, int]) -> JobsDocument:
    return JobsDocument(**{name.replace(" ", "_"): figure for name, figure in figures.items()})
