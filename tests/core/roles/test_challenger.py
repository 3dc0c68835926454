"""How an owed slot goes on, from its plan to its audit."""

import pytest

from p2pverify.core.events import Compute, ComputeFailed, Event
from p2pverify.core.inference.jobs import Purpose
from p2pverify.core.roles.slot_plan import SlotPhase
from tests.support.world import Peer, World

ALL = list(SlotPhase)


class Watching(World):
    """Notes the phases that each slot goes through. Engines have no time for audits if `is_late`."""

    is_late = False

    def __init__(self, count: int, **changes: object) -> None:
        self.seen: dict[tuple[bytes, int, int], list[SlotPhase]] = {}
        super().__init__(count, **changes)  # type: ignore[arg-type]

    def _handle(self, peer: Peer, event: Event) -> None:
        super()._handle(peer, event)
        for plan in peer.machine.challenger._plans.values():
            for slot in plan.slots:
                phases = self.seen.setdefault((peer.machine.key, plan.epoch, slot.slot.index), [])
                if phases[-1:] != [slot.phase]:
                    phases.append(slot.phase)

    def _carry_out(self, peer: Peer, effect: object) -> None:
        if self.is_late and isinstance(effect, Compute) and effect.purpose is Purpose.AUDIT:
            self.post(0, peer.name, ComputeFailed(effect.job, "no time", is_dropped=True))
        else:
            super()._carry_out(peer, effect)


@pytest.mark.parametrize("classes", [1, 3])
def test_slots_go_through_their_phases(classes: int) -> None:
    """Phases follow in their order, and only slots across classes are measured."""
    world = Watching(6, seed=3, cores=6, classes=classes, slots_milli=1500)
    world.run_epochs(8)
    complete = ALL[:5] if classes == 3 else [*ALL[:3], SlotPhase.AUDITED]
    assert list(world.seen.values()).count(complete) > 10
    for phases in world.seen.values():
        assert phases == sorted(phases, key=ALL.index)
        assert set(phases) <= set(complete)


def test_a_slot_whose_engine_fails_is_given_up() -> None:
    """It is done without an audit, so the duty need not wait for it."""
    world = Watching(6, seed=3, cores=6, slots_milli=1500)
    world.is_late = True
    world.run_epochs(6)
    ends = {phases[-1] for phases in world.seen.values()}
    assert SlotPhase.GIVEN_UP in ends
    assert ends <= {SlotPhase.PLANNED, SlotPhase.DERIVING, SlotPhase.GIVEN_UP}
