"""A member whose clock is ahead signs audits of an epoch that has not begun for others. They vote on these in time."""

import pytest

from p2pverify.testnet.world import ActorPlan, World, WorldPlan

EPOCH_MS = 10_000


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
        rules={"epoch_ms": EPOCH_MS, "slots_milli": 2000, "panel_size": 2, "prompt_tokens": 8, "answer_tokens": 8},
    )
    world = World(plan)
    for peer in world.peers:
        if peer.kind == kind:
            peer.skew_ms = EPOCH_MS * permille // 1000
    world.play()
    assert world.invariants.faults == []
    rejected = {reason for peer in world.honest for reason in peer.machine.statistics() if "rejected" in reason}
    assert not rejected
    newest = world.invariants.newest
    assert newest is not None
    assert newest.epoch >= 11
