"""A small network without other events that has one cheater, and the others' view of the cheater."""

from collections.abc import Callable

import pytest

from p2pverify.core.roles import slot_plan
from p2pverify.core.roles.slot_plan import EpochPlan
from p2pverify.core.state.state import State
from tests.support.world import World

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
    """Let the cheater change its plans after it has drawn them honestly."""
    honest = slot_plan.make_plan

    def planned(context: object, epoch: int, anchor: State) -> EpochPlan | None:
        plan = honest(context, epoch, anchor)  # type: ignore[arg-type]
        if plan is not None and context is world.peers[CHEAT].machine.context:
            change(plan)
        return plan

    monkeypatch.setattr("p2pverify.core.roles.challenger.make_plan", planned)
