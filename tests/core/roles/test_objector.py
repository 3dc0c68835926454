"""What an objector does not sign, from the first look at a cut on."""

from dataclasses import replace
from typing import Any

import pytest

from p2pverify.core.blind.values import OpenedAnswer
from p2pverify.core.roles.disputes.objector import Objector
from p2pverify.core.roles.disputes.work import Result
from p2pverify.core.state.state import LOST_DISPUTES, Loss, State
from p2pverify.core.state.transition import class_steps
from p2pverify.core.state.verdicts.notes import Dispute
from tests.support.hearing import Hearing


class KnownWork:
    """The own results, which are all known, or none of them."""

    def __init__(self, output: bytes | None) -> None:
        self._result = None if output is None else Result(output, (), b"")

    def known(self, _key: object) -> Result | None:
        return self._result


class Looking:
    """The part of a context that a look at a cut needs."""

    def __init__(self, network: Any, state: State, key: bytes) -> None:
        self.network = network
        self.key = key
        self.fold = self
        self.latest = state


def case(*, is_own: bool, opened: bytes | None = None) -> tuple[Objector, State]:
    """A cut that holds a decision and the conviction that rests on it. `is_own`: it is this peer's own result.

    With `opened` this peer is the challenger of the dispute. It has no result but the answer that it opened.
    """
    hearing = Hearing(31)
    network, dispute = hearing.story.network, hearing.dispute
    key = b"" if opened is None else dispute.key.challenger
    votes = {} if opened is None else {key: OpenedAnswer(opened)}
    decided: Dispute = replace(dispute, decision=bytes(32), votes=votes)
    state = hearing.state.successor(b"\x01" * 32, 20, {})
    state.disputes[dispute.key] = decided
    accused, steps = dispute.key.challenger, class_steps(network)[0]
    state.change(accused, cusum=steps.threshold, losses=(Loss(dispute.key, steps.up),))
    state.convict(accused, LOST_DISPUTES)
    context: Any = Looking(network, hearing.state, key)
    work: Any = KnownWork(None if opened is not None else bytes(32) if is_own else b"\x02" * 32)
    return Objector(context, work, is_on=True), state


@pytest.mark.parametrize("is_own", [True, False])
def test_a_decision_counts_before_the_cut_that_brings_it_is_signed(is_own: bool) -> None:
    """The first look at the cut is enough: the check of the decision begins with it."""
    objector, state = case(is_own=is_own)
    assert objector.refuses(state) != is_own
    assert bool(objector.against) != is_own
    assert objector.refused == (frozenset() if is_own else state.convicted)


@pytest.mark.parametrize("opened", [bytes(32), b"\x02" * 32])
def test_a_challenger_objects_by_the_answer_that_it_sealed(opened: bytes) -> None:
    """It does not vote on its own disputes, so it has no other result for them."""
    objector, state = case(is_own=False, opened=opened)
    assert objector.refuses(state) == (opened != bytes(32))
