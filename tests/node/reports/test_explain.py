"""Explaining audits in a world of toy engines: within a class and across classes, with a liar, and with missing
data."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest
import trio

from p2pverify.core.contract.output import Output
from p2pverify.core.encoding.peerid import peer_id
from p2pverify.core.encoding.sign import public_key
from p2pverify.core.events import REFEREE, Compute, Computed, MeasureDone, MeasureJob
from p2pverify.core.machine import Machine
from p2pverify.core.roles.disputes.evidence import decode_evidence_request
from p2pverify.engine.toy import PATH, REFEREE_PATH, VOCAB_TOKENS, ToyEngine
from p2pverify.engine.toy import REFEREE as REFEREE_ID
from p2pverify.node.driver import Driver
from p2pverify.node.ports import AskError, UnknownAudit
from p2pverify.node.reports.audits import AuditLog
from p2pverify.node.reports.documents.audits import AskedPeerDocument
from p2pverify.node.reports.documents.explained import ExplainedAudit, JudgeDocument
from p2pverify.node.reports.overview import NodeReports
from p2pverify.testnet.world import World
from p2pverify.testnet.world.peer.actor import Actor
from p2pverify.testnet.world.peer.engine import Job, Outcome, Say, SimulatedEngine
from tests.node.fakes import FakeJournal, FakeNetwork
from tests.support.networks import seeds
from tests.support.worlds import make_world, run_until

PEERS, SEED = 6, 7
LIAR = 2
LIARS_KEY = public_key(seeds(PEERS, f"world-{SEED}")[LIAR])
PATIENCE_S = 60


def engine_of(machine: Machine) -> ToyEngine:
    path = machine.context.class_index
    return ToyEngine(path=PATH if not path else f"path-{path}")


def referee() -> ToyEngine:
    return ToyEngine(path=REFEREE_PATH, engine=REFEREE_ID)


class WorldEngine(SimulatedEngine):
    """A peer's toy engine in virtual time. The liar answers requests with another model."""

    def __init__(self, actor: Actor) -> None:
        super().__init__(150, 150, actor.machine.context.class_index)
        self._engine = engine_of(actor.machine)
        self._is_liar = actor.key == LIARS_KEY

    def outcome(self, job: Job, total_ms: int, say: Say) -> Outcome:
        return self._score(job) if isinstance(job, MeasureJob) else self._answer(job, total_ms)

    def _answer(self, job: Compute, total_ms: int) -> Computed:
        engine = referee() if job.role == REFEREE else self._engine
        prompt = job.ask.prompt
        if job.prompt_seed is not None:
            prompt = engine.write_prompt(job.prompt_seed, job.prompt_tokens)
        elif self._is_liar:
            engine = ToyEngine("lies")
        if not job.ask.tokens_max:
            return Computed(job.job, prompt, Output((), "length"), 1, 1, 1)
        made = engine.answer(job.asked(prompt))
        return Computed(job.job, prompt, made.output, total_ms, 1, 1)

    def _score(self, job: MeasureJob) -> MeasureDone:
        if any(token >= VOCAB_TOKENS for token in job.tokens):
            return MeasureDone(job.job, (), ())  # the same outcome as from the node's worker
        found = referee().score(job.ask, job.tokens)
        return MeasureDone(job.job, found.deficits, found.ends)


class Babbling(WorldEngine):
    """The liar's tokens are outside every vocabulary."""

    def _answer(self, job: Compute, total_ms: int) -> Computed:
        made = super()._answer(job, total_ms)
        if not self._is_liar or job.prompt_seed is not None:
            return made
        tokens = tuple(token + VOCAB_TOKENS for token in made.output.tokens)
        return replace(made, output=replace(made.output, tokens=tokens))


def world_of(
    classes: int, engine: type[WorldEngine] = WorldEngine, hardware: str = "", across_percent: int = 25
) -> World:
    rules = {"slots_milli": 2000, "disputes_per_cut": 4, "across_percent": across_percent}
    return make_world(PEERS, seed=SEED, engine=engine, classes=classes, hardware=hardware, **rules)


@asynccontextmanager
async def node(world: World, name: int = 0, *, withholds: bool = False) -> AsyncIterator[NodeReports]:
    """A peer of the world as a node: its reports work, and it can fetch evidence from the others."""

    def reply(peer: bytes, request: bytes) -> bytes | Exception:
        decode_evidence_request(request)
        return AskError("unreachable") if withholds else world.by_key[peer].machine.evidence(request, bytes(32))

    network = FakeNetwork(reply=reply)
    journal = FakeJournal()
    machine = world.peers[name].machine
    driver = Driver(machine, journal, engine_of(machine), open_referee=referee, clock=lambda: world.now_ms)
    reports = NodeReports(driver, network, journal, engine_of(machine).info)
    async with trio.open_nursery() as nursery:
        await nursery.start(driver.run, network)
        await nursery.start(reports.run)
        yield reports
        nursery.cancel_scope.cancel()


async def explained(reports: NodeReports, name: str) -> ExplainedAudit:
    found = await reports.explain(name, wait_s=PATIENCE_S)
    assert found.complete is True
    return found


def disputed(world: World, *, across: bool, observer: int = 0) -> list[str]:
    """Disputed audits in which the liar answered a peer other than the observer."""
    reports = NodeReports(
        Driver(world.peers[observer].machine, FakeJournal(), ToyEngine()),
        FakeNetwork(),
        FakeJournal(),
        ToyEngine().info,
    )
    liar, own = peer_id(world.peers[LIAR].machine.key), peer_id(world.peers[observer].machine.key)
    return [
        audit.id
        for audit in reports.audits(limit=1000).audits
        if audit.across == across
        and audit.status in ("disputed", "decided")
        and audit.challenger not in (liar, own)
        and AskedPeerDocument(peer_id=liar, answered=True) in audit.asked
    ]


async def test_a_lie_within_a_class():
    """The claimed text stands beside the node's own. Both differ at one position by a large margin, and the liar lost
    the vote."""
    world = world_of(1)
    assert run_until(world, lambda: bool(disputed(world, across=False)), epochs_max=12)
    world.run_epochs(3)
    liar = peer_id(world.peers[LIAR].machine.key)
    name = disputed(world, across=False)[-1]
    async with node(world) as reports:
        found = await explained(reports, name)
    assert found.notes == ()
    assert found.judge == JudgeDocument(role="own", engine="toy/1")
    by_peer = {answer.peer_id: answer for answer in found.answers}
    lie = by_peer.pop(liar)
    assert lie.verdict == "mismatch"
    assert lie.difference.position < 8
    assert lie.difference.margin == lie.margins[lie.difference.position] > 1_000_000
    assert lie.difference.claimed_rest != lie.difference.expected_rest
    assert lie.cause.cause in ("other model", "other prompt", "wrong seed")
    for answer in by_peer.values():
        assert (answer.verdict, answer.difference, answer.cause.cause) == ("match", None, "none")
        assert not any(answer.margins)
    dispute = found.dispute
    assert dispute.status == "decided"
    assert dispute.losers == (liar,)
    decided = next(output for output in dispute.outputs if output.decided)
    assert decided.own is True
    assert decided.verdicts[liar] == "mismatch"
    assert {voter.peer_id for voter in dispute.voters if voter.lost} <= {liar}
    assert sum(voter.output == decided.output for voter in dispute.voters) == decided.votes >= 4


async def test_a_lie_across_classes():
    """The referee judges every answer by the thresholds of its class. Honest answers match, the liar's does not."""
    world = world_of(2, across_percent=100)
    assert run_until(world, lambda: bool(disputed(world, across=True, observer=1)), epochs_max=12)
    world.run_epochs(4)
    liar = peer_id(world.peers[LIAR].machine.key)
    async with node(world, 1) as reports:
        found = await explained(reports, disputed(world, across=True, observer=1)[-1])
    assert found.notes == ()
    assert found.judge == JudgeDocument(role="referee", engine="toy-exact/1")
    by_peer = {answer.peer_id: answer for answer in found.answers}
    assert by_peer[liar].verdict == "mismatch"
    assert by_peer[liar].measure.total > by_peer[liar].measure.limits.mismatch
    assert all(answer.verdict == "match" for peer, answer in by_peer.items() if peer != liar)
    dispute = found.dispute
    assert dispute.losers == (liar,)
    decided = next(output for output in dispute.outputs if output.decided)
    assert decided.own is True
    assert decided.verdicts == {peer: answer.verdict for peer, answer in by_peer.items()}


async def test_a_malformed_answer_across_classes():
    """No engine can score it, so it is a mismatch."""
    world = world_of(2, Babbling, across_percent=100)
    assert run_until(world, lambda: bool(disputed(world, across=True, observer=1)), epochs_max=12)
    liar = peer_id(world.peers[LIAR].machine.key)
    async with node(world, 1) as reports:
        found = await explained(reports, disputed(world, across=True, observer=1)[-1])
    lie = next(answer for answer in found.answers if answer.peer_id == liar)
    assert "unknown tokens" in lie.missing
    assert lie.measure.end > lie.measure.limits.end
    assert (lie.verdict, lie.cause, lie.margins) == ("mismatch", None, ())


async def test_a_challenger_has_what_it_was_answered():
    """Within a class the challenger keeps answers that differ, so it can show them even if no other peer does."""
    world = world_of(1)
    by_id = {peer_id(peer.machine.key): peer.number for peer in world.peers}
    assert run_until(world, lambda: bool(disputed(world, across=False)), epochs_max=12)
    async with node(world) as reports:
        audits = {audit.id: audit.challenger for audit in reports.audits(limit=1000).audits}
    name = disputed(world, across=False)[-1]
    async with node(world, by_id[audits[name]], withholds=True) as reports:
        found = await explained(reports, name)
    assert found.notes == ()
    lie = next(answer for answer in found.answers if answer.verdict == "mismatch")
    assert lie.answer.tokens != lie.answer.expected


async def test_what_cannot_be_had_is_said():
    """Without evidence, the receipt still shows a mismatch. In another class the question is not available."""
    world = world_of(1)
    assert run_until(world, lambda: bool(disputed(world, across=False)), epochs_max=12)
    liar = peer_id(world.peers[LIAR].machine.key)
    name = disputed(world, across=False)[-1]
    async with node(world, withholds=True) as reports:
        found = await explained(reports, name)
    lie = next(answer for answer in found.answers if answer.peer_id == liar)
    assert (lie.verdict, lie.answer, lie.margins) == ("mismatch", None, ())
    assert "cannot be had" in lie.missing
    assert len(found.notes) == 1

    world = world_of(2)
    assert run_until(world, lambda: bool(disputed(world, across=False)), epochs_max=20)
    async with node(world, 1) as reports:
        within = disputed(world, across=False, observer=1)[-1]
        found = await explained(reports, within)
    assert "only nodes of the same class" in found.notes[0]
    assert found.question is None


async def test_a_slot_is_a_secret_until_its_duty_is_out():
    """An audit without its duty is reported as such. Once the duty has come, the audit is explained."""
    world = world_of(1)
    log = AuditLog(world.peers[0].machine.context)

    def fresh() -> list[str]:
        """Audits of the current epoch."""
        epoch = world.network.params.epoch_at(world.now_ms)
        return [each.id for each in log.audits(100) if each.epoch == epoch and not each.differ]

    assert run_until(world, lambda: bool(fresh()), epochs_max=12)
    waiting = fresh()[0]
    async with node(world) as reports:
        found = await explained(reports, waiting)
        assert "duty" in found.notes[0]
    world.run_epochs(4)
    async with node(world) as reports:
        found = await explained(reports, waiting)
    assert found.notes == ()
    assert found.status == "agreed"


async def test_names():
    """Short names and whole peer ids are accepted. Malformed and unknown names are refused with a reason."""
    world = world_of(1)
    world.run_epochs(4)
    async with node(world) as reports:
        audits = reports.audits(limit=1000).audits
        audit = audits[0]
        places = [(each.epoch, each.slot) for each in audits]
        epoch, slot = next(place for place in places if places.count(place) > 1)
        shared = f"e{epoch}-{slot}-12D3KooW"
        head = f"e{audit.epoch}-{audit.slot}-"
        challenger = audit.challenger
        assert audit.id == head + challenger[8:16]
        for name in (audit.id, head + challenger, head + challenger[:20]):
            assert (await reports.explain(name, wait_s=0)).id == audit.id
        with pytest.raises(UnknownAudit, match="can be any of"):
            await reports.explain(shared, wait_s=0)
        for wrong in ("", "x", head, f"e999-0-{challenger}", "e1-1-0OIl", head + challenger + "\n"):
            with pytest.raises(UnknownAudit):
                await reports.explain(wrong, wait_s=0)
