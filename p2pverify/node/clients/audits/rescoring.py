"""Scores an answer again with this machine: within a class by its own answer's digest, across classes by the referee.

The work is done when no other job waits for an engine, so duties and clients come first.
"""

from p2pverify.core.contract.network import Network
from p2pverify.core.contract.output import Output
from p2pverify.core.events import REFEREE
from p2pverify.core.inference.compare import Verdict, verdict
from p2pverify.core.inference.question import Question
from p2pverify.core.inference.treatment import Rescored
from p2pverify.core.state.lines.versions import contract_with
from p2pverify.node import ports
from p2pverify.node.driver import Driver
from p2pverify.node.engines.measuring import measure_answer

_RESCORED = {
    Verdict.MATCH: Rescored.AGREES,
    Verdict.MISMATCH: Rescored.DIFFERS,
    Verdict.INCONCLUSIVE: Rescored.INCONCLUSIVE,
}


class Rescorer:
    """Scores answers for one node."""

    def __init__(self, driver: Driver) -> None:
        self._driver = driver
        self._network: Network = driver.machine.network
        self._own_class = driver.machine.context.class_index

    def can_score(self, class_index: int, question: Question) -> bool:
        """Whether this machine can run the model of a question to a peer of a class.

        Its engine and its referee know only the versions of its model that it has.
        """
        is_held = question.manifest in self._driver.machine.context.held
        return is_held and self._contract(question).classes[class_index].manifest == question.manifest

    async def score(self, class_index: int, question: Question, output: Output) -> Rescored:
        """What this machine finds about an answer of a class that it can score.

        A digest that differs is computed a second time. If this machine then contradicts itself, it says nothing about
        the peer. Raises EngineBusy, ModelUnavailable, RefereeUnavailable, and ValueError if the engine cannot take the
        question.
        """
        if class_index != self._own_class or self._network.classes[class_index].is_any:
            return await self._judge(class_index, question, output)
        wanted = output.digest(question.id)
        first = await self.own_digest(question)
        if first == wanted:
            return Rescored.AGREES
        return Rescored.DIFFERS if await self.own_digest(question) == first else Rescored.INCONCLUSIVE

    async def own_digest(self, question: Question) -> bytes:
        """The digest of this machine's own answer.

        Raises EngineBusy, ModelUnavailable, and ValueError as the engine does.
        """

        def answer(engine: ports.Engine) -> bytes:
            return engine.answer(question.ask).output.digest(question.id)

        return await self._driver.use_engine(answer, model=question.manifest)

    async def _judge(self, class_index: int, question: Question, output: Output) -> Rescored:
        """The referee's verdict; not compared if the contract has no bounds for the class."""
        bounds = self._contract(question).classes[class_index].across
        if bounds is None or not self._network.referee:
            return Rescored.NOT_COMPARED
        measured = await self._driver.use_engine(
            lambda each: measure_answer(each, question, output), role=REFEREE, model=question.manifest
        )
        return _RESCORED[verdict(measured, bounds)]

    def _contract(self, question: Question) -> Network:
        """The contract among the peers that serve the version asked for."""
        return contract_with(self._network, self._driver.machine.fold.latest, question.manifest)
