"""What an objector does not sign, from the first look at a cut on."""

from dataclasses import replace
from typing import Any

import pytest

from p2pverify.core.roles.disputes.objector import Objector
from p2pverify.core.roles.disputes.work import Result
from p2pverify.core.state.state import LOST_DISPUTES, Dispute, Loss, State
from p2pverify.core.state.transition import class_steps
from tests.support.hearing import Hearing
from tests.support.networks import MANIFEST


class KnownWork:
    """The own results, which are all known."""

    def __init__(self, output: bytes) -> None:
        self._result = Result(output, (), b"")

    def known(self, _key: object) -> Result:
        return self._result


class Looking:
    """The part of a context that a look at a cut needs."""

    def __init__(self, network: Any, state: State) -> None:
        self.network = network
        self.fold = self
        self.latest = state


def case(*, is_own: bool) -> tuple[Objector, State]:
    """A cut that holds a decision and the conviction that rests on it. `is_own`: it is this peer's own result."""
    hearing = Hearing(31)
    network, dispute = hearing.story.network, hearing.dispute
    decided: Dispute = replace(dispute, decision=bytes(32))
    state = hearing.state.successor(b"\x01" * 32, 20, {})
    state.disputes[dispute.key] = decided
    accused, steps = dispute.key.challenger, class_steps(network)[0]
    state.change(accused, cusum=steps.threshold, losses=(Loss(dispute.key, steps.up),))
    state.convict(accused, LOST_DISPUTES)
    context: Any = Looking(network, hearing.state)
    work: Any = KnownWork(bytes(32) if is_own else b"\x02" * 32)
    return Objector(context, work, MANIFEST, is_on=True), state


@pytest.mark.parametrize("is_own", [True, False])
def test_a_decision_counts_before_the_cut_that_brings_it_is_signed(is_own: bool) -> None:
    """The first look at the cut is enough: the check of the decision begins with it."""
    objector, state = case(is_own=is_own)
    assert objector.refuses(state) != is_own
    assert bool(objector.against) != is_own
    assert objector.refused == (frozenset() if is_own else state.convicted)
