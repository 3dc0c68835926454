"""The door for clients: takes an order, has it answered, and keeps the receipt before the client gets its last byte.

The answers are made in a task of the node, not of the connection. So a client that goes away in the middle still finds
its receipt.
"""

import random
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from hashlib import sha256
from typing import TYPE_CHECKING

import trio

from p2pverify.core.contract.manifest import Manifest
from p2pverify.core.counters import Counters
from p2pverify.core.encoding.canon import encode
from p2pverify.core.inference.compare import TokenScores
from p2pverify.core.inference.question import Question
from p2pverify.core.settle.exchange import AnswerTaken
from p2pverify.core.window import NO_CHECKS, CheckPolicy
from p2pverify.node import ports
from p2pverify.node.clients.asking import ANSWER_S, AnsweredQuestion, Asking, NoAnswer, PeerAnswer
from p2pverify.node.clients.audits.auditor import Auditor
from p2pverify.node.clients.audits.reporting import client_salt
from p2pverify.node.clients.book import BookError, KeptReceipt, ReceiptBook, ReportWish
from p2pverify.node.clients.choice import AnswerPeer, Choice, ModelView, NodeView
from p2pverify.node.clients.desk import Client, Desk, Place
from p2pverify.node.clients.fullcheck import LINES_MAX, FullCheck
from p2pverify.node.clients.line import Requester
from p2pverify.node.clients.models.catalog import Catalog
from p2pverify.node.clients.models.served import Askers, OpenLanguage, ServedModel
from p2pverify.node.clients.order import NO_MAJORITY, DoorError, OpenOrder, Order
from p2pverify.node.clients.paper import (
    answer_document,
    check_document,
    cost_document,
    dumped,
    event_document,
    read_receipt,
)
from p2pverify.node.clients.windows import ClientWindows
from p2pverify.node.driver import Driver
from p2pverify.node.engines.refusals import EngineBusy, ModelUnavailable
from p2pverify.node.lines.known import NO_MANIFESTS
from p2pverify.node.reports.documents.receipt import (
    CHECKED,
    DIFFERS,
    RECOMPUTED,
    ClientAnswer,
    EventName,
    ReceiptDocument,
    ReceiptState,
)

if TYPE_CHECKING:
    from trio_typing import TaskStatus  # the stubs that libp2p brings hide trio's own name

SEED = "p2pverify/client-seed/1"
TOKENISING_MAX = 2  # texts that are tokenised at once


class Door:
    """Serves the clients of one node. `open_language` blocks, and is called with the first order for a model.

    `manifest` and `info` are of the model with which this node started, and `listed` are the manifests of the network
    file. Any of their models can be asked for, and all versions that were released since. `policy` is the policy of
    clients that name none, and `report` what they agree to.
    The `auditor` scores stored receipts again.
    """

    def __init__(
        self,
        driver: Driver,
        network: ports.NetworkPort,
        manifest: Manifest,
        info: ports.ModelInfo,
        open_language: OpenLanguage,
        book: ReceiptBook,
        dice: random.Random | None = None,
        *,
        policy: CheckPolicy = NO_CHECKS,
        listed: Sequence[Manifest] = (),
        trained: Mapping[bytes, Manifest] = NO_MANIFESTS,
        auditor: Auditor | None = None,
        report: ReportWish = "never",
    ) -> None:
        self.report = report
        self.policy = policy
        self.auditor = auditor
        self._driver = driver
        self._context = driver.machine.context
        self._book = book
        self._dice = dice or random.SystemRandom()
        self._counters = Counters()
        self._desk = Desk()
        self._network = network
        self._view = NodeView(driver.machine)
        self._lines = trio.CapacityLimiter(LINES_MAX)
        tokenising = trio.CapacityLimiter(TOKENISING_MAX)
        shared = (self._context.params, open_language, tokenising)

        def make(of: Manifest, digest: bytes, engine: ports.ModelInfo | None) -> ServedModel:
            return ServedModel(of, digest, engine, self._askers(digest), *shared)

        self._catalog = Catalog(driver.machine, self._view, manifest, info, listed, make, trained)
        self._windows = ClientWindows(self._dice)
        self._open: dict[str, OpenOrder] = {}
        self._nursery: trio.Nursery | None = None

    # ------------------------------------------------------------ what clients can know

    @property
    def catalog(self) -> Catalog:
        """The models of the network."""
        return self._catalog

    @property
    def own(self) -> ServedModel:
        """The model that this node serves."""
        return self._catalog.own

    def serving(self) -> Counter[bytes]:
        """How many peers of good standing serve each model, by the digest of its manifest."""
        return self._view.serving()

    @property
    def created_s(self) -> int:
        """When the network began, in Unix seconds."""
        return self._context.params.genesis_ms // 1000

    def now_s(self) -> int:
        return self._driver.now_ms() // 1000

    def statistics(self) -> dict[str, int]:
        audited = {} if self.auditor is None else self.auditor.statistics()
        return {"answers being made": self._desk.taken, **self._counters, **audited}

    # ------------------------------------------------------------ orders

    async def run(self, *, task_status: "TaskStatus[None]" = trio.TASK_STATUS_IGNORED) -> None:
        """Answer orders until cancelled."""
        async with trio.open_nursery() as nursery:
            self._nursery = nursery
            if self.auditor is not None:
                nursery.start_soon(self.auditor.run)
            task_status.started()
            try:
                await trio.sleep_forever()
            finally:
                self._nursery = None

    def begin(self, order: Order) -> OpenOrder:
        """Begin to answer. Raises DeskBusy, and DoorError while the node stops."""
        if self._nursery is None or self._nursery.cancel_scope.cancel_called:
            raise _stopped()
        model, now_ms = self._model(order), self._driver.now_ms()
        place = self._desk.take(order.client, len(order.prompts), now_ms)
        receipt_id = f"rcpt_{self._dice.randbytes(16).hex()}"
        document = ReceiptDocument(
            schema="p2pverify/client-receipt/1",
            id=receipt_id,
            state="asking",
            network=self._context.network_id.hex(),
            model=model.name,
            endpoint=order.endpoint,
            created_ms=now_ms,
            finished_ms=None,
            panel=order.policy.panel,
            every=order.policy.every,
            checks=(),
            answers=(),
            events=(),
        )
        opened = OpenOrder(document, order.client, order.report, len(order.prompts) * (order.tokens_max + 1))
        self._open[receipt_id] = opened
        self._counters.count("orders")
        panels = [self._panel(order) for _ in order.prompts]
        self._desk.widen(place, order.client, sum(panels) - len(panels), now_ms)
        self._nursery.start_soon(self._carry_out, order, model, opened, place, panels)
        return opened

    async def receipt(self, receipt_id: str, client: Client) -> ReceiptDocument | None:
        """A receipt of this client, finished or not. None if there is none for it. Raises BookError."""
        opened = self.open_order(receipt_id, client)
        if opened is not None:
            return opened.document
        kept = await self._book.find(receipt_id)
        document = None if kept is None or kept.client != client.id else read_receipt(kept.document)
        if document is None or self.auditor is None:
            return document
        return replace(document, events=(*document.events, *await self.auditor.events(receipt_id)))

    def open_order(self, receipt_id: str, client: Client) -> OpenOrder | None:
        """An order of this client that is being answered."""
        opened = self._open.get(receipt_id)
        return opened if opened is not None and opened.client.id == client.id else None

    async def _carry_out(
        self, order: Order, model: ServedModel, opened: OpenOrder, place: Place, panels: Sequence[int]
    ) -> None:
        answers: dict[int, AnsweredQuestion] = {}
        error: DoorError | None = None
        questions = self._questions(order, model.digest)
        try:
            error = await self._ask_all(order, model.askers, questions, panels, opened, answers)
            if error is None and order.logprobs:
                await self._score_all(questions, opened, answers)
            await self._finish(model, opened, questions, answers, "failed" if error else "answered")
        except BookError as failed:
            error = DoorError("not_kept", f"the receipt cannot be kept: {failed.reason}; {failed.hint}")
        except DoorError as failed:
            error = failed
        finally:
            place.leave()
            del self._open[opened.document.id]
            opened.end(error if len(answers) == len(questions) or error else _stopped())
        if error is not None:
            self._counters.count(f"orders failed: {error.code}")

    def _questions(self, order: Order, model: bytes) -> list[Question]:
        """One question for each prompt. Equal prompts differ in their seeds."""
        key, seen = self._context.key, Counter[tuple[int, ...]]()
        found = []
        for prompt in order.prompts:
            seed = self._dice.randbytes(16) if order.seed is None else _seed(order.seed, seen[prompt])
            seen[prompt] += 1
            found.append(Question(model, prompt, order.tokens_max, order.temperature_milli, seed, key))
        return found

    async def _ask_all(
        self,
        order: Order,
        askers: Askers,
        questions: Sequence[Question],
        panels: Sequence[int],
        opened: OpenOrder,
        answers: dict[int, AnsweredQuestion],
    ) -> DoorError | None:
        """Ask all questions at once. Returns why one of them has no answer."""
        errors: list[DoorError] = []

        async def ask(index: int, question: Question, panel: int) -> None:
            try:
                found = answers[index] = await self._ask(order, askers, question, panel, opened, index)
                if found.returned is None:
                    errors.append(_no_majority(found))
            except NoAnswer as error:
                why = ", ".join(error.reasons)
                message = f"nobody could answer ({why}); ask again later"
                errors.append(DoorError("no_answer", message, is_busy=error.is_busy))
            if errors:
                nursery.cancel_scope.cancel()

        async with trio.open_nursery() as nursery:
            for index, question in enumerate(questions):
                nursery.start_soon(ask, index, question, panels[index])
        return errors[0] if errors else None

    def _model(self, order: Order) -> ServedModel:
        found = self.own if order.model is None else self._catalog.find(order.model)
        if found is None:
            raise DoorError("no_model", "the network has no such model any more")
        return found

    def _askers(self, manifest: bytes) -> Askers:
        """Those who ask the peers of a model. This node's engine and referee take part only if they can run it."""
        own, driver, network = self._context, self._driver, self._network

        def cost_ms(question: Question) -> int:
            return driver.cost_ms(question) if manifest in own.held else 0

        requester = Requester(own.network, own.seed, own.key, driver.now_ms, driver.serve, cost_ms, self._owe)
        view = ModelView(self._view, manifest)
        choice = Choice(view, lambda: frozenset(each.peer for each in network.neighbours()), self._dice)
        asking = Asking(requester, network, choice, self._counters)
        fullcheck = FullCheck(own.network, asking, choice, self._counters, driver, self._lines)
        return Askers(choice, asking, fullcheck)

    def _owe(self, peer: bytes) -> None:
        """A peer's answer has its price in a network with a tariff."""
        if self._context.network.tariff is not None:
            self._driver.order(AnswerTaken(peer))

    def _panel(self, order: Order) -> int:
        """How many peers are to answer the client's next question. A client that names a peer is answered by it."""
        return 1 if order.peer is not None else self._windows.panel(order.client.id, order.policy)

    async def _ask(
        self, order: Order, askers: Askers, question: Question, panel: int, opened: OpenOrder, index: int
    ) -> AnsweredQuestion:
        take, note = partial(opened.take, index), partial(self._note, opened, index)
        salt_of = partial(client_salt, self._context, opened.document.id, index)
        if panel > 1:
            return await askers.fullcheck.answer(question, panel, salt_of, take, note)
        named = None if order.peer is None else askers.choice.named(order.peer)
        if named is None and order.peer is not None:
            raise NoAnswer(("no such peer",))
        return await askers.asking.answer(question, salt_of, take, note, named)

    async def _score_all(
        self, questions: Sequence[Question], opened: OpenOrder, answers: dict[int, AnsweredQuestion]
    ) -> None:
        """Have the own engine score the answers that the client gets. Raises DoorError."""
        for index, answered in answers.items():
            assert answered.returned is not None
            score = partial(_score, questions[index], answered.returned.exchanged.answer.output.tokens)
            try:
                with trio.fail_after(ANSWER_S):
                    opened.scores[index] = await self._driver.use_engine(score, model=questions[index].manifest)
            except (EngineBusy, ModelUnavailable, ValueError, trio.TooSlowError) as error:
                is_busy = not isinstance(error, ValueError | ModelUnavailable)
                message = f"this node cannot compute the log-probabilities now ({error or 'it has too much to do'})"
                raise DoorError("no_logprobs", message, is_busy=is_busy) from None

    async def _finish(
        self,
        model: ServedModel,
        opened: OpenOrder,
        questions: Sequence[Question],
        answers: dict[int, AnsweredQuestion],
        state: ReceiptState,
    ) -> None:
        """Write the receipt to disk. Raises BookError."""
        network = self._context.network
        language = await model.speak(lambda each: each)
        found: list[ClientAnswer] = []
        for index, answered in sorted(answers.items()):
            for one, relation in answered.related:
                returned = one is answered.returned
                checked = (*CHECKED, *self._recomputed(one, opened.scores.get(index) if returned else None))
                issued = self._driver.machine.issuer.passport(one.candidate.peer)
                passport = None if issued is None else issued.encode()
                found.append(
                    answer_document(
                        *(index, questions[index], one, network, language, passport, checked),
                        returned=returned,
                        relation=relation,
                    )
                )
                self._note(opened, index, "checked", one.candidate, " ".join(checked))
        document = replace(
            opened.document,
            state=state,
            finished_ms=self._driver.now_ms(),
            checks=tuple(check_document(index, each) for index, each in sorted(answers.items()) if each.panel > 1),
            answers=tuple(found),
            cost=cost_document(network, found),
        )
        await self._book.keep(KeptReceipt(document.id, opened.client.id, dumped(document), opened.report))
        opened.change(document)
        if self.auditor is not None:
            self.auditor.note(document.id)

    def _recomputed(self, answered: PeerAnswer, scores: TokenScores | None) -> tuple[str, ...]:
        """Whether each token of an answer in the own class is the one that the own engine picks, if it scored them."""
        if scores is None or answered.candidate.class_index != self._context.class_index:
            return ()
        return (RECOMPUTED,) if not any(scores.deficits) else (DIFFERS,)

    def _note(self, opened: OpenOrder, index: int, event: EventName, candidate: AnswerPeer, detail: str) -> None:
        noted = event_document(self._driver.now_ms(), event, index, candidate, detail)
        opened.change(replace(opened.document, events=(*opened.document.events, noted)))


def _score(question: Question, tokens: tuple[int, ...], engine: ports.Engine) -> TokenScores:
    return engine.score(question.ask, tokens)


def _no_majority(found: AnsweredQuestion) -> DoorError:
    """Why a full check has no answer for the client."""
    told = check_document(0, found)
    message = (
        f"no answer is that of more than half of {told.panel} peers: {told.answers} answered, {told.differ} differ, "
        f"{told.not_compared} could not be compared; the receipt has all answers"
    )
    return DoorError(NO_MAJORITY, message)


def _stopped() -> DoorError:
    return DoorError("stopped", "this node is stopping; ask again when it runs")


def _seed(number: int, which: int) -> bytes:
    """The question's seed (16 B) for a client's number, and for the `which`-th answer to the same prompt."""
    return sha256(encode([SEED, str(number), which])).digest()[:16]
