"""What cheaters sign has no effect, and the reason is on record. Each runs a whole small network in virtual time."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from p2pverify.core import plans
from p2pverify.core.audit import Asked, Audit, Duty, vote_commit
from p2pverify.core.challenger import Challenger
from p2pverify.core.errors import GossipReject
from p2pverify.core.events import Computed
from p2pverify.core.plans import EpochPlan, SlotPlan
from p2pverify.core.question import Question, output_digest
from p2pverify.core.records import Commit, Cut, Kind, Vote, decode_commit, make_record
from p2pverify.core.rules import Rules, audit_of, judge
from p2pverify.core.state import State
from p2pverify.core.voter import Voter
from tests.support.world import Peer, World, always, tokens_of

PEERS = 5
CHEAT = 2


def quiet_world(seed: int = 7, **changes: int) -> World:
    return World(PEERS, seed=seed, cores=PEERS, **{"slots_milli": 1000, **changes})  # type: ignore[arg-type]


def final(world: World, observer: int = 0) -> State:
    return world.peers[observer].machine.fold.latest


def reasons(world: World) -> dict[str, int]:
    return final(world).totals


def counts(world: World, name: int) -> tuple[int, int]:
    member = final(world).members[world.peers[name].machine.key]
    return member.agreements, member.dissents


def cheat_plans(monkeypatch: pytest.MonkeyPatch, world: World, change: Callable[[EpochPlan], None]) -> None:
    """Let the cheater change its plans after drawing them honestly."""
    honest = plans.make_plan

    def planned(context: object, epoch: int, anchor: State) -> EpochPlan | None:
        plan = honest(context, epoch, anchor)  # type: ignore[arg-type]
        if plan is not None and context is world.peers[CHEAT].machine.context:
            change(plan)
        return plan

    monkeypatch.setattr("p2pverify.core.challenger.make_plan", planned)


def test_an_audit_that_was_not_owed_counts_for_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """A slot beyond those drawn is void, though its receipts are real and its opening holds."""
    world = quiet_world()
    friend = world.peers[4].machine.key

    def invent(plan: EpochPlan) -> None:
        plan.slots = [
            SlotPlan(replace(plan.slots[0].slot, index=9), (friend,), plan.slots[0].due_ms) if plan.slots else None,  # type: ignore[list-item]
        ]

    cheat_plans(monkeypatch, world, invent)
    world.run_epochs(8)
    assert reasons(world)["void audit: slot not owed"] > 0
    by_cheat = world.peers[CHEAT].machine.key
    assert all(by_cheat not in m.contacts for m in final(world).members.values())


def test_asking_a_friend_instead_of_the_drawn_target_counts_for_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Targets are drawn; an audit of others is void and its slot a no-show."""
    world = quiet_world()
    friend = world.peers[4].machine.key

    def choose(plan: EpochPlan) -> None:
        for slot in plan.slots:
            if slot.targets != (friend,):
                slot.targets = (friend,)

    cheat_plans(monkeypatch, world, choose)
    world.run_epochs(8)
    assert reasons(world)["void audit: asked others than the drawn targets"] > 0


def test_a_forged_opening_counts_for_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """A duty whose openings do not give the nonces of its audits earns nobody anything."""
    world = quiet_world()
    honest = Duty.encode
    cheat = world.peers[CHEAT].machine.context

    def forged(self: Duty) -> bytes:
        if self.vrf_key == cheat.vrf_key:
            openings = tuple(replace(o, salts=tuple(bytes(32) for _ in o.salts)) for o in self.openings)
            return honest(replace(self, openings=openings))
        return honest(self)

    monkeypatch.setattr(Duty, "encode", forged)
    world.run_epochs(8)
    assert reasons(world)["void audit: forged opening"] > 0
    assert final(world).members[cheat.key].void_audits > 0


def test_a_reused_nonce_does_not_open(monkeypatch: pytest.MonkeyPatch) -> None:
    """The nonce of another slot binds another question: the opening fails."""
    world = quiet_world()
    honest = Audit.encode
    cheat = world.peers[CHEAT].machine.key
    first: list[bytes] = []

    def reused(self: Audit) -> bytes:
        if self.challenger != cheat:
            return honest(self)
        first.append(self.asked[0].nonce)
        asked = tuple(Asked(a.responder, first[0], None) for a in self.asked[:1])
        return honest(replace(self, asked=asked + self.asked[1:]))

    monkeypatch.setattr(Audit, "encode", reused)
    world.run_epochs(9)
    assert reasons(world).get("void audit: forged opening", 0) + final(world).members[cheat].void_audits > 0


def test_a_receipt_for_another_request_is_rejected() -> None:
    """A receipt moved into an audit of another nonce does not verify there."""
    world = quiet_world()
    world.run_epochs(5)
    context = world.peers[0].machine.context
    audits = [r for r in context.ledger.records() if r.kind == Kind.AUDIT and audit_of(r).asked[0].receipt is not None]
    audit = audit_of(audits[0])
    moved = replace(audit, asked=(replace(audit.asked[0], nonce=bytes(32)), *audit.asked[1:]))
    cheat = world.peers[CHEAT]
    record = make_record(
        cheat.seed,
        cheat.machine.key,
        world.network.id,
        epoch=audit.epoch,
        seq=0,
        prev=bytes(32),
        kind=Kind.AUDIT,
        payload=moved.encode(),
    )
    with pytest.raises(GossipReject, match="receipt's signature does not hold for this request"):
        judge(record.data, Rules(world.network, world.network.id, 10))


def test_an_underivable_prompt_is_found_and_costs_its_challenger(monkeypatch: pytest.MonkeyPatch) -> None:
    """A chosen question earns nobody an agreement once it is voted on, and its challenger a dissent."""
    world = quiet_world(spot_check_permille=1000)
    cheat = world.peers[CHEAT].machine
    honest = plans.slot_question

    def chosen(context: object, slot: object, prompt: tuple[int, ...], requester: bytes) -> Question:
        if context is cheat.context and requester == cheat.key:
            prompt = (*prompt, 7)
        return honest(context, slot, prompt, requester)  # type: ignore[arg-type]

    monkeypatch.setattr("p2pverify.core.challenger.slot_question", chosen)
    keep = World._computed

    def computed(self: World, peer: Peer, what: tuple[object, ...]) -> None:
        # The cheater's engine answers the question it chose, so that its own answer is right for it.
        job = what[2]
        if peer.name == CHEAT and job.prompt_seed is not None and job.tokens_max:  # type: ignore[attr-defined]
            written = tokens_of(b"prompt" + job.prompt_seed, job.prompt_tokens)  # type: ignore[attr-defined]
            key = repr(((*written, 7), job.temperature_milli, job.sampler_key)).encode()  # type: ignore[attr-defined]
            peer.busy = False
            self.running.discard(peer.name)
            tokens = tokens_of(key, job.tokens_max)  # type: ignore[attr-defined]
            self._handle(peer, Computed(job.job, written, tokens, "length", 0, 1, 1))  # type: ignore[attr-defined]
            self._start_jobs()
            return
        keep(self, peer, what)

    monkeypatch.setattr(World, "_computed", computed)
    world.run_epochs(12)
    assert counts(world, CHEAT)[1] > 0
    assert all(counts(world, name)[1] == 0 for name in range(PEERS) if name != CHEAT)


def test_a_copied_commit_opens_for_nobody_else(monkeypatch: pytest.MonkeyPatch) -> None:
    """The voter is inside its commit: another's bytes cannot be opened under one's own name."""
    world = quiet_world(slots_milli=1500)
    world.peers[4].lie = always
    cheat = world.peers[CHEAT].machine.context
    honest = Voter._commit

    def copy(self: Voter, dispute: object, state: State, now_ms: int) -> None:
        if self._context is not cheat:
            honest(self, dispute, state, now_ms)  # type: ignore[arg-type]
            return
        key = dispute.key  # type: ignore[attr-defined]
        for record in cheat.ledger.records():
            if record.kind != Kind.VOTE_COMMIT or key in self._committed or record.author == cheat.key:
                continue
            seen = decode_commit(record.payload)
            if seen.dispute == key:
                self._committed.add(key)
                cheat.write(Kind.VOTE_COMMIT, Commit(key, state.id, seen.commit).encode(), now_ms)

    monkeypatch.setattr(Voter, "_commit", copy)
    world.run_epochs(9)
    assert reasons(world)["vote: does not open the commit"] > 0
    assert world.convicted(0) <= {4}


def test_a_reveal_whose_commit_no_cut_holds_counts_for_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a sealed answer there is nothing to open, however right the answer is."""
    world = quiet_world(slots_milli=1500)
    world.peers[4].lie = always
    cheat = world.peers[CHEAT].machine.context
    honest = Voter._vote

    def never(self: Voter, dispute: object, state: State, now_ms: int) -> None:
        if self._context is not cheat:
            honest_commit(self, dispute, state, now_ms)  # type: ignore[arg-type]

    def reveal(self: Voter, dispute: object, state: State, now_ms: int) -> None:
        key = dispute.key  # type: ignore[attr-defined]
        if self._context is not cheat:
            honest(self, dispute, state, now_ms)  # type: ignore[arg-type]
        elif key not in self._voted and key.challenger != cheat.key:
            self._voted.add(key)
            vote = Vote(key, state.id, 0, output_digest(dispute.audit.question, (1,), "stop"), (bytes(32),))  # type: ignore[attr-defined]
            cheat.write(Kind.VOTE, vote.encode(), now_ms)

    honest_commit = Voter._commit
    monkeypatch.setattr(Voter, "_commit", never)
    monkeypatch.setattr(Voter, "_vote", reveal)
    world.run_epochs(9)
    assert reasons(world)["vote: no commit was counted"] > 0
    assert counts(world, CHEAT)[1] == 0


def test_a_commit_dated_back_is_too_late(monkeypatch: pytest.MonkeyPatch) -> None:
    """A claimed epoch proves nothing: a commit counts only in cuts before the sealing is closed."""
    world = quiet_world(slots_milli=1500)
    world.peers[4].lie = always
    cheat = world.peers[CHEAT].machine.context
    honest = Voter._commit

    def late(self: Voter, dispute: object, state: State, now_ms: int) -> None:
        if self._context is not cheat:
            honest(self, dispute, state, now_ms)  # type: ignore[arg-type]

    def vote(self: Voter, dispute: object, state: State, now_ms: int) -> None:
        key = dispute.key  # type: ignore[attr-defined]
        if self._context is not cheat:
            honest_vote(self, dispute, state, now_ms)  # type: ignore[arg-type]
        elif key not in self._committed and key.challenger != cheat.key:
            self._committed.add(key)
            sealed = vote_commit(world.network.id, key, cheat.key, 0, bytes(32), bytes(32))
            head = cheat.ledger.head(cheat.key)
            assert head is not None
            record = make_record(
                cheat.seed,
                cheat.key,
                world.network.id,
                epoch=key.epoch + 1,  # as if it had been made in time
                seq=head[1] + 1,
                prev=head[2],
                kind=Kind.VOTE_COMMIT,
                payload=Commit(key, state.id, sealed).encode(),
            )
            cheat.ledger.add(record)
            world._carry_out(world.peers[CHEAT], _publish(record.data))

    honest_vote = Voter._vote
    monkeypatch.setattr(Voter, "_commit", late)
    monkeypatch.setattr(Voter, "_vote", vote)
    world.run_epochs(9)
    assert reasons(world)["commit: after the sealing was closed"] > 0


def _publish(data: bytes) -> object:
    from p2pverify.core.events import Publish

    return Publish((data,))


def test_a_join_dated_back_makes_no_earlier_member() -> None:
    """Membership begins with the certified cut that holds the join, whatever its header says."""
    world = quiet_world()
    world.crash(CHEAT)
    world.run_epochs(6)
    cheat = world.peers[CHEAT].machine.context
    joined = make_record(
        cheat.seed,
        cheat.key,
        world.network.id,
        epoch=0,
        seq=0,
        prev=bytes(32),
        kind=Kind.JOIN,
        payload=_join(cheat.vrf_key),
    )
    world._carry_out(world.peers[CHEAT], _publish(joined.data))
    world.run_epochs(2)
    member = final(world).members[cheat.key]
    assert member.active
    assert member.joined_epoch >= 5  # the epoch that it was when the others cut


def _join(vrf_key: bytes) -> bytes:
    from p2pverify.core.records import Join

    return Join(0, vrf_key).encode()


def test_a_duty_on_an_anchor_before_its_join_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """A key counts from its join on: it cannot have been ground against beacons that it had seen."""
    world = quiet_world()
    world.crash(CHEAT)
    world.run_epochs(4)
    old = final(world)
    cheat = world.peers[CHEAT].machine.context

    def anchored(context: object, epoch: int) -> State | None:
        return old if context is cheat and epoch - old.epoch <= 5 else find(context, epoch)  # type: ignore[arg-type]

    find = plans.find_anchor
    monkeypatch.setattr("p2pverify.core.challenger.find_anchor", anchored)

    def planned(context: object, epoch: int, anchor: State) -> EpochPlan | None:
        plan = honest(context, epoch, anchor)  # type: ignore[arg-type]
        if plan is None and context is cheat:
            then = final(world).members.get(cheat.key)
            if then is not None and then.active:
                members = {**anchor.members, cheat.key: then}
                return honest(context, epoch, replace(anchor, members=members))  # type: ignore[arg-type]
        return plan

    honest = plans.make_plan
    monkeypatch.setattr("p2pverify.core.challenger.make_plan", planned)
    world.restart(CHEAT)
    cheat = world.peers[CHEAT].machine.context
    world.run_epochs(7)
    assert reasons(world)["duty: key was not a member's at the anchor"] > 0


def test_a_proxy_gets_an_answer_that_does_not_match(monkeypatch: pytest.MonkeyPatch) -> None:
    """A question forwarded under another name has another sampler key, hence another answer."""
    world = quiet_world(slots_milli=1500)
    proxy = world.peers[CHEAT]
    honest = World._computed

    def forwarded(self: World, peer: Peer, what: tuple[object, ...]) -> None:
        # The proxy's "engine" is an honest peer, who answers the proxy as the requester.
        if peer is proxy:
            job = what[2]
            own = Question(bytes(32), (1,), 1, 800, bytes(16), proxy.machine.key).sampler_key
            what = (what[0], what[1], replace(job, sampler_key=own), what[3])  # type: ignore[type-var]
        honest(self, peer, what)

    monkeypatch.setattr(World, "_computed", forwarded)
    world.run_epochs(14)
    assert world.convicted(0) == {CHEAT}


def test_two_audits_for_one_slot_convict(monkeypatch: pytest.MonkeyPatch) -> None:
    """A slot is said once: a second audit with another content convicts without a vote."""
    world = quiet_world()
    cheat = world.peers[CHEAT].machine.context
    honest = Challenger._publish

    def twice(self: Challenger, plan: EpochPlan, slot: SlotPlan, *rest: object) -> None:
        honest(self, plan, slot, *rest)  # type: ignore[arg-type]
        audit = self._audited.get((plan.epoch, slot.slot.index))
        if self._context is cheat and audit is not None and not audit.differ:
            cheat.write(Kind.AUDIT, replace(audit, differ=True).encode(), world.now)

    monkeypatch.setattr(Challenger, "_publish", twice)
    world.run_epochs(6)
    assert world.convicted(0) == {CHEAT}
    assert final(world).members[cheat.key].conviction == "two audits for one slot"


def test_two_proposals_for_one_epoch_convict(monkeypatch: pytest.MonkeyPatch) -> None:
    """A proposer that offers two different cuts for one epoch and base convicts itself."""
    world = quiet_world()
    world.run_epochs(3)
    cheat = world.peers[CHEAT].machine.context
    latest = cheat.fold.latest
    epoch = cheat.params.epoch_at(world.now)
    for root in (b"a", b"b"):
        cut = Cut(epoch, latest.id, cheat.vrf_key, bytes(80), tuple(latest.heads.values()), root * 32, bytes(32))
        cut = replace(cut, heads=tuple(sorted(cut.heads)))
        world.peers[CHEAT].machine.context.write(Kind.CUT, cut.encode(), world.now)
        for effect in cheat.effects:
            world._carry_out(world.peers[CHEAT], effect)
        cheat.effects.clear()
    world.run_epochs(3)
    assert world.convicted(0) == {CHEAT}


def test_a_forked_log_costs_the_weight_but_does_not_convict() -> None:
    """Two records with one number are proven by a conflict record: suspect and without weight, not convicted."""
    world = quiet_world()
    world.run_epochs(3)
    cheat = world.peers[CHEAT]
    head = cheat.machine.context.ledger.head(cheat.machine.key)
    assert head is not None
    forked = make_record(
        cheat.seed,
        cheat.machine.key,
        world.network.id,
        epoch=1,
        seq=0,
        prev=bytes(32),
        kind=Kind.LEAVE,
        payload=b"\x80",
    )
    world._carry_out(cheat, _publish(forked.data))
    world.run_epochs(4)
    member = final(world).members[cheat.machine.key]
    assert member.fork_until > 0
    assert not member.is_convicted
    assert member.weight == 0


def test_a_silent_peer_is_unavailable_but_never_convicted() -> None:
    """No answer counts against availability, not against honesty."""
    world = quiet_world(slots_milli=1500)
    world.peers[CHEAT].silent = True
    world.run_epochs(10)
    member = final(world).members[world.peers[CHEAT].machine.key]
    assert member.dissents == 0
    assert sum(c.answered for c in member.contacts.values()) == 0
    assert sum(c.asked for c in member.contacts.values()) > 0
