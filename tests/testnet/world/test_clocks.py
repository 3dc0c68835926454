"""Clocks that are wrong break no log: others reject a record that is too early, and with it all later ones."""

import pytest

from p2pverify.core.events import Effects
from p2pverify.core.inference.question import Opening
from p2pverify.core.records.envelope import Kind
from p2pverify.core.roles.asker import Answers
from p2pverify.core.roles.challenger import Challenger
from p2pverify.core.roles.context import Context
from p2pverify.core.roles.slot_plan import EpochPlan, SlotPlan
from p2pverify.testnet.world import ActorPlan, World, WorldPlan

EPOCH_MS = 10_000
RULES = {"epoch_ms": EPOCH_MS, "slots_milli": 2000, "panel_size": 2, "prompt_tokens": 8, "answer_tokens": 8}


def rejections(world: World) -> set[str]:
    """For what honest peers have rejected records of others."""
    return {note for peer in world.honest for note in peer.notes if note.startswith("rejected")}


@pytest.mark.parametrize("kind", ["always-wrong", "slanderer"])
@pytest.mark.parametrize("permille", [300, 900])
def test_disputes_about_a_coming_epoch_break_no_log(kind: str, permille: int) -> None:
    """A vote on a slot of its own epoch would be rejected by all, and with it all later records of its author."""
    plan = WorldPlan(
        peers=6,
        founders=6,
        members=6,
        epochs=14,
        actors=(ActorPlan(kind),),
        rules=RULES,
    )
    world = World(plan)
    for peer in world.peers:
        if peer.kind == kind:
            peer.skew_ms = EPOCH_MS * permille // 1000
    world.play()
    assert world.invariants.faults == []
    assert not rejections(world)
    newest = world.invariants.newest
    assert newest is not None
    assert newest.epoch >= 11


def test_an_answer_that_comes_after_the_clock_was_set_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is signed about a slot of an epoch that has not begun again: all would reject the audit."""
    world = World(WorldPlan(peers=5, founders=5, members=5, epochs=6, rules=RULES))
    victim = world.peers[2].machine.context
    params, honest, may_write = world.network.params, Challenger._publish, Context.may_write
    early: list[SlotPlan] = []

    def publish(
        self: Challenger, plan: EpochPlan, slot: SlotPlan, opening: Opening, answers: Answers, now_ms: int
    ) -> Effects[None]:
        if self._context is victim:
            now_ms = params.epoch_start_ms(plan.epoch) - 1
            early.append(slot)
            # Nearly always a duty stands in the log before, whose date keeps the peer silent.
            monkeypatch.setattr(Context, "may_write", lambda *_: True)
        yield from honest(self, plan, slot, opening, answers, now_ms)
        monkeypatch.setattr(Context, "may_write", may_write)

    monkeypatch.setattr(Challenger, "_publish", publish)
    world.play()
    assert early
    assert world.invariants.faults == []
    assert not rejections(world)
    assert not any(record.kind == Kind.AUDIT for record in victim.ledger.chain(victim.key))
