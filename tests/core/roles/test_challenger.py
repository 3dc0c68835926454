"""How an owed slot goes on, from its plan to its audit."""

from typing import Any

import pytest

from p2pverify.core.events import Compute, ComputeFailed, Event
from p2pverify.core.inference.jobs import Purpose
from p2pverify.core.roles.slot_plan import SlotPhase
from p2pverify.testnet.world.peer.actor import Actor
from tests.support.worlds import Handle, casting, make_world

ALL = list(SlotPhase)


Seen = dict[tuple[bytes, int, int], list[SlotPhase]]


def play(epochs: int, *, is_late: bool = False, classes: int = 1) -> Seen:
    """The phases that each slot went through in a world. Engines have no time for audits if `is_late`."""
    seen: Seen = {}

    def around(actor: Actor, event: Event, now_ms: int, handle: Handle) -> list[Any]:
        effects = handle(event, now_ms)
        note(actor)
        late = [e for e in effects if is_late and isinstance(e, Compute) and e.purpose is Purpose.AUDIT]
        kept = [effect for effect in effects if effect not in late]
        for job in late:
            kept += handle(ComputeFailed(job.job, "no time", is_dropped=True), now_ms)
            note(actor)
        return kept

    def note(actor: Actor) -> None:
        for plan in actor.machine.challenger._plans.values():
            for slot in plan.slots:
                phases = seen.setdefault((actor.key, plan.epoch, slot.slot.index), [])
                if phases[-1:] != [slot.phase]:
                    phases.append(slot.phase)

    world = make_world(6, seed=3, classes=classes, slots_milli=1500, make=casting({}, around))
    world.run_epochs(epochs)
    return seen


@pytest.mark.parametrize("classes", [1, 3])
def test_slots_go_through_their_phases(classes: int) -> None:
    """Phases follow in their order, and only slots across classes are measured."""
    seen = play(8, classes=classes)
    complete = ALL[:5] if classes == 3 else [*ALL[:3], SlotPhase.AUDITED]
    assert list(seen.values()).count(complete) > 10
    for phases in seen.values():
        assert phases == sorted(phases, key=ALL.index)
        assert set(phases) <= set(complete)


def test_a_slot_whose_engine_fails_is_given_up() -> None:
    """It is done without an audit, so the duty need not wait for it."""
    seen = play(6, is_late=True)
    ends = {phases[-1] for phases in seen.values()}
    assert SlotPhase.GIVEN_UP in ends
    assert ends <= {SlotPhase.PLANNED, SlotPhase.DERIVING, SlotPhase.GIVEN_UP}
