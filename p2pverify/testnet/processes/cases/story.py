"""Plays a case study.

1. Peers certify a first cut. The owners of rows commit them, as their operators would, and sign statements.
2. Rounds follow from the cuts. After some of them, the event of the case happens.
3. When all rounds are decided and all that are to be convicted are, an honest peer exports its ledger. It is verified
   and folded, and the facts of the report come from it.
"""

from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Protocol

import trio

from p2pverify.core.contract.network import Network
from p2pverify.core.replica.verify import VerificationFailed
from p2pverify.engine.cheats.kinds import CheaterFate
from p2pverify.node.files.home import Home
from p2pverify.node.training.documents import RoundsDocument
from p2pverify.store.errors import ExportError
from p2pverify.testnet.cases.checks import checks_of, money_checks
from p2pverify.testnet.cases.facts import CaseFacts, CheckFacts, EventFacts
from p2pverify.testnet.cases.study import rho_of
from p2pverify.testnet.plan import PeerPlan, Plan
from p2pverify.testnet.processes.api_client import ReadError, fetch
from p2pverify.testnet.processes.cases.clients import CaseClients
from p2pverify.testnet.processes.cases.deeds import EVENTS, Deeds
from p2pverify.testnet.processes.cases.making import MadeCase
from p2pverify.testnet.processes.cases.reading import CaseReader, mode_of, read_ledger
from p2pverify.testnet.processes.cases.unlearning import replay_facts
from p2pverify.testnet.processes.cases.verdict import CaseProgress
from p2pverify.testnet.processes.fleet import Fleet
from p2pverify.testnet.processes.progress import Stage
from p2pverify.testnet.processes.watch import RunWatch

_AGAIN_S = 0.5
EXPORT = "run.ledger"


class CasePlayed(Protocol):
    """What a case needs of a testnet. A `Testnet` has it."""

    plan: Plan
    network: Network
    watch: RunWatch
    fleet: Fleet
    directory: Path

    def home(self, name: str) -> Home: ...


class CasePlay:
    """One run of a case study. The progress is in `watch.case`."""

    def __init__(self, testnet: CasePlayed, made: MadeCase, stage: Stage) -> None:
        self._testnet = testnet
        self._plan = testnet.plan
        self._watch = testnet.watch
        self._made = made
        self._stage = stage
        self._progress: CaseProgress = testnet.watch.case
        self._deeds = Deeds(testnet.fleet, testnet.home, made, testnet.network, testnet.directory, testnet.watch)
        tariff = made.study.tariff
        self._clients = None if tariff is None else CaseClients(self._deeds, tariff)
        self._events: list[EventFacts] = []
        self._checks: list[CheckFacts] = []

    async def run(self) -> None:
        """Play all steps."""
        async with trio.open_nursery() as looking:
            looking.start_soon(self._look)
            await self._play()
            looking.cancel_scope.cancel()
        self._watch.tell()

    async def _play(self) -> None:
        assert self._plan.case is not None
        rounds = self._plan.case.rounds
        await self._watch.wait_for(lambda watch: all(peer.name in watch.final for peer in self._plan.honest))
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._ask)
            await self._commit()
            await self._until(lambda seen: seen.decided >= self._made.study.event_after)
            nursery.start_soon(self._event)
            await self._until(lambda seen: seen.decided >= rounds)
        self._stage.tell(f"all {rounds} rounds are decided")
        guilty = [peer.name for peer in self._plan.expected(CheaterFate.CONVICTED)]
        await self._watch.wait_for(lambda watch: set(guilty) <= set(watch.judgement().convicted))
        try:
            self._progress.facts = await self._facts()
        except (VerificationFailed, ExportError, OSError) as error:
            self._progress.broken = f"the ledger of the run cannot be read: {error}"

    async def _commit(self) -> None:
        """All owners commit their rows at the same time, and sign their statements."""
        owners = [peer for peer in self._plan.peers if peer.name in self._made.rows]
        self._stage.enter("committing rows", len(owners))

        async def commit(peer: PeerPlan) -> None:
            await self._deeds.commit(peer, self._budget(peer))
            self._stage.done += 1

        async with trio.open_nursery() as nursery:
            for peer in owners:
                nursery.start_soon(commit, peer)
        self._stage.enter("training")
        self._events += await self._deeds.begin()

    def _budget(self, peer: PeerPlan) -> int:
        """The privacy budget of a peer's rows. That of one that overspends is enough for half of the rounds."""
        rule = self._made.rule
        rounds = rule.rounds + self._made.study.repeats
        if peer.cheat is not None and peer.cheat.fate is CheaterFate.UNCOUNTED:
            rounds = max(1, rule.rounds // 2)
        return rho_of(rule) * rounds

    async def _ask(self) -> None:
        """Clients ask and pay, if the network has a tariff."""
        if self._clients is not None:
            self._events += await self._clients.ask()

    async def _event(self) -> None:
        happened, checks = await EVENTS[self._made.study.name](self._deeds, self._plan)
        self._events += happened
        self._checks += checks
        for event in happened:
            self._stage.tell(event.what)

    async def _until(self, condition: Callable[[CaseProgress], bool]) -> None:
        await self._watch.wait_for(lambda _: condition(self._progress))

    async def _look(self) -> None:
        """Read the rounds of one honest peer, until cancelled."""
        while True:
            with suppress(ReadError):
                url = self._testnet.home(self._watch.reference).read_api()
                if url is not None:
                    found = await trio.to_thread.run_sync(fetch, url, "/v1/rounds", RoundsDocument)
                    self._note(found)
            self._watch.tell()
            await trio.sleep(self._watch.period_s)

    def _note(self, found: RoundsDocument) -> None:
        for line in found.lines:
            self._progress.decided = line.decided
            self._progress.phase = "" if line.open is None else line.open.phase

    async def _facts(self) -> CaseFacts:
        """Export the ledger of an honest peer, verify it, and read the facts."""
        file = self._testnet.directory / EXPORT
        self._stage.enter("reading the ledger")
        reference = self._plan.peer(self._watch.reference)
        verified = await self._deeds.export(reference, file)
        if self._deeds.handovers():
            accepted = await self._deeds.trace(reference, file)
            what = "'trace' accepts all statements about the lot, by the export alone"
            self._checks.append(CheckFacts(what=what, found="yes" if accepted else "no", holds=accepted))
        return await trio.to_thread.run_sync(self._read, file, verified)

    def _read(self, file: Path, verified: bool) -> CaseFacts:
        made, plan, rule = self._made, self._plan, self._made.rule
        ledger = read_ledger(file, verified=verified)
        homes: Sequence[Path] = [
            *(self._testnet.home(peer.name).path for peer in plan.peers),
            self._deeds.kept.parent,
        ]
        reader = CaseReader(made, ledger, homes)
        central, alone, each_alone = reader.compare()
        rounds, versions, accounts = reader.rounds(), reader.versions(), reader.accounts()
        peers = reader.peers(each_alone)
        checks = [*checks_of(peers, rounds, versions, rule.rounds, alone), *self._checks]
        checks.append(
            CheckFacts(
                what="'ledger verify' accepts the export of an honest peer",
                found="yes" if verified else "no",
                holds=verified,
            )
        )
        tariff = made.study.tariff
        if tariff is not None:
            checks += money_checks(peers, accounts, made.study.bounty * rule.rounds)
        if self._deeds.withdrawn is not None:
            seeds = {peer.key: self._testnet.home(peer.name).load_identity() for peer in plan.peers}
            happened, replayed = replay_facts(made, ledger, self._deeds.withdrawn, seeds, reader.weights_of)
            self._events += happened
            checks += replayed
        if self._clients is not None:
            checks += self._clients.checks(ledger)
        if files := self._deeds.handovers():
            happened, traced = reader.handovers(files)
            self._events += happened
            checks += traced
        return CaseFacts(
            study=made.study.name,
            data=made.study.data,
            licence=made.data.licence,
            network=self._testnet.network.id.hex(),
            seed=plan.seed,
            epoch_ms=plan.epoch_ms,
            rows=len(made.data.rows),
            features=len(made.data.schema.features),
            labels=made.data.schema.labels,
            test_rows=len(made.test),
            mode=mode_of(rule),
            trainer=rule.trainer,
            unit=None if tariff is None else tariff.unit,
            central=central,
            alone=alone,
            start=reader.start,
            peers=peers,
            versions=versions,
            rounds=rounds,
            accounts=accounts,
            events=tuple(sorted(self._events, key=lambda event: event.epoch)),
            checks=tuple(checks),
            ledger=ledger.facts,
        )
