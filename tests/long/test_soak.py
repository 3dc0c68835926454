"""The soak (`python -m tests.soak`): its plans, and an hour of virtual time."""

import pytest

from tests.soak.plan import DISTURBED_MAX, ENDING, REST_S, SoakFault, plan_faults
from tests.soak.virtual import VirtualSoak

NAMES = [f"peer{number}" for number in range(1, 8)]


def test_a_plan_follows_from_its_seed() -> None:
    kinds = [*SoakFault]
    assert plan_faults(1, 3600, NAMES, kinds) == plan_faults(1, 3600, NAMES, kinds)
    assert plan_faults(1, 3600, NAMES, kinds) != plan_faults(2, 3600, NAMES, kinds)


@pytest.mark.parametrize("seed", range(5))
def test_two_thirds_are_left_alone(seed: int) -> None:
    """All faults come, and nobody has two at a time. Only when the network falls apart are more than two disturbed."""
    faults = plan_faults(seed, 3600, NAMES, [*SoakFault], ("peer1",))
    assert {fault.kind for fault in faults} == set(SoakFault)
    for fault in faults:
        before = [other for other in faults if other.at_s < fault.at_s < other.at_s + other.lasts_s + REST_S]
        busy = [name for other in before for name in other.victims]
        assert not set(busy) & set(fault.victims)
        if fault.kind is not SoakFault.HALVES and not any(other.kind is SoakFault.HALVES for other in before):
            assert len(busy) + len(fault.victims) <= DISTURBED_MAX
        if fault.kind in ENDING:
            assert "peer1" not in fault.victims


def test_an_hour_of_faults_is_survived() -> None:
    """Here a clock that was ahead once had all honest voters break their own logs."""
    soak = VirtualSoak(3, 1.0, [*SoakFault])
    soak.play()
    assert soak.failures == []
    assert len(soak.played) > 5
