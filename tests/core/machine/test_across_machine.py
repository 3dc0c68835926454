"""Slots across classes, from the draw to the conviction: machines of several classes in virtual time."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

import pytest

from p2pverify.core.contract.output import Output
from p2pverify.core.contract.pool import Line, Pool
from p2pverify.core.errors import RemoteProtocolError
from p2pverify.core.events import (
    REFEREE,
    Compute,
    Computed,
    ComputeFailed,
    Effect,
    Event,
    MeasureJob,
    Note,
    Persist,
    StoredEvidence,
)
from p2pverify.core.inference.jobs import Purpose
from p2pverify.core.records.envelope import Kind, Record
from p2pverify.core.records.payloads.audit import Audit, audit_of
from p2pverify.core.records.payloads.duty import Duty, decode_duty
from p2pverify.core.records.payloads.lots import DisputeKey
from p2pverify.core.records.payloads.vote import decode_vote
from p2pverify.core.roles.disputes.evidence import (
    NO_EVIDENCE,
    EvidenceBox,
    decode_evidence,
    decode_evidence_request,
    encode_evidence,
    encode_evidence_request,
)
from p2pverify.core.state.state import FAR_OFF, Member
from p2pverify.testnet.world import World
from p2pverify.testnet.world.liars.base import BentActor
from p2pverify.testnet.world.liars.registry import make_actor
from p2pverify.testnet.world.peer.actor import Actor, ActorArgs, HonestActor
from p2pverify.testnet.world.peer.engine import ACROSS
from tests.support.worlds import Make, casting, convicted, make_world, restart, run_until, watching

CHEATER = 1
KINDS = {CHEATER: "always-wrong"}


def audits_of(world: World) -> list[Audit]:
    records = world.peers[0].machine.context.ledger.records()
    return [audit_of(record) for record in records if record.kind == Kind.AUDIT]


def members_of(world: World) -> list[Member]:
    """The members in the first peer's final view, by name."""
    state = world.peers[0].machine.fold.latest
    return [state.members[peer.key] for peer in world.peers]


def convicted_by_all(world: World) -> set[int]:
    """The peers that every view convicts. Fails if the views differ."""
    views = [convicted(world, peer.number) for peer in world.peers]
    assert all(view == views[0] for view in views)
    return views[0]


@pytest.mark.parametrize("classes", [2, 3])
def test_honest_peers_of_other_classes_agree(classes: int) -> None:
    """Answers that differ by near ties are matches: no peer dissents, and nothing is void or stays sealed."""
    world = make_world(6, seed=3, classes=classes, slots_milli=1500)
    world.run_epochs(12)
    across = [audit for audit in audits_of(world) if audit.is_across]
    assert len(across) > 10
    assert not any(audit.differ for audit in audits_of(world))
    # With two members in each class, no class can outvote a liar, so all slots ask across.
    assert all(audit.is_across for audit in audits_of(world)) is (classes == 3)
    for member in members_of(world):
        assert (member.dissents, member.void_audits, member.unopened) == (0, 0, 0)
        assert member.agreements > 10


def test_a_cheater_whom_only_other_classes_ask_is_convicted() -> None:
    """Six far answers across classes, judged by a referee, convict the cheater and nobody else."""
    world = make_world(6, seed=3, kinds=KINDS, classes=3, slots_milli=1500)
    assert run_until(world, lambda: convicted(world, 0) == {CHEATER}, epochs_max=24)
    world.run_epochs(1)
    assert convicted_by_all(world) == {CHEATER}
    members = members_of(world)
    assert (members[CHEATER].convicted_after, members[CHEATER].conviction) == (6, FAR_OFF)
    assert all(member.dissents == 0 for member in members if not member.is_convicted)
    assert all(audit.is_across for audit in audits_of(world))


def test_a_far_answer_is_disputed_by_challengers_with_weight_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Here every near tie is far off, and so frequent that it convicts nobody. A vote decides it like a mismatch."""
    near = Pool(850_000, (Line(0, 0, 400_000),))
    monkeypatch.setattr("p2pverify.testnet.world.world.ACROSS", replace(ACROSS, pool=near))
    world = make_world(6, seed=3, classes=3, slots_milli=1500, founders=5, growth_epochs=10_000)
    world.run_epochs(12)
    newcomer = world.peers[5].machine.key
    assert not members_of(world)[5].weight
    audits = audits_of(world)
    assert {audit.challenger == newcomer for audit in audits if audit.differ} == {False}
    assert any(audit.challenger == newcomer for audit in audits)
    members = members_of(world)
    assert any(member.far for member in members)
    assert all((member.dissents, member.void_audits, member.conviction) == (0, 0, "") for member in members)


def serving(serve: Callable[[Actor, bytes, int, Callable[[bytes, int], bytes | None]], bytes | None]) -> Make:
    """Makes actors that answer requests for evidence with `serve`. It gets the actor's own `evidence`."""

    def make(kind: str, args: ActorArgs) -> Actor:
        actor = make_actor(kind, args)
        own = actor.evidence
        actor.evidence = lambda request, source, now_ms: serve(
            actor, request, now_ms, lambda one, at_ms: own(one, source, at_ms)
        )
        return actor

    return make


def is_challenger(actor: Actor, request: bytes) -> bool:
    """Whether an actor is asked for evidence of its own audit."""
    return decode_evidence_request(request)[0].challenger == actor.key


def test_evidence_comes_from_the_responder_where_the_challenger_has_none() -> None:
    """The accused can clear or convict itself with its signed answer. The challenger cannot prevent it."""
    make = serving(lambda actor, data, now_ms, own: None if is_challenger(actor, data) else own(data, now_ms))
    world = make_world(6, seed=3, kinds=KINDS, make=make, classes=3, slots_milli=1500)
    assert run_until(world, lambda: convicted(world, 0) == {CHEATER}, epochs_max=24)


def test_what_nobody_serves_is_voted_on_by_nobody() -> None:
    """Without evidence, voters do not commit. The dispute stays undecided and has no effect."""
    notes: list[str] = []

    def make(kind: str, args: ActorArgs) -> Actor:
        actor = watching(lambda _, told, __: notes.append(told.text) if isinstance(told, Note) else None)(kind, args)
        actor.evidence = lambda *_: None
        return actor

    world = make_world(6, seed=3, kinds=KINDS, make=make, classes=3, slots_milli=1500, dispute_epochs=4)
    world.run_epochs(16)
    totals = world.peers[0].machine.fold.latest.totals
    assert totals["undecided disputes"] > 0
    assert "decided disputes" not in totals
    assert all(member.dissents == 0 for member in members_of(world))
    assert any("cannot be had" in note for note in notes)


def test_forged_evidence_is_seen_and_asked_for_elsewhere() -> None:
    """Every challenger serves another answer. Only the answer that the receipt covers counts as evidence."""
    forged = encode_evidence(Output((1,) * 16, "length", bytes(32)))
    make = serving(lambda actor, data, now_ms, own: forged if is_challenger(actor, data) else own(data, now_ms))
    world = make_world(6, seed=3, kinds=KINDS, make=make, classes=3, slots_milli=1500)
    assert run_until(world, lambda: convicted(world, 0) == {CHEATER}, epochs_max=24)
    votes = [decode_vote(r.payload) for r in world.peers[0].machine.context.ledger.records() if r.kind == Kind.VOTE]
    assert all(vote.measures for vote in votes)
    assert all(member.dissents == 0 for member in members_of(world) if not member.is_convicted)


@pytest.mark.parametrize("tokens", [(999,) * 16, (), (7,) * 20], ids=["foreign", "truncated", "too long"])
def test_what_no_honest_engine_says_is_a_mismatch(tokens: tuple[int, ...]) -> None:
    """Answers outside the vocabulary, and answers with too few or too many tokens, convict like wrong answers. They
    cannot be scored or do not end properly."""

    class Lying(HonestActor):
        def answer(self, job: Compute, honest: tuple[int, ...], now_ms: int) -> tuple[int, ...]:
            return honest if job.role == REFEREE else tokens or honest[:3]

    make = casting({"lying": Lying})
    world = make_world(6, seed=3, kinds={CHEATER: "lying"}, make=make, classes=3, slots_milli=1500)
    assert run_until(world, lambda: convicted(world, 0) == {CHEATER}, epochs_max=24)


def test_evidence_is_written_before_the_audit_that_rests_on_it() -> None:
    """Persist comes before publish: when an audit across classes is published, the answer of each of its receipts is on
    disk."""
    written: dict[bytes, list[StoredEvidence | Record]] = {}

    def see(actor: Actor, told: object, _now_ms: int) -> None:
        if isinstance(told, Persist):
            written.setdefault(actor.key, []).extend((*told.evidence, *told.records))

    world = make_world(6, seed=3, make=watching(see), classes=3, slots_milli=1500)
    world.run_epochs(6)
    checked = 0
    for peer in world.peers:
        kept: set[tuple[int, int, bytes]] = set()
        for item in written[peer.key]:
            if isinstance(item, StoredEvidence):
                kept.add((item.epoch, item.slot, item.responder))
            elif item.kind == Kind.AUDIT and item.author == peer.machine.key:
                audit = audit_of(item)
                receipts = {(audit.epoch, audit.slot, a.responder) for a in audit.asked if a.receipt is not None}
                assert receipts <= kept
                checked += len(receipts)
    assert checked > 20


def test_a_restarted_challenger_does_not_open_the_audits_of_before() -> None:
    """A duty of an epoch that began before the start may have been signed already. So it stays unsigned, which costs
    the asked peers nothing, and the next duty is fulfilled."""
    world = make_world(6, seed=5, classes=3, slots_milli=1000)
    challenger = world.peers[0]
    key = challenger.machine.key

    def audited() -> list[Audit]:
        return [audit for audit in audits_of(world) if audit.challenger == key]

    def revealed() -> list[Duty]:
        chain = world.peers[2].machine.context.ledger.chain(key)
        return [decode_duty(record.payload) for record in chain if record.kind == Kind.DUTY]

    def is_between() -> bool:
        """Whether it has audited and has not yet published the duty."""
        found = audited()
        return len(found) > 1 and found[-1].epoch not in {duty.epoch for duty in revealed()}

    assert run_until(world, is_between, epochs_max=24)
    last = audited()[-1]
    assert any(asked.receipt is not None for asked in last.asked)
    restart(world, 0)
    started = world.network.params.epoch_at(world.now_ms)
    world.run_epochs(8)
    assert [duty for duty in revealed() if last.epoch <= duty.epoch <= started] == []
    assert [duty for duty in revealed() if duty.epoch > started]
    members = members_of(world)
    assert members[0].unopened == 0
    assert all(member.dissents == 0 for member in members)


def test_a_peer_without_a_referee_neither_audits_nor_votes_across() -> None:
    """It reports this and answers requests, and the others judge without it."""

    class Blind(BentActor):
        """Its referee cannot be opened."""

        def __init__(self, args: ActorArgs) -> None:
            super().__init__(args)
            self.jobs: set[int] = set()
            self.notes: list[str] = []

        def leaving(self, effect: Effect, now_ms: int) -> Iterable[Effect]:
            if isinstance(effect, Compute) and effect.role == REFEREE:
                self.jobs.add(effect.job)
            elif isinstance(effect, Note):
                self.notes.append(effect.text)
            return (effect,)

        def arriving(self, event: Event, now_ms: int) -> Sequence[Event]:
            is_referees = isinstance(event, Computed) and event.job in self.jobs
            return (ComputeFailed(event.job, "this node has no referee") if is_referees else event,)

    kinds = {**KINDS, 0: "blind"}
    world = make_world(6, seed=3, kinds=kinds, make=casting({"blind": Blind}), classes=3, slots_milli=1500)
    assert run_until(world, lambda: convicted(world, 2) == {CHEATER}, epochs_max=24)
    blind = world.peers[0]
    said = list(world.peers[2].machine.context.ledger.chain(blind.machine.key))
    assert {Kind.AUDIT, Kind.VOTE_COMMIT, Kind.VOTE}.isdisjoint(record.kind for record in said)
    assert any("slot not audited: this node has no referee" in note for note in blind.actor.notes)  # type: ignore[attr-defined]
    member = world.peers[2].machine.fold.latest.members[blind.machine.key]
    assert member.agreements > 0
    assert member.dissents == 0


def test_evidence_is_served_for_disputed_audits_alone() -> None:
    """Answers of an undisputed audit and unknown evidence are not served. A malformed request is a fault."""
    world = make_world(6, seed=3, kinds=KINDS, classes=3, slots_milli=1500)
    run_until(world, lambda: bool(world.peers[0].machine.fold.latest.disputes), epochs_max=24)
    shown = 0
    disputes = world.peers[0].machine.fold.latest.disputes
    for audit in audits_of(world):
        machine = world.by_key[audit.challenger].machine
        for which, asked in enumerate(audit.asked):
            data = machine.evidence(encode_evidence_request(audit.key, which), bytes(32))
            output = decode_evidence(data)
            if not audit.differ:
                assert output is None
            elif audit.key in disputes and asked.receipt is not None:
                assert output is not None
                assert asked.receipt.covers(output, audit.question)
                own = world.by_key[asked.responder].machine.evidence(
                    encode_evidence_request(audit.key, which), bytes(32)
                )
                assert own == data
                shown += 1
    assert shown > 0
    machine = world.peers[0].machine
    key = next(iter(disputes))
    assert machine.evidence(encode_evidence_request(key, 30), bytes(32)) == NO_EVIDENCE
    assert machine.evidence(encode_evidence_request(DisputeKey(bytes(32), 1, 0), 0), bytes(32)) == NO_EVIDENCE
    for malformed in (b"", b"\x00", encode_evidence_request(key, 31), b"\x80" * 300):
        with pytest.raises(RemoteProtocolError):
            machine.evidence(malformed, bytes(32))


def test_old_evidence_is_forgotten() -> None:
    """The store drops whole slots: slots before an epoch, and the oldest if there are too many."""
    box = EvidenceBox()
    for epoch in range(4):
        for peer in range(3):
            box.keep(StoredEvidence(epoch, 0, bytes([peer]), Output((1,), "length", bytes(32))))
            box.keep(StoredEvidence(epoch, 0, bytes([peer]), Output((2,), "length", bytes(32))))
    assert len(box) == 12
    assert box.of(1, 0)[b"\x02"] == Output((2,), "length", bytes(32))
    box.drop_before(2)
    assert len(box) == 6
    assert box.of(1, 0) == {}
    assert len(box.of(2, 0)) == 3


def test_members_of_other_classes_leave_a_dispute_in_class_alone() -> None:
    """A member outside the electorate neither derives nor answers a disputed question of another class."""
    deriving: set[int] = set()

    def see(actor: Actor, told: object, _now_ms: int) -> None:
        if isinstance(told, Compute) and told.purpose is Purpose.VOTE:
            deriving.add(actor.machine.context.class_index)

    world = make_world(8, seed=9, kinds=KINDS, make=watching(see), classes=2, slots_milli=1500, across_percent=0)
    assert run_until(world, lambda: convicted(world, 0) == {CHEATER}, epochs_max=24)
    assert not any(audit.is_across for audit in audits_of(world))
    authors = {r.author for r in world.peers[0].machine.context.ledger.records() if r.kind == Kind.VOTE}
    assert {world.by_key[author].engine.path for author in authors} == {1}
    assert deriving == {1}


def test_scoring_asks_the_referee_with_the_question_as_it_was() -> None:
    """Score jobs have the question's prompt, temperature and sampler key, and the claimed tokens."""

    jobs: list[MeasureJob] = []

    def see(_actor: Actor, told: object, _now_ms: int) -> None:
        if isinstance(told, MeasureJob):
            jobs.append(told)

    world = make_world(6, seed=3, make=watching(see), classes=3, slots_milli=1500, greedy_percent=50)
    world.run_epochs(6)
    assert {job.ask.temperature_milli for job in jobs} == {0, 800}
    assert all(len(job.ask.prompt) == 12 and len(job.ask.sampler_key) == 32 for job in jobs)
    assert all(len(job.tokens) == 16 for job in jobs)
