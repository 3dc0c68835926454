"""The auditor: scores a share of the stored receipts again, when the machine is idle, and keeps what it finds.

Which receipts it draws follows from a secret of this home. So nobody else can tell which answers are audited, and a
restart draws the same ones.
"""

import logging
from collections import deque

import trio

from p2pverify.core.contract.network import Network
from p2pverify.core.counters import Counters
from p2pverify.core.encoding.peerid import peer_id
from p2pverify.core.inference.treatment import Rescored
from p2pverify.core.proofs.passport import Refuted
from p2pverify.core.proofs.receipt import AnswerFacts, check_answer
from p2pverify.node.clients.audits.book import AuditBook, KeptAudit
from p2pverify.node.clients.audits.reporting import SHOWING, wrong_answer
from p2pverify.node.clients.audits.rescoring import Rescorer
from p2pverify.node.clients.book import BookError, ReceiptBook, ReportWish
from p2pverify.node.clients.paper import read_receipt
from p2pverify.node.driver import Driver
from p2pverify.node.engines.refusals import EngineBusy, ModelUnavailable, RefereeUnavailable
from p2pverify.node.reports.documents.receipt import ClientAnswer, ReceiptDocument, ReceiptEvent

#: Receipts that wait for their audit. Those beyond it are found again at the next start.
AUDITS_WAITING_MAX = 10_000
BUSY_S = 5.0  # after this time a refused job is tried again
_LOT_BITS = 64
log = logging.getLogger(__name__)


class Auditor:
    """Audits for one node. `rate` is the share of receipts that are drawn, from 0 to 1."""

    def __init__(self, driver: Driver, receipts: ReceiptBook, audits: AuditBook, rate: float) -> None:
        self.rate = rate
        self._driver = driver
        self._network: Network = driver.machine.network
        self._receipts = receipts
        self._audits = audits
        self._rescorer = Rescorer(driver)
        self._counters = Counters(("audits",))
        self._waiting: deque[str] = deque()
        self._woken = trio.Event()
        self._idle = trio.Event()

    @property
    def book(self) -> AuditBook:
        return self._audits

    def statistics(self) -> dict[str, int]:
        return {"audits waiting": len(self._waiting), **self._counters}

    def note(self, receipt_id: str) -> None:
        """A receipt was stored."""
        if len(self._waiting) < AUDITS_WAITING_MAX and self._is_drawn(receipt_id):
            if self._idle.is_set():
                self._idle = trio.Event()
            self._waiting.append(receipt_id)
            self._woken.set()

    async def events(self, receipt_id: str) -> tuple[ReceiptEvent, ...]:
        """What was found about the answers of a receipt, as events. Raises BookError."""
        return tuple(
            ReceiptEvent(
                at_ms=audit.at_ms, event="audited", index=audit.place, peer_id=peer_id(audit.peer), detail=audit.found
            )
            for audit in await self._audits.of(receipt_id)
        )

    async def run(self) -> None:
        """Audit until cancelled."""
        if not self.rate:
            return
        try:
            await self._resume_reports()
            for receipt_id in await self._audits.receipts():
                self.note(receipt_id)
        except BookError as error:
            log.warning("stored receipts cannot be audited: %s; %s", error.reason, error.hint)
        while True:
            while not self._waiting:
                self._idle.set()
                self._woken = trio.Event()
                await self._woken.wait()
            try:
                await self.audit(self._waiting[0])
            except (BookError, ModelUnavailable, RefereeUnavailable) as error:
                self._counters.count(f"audits not made: {type(error).__name__}")
            self._waiting.popleft()

    async def wait_idle(self) -> None:
        """Wait until no drawn receipt waits for its audit. Only while it runs."""
        await self._idle.wait()

    async def audit(self, receipt_id: str) -> list[Rescored]:
        """Score the answers of one receipt again, if peers gave them.

        Raises BookError, ModelUnavailable, RefereeUnavailable.
        """
        kept = await self._receipts.find(receipt_id)
        document = None if kept is None else read_receipt(kept.document)
        if kept is None or document is None:
            self._counters.count("audits without a receipt")
            return []
        found = []
        for place, shown in enumerate(document.answers):
            if not shown.own:
                found += await self._audit(kept.report, document, place, shown)
        return found

    async def _audit(
        self, wish: ReportWish, document: ReceiptDocument, place: int, shown: ClientAnswer
    ) -> list[Rescored]:
        facts = self._facts(shown)
        if facts is None:
            return []
        class_index = facts.answer.receipt.class_index
        if not self._rescorer.can_score(class_index, facts.question):
            self._counters.count("answers of other models, which are not audited")
            return []
        found = await self._score(facts)
        peer = facts.request.responder
        await self._audits.keep(KeptAudit(document.id, place, peer, class_index, found, self._driver.now_ms()))
        self._counters.count("audits")
        self._counters.count("audits that found a wrong answer", found is Rescored.DIFFERS)
        if found is Rescored.DIFFERS:
            log.warning("receipt %s: the answer of peer %s is wrong", document.id, peer_id(peer))
            await self._report(wish, document, shown, facts)
        return [found]

    async def _report(
        self, wish: ReportWish, document: ReceiptDocument, shown: ClientAnswer, facts: AnswerFacts
    ) -> None:
        """Report a wrong answer, as far as the client agrees."""
        digest = await self._rescorer.own_digest(facts.question) if wish == "digest" else None
        found = wrong_answer(self._driver.machine.context, document.id, shown.index, facts, wish, digest)
        if found is not None:
            self._driver.order(found)

    async def _resume_reports(self) -> None:
        """Report again what was found before a restart, so that seats still get the questions. Raises BookError."""
        params = self._driver.machine.context.params
        since_ms = self._driver.now_ms() - params.epoch_ms * (params.dispute_epochs + params.duty_epochs)
        for audit in await self._audits.all():
            kept = await self._receipts.find(audit.receipt) if self._is_recent_lie(audit, since_ms) else None
            document = None if kept is None else read_receipt(kept.document)
            if kept is None or document is None or kept.report not in SHOWING or audit.place >= len(document.answers):
                continue
            shown = document.answers[audit.place]
            facts = self._facts(shown)
            if facts is not None:
                await self._report(kept.report, document, shown, facts)

    def _is_recent_lie(self, audit: KeptAudit, since_ms: int) -> bool:
        return audit.found is Rescored.DIFFERS and audit.at_ms >= since_ms

    def _facts(self, shown: ClientAnswer) -> AnswerFacts | None:
        """What the bytes of an answer show; None if they do not hold."""
        try:
            return check_answer(self._network, bytes.fromhex(shown.request), bytes.fromhex(shown.response), None)
        except (Refuted, ValueError):
            self._counters.count("audits of damaged receipts")
            return None

    async def _score(self, facts: AnswerFacts) -> Rescored:
        """Score an answer when the machine is idle. Raises ModelUnavailable, RefereeUnavailable."""
        while True:
            try:
                return await self._rescorer.score(facts.answer.receipt.class_index, facts.question, facts.answer.output)
            except ValueError:
                return Rescored.NOT_COMPARED  # this engine cannot take the question
            except EngineBusy:
                await trio.sleep(BUSY_S)

    def _is_drawn(self, receipt_id: str) -> bool:
        lot = int.from_bytes(self._driver.machine.context.secret("audit lot", receipt_id)[: _LOT_BITS // 8], "big")
        return lot < int(self.rate * (1 << _LOT_BITS))
