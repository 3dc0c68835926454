"""Audits that cheaters sign have no effect, and the reason is recorded. Each test runs a small network."""

from collections.abc import Iterable
from dataclasses import replace

import pytest

from p2pverify.core.errors import GossipReject
from p2pverify.core.events import Compute, Effect
from p2pverify.core.inference.question import Question
from p2pverify.core.records.envelope import Kind, make_record
from p2pverify.core.records.judge import judge
from p2pverify.core.records.kind_rule import Rules
from p2pverify.core.records.payloads.audit import AskedPeer, Audit, audit_of
from p2pverify.core.records.payloads.duty import Duty
from p2pverify.core.roles.slot_plan import EpochPlan, SlotPlan
from p2pverify.core.state.verdicts.notes import Panel
from p2pverify.testnet.world.liars.base import BentActor
from tests.support.cheating import CHEAT, cheat_plans, final, quiet_world, reasons
from tests.support.worlds import casting, convicted


def test_an_audit_that_was_not_owed_counts_for_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """A slot beyond the drawn ones is void, although its receipts are real and its opening is valid."""
    world = quiet_world()
    asked = Panel((world.peers[4].machine.key,), (0,), False, 0, world.network)

    def invent(plan: EpochPlan) -> None:
        plan.slots = [
            SlotPlan(replace(plan.slots[0].slot, index=9), asked, plan.slots[0].due_ms) if plan.slots else None,  # type: ignore[list-item]
        ]

    cheat_plans(monkeypatch, world, invent)
    world.run_epochs(8)
    assert reasons(world)["void audit: slot not owed"] > 0
    by_cheat = world.peers[CHEAT].machine.key
    assert all(by_cheat not in m.contacts for m in final(world).members.values())


def test_asking_a_friend_instead_of_the_drawn_target_counts_for_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Targets are drawn. An audit of other peers is void, and its slot is a no-show."""
    world = quiet_world()
    friend = world.peers[4].machine.key

    def choose(plan: EpochPlan) -> None:
        for slot in plan.slots:
            if slot.targets != (friend,):
                slot.panel = Panel((friend,), (0,), False, 0, world.network)

    cheat_plans(monkeypatch, world, choose)
    world.run_epochs(8)
    assert reasons(world)["void audit: asked others than the drawn targets"] > 0


def test_a_forged_opening_counts_for_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """A duty whose openings do not give the nonces of its audits has no effect."""
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
        asked = tuple(AskedPeer(a.responder, first[0], None) for a in self.asked[:1])
        return honest(replace(self, asked=asked + self.asked[1:]))

    monkeypatch.setattr(Audit, "encode", reused)
    world.run_epochs(9)
    assert reasons(world).get("void audit: forged opening", 0) + final(world).members[cheat].void_audits > 0


def test_a_receipt_for_another_request_is_rejected() -> None:
    """A receipt moved into an audit of another nonce does not verify there."""
    world = quiet_world()
    world.run_epochs(5)
    context = world.peers[0].machine.context
    cheat = world.peers[CHEAT]
    audits = (audit_of(r) for r in context.ledger.records() if r.kind == Kind.AUDIT)
    others = (a for a in audits if cheat.machine.key not in [asked.responder for asked in a.asked])
    audit = next(a for a in others if a.asked[0].receipt is not None)
    moved = replace(audit, asked=(replace(audit.asked[0], nonce=bytes(32)), *audit.asked[1:]))
    record = make_record(
        world.identities[CHEAT].seed,
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


class Forwarding(BentActor):
    """Its "engine" is an honest peer that answers it as the requester."""

    def leaving(self, effect: Effect, now_ms: int) -> Iterable[Effect]:
        if not isinstance(effect, Compute):
            return (effect,)
        own = Question(bytes(32), (1,), 1, 800, bytes(16), self.key).sampler_key
        return (replace(effect, ask=replace(effect.ask, sampler_key=own)),)


def test_a_proxy_gets_an_answer_that_does_not_match() -> None:
    """A question forwarded under another name has another sampler key, hence another answer."""
    world = quiet_world(slots_milli=1500, kinds={CHEAT: "forwarding"}, make=casting({"forwarding": Forwarding}))
    world.run_epochs(14)
    assert convicted(world) == {CHEAT}
