"""A small network without other events that has one cheater, and the others' view of the cheater."""

from collections.abc import Callable, Mapping
from typing import Any

import pytest

from p2pverify.core.roles import slot_plan
from p2pverify.core.roles.slot_plan import EpochPlan
from p2pverify.core.state.state import State
from p2pverify.testnet.world import World
from tests.support.worlds import Make, final, make_world

PEERS = 5
CHEAT = 2


def quiet_world(*, kinds: Mapping[int, str] | None = None, make: Make | None = None, **changes: Any) -> World:
    return make_world(PEERS, seed=7, kinds=kinds, make=make, **changes)


def reasons(world: World) -> dict[str, int]:
    return final(world).totals


def counts(world: World, name: int) -> tuple[int, int]:
    member = final(world).members[world.peers[name].machine.key]
    return member.agreements, member.dissents


def cheat_plans(monkeypatch: pytest.MonkeyPatch, world: World, change: Callable[[EpochPlan], None]) -> None:
    """Let the cheater change its plans after it has drawn them honestly."""
    honest = slot_plan.make_plan

    def planned(context: object, epoch: int, anchor: State) -> EpochPlan | None:
        plan = honest(context, epoch, anchor)  # type: ignore[arg-type]
        if plan is not None and context is world.peers[CHEAT].machine.context:
            change(plan)
        return plan

    monkeypatch.setattr("p2pverify.core.roles.challenger.make_plan", planned)
